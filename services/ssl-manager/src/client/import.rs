//! `domain import`: sends a certificate and its key from files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use proto::v1;
use tonic::Request;
use zeroize::Zeroizing;

use super::answer;
use super::connect::Client;
use crate::dispatch::Failure;

/// More than any certificate or key has; the server says so in detail.
const MOST_BYTES: u64 = 256 * 1024;

pub(crate) async fn run(
    client: &mut Client,
    name: &str,
    certificate: &Path,
    key: &Path,
) -> Result<Option<v1::Domain>, Failure> {
    let certificate_pem = read(certificate)?;
    let private_key_pem = read(key)?;
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

/// A text file, as far as it is one and not a mistake.
fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::new(
            "TOO_LARGE",
            format!(
                "{} is over {MOST_BYTES} bytes: that is no certificate and no key",
                path.display()
            ),
        ));
    }
    Ok(text)
}
