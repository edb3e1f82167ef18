//! The API as its clients see it: who may call, how errors look, pages, watching.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::time::Duration;

use domain::Role;
use proto::v1;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;

use served::{has_reason, served, served_with, signed};

fn add(name: &str) -> v1::AddDomainRequest {
    v1::AddDomainRequest { name: name.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn tokens_that_are_none_are_all_refused_alike() {
    let mut served = served().await;
    let now = served.context.clock.now();
    let tokens = [
        served.token(Role::Admin, |token| token.revoked_at = Some(now)).await,
        served.token(Role::Admin, |token| token.expires_at = Some(now)).await,
        "slm_unknown".to_owned(),
        String::new(),
    ];
    let mut refusals = vec![served.client.add_domain(Request::new(add("a.example.com"))).await.unwrap_err()];
    for token in tokens {
        refusals.push(served.client.add_domain(signed(add("a.example.com"), &token)).await.unwrap_err());
    }
    for refused in refusals {
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(has_reason(&refused, "TOKEN_INVALID"));
        assert!(refused.message().contains("ssl-manager token create"), "{}", refused.message());
    }
    assert_eq!(served.context.store.position().await.unwrap(), 0, "nothing changed");
}

#[tokio::test]
async fn bad_requests_carry_a_typed_reason() {
    let mut served = served().await;
    let token = served.token(Role::Admin, |_| {}).await;
    let bad_name = served.client.add_domain(signed(add("*.example.com"), &token)).await.unwrap_err();
    assert_eq!(bad_name.code(), Code::InvalidArgument);
    assert!(has_reason(&bad_name, "NAME_IS_WILDCARD"));
    for (request, reason) in [
        (v1::ListDomainsRequest { page_size: -1, ..Default::default() }, "PAGE_SIZE_INVALID"),
        (v1::ListDomainsRequest { page_size: 1001, ..Default::default() }, "PAGE_SIZE_INVALID"),
        (v1::ListDomainsRequest { page_token: "x".into(), ..Default::default() }, "PAGE_TOKEN_INVALID"),
        (v1::ListDomainsRequest { statuses: vec![99], ..Default::default() }, "STATUS_INVALID"),
        (v1::ListDomainsRequest { search: "x".repeat(300), ..Default::default() }, "SEARCH_TOO_LONG"),
    ] {
        let refused = served.client.list_domains(signed(request, &token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{reason}");
        assert!(has_reason(&refused, reason), "{reason}: {refused:?}");
    }
    let beyond = v1::WatchDomainsRequest { after_position: Some(1), ..Default::default() };
    let refused = served.client.watch_domains(signed(beyond, &token)).await.unwrap_err();
    assert!(has_reason(&refused, "POSITION_INVALID"));
    let huge = add(&"x".repeat(13 * 1024 * 1024));
    assert!(served.client.add_domain(signed(huge, &token)).await.is_err());
    served
        .client
        .list_domains(signed(v1::ListDomainsRequest::default(), &token))
        .await
        .expect("still serving");
}

#[tokio::test]
async fn pages_meet_without_a_gap() {
    let mut served = served().await;
    let token = served.token(Role::Admin, |_| {}).await;
    for number in 0..7 {
        served.client.add_domain(signed(add(&format!("d{number}.example.com")), &token)).await.unwrap();
    }
    let mut names = Vec::new();
    let mut request = v1::ListDomainsRequest { page_size: 3, search: "EXAMPLE".into(), ..Default::default() };
    loop {
        let page = served.client.list_domains(signed(request.clone(), &token)).await.unwrap().into_inner();
        names.extend(page.domains.into_iter().map(|domain| domain.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<String> = (0..7).map(|number| format!("d{number}.example.com")).collect();
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_resumes_where_it_was() {
    let mut served = served().await;
    let token = served.token(Role::Admin, |_| {}).await;
    for name in ["a.example.com", "b.example.com"] {
        served.client.add_domain(signed(add(name), &token)).await.unwrap();
    }
    let watch = |after: Option<i64>| v1::WatchDomainsRequest { after_position: after, ..Default::default() };
    let mut stream = served.client.watch_domains(signed(watch(None), &token)).await.unwrap().into_inner();
    let next = async |stream: &mut tonic::Streaming<v1::WatchDomainsResponse>| {
        let change = tokio::time::timeout(Duration::from_secs(20), stream.message()).await.expect("in time");
        let change = change.unwrap().unwrap();
        (change.domain.unwrap().name, change.deleted, change.position)
    };
    let first = next(&mut stream).await;
    assert_eq!((first.0.as_str(), first.1), ("a.example.com", false));
    drop(stream);
    let delete = v1::DeleteDomainRequest { name: "a.example.com".into(), remove_from_c4: false };
    served.client.delete_domain(signed(delete, &token)).await.unwrap();
    let mut stream =
        served.client.watch_domains(signed(watch(Some(first.2)), &token)).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.0, "b.example.com");
    let deleted = next(&mut stream).await;
    assert_eq!((deleted.0.as_str(), deleted.1), ("a.example.com", true));
    served.client.add_domain(signed(add("c.example.com"), &token)).await.unwrap();
    assert_eq!(next(&mut stream).await.0, "c.example.com", "and follows what happens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_may_begin_with_what_is_new_and_listens_as_long_as_its_token_is_good() {
    let mut served = served().await;
    let admin = served.token(Role::Admin, |_| {}).await;
    let watcher = served.token(Role::Viewer, |record| record.name = "watcher".into()).await;
    served.client.add_domain(signed(add("old.example.com"), &admin)).await.unwrap();
    let only_new = v1::WatchDomainsRequest { only_new: true, ..Default::default() };
    let mut stream =
        served.client.watch_domains(signed(only_new.clone(), &watcher)).await.unwrap().into_inner();
    served.client.add_domain(signed(add("new.example.com"), &admin)).await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await.expect("in time");
    assert_eq!(next.unwrap().unwrap().domain.unwrap().name, "new.example.com");

    let both = v1::WatchDomainsRequest { after_position: Some(0), ..only_new };
    let refused = served.client.watch_domains(signed(both, &watcher)).await.unwrap_err();
    assert!(has_reason(&refused, "POSITION_INVALID"), "{refused:?}");

    let mut tx = served.context.store.begin("revoke").await.unwrap();
    assert!(tx.revoke_token("watcher").await.unwrap());
    tx.commit().await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    });
    let end = end.await.expect("the stream ends").unwrap_err();
    assert_eq!(end.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn health_and_reflection_need_no_token() {
    let served = served().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(served.channel.clone());
    let request = tonic_health::pb::HealthCheckRequest { service: "sslmanager.v1.Domains".into() };
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);

    let mut reflection = tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
        served.channel.clone(),
    );
    let list = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter([list])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("sslmanager.v1.Domains") && answer.contains("grpc.health.v1.Health"), "{answer}");
}

#[tokio::test]
async fn at_the_drain_the_health_says_so_and_calls_go_on() {
    let served = served().await;
    let token = served.token(Role::Viewer, |_| {}).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(served.channel.clone());
    served.context.stop.drain().cancel();
    for service in [
        "",
        "sslmanager.v1.Domains",
        "sslmanager.v1.Jobs",
        "sslmanager.v1.Sessions",
        "sslmanager.v1.Administration",
    ] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        let mut said = health.watch(request).await.unwrap().into_inner();
        let not_serving =
            async { while said.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {} };
        tokio::time::timeout(Duration::from_secs(30), not_serving).await.expect("it says that it goes");
    }
    let list = signed(v1::ListDomainsRequest::default(), &token);
    served.client.clone().list_domains(list).await.expect("calls are answered");
}

/// A self-signed certificate for that name, with its key.
fn own(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn what_is_pasted_wrongly_carries_a_typed_reason_and_stores_nothing() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let (certificate, key) = own("shop.example.com");
    let other_key = own("shop.example.com").1;
    let elsewhere = own("a.example.org");
    let huge = "x".repeat(10 * 1024 * 1024);
    for (certificate_pem, private_key_pem, reason) in [
        (certificate.as_str(), other_key.as_str(), "KEY_MISMATCH"),
        ("-----BEGIN", key.as_str(), "NOT_PEM"),
        (elsewhere.0.as_str(), elsewhere.1.as_str(), "NAME_NOT_COVERED"),
        (huge.as_str(), key.as_str(), "TOO_LARGE"),
        (certificate.as_str(), huge.as_str(), "TOO_LARGE"),
        (key.as_str(), certificate.as_str(), "SWAPPED"),
    ] {
        let request = v1::ImportCertificateRequest {
            name: "shop.example.com".to_owned(),
            certificate_pem: certificate_pem.to_owned(),
            private_key_pem: private_key_pem.to_owned(),
            ..v1::ImportCertificateRequest::default()
        };
        let refused = served.client.import_certificate(signed(request, &token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{reason}: {refused}");
        assert!(has_reason(&refused, reason), "{reason}: {refused:?}");
        for secret in [&key, &other_key] {
            let secret = secret.lines().nth(1).unwrap();
            assert!(!refused.message().contains(secret), "nothing pasted comes back");
        }
    }
    assert_eq!(served.context.store.position().await.unwrap(), 0, "nothing changed");

    let request = v1::ImportCertificateRequest {
        name: "Shop.Example.com.".to_owned(),
        certificate_pem: certificate,
        private_key_pem: key.clone(),
        ..v1::ImportCertificateRequest::default()
    };
    let imported = served.client.import_certificate(signed(request, &token)).await.unwrap();
    let imported = imported.into_inner();
    assert_eq!(imported.warnings, ["not_publicly_trusted"]);
    let domain = imported.domain.unwrap();
    assert_eq!((domain.name.as_str(), domain.source()), ("shop.example.com", v1::Source::Text));

    let nothing = v1::RollbackCertificateRequest { name: domain.name };
    let refused = served.client.rollback_certificate(signed(nothing, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(has_reason(&refused, "NOTHING_TO_ROLL_BACK_TO"), "{refused:?}");
}

#[tokio::test]
async fn the_summary_counts_and_says_when_the_queue_is_through() {
    let mut served = served_with(|config| {
        config.acme.issuers =
            vec![runtime::config::AcmeIssuer { name: "letsencrypt".to_owned(), ..Default::default() }];
    })
    .await;
    let token = served.token(Role::Admin, |_| {}).await;
    for label in ["a", "b"] {
        let name = format!("{label}.example.com");
        served.client.add_domain(signed(add(&name), &token)).await.unwrap();
    }
    let mut summary = async || {
        let asked = served.client.get_summary(signed(v1::GetSummaryRequest {}, &token)).await;
        asked.unwrap().into_inner()
    };
    let counted = summary().await;
    assert_eq!(counted.statuses.len(), 6);
    let pending = counted.statuses.iter().find(|count| count.status() == v1::Status::Pending);
    assert_eq!(pending.map(|count| count.domains), Some(2));
    assert_eq!(counted.queue_through_at, None);

    let through = served.context.clock.now() + jiff::SignedDuration::from_hours(3);
    let mut tx = served.context.store.begin("line").await.unwrap();
    let key = domain::budget::line_key("letsencrypt", domain::budget::Lane::New);
    tx.set_bucket(&key, through).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(summary().await.queue_through_at, Some(proto::to_timestamp(through)));
}
