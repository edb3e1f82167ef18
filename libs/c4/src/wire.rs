//! The JSON of the contract, and which parts of it are trusted.

use domain::{DomainName, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Upload;

const MAX_NAME_BYTES: usize = 253;
const SHA256_HEX_BYTES: usize = 64;

/// A domain as C4 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct C4Domain {
    /// Ports that the CDN serves it on; 443 is the customer's HTTPS switch.
    pub ports: Vec<u16>,
    /// The target of the customer's CNAME.
    pub cname: String,
    /// The certificate it holds.
    pub certificate: Option<C4Certificate>,
}

/// A certificate as C4 has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct C4Certificate {
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub sha256: String,
    /// Where it came from.
    pub source: Source,
    /// When it ends.
    pub not_after: Timestamp,
}

#[derive(Deserialize)]
struct DomainBody {
    name: String,
    ports: Vec<u16>,
    cname: String,
    certificate: Option<C4Certificate>,
}

/// Reads the answer about `asked`; what does not fit is told in a sentence part.
pub(crate) fn domain(asked: &DomainName, body: &[u8]) -> Result<C4Domain, String> {
    let body: DomainBody = serde_json::from_slice(body).map_err(|error| not_the_contracts(&error))?;
    if body.name != asked.as_str() {
        return Err("an answer about another domain".to_owned());
    }
    let host_like = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if body.cname.len() > MAX_NAME_BYTES + 1 || !body.cname.bytes().all(host_like) {
        return Err("a cname that is no host name".to_owned());
    }
    check_certificate(body.certificate.as_ref())?;
    Ok(C4Domain { ports: body.ports, cname: body.cname, certificate: body.certificate })
}

pub(crate) fn not_the_contracts(error: &serde_json::Error) -> String {
    format!("an answer that is not the contract's (line {}, column {})", error.line(), error.column())
}

pub(crate) fn check_certificate(certificate: Option<&C4Certificate>) -> Result<(), String> {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if let Some(certificate) = certificate
        && (certificate.sha256.len() != SHA256_HEX_BYTES || !certificate.sha256.bytes().all(lower_hex))
    {
        return Err("a certificate whose sha256 is none".to_owned());
    }
    Ok(())
}

#[derive(Deserialize)]
struct MessageBody {
    message: Option<String>,
    code: Option<String>,
}

/// The body of an error answer.
#[derive(Default)]
pub(crate) struct ErrorBody {
    pub(crate) message: Option<String>,
    pub(crate) is_stale: bool,
}

/// Reads an error's body; nothing if it is not the contract's.
pub(crate) fn said(body: &[u8]) -> ErrorBody {
    match serde_json::from_slice::<MessageBody>(body) {
        Ok(body) => ErrorBody { message: body.message, is_stale: body.code.as_deref() == Some("stale") },
        Err(_) => ErrorBody::default(),
    }
}

#[derive(Serialize)]
struct UploadBody<'a> {
    certificate_pem: &'a str,
    private_key_pem: &'a str,
    sha256: &'a str,
    source: Source,
    revision: i64,
}

/// The body of an upload, in a buffer that is wiped when it is dropped.
pub(crate) fn upload(upload: &Upload<'_>) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    // Line ends become two bytes; with room for all of it from the start no copy of the key is left behind.
    let most_bytes = 2 * (upload.certificate_pem.len() + upload.private_key_pem.len()) + 512;
    let mut body = Zeroizing::new(Vec::with_capacity(most_bytes));
    let fields = UploadBody {
        certificate_pem: upload.certificate_pem,
        private_key_pem: upload.private_key_pem,
        sha256: upload.sha256,
        source: upload.source,
        revision: upload.revision,
    };
    serde_json::to_writer(&mut *body, &fields)?;
    Ok(body)
}
