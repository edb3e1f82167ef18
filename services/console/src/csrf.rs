//! The value in each form that other sites cannot know: derived from the session's token and masked differently on each
//! page, so that a compressed page does not give it away bit by bit (BREACH).

use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::Entropy;

use crate::api::Token;

const BYTES: usize = 32;

fn value(token: &Token) -> [u8; BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"ssl-manager csrf ");
    context.update(token.expose().as_bytes());
    let mut value = [0; BYTES];
    value.copy_from_slice(context.finish().as_ref());
    value
}

/// The value for one page.
pub(crate) fn masked(token: &Token, entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 2 * BYTES];
    entropy.fill(&mut bytes[..BYTES]);
    for (index, byte) in value(token).into_iter().enumerate() {
        bytes[BYTES + index] = byte ^ bytes[index];
    }
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether a form's value is of that session.
pub(crate) fn fits(token: &Token, masked: &str) -> bool {
    let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(masked) else {
        return false;
    };
    let Ok(bytes) = <[u8; 2 * BYTES]>::try_from(bytes) else {
        return false;
    };
    let mut unmasked = [0; BYTES];
    for (index, byte) in unmasked.iter_mut().enumerate() {
        *byte = bytes[index] ^ bytes[BYTES + index];
    }
    constant_time::verify_slices_are_equal(&unmasked, &value(token)).is_ok()
}

#[cfg(test)]
mod tests {
    use runtime::testing::SeededEntropy;

    use super::*;

    #[test]
    fn a_value_fits_its_session_alone_and_never_looks_the_same() {
        let (one, other) = (Token::new("sls_one".to_owned()), Token::new("sls_other".to_owned()));
        let entropy = SeededEntropy::new(1);
        let (first, second) = (masked(&one, &entropy), masked(&one, &entropy));
        assert_ne!(first, second);
        assert!(fits(&one, &first) && fits(&one, &second));
        assert!(!fits(&other, &first));
        for bad in ["", "AA", "not base64!", &first[1..], &format!("{first}A")] {
            assert!(!fits(&one, bad), "{bad}");
        }
    }
}
