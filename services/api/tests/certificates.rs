//! Every certificate of a name: who sees which, and which of them can be put back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{CertificateId, CertificateSummary, DomainName, Live, Role, Source};
use jiff::SignedDuration;
use proto::v1;
use store::Certificate;
use tonic::Code;

use served::{Served, has_reason, served, signed};

const NAME: &str = "shop.example.com";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Stores a certificate of the name that ends after so many days, and makes it live.
async fn live(served: &Served, days: i32, has_key: bool) -> String {
    let (clock, entropy) = (&served.context.clock, &served.context.entropy);
    let now = clock.now();
    let id = CertificateId::new(&**clock, &**entropy);
    let summary = CertificateSummary {
        id,
        sha256: id.to_string(),
        serial: "0a".to_owned(),
        issuer: "CN=Test".to_owned(),
        not_before: now - DAY * 30,
        not_after: now + DAY * days,
        source: Source::C4,
        trust: None,
    };
    let certificate = Certificate {
        summary: summary.clone(),
        name: DomainName::parse(NAME).unwrap(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: has_key.then(|| vec![1]),
        created_at: now,
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    };
    let mut tx = served.context.store.begin("live").await.unwrap();
    tx.insert_certificate(&certificate).await.unwrap();
    tx.mark_uploaded(id).await.unwrap();
    let domain = tx.domain(&certificate.name).await.unwrap().unwrap();
    let live = Live { certificate: id, not_after: summary.not_after };
    tx.update_domain(&domain.uploaded(live).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    summary.sha256
}

async fn list(served: &mut Served, token: &str) -> Vec<v1::CertificateRecord> {
    let request =
        v1::ListCertificatesRequest { name: NAME.to_owned(), ..v1::ListCertificatesRequest::default() };
    let answer = served.client.list_certificates(signed(request, token)).await;
    answer.unwrap().into_inner().certificates
}

async fn added(served: &mut Served) -> String {
    let token = served.token(Role::Support, |_| {}).await;
    let add = v1::AddDomainRequest { name: NAME.to_owned(), ..Default::default() };
    served.client.add_domain(signed(add, &token)).await.unwrap();
    token
}

fn sha256(record: &v1::CertificateRecord) -> &str {
    &record.certificate.as_ref().unwrap().sha256
}

#[tokio::test]
async fn the_rollback_target_is_what_a_roll_back_uploads() {
    // The certificate before the live one: its days left, and whether its key is there.
    for (days, has_key, can_be_put_back) in [(60, true, true), (-1, true, false), (60, false, false)] {
        let mut served = served().await;
        let token = added(&mut served).await;
        let oldest = live(&served, 80, true).await;
        let before = live(&served, days, has_key).await;
        let newest = live(&served, 90, true).await;
        let listed = list(&mut served, &token).await;
        let shown: Vec<_> = listed.iter().map(sha256).collect();
        assert_eq!(shown, [&newest, &before, &oldest], "newest first");
        assert_eq!(listed.iter().map(|one| one.live).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(listed[1].has_key, has_key);
        assert!(listed.iter().all(|one| one.uploaded_at.is_some() && one.revoked_at.is_none()));
        let targets: Vec<_> = listed.iter().filter(|one| one.is_rollback_target).map(sha256).collect();

        let request = v1::RollbackCertificateRequest { name: NAME.to_owned() };
        let done = served.client.rollback_certificate(signed(request, &token)).await;
        if can_be_put_back {
            done.unwrap();
            let name = DomainName::parse(NAME).unwrap();
            let work = served.context.store.work(&name).await.unwrap();
            let uploaded = work.iter().find_map(|work| work.certificate).unwrap().to_string();
            assert_eq!(targets, [&uploaded]);
        } else {
            assert!(has_reason(&done.unwrap_err(), "NOTHING_TO_ROLL_BACK_TO"));
            assert!(targets.is_empty(), "{targets:?}");
        }
    }
}

#[tokio::test]
async fn a_deleted_name_keeps_its_certificates_and_none_is_live() {
    let mut served = served().await;
    let token = added(&mut served).await;
    for days in [60, 90] {
        live(&served, days, true).await;
    }
    let delete = v1::DeleteDomainRequest { name: NAME.to_owned(), remove_from_c4: false };
    served.client.delete_domain(signed(delete, &token)).await.unwrap();
    let listed = list(&mut served, &token).await;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|one| !one.live && !one.is_rollback_target && one.has_key));
}

#[tokio::test]
async fn pages_go_on_where_they_ended_and_fit_their_name_only() {
    let mut served = served().await;
    let token = added(&mut served).await;
    for days in 1..=5 {
        live(&served, days, true).await;
    }
    let all: Vec<String> = list(&mut served, &token).await.iter().map(|one| sha256(one).to_owned()).collect();
    let ask = |name: &str, page_size, page_token: &str| v1::ListCertificatesRequest {
        name: name.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = signed(ask(NAME, 2, &page_token), &token);
        let page = served.client.list_certificates(request).await.unwrap().into_inner();
        paged.extend(page.certificates.iter().map(|one| sha256(one).to_owned()));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!(paged, all);
    for (request, code, reason) in [
        (ask("never.example.com", 0, ""), Code::NotFound, "DOMAIN_NOT_FOUND"),
        (ask("other.example.com", 0, &page_token), Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        (ask(NAME, 0, "nonsense"), Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        (ask(NAME, 1001, ""), Code::InvalidArgument, "PAGE_SIZE_INVALID"),
    ] {
        let refused = served.client.list_certificates(signed(request, &token)).await.unwrap_err();
        assert_eq!(refused.code(), code);
        assert!(has_reason(&refused, reason), "{refused:?}");
    }
}

#[tokio::test]
async fn a_key_that_was_destroyed_cannot_be_downloaded() {
    let mut served = served().await;
    added(&mut served).await;
    let token = served.token(Role::KeyReader, |_| {}).await;
    live(&served, 90, false).await;
    let request = v1::DownloadCertificateRequest {
        name: NAME.to_owned(),
        include_private_key: true,
        reason: "test".to_owned(),
        ..v1::DownloadCertificateRequest::default()
    };
    let answer = served.client.download_certificate(signed(request, &token)).await;
    let refused = answer.err().unwrap();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(has_reason(&refused, "KEY_DESTROYED"), "{refused:?}");
}
