//! Recently valid tokens, as hashes: they need not wait in the queue of strangers.
//!
//! This decides only about the queue: a token in here is looked up like any other.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tokens that are remembered; then all are forgotten, and wait once.
const MAX: usize = 4096;

/// SHA-256 of tokens that were good when they were last looked up.
#[derive(Debug, Default)]
pub struct KnownTokens(Mutex<HashSet<[u8; 32]>>);

impl KnownTokens {
    /// Whether it was good the last time.
    pub fn contains(&self, hash: &[u8; 32]) -> bool {
        self.hashes().contains(hash)
    }

    /// Remembers a good one.
    pub fn remember(&self, hash: [u8; 32]) {
        let mut hashes = self.hashes();
        if hashes.len() >= MAX {
            hashes.clear();
        }
        hashes.insert(hash);
    }

    /// Forgets one that is good no more.
    pub fn forget(&self, hash: &[u8; 32]) {
        self.hashes().remove(hash);
    }

    fn hashes(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_can_be_forgotten() {
        let known = KnownTokens::default();
        known.remember([1; 32]);
        assert!(known.contains(&[1; 32]) && !known.contains(&[2; 32]));
        known.forget(&[1; 32]);
        assert!(!known.contains(&[1; 32]));
        for number in 0..=MAX {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            known.remember(hash);
        }
        assert_eq!(known.hashes().len(), 1);
    }
}
