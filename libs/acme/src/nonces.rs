//! Anti-replay nonces (RFC 8555 section 6.5), pooled so that no request is spent on fetching one.

use std::sync::{Mutex, PoisonError};

/// More are of no use, and a CA forgets old ones.
const MAX_NONCES: usize = 128;
/// A nonce is one base64url text (RFC 8555 section 6.5.1); what is longer is not kept.
const MAX_NONCE_BYTES: usize = 512;

/// Nonces that the CA gave with its answers, the newest first out.
#[derive(Default)]
pub(crate) struct Nonces(Mutex<Vec<String>>);

impl Nonces {
    pub(crate) fn put(&self, nonce: String) {
        if nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES {
            return;
        }
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() == MAX_NONCES {
            pool.remove(0);
        }
        pool.push(nonce);
    }

    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// The CA refused one: the others are as old, and three refusals end a request.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
