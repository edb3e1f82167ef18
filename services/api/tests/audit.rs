//! Who did what, from where, with which result: in the audit log before the answer is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use proto::v1;
use store::AuditEntry;
use tonic::{Code, Request};

use served::{Served, has_reason, served, served_with, signed};

const NAME: &str = "shop.example.com";

async fn lines(served: &Served) -> Vec<AuditEntry> {
    let mut lines = served.context.store.audit(None, 100).await.unwrap();
    lines.reverse();
    lines
}

/// Call, subject and outcome of every line.
async fn told(served: &Served) -> Vec<(String, String, String)> {
    let lines = lines(served).await.into_iter();
    lines.map(|line| (line.call, line.subject, line.outcome)).collect()
}

fn line(call: &str, subject: &str, outcome: &str) -> (String, String, String) {
    (call.to_owned(), subject.to_owned(), outcome.to_owned())
}

/// Signed, and with a request id: the type's name.
fn named<T>(message: T, token: &str) -> Request<T> {
    let mut request = signed(message, token);
    let id = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
    request
}

#[tokio::test]
async fn every_mutating_call_leaves_its_line_and_reading_leaves_none() {
    let mut served = served().await;
    let token = served.token(Role::Admin, |token| token.name = "dashboard".into()).await;
    let name = || NAME.to_owned();
    let client = &mut served.client;
    for _ in 0..2 {
        let add = v1::AddDomainRequest { name: "Shop.Example.com.".into(), ..Default::default() };
        client.add_domain(named(add, &token)).await.unwrap();
    }
    let generate = v1::GenerateCertificateRequest { name: name(), force: false, ..Default::default() };
    client.generate_certificate(named(generate, &token)).await.unwrap();
    let recheck = v1::RecheckDomainRequest { name: name() };
    client.recheck_domain(named(recheck, &token)).await.unwrap();
    let rollback = v1::RollbackCertificateRequest { name: name() };
    client.rollback_certificate(named(rollback, &token)).await.unwrap_err();
    let import = v1::ImportCertificateRequest {
        name: name(),
        private_key_pem: "SECRET".into(),
        ..v1::ImportCertificateRequest::default()
    };
    client.import_certificate(named(import, &token)).await.unwrap_err();
    let delete = v1::DeleteDomainRequest { name: name(), remove_from_c4: false };
    client.delete_domain(named(delete.clone(), &token)).await.unwrap();
    client.delete_domain(named(delete, &token)).await.unwrap_err();
    client
        .add_domain(named(v1::AddDomainRequest { name: "no\nname".into(), ..Default::default() }, &token))
        .await
        .unwrap_err();

    client.list_domains(named(v1::ListDomainsRequest::default(), &token)).await.unwrap();
    let history = v1::GetHistoryRequest { name: name(), page_size: 0, ..Default::default() };
    client.get_history(named(history, &token)).await.unwrap();

    let expected = [
        line("AddDomain", NAME, "OK"),
        line("AddDomain", NAME, "OK"),
        line("GenerateCertificate", NAME, "OK"),
        line("RecheckDomain", NAME, "OK"),
        line("RollbackCertificate", NAME, "NOTHING_TO_ROLL_BACK_TO"),
        line("ImportCertificate", NAME, "NOT_PEM"),
        line("DeleteDomain", NAME, "OK"),
        line("DeleteDomain", NAME, "DOMAIN_NOT_FOUND"),
        line("AddDomain", "no name", "NAME_BAD_CHARACTER"),
    ];
    assert_eq!(told(&served).await, expected);
    let lines = lines(&served).await;
    assert!(!format!("{lines:?}").contains("SECRET"));
    for line in &lines {
        assert_eq!(line.actor, "token:dashboard");
        assert!(line.peer.starts_with("127.0.0.1:"), "{}", line.peer);
        assert_eq!(line.request_id, format!("{}Request", line.call));
    }
}

#[tokio::test]
async fn who_may_not_is_told_of_and_who_is_nobody_is_not() {
    let mut served = served().await;
    let token = served.token(Role::Viewer, |_| {}).await;
    let add = || v1::AddDomainRequest { name: NAME.into(), ..Default::default() };
    let denied = served.client.add_domain(signed(add(), &token)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    for token in ["", "slm_guessed"] {
        let refused = served.client.add_domain(signed(add(), token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    served.client.add_domain(Request::new(add())).await.unwrap_err();
    assert_eq!(told(&served).await, [line("AddDomain", NAME, "ROLE_LACKS_PERMISSION")]);
}

#[tokio::test]
async fn downloads_of_keys_can_be_switched_off() {
    let mut served = served_with(|config| config.api.key_downloads = false).await;
    let token = served.token(Role::Admin, |_| {}).await;
    let download = v1::DownloadCertificateRequest {
        name: NAME.into(),
        include_private_key: true,
        reason: "moving".into(),
        ..v1::DownloadCertificateRequest::default()
    };
    let refused = served.client.download_certificate(signed(download, &token)).await.err().unwrap();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(has_reason(&refused, "KEY_DOWNLOADS_OFF"));
    assert_eq!(told(&served).await, [line("DownloadCertificate", NAME, "KEY_DOWNLOADS_OFF")]);
}
