//! PKCS #7, PFX and encrypted keys as OpenSSL makes them, and what damage does to them.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use crate::kit::{Chain, check_bytes};
use crate::people::{DER, KEY, LEAF, P7B, PFX, import, word};

/// OpenSSL's answer to an input.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A PFX of certificate and key with that password. OpenSSL reads their file twice, so it must be one.
fn pfx_with(password: &str, options: &[&str]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[LEAF, KEY].concat()).unwrap();
    let (path, password) = (file.path().to_str().unwrap(), format!("pass:{password}"));
    let arguments = [&["pkcs12", "-export", "-in", path, "-passout", &password], options].concat();
    openssl(&arguments, b"")
}

fn pfx(options: &[&str]) -> Vec<u8> {
    pfx_with("geheim ü", options)
}

#[test]
fn pfx_of_today_are_opened() {
    for options in [
        &[][..],
        &["-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC"],
        &["-keypbe", "AES-192-CBC", "-certpbe", "AES-256-CBC"],
        &["-keypbe", "NONE", "-certpbe", "AES-256-CBC"],
        &["-keypbe", "AES-256-CBC", "-certpbe", "NONE", "-nomac"],
        &["-iter", "100000"],
        &["-name", "shop", "-macalg", "SHA512"],
    ] {
        assert_eq!(word(&pfx(options), b"", "geheim ü"), "taken 1", "{options:?}");
    }
    assert_eq!(word(&pfx(&[]), b"", "geheim"), "PASSWORD_WRONG");
    assert_eq!(word(&pfx_with("", &[]), b"", ""), "taken 1");
}

#[test]
fn pfx_of_old_and_those_that_cost_too_much_are_told_with_a_command() {
    for options in [&["-legacy"][..], &["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES"]] {
        let error = import(&pfx(options), b"", "geheim ü").unwrap_err();
        assert_eq!(error.reason(), "OLD_ENCRYPTION");
        assert!(error.to_string().contains("openssl pkcs12 -legacy -in FILE.pfx"), "{error}");
    }
    // The key's rounds, where the file says 2048.
    let costly = pfx(&["-certpbe", "NONE", "-iter", "6000000", "-maciter"]);
    assert_eq!(word(&costly, b"", "geheim ü"), "ENCRYPTION_TOO_COSTLY");
}

#[test]
fn encrypted_keys_are_opened_with_their_password() {
    for cipher in ["-aes-128-cbc", "-aes-256-cbc"] {
        let encrypted = openssl(&["pkcs8", "-topk8", "-v2", &cipher[1..], "-passout", "pass:x"], KEY);
        let der = openssl(&["pkcs8", "-topk8", "-passout", "pass:x", "-outform", "DER"], KEY);
        for key in [encrypted, der] {
            assert_eq!(word(LEAF, &key, "x"), "taken 1");
            assert_eq!(word(LEAF, &key, "y"), "PASSWORD_WRONG");
            assert_eq!(word(LEAF, &key, ""), "ENCRYPTED_KEY");
        }
    }
    let old = openssl(&["pkcs8", "-topk8", "-v2", "des3", "-passout", "pass:x"], KEY);
    assert_eq!(word(LEAF, &old, "x"), "OLD_ENCRYPTION");
    let in_der = openssl(&["pkey", "-outform", "DER"], KEY);
    assert_eq!(word(LEAF, &in_der, ""), "taken 1");
}

/// In PKCS #7 the order means nothing: here the leaf stands last.
#[test]
fn a_bundle_needs_no_order() {
    let chain = Chain::new();
    let files: Vec<_> = [2, 1, 0]
        .into_iter()
        .map(|place| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &chain.certificates[place]).unwrap();
            file
        })
        .collect();
    let mut arguments = vec!["crl2pkcs7", "-nocrl", "-outform", "DER"];
    for file in &files {
        arguments.extend(["-certfile", file.path().to_str().unwrap()]);
    }
    let bundle = openssl(&arguments, b"");
    let pasted = check_bytes(&bundle, chain.key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(pasted.chain_pem, chain.check(&[0, 1, 2]).unwrap().chain_pem);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_never_panic(
        file in prop::sample::select(vec![DER, P7B, PFX]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = file.to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = import(&bytes, KEY, "x");
        let _ = import(LEAF, &bytes, "x");
        bytes.truncate(cut.index(bytes.len()));
        let _ = import(&bytes, &bytes, "x");
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(import(&bytes, KEY, "x").is_err());
        prop_assert!(import(LEAF, &bytes, "x").is_err());
    }
}
