//! Administrators search, verify and export the audit log.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use proto::v1;
use proto::v1::administration_client::AdministrationClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use served::{Served, has_reason, served, signed};

fn client(served: &Served) -> AdministrationClient<Channel> {
    AdministrationClient::new(served.channel.clone())
}

/// Lines of names that look like patterns, and of others.
async fn filled() -> (Served, String) {
    let served = served().await;
    let admin = served.token(Role::Admin, |token| token.name = "ops".into()).await;
    let other = served.token(Role::Support, |token| token.name = "dash%board".into()).await;
    for (name, token) in [
        ("shop.example.com", &admin),
        ("100%.example.com", &other),
        ("a_b.example.com", &other),
        ("*.example.com", &admin),
    ] {
        let add = v1::AddDomainRequest { name: name.to_owned(), ..v1::AddDomainRequest::default() };
        let _ = served.client.clone().add_domain(signed(add, token)).await;
    }
    (served, admin)
}

async fn page(
    served: &Served,
    token: &str,
    filter: v1::AuditFilter,
    page_size: i32,
    page_token: &str,
) -> Result<v1::ListAuditResponse, Status> {
    let request = v1::ListAuditRequest { filter: Some(filter), page_size, page_token: page_token.to_owned() };
    client(served).list_audit(signed(request, token)).await.map(tonic::Response::into_inner)
}

/// The subjects of what is found, without the lines of searching itself.
async fn found(served: &Served, token: &str, filter: v1::AuditFilter) -> Vec<String> {
    let lines = page(served, token, filter, 0, "").await.unwrap().lines;
    let lines = lines.into_iter().filter(|line| line.call != "ListAudit");
    lines.map(|line| line.subject).collect()
}

#[tokio::test]
async fn a_search_takes_text_as_it_stands_and_refuses_what_is_too_much() {
    let (served, admin) = filled().await;
    let any = v1::AuditFilter::default;
    let subject = |text: &str| v1::AuditFilter { subject: text.to_owned(), ..any() };
    for (text, expected) in [
        ("%", &["100%.example.com"][..]),
        ("_", &["a_b.example.com"]),
        ("*", &["*.example.com"]),
        ("sh%p", &[]),
        ("' OR 1=1 --", &[]),
        (&"%".repeat(200), &[]),
    ] {
        assert_eq!(found(&served, &admin, subject(text)).await, expected, "{text}");
    }
    let actor = v1::AuditFilter { actor: "h%b".into(), ..any() };
    assert_eq!(found(&served, &admin, actor).await, ["a_b.example.com", "100%.example.com"]);
    let failed = v1::AuditFilter { only_failed: true, ..any() };
    assert_eq!(found(&served, &admin, failed).await.len(), 3, "no such names");
    let call = v1::AuditFilter { call: "AddDomain".into(), outcome: "OK".into(), ..any() };
    assert_eq!(found(&served, &admin, call).await, ["shop.example.com"]);
    let past = proto::to_timestamp("2020-01-01T00:00:00Z".parse().unwrap());
    assert!(found(&served, &admin, v1::AuditFilter { until: Some(past), ..any() }).await.is_empty());
    assert_eq!(found(&served, &admin, v1::AuditFilter { from: Some(past), ..any() }).await.len(), 4);

    let out_of_range = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    for filter in [
        subject(&"x".repeat(201)),
        subject("a\0b"),
        v1::AuditFilter { actor: "\n".into(), ..any() },
        v1::AuditFilter { only_failed: true, outcome: "OK".into(), ..any() },
        v1::AuditFilter { from: Some(out_of_range), ..any() },
    ] {
        let refused = page(&served, &admin, filter, 0, "").await.unwrap_err();
        assert!(has_reason(&refused, "AUDIT_FILTER_INVALID"), "{refused:?}");
    }
    let long_ago = prost_types::Timestamp { seconds: -200_000_000_000, nanos: 0 };
    let span = v1::AuditFilter { from: Some(long_ago), until: Some(long_ago), ..any() };
    assert!(found(&served, &admin, span).await.is_empty());
    let told = served.context.store.audit(None, 100).await.unwrap();
    assert!(told.iter().any(|line| line.call == "ListAudit" && line.outcome == "AUDIT_FILTER_INVALID"));
    assert!(
        told.iter().any(|line| line.call == "ListAudit" && line.subject == "sh%p" && line.outcome == "OK")
    );
}

#[tokio::test]
async fn pages_follow_each_other_and_belong_to_their_filter() {
    let (served, admin) = filled().await;
    let filter = v1::AuditFilter { call: "AddDomain".into(), ..v1::AuditFilter::default() };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let answer = page(&served, &admin, filter.clone(), 1, &token).await.unwrap();
        seen.extend(answer.lines.into_iter().map(|line| line.subject));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = page(&served, &admin, v1::AuditFilter::default(), 1, &token).await.unwrap_err();
        assert!(has_reason(&other, "PAGE_TOKEN_INVALID"));
    }
    assert_eq!(seen, ["*.example.com", "a_b.example.com", "100%.example.com", "shop.example.com"]);
    for size in [-1, 1001] {
        let refused = page(&served, &admin, filter.clone(), size, "").await.unwrap_err();
        assert!(has_reason(&refused, "PAGE_SIZE_INVALID"));
    }
}

async fn verdict(served: &Served, token: &str) -> Result<v1::VerifyAuditResponse, Status> {
    let mut answers =
        client(served).verify_audit(signed(v1::VerifyAuditRequest {}, token)).await?.into_inner();
    let mut last = v1::VerifyAuditResponse::default();
    while let Some(answer) = answers.message().await? {
        last = answer;
    }
    Ok(last)
}

#[tokio::test]
async fn a_verification_tells_what_was_changed_and_leaves_its_line() {
    let (served, admin) = filled().await;
    audit::seal(&served.context.store).await.unwrap();
    let whole = verdict(&served, &admin).await.unwrap();
    let found = whole.verdict.unwrap();
    assert!(found.is_whole && found.problems.is_empty(), "{found:?}");
    assert_eq!((whole.lines, found.last_line), (4, 4));

    // The head is set back, as somebody with the owner's password could.
    let forged = audit::FIRST;
    let mut tx = served.context.store.begin("forge").await.unwrap();
    tx.append_audit(served.context.store.audit(None, 1).await.unwrap().remove(0));
    tx.commit().await.unwrap();
    let mut tx = served.context.store.begin("forge").await.unwrap();
    let lines = tx.unchained_audit(10).await.unwrap();
    let seal = store::AuditLink { sequence: 6, hash: forged.hash };
    tx.chain_audit(&[(lines[0].id, seal)]).await.unwrap();
    tx.commit().await.unwrap();
    let broken = verdict(&served, &admin).await.unwrap().verdict.unwrap();
    assert!(
        !broken.is_whole && broken.problems.iter().any(|problem| problem == "line 5 was removed"),
        "{broken:?}"
    );
    let told = served.context.store.audit(None, 100).await.unwrap();
    let outcomes: Vec<&str> =
        told.iter().filter(|line| line.call == "VerifyAudit").map(|line| line.outcome.as_str()).collect();
    assert!(outcomes.contains(&"AUDIT_BROKEN") && outcomes.contains(&"OK"), "{outcomes:?}");
}

async fn export(
    served: &Served,
    token: &str,
    format: v1::ExportFormat,
    filter: v1::AuditFilter,
) -> Result<String, Status> {
    let request = v1::ExportAuditRequest { filter: Some(filter), format: format.into() };
    let mut pieces = client(served).export_audit(signed(request, token)).await?.into_inner();
    let mut data = Vec::new();
    while let Some(piece) = pieces.message().await? {
        data.extend(piece.data);
    }
    Ok(String::from_utf8(data).unwrap())
}

#[tokio::test]
async fn an_export_has_every_line_that_fits_and_no_formula() {
    let (served, admin) = filled().await;
    let formula = v1::AddDomainRequest { name: "=1+1".into(), ..v1::AddDomainRequest::default() };
    served.client.clone().add_domain(signed(formula, &admin)).await.unwrap_err();
    let any = v1::AuditFilter::default;
    let csv = export(&served, &admin, v1::ExportFormat::Csv, any()).await.unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "at,actor,peer,call,subject,outcome,detail,request_id,sequence");
    assert_eq!(lines.len(), 6, "{csv}");
    assert!(lines[1].contains(",'=1+1,"), "{csv}");
    let only = v1::AuditFilter { subject: "shop".into(), ..any() };
    let json = export(&served, &admin, v1::ExportFormat::JsonLines, only).await.unwrap();
    assert_eq!(json.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
    assert_eq!((line["call"].as_str(), line["actor"].as_str()), (Some("AddDomain"), Some("token:ops")));
    let none = export(&served, &admin, v1::ExportFormat::Unspecified, any()).await.unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
    assert!(has_reason(&none, "EXPORT_FORMAT_INVALID"));
    let told = served.context.store.audit(None, 100).await.unwrap();
    assert_eq!(told.iter().filter(|line| line.call == "ExportAudit").count(), 3);
}
