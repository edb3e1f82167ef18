//! `domain import`: sends a certificate and its key from files.

use proto::v1;
use tonic::Request;
use x509::Warning;

use super::connect::Client;
use super::{answer, files};
use crate::cli::ImportArgs;
use crate::dispatch::CommandError;
use crate::output::complain;

pub(crate) async fn run(client: &mut Client, args: &ImportArgs) -> Result<Option<v1::Domain>, CommandError> {
    let certificate = files::read(&args.certificate)?;
    let key = args.key.as_deref().map(files::read).transpose()?.unwrap_or_default();
    let password = args.password_file.as_deref().map(files::password).transpose()?.unwrap_or_default();
    let request = v1::ImportCertificateRequest {
        name: args.name.clone(),
        certificate_file: certificate.to_vec(),
        private_key_file: key.to_vec(),
        password: password.to_string(),
        ..v1::ImportCertificateRequest::default()
    };
    let imported = answer(client.import_certificate(Request::new(request)).await)?;
    let issuer = imported.certificate.map(|certificate| certificate.issuer).unwrap_or_default();
    for code in &imported.warnings {
        match Warning::of_code(code) {
            Some(warning @ Warning::IntermediateMissing) => {
                complain(format_args!("warning: {code}: {warning}: {issuer}"));
            }
            Some(warning) => complain(format_args!("warning: {code}: {warning}")),
            None => complain(format_args!("warning: {code}")),
        }
    }
    Ok(imported.domain)
}
