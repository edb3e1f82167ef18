//! What a PFX is made of.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zeroize::Zeroizing;

#[path = "../../services/api/src/pfx.rs"]
mod pfx;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(4, |byte| *byte == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (password, alias, chain) = (text(), text(), text());
    let key = parts.next().unwrap_or_default();
    let can_be_used = !password.is_empty()
        && password.len() <= 128
        && password.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let password = match pfx::Password::new(Zeroizing::new(password)) {
        Ok(password) => password,
        Err(problem) => {
            assert!(!can_be_used && problem.reason().starts_with("PFX_PASSWORD_"));
            return;
        }
    };
    assert!(can_be_used);
    if let Ok(made) = pfx::make(&alias, key, &chain, &password) {
        assert!(!made.is_empty());
    }
});
