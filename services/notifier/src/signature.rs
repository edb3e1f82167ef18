//! The signature for receivers: `SSL-Manager-Signature: t=<seconds since 1970>,v1=<hex>`.
//!
//! `v1` is HMAC-SHA-256 (RFC 2104) over `t`, a dot and the body; the key is the text of the endpoint's secret. `t` is
//! the time of the attempt, so a receiver can reject old requests.

use aws_lc_rs::hmac;
use jiff::Timestamp;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "ssl-manager-signature";
/// The header with the id, which is the same for each repetition.
pub const EVENT_ID_HEADER: &str = "ssl-manager-event-id";

/// The value of [`SIGNATURE_HEADER`].
pub fn sign(secret: &[u8], at: Timestamp, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{}.", at.as_second()).as_bytes());
    context.update(body);
    format!("t={},v1={}", at.as_second(), hex::encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected value from `printf '1700000000.{"id":"1"}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn a_signature_is_that_of_other_implementations() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let signature = sign(b"whsec_test", at, br#"{"id":"1"}"#);
        assert_eq!(signature, EXPECTED);
    }

    const EXPECTED: &str = "t=1700000000,v1=11bf4466ea17c3df3fd743af0b435368e16b7a05eb8eced85e8c4670767bdec5";
}
