//! Files as people have them, and what becomes of each.

use domain::DomainName;
use jiff::Timestamp;
use x509::{Pasted, PastedError, PastedFiles, check_files, only_certificates};

use crate::kit::NAME;

pub(crate) const KEY: &[u8] = include_bytes!("../data/people/key.pem");
pub(crate) const LEAF: &[u8] = include_bytes!("../data/people/leaf.pem");
const CHAIN: &[u8] = include_bytes!("../data/people/leaf-and-intermediate.pem");
const BOM: &[u8] = include_bytes!("../data/people/bom.pem");
pub(crate) const DER: &[u8] = include_bytes!("../data/people/leaf.der");
pub(crate) const P7B: &[u8] = include_bytes!("../data/people/leaf.p7b");
pub(crate) const PFX: &[u8] = include_bytes!("../data/people/leaf.pfx");
const NAMES: &[u8] = include_bytes!("../data/people/names-bom.txt");

const SHA256: &str = "a075eff5";

pub(crate) fn import(certificate: &[u8], private_key: &[u8], password: &str) -> Result<Pasted, PastedError> {
    let now: Timestamp = "2026-11-29T18:00:00Z".parse().unwrap();
    let files = PastedFiles { certificate, private_key, password };
    check_files(files, &DomainName::parse(NAME).unwrap(), now)
}

/// What becomes of it, in a word: `taken` and how many certificates, or the reason.
pub(crate) fn word(certificate: &[u8], private_key: &[u8], password: &str) -> String {
    match import(certificate, private_key, password) {
        Ok(pasted) => {
            assert_eq!(&pasted.sha256[..8], SHA256);
            format!("taken {}", pasted.chain_pem.matches("BEGIN").count())
        }
        Err(error) => error.reason().to_owned(),
    }
}

#[test]
fn every_file_is_read_or_told() {
    for (what, certificate, key, password, expected) in [
        ("PEM", LEAF, KEY, "", "taken 1"),
        ("chain", CHAIN, KEY, "", "taken 2"),
        ("byte-order mark", BOM, KEY, "", "taken 1"),
        ("DER", DER, KEY, "", "taken 1"),
        ("PKCS #7", P7B, KEY, "", "taken 1"),
        ("PFX", PFX, b"", "x", "taken 1"),
        ("PFX twice", PFX, PFX, "x", "taken 1"),
        ("PFX and its key", PFX, KEY, "x", "taken 1"),
        ("PFX as key", LEAF, PFX, "x", "taken 1"),
        ("PFX as key alone", b"", PFX, "x", "taken 1"),
        ("PFX without password", PFX, b"", "", "PASSWORD_REQUIRED"),
        ("PFX with another password", PFX, b"", "y", "PASSWORD_WRONG"),
        ("key for certificate", KEY, KEY, "", "KEY_IN_CERTIFICATE"),
        ("swapped", KEY, LEAF, "", "SWAPPED"),
        ("DER in the key's place", LEAF, DER, "", "CERTIFICATE_IN_KEY"),
        ("no key", LEAF, b"", "", "NO_KEY"),
        ("a list of names", NAMES, KEY, "", "NOT_PEM"),
    ] {
        assert_eq!(word(certificate, key, password), expected, "{what}");
    }
}

fn utf_16(bytes: &[u8], to: fn(u16) -> [u8; 2]) -> Vec<u8> {
    String::from_utf8(bytes.to_vec()).unwrap().encode_utf16().flat_map(to).collect()
}

#[test]
fn text_around_and_encodings_do_not_matter() {
    let pem = String::from_utf8(LEAF.to_vec()).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let base64_of_pfx = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PFX);
    for (what, certificate, password) in [
        ("Latin-1 before", [b"Zertifikat f\xfcr M\xfcller\n", LEAF].concat(), ""),
        ("Latin-1 after", [LEAF, b"\xe9\xff\x80 bin\x00\x01"].concat(), ""),
        ("UTF-16 with mark", [b"\xff\xfe", &utf_16(LEAF, u16::to_le_bytes)[..]].concat(), ""),
        ("UTF-16, big", [b"\xfe\xff", &utf_16(LEAF, u16::to_be_bytes)[..]].concat(), ""),
        ("UTF-16 without mark", utf_16(LEAF, u16::to_le_bytes), ""),
        ("CRLF", pem.replace('\n', "\r\n").into_bytes(), ""),
        ("indented", pem.replace('\n', "\n\t ").into_bytes(), ""),
        ("base64 alone", base64.into_bytes(), ""),
        (
            "PKCS #7 as certificate",
            String::from_utf8(P7B.to_vec()).unwrap().replace("PKCS7", "CERTIFICATE").into(),
            "",
        ),
        ("PKCS #7 as CMS", String::from_utf8(P7B.to_vec()).unwrap().replace("PKCS7", "CMS").into(), ""),
        ("an odd label", pem.replace("CERTIFICATE--", "CERTIFICATE --").into(), ""),
        ("OpenSSL's trusted certificate", pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE").into(), ""),
        ("base64 of a PFX", base64_of_pfx.into_bytes(), "x"),
    ] {
        let key = if password.is_empty() { KEY } else { b"" };
        assert_eq!(word(&certificate, key, password), "taken 1", "{what}");
    }
    let in_utf_16 = utf_16(KEY, u16::to_le_bytes);
    assert_eq!(word(LEAF, &in_utf_16, ""), "taken 1");
}

#[test]
fn what_is_none_of_ours_is_named_with_the_command_that_converts_it() {
    let armored =
        |label: &str| format!("-----BEGIN {label}-----\nAAECAw==\n-----END {label}-----\n").into_bytes();
    for (bytes, told) in [
        (
            b"\xfe\xed\xfe\xed\x00\x00\x00\x02".to_vec(),
            "a Java key store (JKS): convert it with `keytool -importkeystore",
        ),
        (b"\xce\xce\xce\xce\x00\x00\x00\x02".to_vec(), "a Java key store"),
        (b"PK\x03\x04\x14".to_vec(), "a ZIP archive: unpack it with `unzip FILE`"),
        (b"\x1f\x8b\x08".to_vec(), "a gzip archive: unpack it with `gunzip FILE`"),
        (b"%PDF-1.7".to_vec(), "a PDF document"),
        (b"\xef\xbb\xbf<!DOCTYPE html><p>".to_vec(), "a web page"),
        (b"ssh-ed25519 AAAA me@host".to_vec(), "an SSH public key"),
        (b"PuTTY-User-Key-File-3: ssh-rsa".to_vec(), "puttygen FILE -O private-openssh"),
        (b"\x30\x80\x06\x09\x2a".to_vec(), "openssl pkcs7 -inform DER -in FILE -print_certs"),
        (b"\x30\x80\x02\x01\x03".to_vec(), "openssl pkcs12 -in FILE -out FILE.pem -noenc"),
        (armored("OPENSSH PRIVATE KEY"), "ssh-keygen -p -m PKCS8 -f FILE"),
        (armored("CERTIFICATE REQUEST"), "a signing request (CSR)"),
        (armored("NEW CERTIFICATE REQUEST"), "a signing request (CSR)"),
        (armored("PGP PUBLIC KEY BLOCK"), "an OpenPGP file"),
        (armored("X509 CRL"), "a revocation list"),
        (armored("PUBLIC KEY"), "a public key"),
    ] {
        let error = import(&bytes, KEY, "").unwrap_err();
        assert_eq!(error.reason(), "NO_CERTIFICATE", "{error}");
        assert!(
            error.to_string().starts_with("the certificate is ") && error.to_string().contains(told),
            "{error}"
        );
        let error = import(LEAF, &bytes, "").unwrap_err();
        assert_eq!(error.reason(), "NO_KEY", "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// The page shows again what it could read as certificates, and nothing else: what it could not read may be a key.
#[test]
fn only_certificates_come_back() {
    let leaf = String::from_utf8(LEAF.to_vec()).unwrap();
    let key = String::from_utf8(KEY.to_vec()).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let shown = |text: &str| only_certificates(text.as_bytes()).map(|pem| pem.replace("\r\n", "\n"));
    assert_eq!(shown(&leaf).as_deref(), Some(leaf.as_str()));
    assert_eq!(shown(&format!("{leaf}\n{secret}\nnote")).as_deref(), Some(leaf.as_str()), "nothing around");
    assert_eq!(shown(std::str::from_utf8(P7B).unwrap()).as_deref(), Some(leaf.as_str()));
    for label in [
        "PRIVATE KEY",
        " PRIVATE KEY",
        "PRIVATE KEY ",
        "PRIVATE  KEY",
        "PRIVATE\u{a0}KEY",
        "private key",
        "RSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "CERTIFICATE",
        "X509 CERTIFICATE",
        "PKCS7",
        "",
        "KEY",
    ] {
        let block = key.replace("PRIVATE KEY", label);
        for text in [block.clone(), leaf.clone() + &block, block + &leaf] {
            assert_eq!(shown(&text), None, "{label:?}");
        }
    }
    // Of a kind that nobody knows: it may be a key that is wrapped in a way of its own.
    for label in ["SEALED THING", "KEY", "PRIVATE KEYS"] {
        let block = format!("-----BEGIN {label}-----\nAAECAw==\n-----END {label}-----\n");
        for text in [leaf.clone() + &block, block + &leaf] {
            assert_eq!(shown(&text), None, "{label:?}");
        }
    }
    let bare: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    for text in
        [bare.as_str(), "", "no block", &key.replace("-----", "----"), &key.replace("-----", "\u{2014}")]
    {
        assert_eq!(shown(text), None, "{text:?}");
    }
    let half = leaf.clone() + key.split("-----END").next().unwrap();
    assert_eq!(shown(&half), None);
}
