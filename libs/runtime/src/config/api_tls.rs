//! The files of `[api.tls]`, read as `domain import` reads those of customers, with the same words for what is wrong.

use std::fs::File;
use std::path::Path;

use x509::{Field, ServerIdentity};
use zeroize::Zeroizing;

use super::ApiTls;

/// Far over what a chain, a key or a set of roots has.
const MAX_BYTES: u64 = 256 * 1024;
const CERTIFICATE: &str = "api.tls.certificate_file";
const KEY: &str = "api.tls.key_file";
const CLIENT_CA: &str = "api.tls.client_ca_file";

/// A setting, and what is wrong with its file.
pub(crate) type FileProblem = (&'static str, String);

impl ApiTls {
    /// The server's certificate chain and its key. Whether the certificate is valid now is not asked: a server with one
    /// that ended can still be reached to be told. Errors: every file that cannot work.
    pub fn identity(&self) -> Result<ServerIdentity, Vec<FileProblem>> {
        let certificate = read(CERTIFICATE, &self.certificate_file);
        let key = read(KEY, &self.key_file);
        match (certificate, key) {
            (Ok(certificate), Ok(key)) => x509::server_identity(&certificate, &key).map_err(|problem| {
                let setting = if problem.field() == Field::PrivateKey { KEY } else { CERTIFICATE };
                vec![(setting, problem.to_string())]
            }),
            (certificate, key) => Err([certificate.err(), key.err()].into_iter().flatten().collect()),
        }
    }

    /// The roots of client certificates as PEM; none where clients are asked for none.
    pub fn client_ca_pem(&self) -> Result<Option<String>, FileProblem> {
        if self.client_ca_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let bytes = read(CLIENT_CA, &self.client_ca_file)?;
        let pem = x509::only_certificates(&bytes).ok_or_else(|| {
            (CLIENT_CA, "it holds no certificate that can be read, or other things too".to_owned())
        })?;
        Ok(Some(pem))
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    if path.as_os_str().is_empty() {
        return Err((setting, "is missing".to_owned()));
    }
    let bytes = File::open(path).and_then(|file| text_file::read_bytes(file, MAX_BYTES));
    bytes.map_err(|error| (setting, format!("cannot read {}: {error}", path.display())))
}
