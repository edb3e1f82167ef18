//! Random bytes.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

#[expect(clippy::unwrap_used, reason = "see below")]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Unwrap safety: AWS-LC aborts the process rather than report that the system has no randomness.
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// 128 bits in base64url.
pub(crate) fn token() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes::<16>())
}
