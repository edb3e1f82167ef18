//! Checks the content of all files that settings name, for `config check`, so that errors are found before the roles
//! start one by one.
//!
//! Separate from [`Config::validate`], which every start runs: a role reads its own files when it starts, with its own
//! error texts, and an expired certificate must not prevent the start.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509::{Field, ServerIdentity};
use zeroize::Zeroizing;

use super::{Config, ConfigError};

/// A setting, and what is wrong with its file.
pub(crate) type FileProblem = (&'static str, String);

/// Far over what a chain, a key or a set of roots has.
const MAX_BYTES: u64 = 256 * 1024;

impl Config {
    /// Reads every file that the settings name but the sealing key. Errors: all that cannot work, and own certificates
    /// that have ended by `now`.
    pub fn check_files(&self, now: Timestamp) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut told = |found: Result<(), String>, setting: &str| {
            problems.extend(found.err().map(|what| format!("{setting}: {what}")));
        };
        for (setting, path) in self.roots() {
            told(is_root(path), &setting);
        }
        let own = self.own_certificates();
        for Pair { section, certificate, key } in &own {
            match identity(certificate, key) {
                Ok(_) => told(has_not_ended(certificate, now), &format!("{section}.certificate_file")),
                Err(wrong) => {
                    for (file, what) in wrong {
                        told(Err(what), &format!("{section}.{file}"));
                    }
                }
            }
        }
        if !self.c4.base_url.is_empty() {
            told(self.c4.bearer_token().map(drop).map_err(|error| error.to_string()), "c4");
        }
        if let Some(oidc) = &self.console.oidc {
            told(oidc.client_secret().map(drop).map_err(|error| error.to_string()), "console.oidc");
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// Settings that name roots, as far as they are set.
    fn roots(&self) -> Vec<(String, &Path)> {
        let api = self.api.oidc.as_ref().map(|oidc| &oidc.root_certificate_file);
        let console = self.console.oidc.as_ref().map(|oidc| &oidc.root_certificate_file);
        let client_ca = self.api.tls.as_ref().map(|tls| &tls.client_ca_file);
        let fixed = [
            ("api.oidc.root_certificate_file", api),
            ("api.tls.client_ca_file", client_ca),
            ("bus.root_certificate_file", Some(&self.bus.root_certificate_file)),
            ("c4.root_certificate_file", Some(&self.c4.root_certificate_file)),
            ("console.api.root_certificate_file", Some(&self.console.api.root_certificate_file)),
            ("console.oidc.root_certificate_file", console),
        ];
        let fixed = fixed.into_iter().filter_map(|(setting, path)| Some((setting.to_owned(), path?)));
        let issuers = self.acme.issuers.iter().enumerate().map(|(index, issuer)| {
            (format!("acme.issuers.{index}.root_certificate_file"), &issuer.root_certificate_file)
        });
        let set = fixed.chain(issuers).filter(|(_, path)| !path.as_os_str().is_empty());
        set.map(|(setting, path)| (setting, path.as_path())).collect()
    }

    /// Certificates that we show to others.
    fn own_certificates(&self) -> Vec<Pair<'_>> {
        let mut own = Vec::new();
        if let Some(tls) = &self.api.tls {
            own.push(Pair { section: "api.tls", certificate: &tls.certificate_file, key: &tls.key_file });
        }
        if let Some(tls) = &self.console.tls {
            own.push(Pair { section: "console.tls", certificate: &tls.certificate_file, key: &tls.key_file });
        }
        let client = &self.console.api;
        if !client.client_key_file.as_os_str().is_empty() {
            own.push(Pair {
                section: "console.api.client",
                certificate: &client.client_certificate_file,
                key: &client.client_key_file,
            });
        }
        own
    }
}

/// A certificate and its key.
struct Pair<'a> {
    section: &'static str,
    certificate: &'a Path,
    key: &'a Path,
}

fn is_root(path: &Path) -> Result<(), String> {
    let bytes = read(path)?;
    let found = x509::only_certificates(&bytes);
    found
        .map(drop)
        .ok_or_else(|| format!("{} has no certificate in PEM, or other content too", path.display()))
}

/// A certificate chain and its key, which belong together. Errors: each file that cannot work, by its name in its section.
pub(super) fn identity(certificate: &Path, key: &Path) -> Result<ServerIdentity, Vec<FileProblem>> {
    const CERTIFICATE: &str = "certificate_file";
    const KEY: &str = "key_file";
    let certificate = read(certificate).map_err(|what| (CERTIFICATE, what));
    let key = read(key).map_err(|what| (KEY, what));
    match (certificate, key) {
        (Ok(certificate), Ok(key)) => x509::server_identity(&certificate, &key).map_err(|problem| {
            let file = if problem.field() == Field::PrivateKey { KEY } else { CERTIFICATE };
            vec![(file, problem.to_string())]
        }),
        (certificate, key) => Err([certificate.err(), key.err()].into_iter().flatten().collect()),
    }
}

fn has_not_ended(path: &Path, now: Timestamp) -> Result<(), String> {
    let Ok(leaf) = CertificateDer::from_pem_slice(&read(path)?) else { return Ok(()) };
    match x509::not_after(&leaf) {
        Some(end) if end <= now => {
            Err(format!("the certificate in {} ended at {end}: renew it", path.display()))
        }
        _ => Ok(()),
    }
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    if path.as_os_str().is_empty() {
        return Err("is missing".to_owned());
    }
    let bytes = File::open(path).and_then(|file| text_file::read_bytes(file, MAX_BYTES));
    bytes.map_err(|error| format!("cannot read {}: {error}", path.display()))
}
