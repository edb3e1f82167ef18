//! What `config check` finds in the files that settings name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use runtime::Config;
use runtime::config::{AcmeIssuer, ApiTls, ConsoleTls};
use tempfile::TempDir;

/// Certificates and a key in many forms.
const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../x509/tests/data/people");

fn people(file: &str) -> PathBuf {
    Path::new(PEOPLE).join(file)
}

fn told(change: impl FnOnce(&mut Config, &dyn Fn(&str) -> PathBuf)) -> String {
    told_at("2026-01-01T00:00:00Z".parse().unwrap(), change)
}

/// What is said of settings with these files; a text instead of a file's name is a file with that text.
fn told_at(now: Timestamp, change: impl FnOnce(&mut Config, &dyn Fn(&str) -> PathBuf)) -> String {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("file");
        fs::write(&path, text).unwrap();
        path
    };
    let mut config = Config::default();
    change(&mut config, &file);
    config.check_files(now).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn roots_are_certificates() {
    assert_eq!(told(|_, _| {}), "");
    assert_eq!(told(|config, _| config.bus.root_certificate_file = people("leaf.pem")), "");
    let said = told(|config, file| config.bus.root_certificate_file = file("no certificate"));
    assert!(said.contains("bus.root_certificate_file: ") && said.contains("has no certificate"), "{said}");
    let said = told(|config, _| config.c4.root_certificate_file = people("key.pem"));
    assert!(said.contains("c4.root_certificate_file: "), "{said}");
    let said = told(|config, _| config.console.api.root_certificate_file = "/nowhere".into());
    assert!(said.contains("console.api.root_certificate_file: cannot read /nowhere"), "{said}");
    let said = told(|config, file| {
        let root_certificate_file = file("");
        config.acme.issuers = vec![AcmeIssuer { root_certificate_file, ..AcmeIssuer::default() }];
    });
    assert!(said.contains("acme.issuers.0.root_certificate_file: "), "{said}");
}

#[test]
fn own_certificates_have_their_key_and_have_not_ended() {
    let page = |certificate: &str, key: &str| ConsoleTls {
        certificate_file: people(certificate),
        key_file: people(key),
    };
    assert_eq!(told(|config, _| config.console.tls = Some(page("leaf.pem", "key.pem"))), "");
    let said = told(|config, _| config.console.tls = Some(page("leaf.pem", "../test-p256.sec1.pem")));
    assert!(said.contains("console.tls.key_file: the private key does not belong"), "{said}");
    let said = told(|config, _| {
        config.console.api.client_certificate_file = people("key.pem");
        config.console.api.client_key_file = people("key.pem");
    });
    assert!(said.contains("console.api.client"), "{said}");
    let later = "2200-01-01T00:00:00Z".parse().unwrap();
    let said = told_at(later, |config, _| {
        let (certificate_file, key_file) = (people("leaf.pem"), people("key.pem"));
        config.api.tls = Some(ApiTls { certificate_file, key_file, ..ApiTls::default() });
    });
    assert!(
        said.contains("api.tls.certificate_file: the certificate in ") && said.contains("ended at"),
        "{said}"
    );
}

#[test]
fn a_token_that_is_empty_is_none() {
    let said = told(|config, file| {
        "https://c4.example.net".clone_into(&mut config.c4.base_url);
        config.c4.token_file = file("\n");
    });
    assert!(said.contains("c4.token_file") && said.contains("holds no token"), "{said}");
}
