//! Bodies of messages.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(event) = proto::decode_event(body) {
        let again = proto::decode_event(&proto::encode_event(&event)).expect("our own event");
        assert_eq!(again, event);
    }
});
