//! Page tokens, as they come back.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../services/api/src/page.rs"]
mod page;

fuzz_target!(|text: &str| {
    let (asked, token) = text.split_once('\0').unwrap_or(("", text));
    if let Some(place) = page::decode(asked, token) {
        // A place that has no token gives none.
        let again: Option<String> = page::encode(asked, &place).into();
        assert_eq!(again.as_deref(), Some(token));
    }
});
