//! Page tokens: where the page before ended, bound to the filter it was made with. Opaque and versioned, so that they
//! can change.

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

const VERSION: u8 = 1;
const FILTER_BYTES: usize = 8;

fn filter_mark(filter: &str) -> [u8; FILTER_BYTES] {
    let mut mark = [0; FILTER_BYTES];
    mark.copy_from_slice(&digest::digest(&digest::SHA256, filter.as_bytes()).as_ref()[..FILTER_BYTES]);
    mark
}

/// A token that goes on after `last`.
pub(crate) fn encode(filter: &str, last: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&filter_mark(filter));
    bytes.extend_from_slice(last.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// After which name to go on; none if the token is not one of ours, or of another filter.
pub(crate) fn decode(filter: &str, token: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (mark, last) = rest.split_at_checked(FILTER_BYTES)?;
    if *version != VERSION || mark != filter_mark(filter) {
        return None;
    }
    String::from_utf8(last.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_filter_only() {
        let token = encode("a", "shop.example.com");
        assert_eq!(decode("a", &token).as_deref(), Some("shop.example.com"));
        assert_eq!(decode("b", &token), None);
        for bad in ["", "AA", "not base64!", "Av8", &token[1..]] {
            assert_eq!(decode("a", bad), None, "{bad}");
        }
    }
}
