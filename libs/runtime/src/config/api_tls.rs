//! The files of `[api.tls]`, read like the files of `domain import`, with the same error texts.

use x509::ServerIdentity;

use super::ApiTls;
use super::files::{FileProblem, identity, read};

const CERTIFICATE: &str = "api.tls.certificate_file";
const KEY: &str = "api.tls.key_file";
const CLIENT_CA: &str = "api.tls.client_ca_file";

impl ApiTls {
    /// The server's certificate chain and its key. Whether the certificate is valid now is not asked: a server with one
    /// that ended can still be reached to be told. Errors: every file that cannot work.
    pub fn identity(&self) -> Result<ServerIdentity, Vec<FileProblem>> {
        let of_section = |(file, what)| (if file == "key_file" { KEY } else { CERTIFICATE }, what);
        let identity = identity(&self.certificate_file, &self.key_file);
        identity.map_err(|wrong| wrong.into_iter().map(of_section).collect())
    }

    /// The roots of client certificates as PEM; none where clients are asked for none.
    pub fn client_ca_pem(&self) -> Result<Option<String>, FileProblem> {
        if self.client_ca_file.as_os_str().is_empty() {
            return Ok(None);
        }
        let bytes = read(&self.client_ca_file).map_err(|what| (CLIENT_CA, what))?;
        let pem = x509::only_certificates(&bytes)
            .ok_or_else(|| (CLIENT_CA, "it has no readable certificate, or other content too".to_owned()))?;
        Ok(Some(pem))
    }
}
