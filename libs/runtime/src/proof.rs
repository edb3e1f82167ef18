//! Proves to one role that another role of the same process calls it over a socket.

use std::sync::LazyLock;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use domain::Entropy;

use crate::SystemEntropy;

static PROOF: LazyLock<String> = LazyLock::new(|| {
    let half = || {
        let mut bytes = [0; 16];
        SystemEntropy.fill(&mut bytes);
        u128::from_be_bytes(bytes)
    };
    format!("{:032x}{:032x}", half(), half())
});

/// 256 random bits that this process alone knows, as hexadecimal digits.
pub fn process_proof() -> &'static str {
    &PROOF
}

/// Whether that is what [`process_proof`] returns here.
pub fn is_process_proof(shown: &[u8]) -> bool {
    verify_slices_are_equal(shown, PROOF.as_bytes()).is_ok()
}
