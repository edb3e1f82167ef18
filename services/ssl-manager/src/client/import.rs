//! `domain import`: sends a certificate and its key from files.

use std::path::Path;

use proto::v1;
use tonic::Request;

use super::connect::Client;
use super::{answer, files};
use crate::dispatch::Failure;

pub(crate) async fn run(
    client: &mut Client,
    name: &str,
    certificate: &Path,
    key: &Path,
) -> Result<Option<v1::Domain>, Failure> {
    let certificate_pem = files::read(certificate)?;
    let private_key_pem = files::read(key)?;
    let request = v1::ImportCertificateRequest {
        name: name.to_owned(),
        certificate_pem: certificate_pem.to_string(),
        private_key_pem: private_key_pem.to_string(),
    };
    let imported = answer(client.import_certificate(Request::new(request)).await)?;
    for warning in &imported.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(imported.domain)
}
