//! `domain certificates`: every certificate in the life of a name.

use proto::v1;
use serde_json::{Value, json};
use tonic::Request;

use super::connect::Client;
use super::{PAGE, answer};
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{certificate_json, print_many, time};

const COLUMNS: [&str; 8] =
    ["created_at", "source", "live", "not_after", "uploaded_at", "has_key", "is_rollback_target", "issuer"];

pub(crate) async fn run(client: &mut Client, name: &str, output: Output) -> Result<(), CommandError> {
    let mut rows = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListCertificatesRequest { name: name.to_owned(), page_size: PAGE, page_token };
        let page = answer(client.list_certificates(Request::new(request)).await)?;
        rows.extend(page.certificates.iter().map(record_json));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    print_many(output, &rows, &COLUMNS)
}

/// A certificate as a domain shows it, and what became of it.
fn record_json(record: &v1::CertificateRecord) -> Value {
    let certificate = record.certificate.clone().unwrap_or_default();
    let mut shown = certificate_json(&certificate);
    shown["created_at"] = time(record.created_at.as_ref());
    shown["uploaded_at"] = time(record.uploaded_at.as_ref());
    shown["live"] = json!(record.live);
    shown["has_key"] = json!(record.has_key);
    shown["is_rollback_target"] = json!(record.is_rollback_target);
    shown["revoked_at"] = time(record.revoked_at.as_ref());
    shown
}
