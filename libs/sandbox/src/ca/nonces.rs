//! Anti-replay nonces (RFC 8555 section 6.5): each is good for one request.
//!
//! The oldest are forgotten, as a real CA does: otherwise every `new-nonce` that is not followed by a request would
//! cost memory for ever.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use crate::random;
use crate::sync::lock;

const MAX_OUTSTANDING: usize = 200_000;

type Nonce = [u8; 16];

#[derive(Default)]
pub(super) struct Nonces(Mutex<Outstanding>);

#[derive(Default)]
struct Outstanding {
    unused: HashSet<Nonce>,
    /// In the order of their making, used ones included.
    made: VecDeque<Nonce>,
}

impl Nonces {
    pub(super) fn make(&self) -> String {
        let nonce: Nonce = random::bytes();
        let mut outstanding = lock(&self.0);
        if outstanding.made.len() >= MAX_OUTSTANDING
            && let Some(oldest) = outstanding.made.pop_front()
        {
            outstanding.unused.remove(&oldest);
        }
        outstanding.made.push_back(nonce);
        outstanding.unused.insert(nonce);
        BASE64_URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Whether the nonce was ours and unused; from now on it is used.
    pub(super) fn redeem(&self, nonce: &str) -> bool {
        let Ok(nonce) = BASE64_URL_SAFE_NO_PAD.decode(nonce) else {
            return false;
        };
        Nonce::try_from(nonce).is_ok_and(|nonce| lock(&self.0).unused.remove(&nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_good_once() {
        let nonces = Nonces::default();
        let nonce = nonces.make();
        assert!(nonces.redeem(&nonce));
        assert!(!nonces.redeem(&nonce));
        assert!(!nonces.redeem("bm90IG91cnMgYXQgYWxsIQ"));
    }
}
