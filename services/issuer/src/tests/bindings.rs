//! Tests of HMAC keys for external account bindings (RFC 8555 section 7.3.4), as CAs issue them.

use std::io::Write;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use runtime::config::AcmeIssuer;

use crate::ca_options;

/// Its encoding ends with two padding characters, and contains both characters in which the alphabets differ.
const KEY: [u8; 31] = [0xfb; 31];

fn read(text: &str) -> Result<Vec<u8>, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let settings = AcmeIssuer {
        eab_key_id: "kid".to_owned(),
        eab_hmac_key_file: file.path().to_owned(),
        ..AcmeIssuer::default()
    };
    let options = ca_options(&settings).map_err(|error| error.to_string())?;
    Ok(options.external_account_binding.unwrap().hmac_key.to_vec())
}

#[test]
fn a_key_is_read_in_both_alphabets_padded_or_not() {
    for text in [
        BASE64_URL_SAFE_NO_PAD.encode(KEY),
        BASE64_URL_SAFE.encode(KEY),
        BASE64_STANDARD.encode(KEY),
        BASE64_STANDARD_NO_PAD.encode(KEY),
        format!("  {}\r\n", BASE64_STANDARD.encode(KEY)),
    ] {
        assert_eq!(read(&text).as_deref(), Ok(&KEY[..]), "{text:?}");
    }
    for text in ["", " \n", "====", "not base64!", "YWJj YWJj", "\u{0}"] {
        let error = read(text).unwrap_err();
        assert!(error.contains("eab_hmac_key_file"), "{text:?}: {error}");
    }
}
