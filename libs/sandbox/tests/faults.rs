//! The CA misbehaves on request, and says what went wrong as a real one does.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod kit;

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::http::StatusCode;
use instant_acme::{Error, Identifier, NewOrder, OrderStatus};
use sandbox::{CaOptions, Endpoint, Nonsense, ValidationResult, WorldOptions};
use serde_json::json;
use x509_parser::prelude::*;

use kit::{AcmeHttp, Scene, csr, leaf, problem_type, until};

const DNS: &str = "urn:ietf:params:acme:error:dns";
const CONNECTION: &str = "urn:ietf:params:acme:error:connection";
const UNAUTHORIZED: &str = "urn:ietf:params:acme:error:unauthorized";

#[tokio::test]
async fn a_nonce_is_good_once() {
    let scene = Scene::new().await;
    scene.order("replay.example").await;
    let (status, problem) = scene.acme.replay().await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["type"], "urn:ietf:params:acme:error:badNonce");
    assert_eq!(scene.world.ca.control().orders_placed(), 1);
}

#[tokio::test]
async fn rejected_nonces_are_tried_again() {
    let scene = Scene::new().await;
    let control = scene.world.ca.control();
    let before = control.requests();
    scene.world.point_at_cdn("calm.example");
    scene.issue("calm.example").await.unwrap();
    let calm = control.requests() - before;

    control.reject_nonces(30);
    scene.world.point_at_cdn("rough.example");
    scene.issue("rough.example").await.unwrap();
    assert!(control.requests() - before > 2 * calm);

    control.reject_nonces(100);
    let error = scene.issue("hopeless.example").await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:badNonce");
}

#[tokio::test]
async fn an_answer_is_lost_after_its_request_was_processed() {
    let scene = Scene::new().await;
    let control = scene.world.ca.control();
    scene.world.point_at_cdn("lost.example");
    control.drop_answer(Endpoint::NewOrder);
    let identifiers = [Identifier::Dns("lost.example".to_owned())];
    let error = scene.account.new_order(&NewOrder::new(&identifiers)).await.err().unwrap();
    assert!(matches!(error, Error::Other(_)));
    assert_eq!(control.orders_for("lost.example"), 1);

    let mut order = scene.order("lost.example").await;
    scene.authorize(&mut order).await.unwrap();
    until(&mut order, |status| status == OrderStatus::Ready).await.unwrap();
    control.drop_answer(Endpoint::Finalize);
    let (csr, _) = csr(&["lost.example".to_owned()]);
    assert!(order.finalize_csr(&csr).await.is_err());
    let mut resumed = scene.account.order(order.url().to_owned()).await.unwrap();
    assert_eq!(resumed.state().status, OrderStatus::Valid);
    control.drop_answer(Endpoint::Certificate);
    assert!(resumed.certificate().await.is_err());
    assert!(resumed.certificate().await.unwrap().is_some());
}

#[tokio::test]
async fn answers_are_nonsense_once() {
    let scene = Scene::new().await;
    let control = scene.world.ca.control();
    let identifiers = [Identifier::Dns("nonsense.example".to_owned())];
    for nonsense in [Nonsense::TruncatedJson, Nonsense::Html, Nonsense::HugeBody] {
        control.answer_nonsense(Endpoint::NewOrder, nonsense);
        let error = scene.account.new_order(&NewOrder::new(&identifiers)).await.err().unwrap();
        assert!(matches!(error, Error::Json(_)), "{nonsense:?} gave {error:?}");
    }
    assert_eq!(control.orders_for("nonsense.example"), 3);

    scene.world.point_at_cdn("wrong.example");
    control.answer_nonsense(Endpoint::Certificate, Nonsense::OtherKey);
    control.answer_nonsense(Endpoint::Certificate, Nonsense::OtherName);
    let other_key = scene.issue("wrong.example").await;
    let other_name = scene.issue("wrong.example").await;
    let right = scene.issue("wrong.example").await;
    let check = |issued: Result<kit::Issued, Error>| {
        let issued = issued.unwrap();
        let key = rcgen::KeyPair::from_pem(&issued.key_pem).unwrap();
        let der = leaf(&issued.chain_pem);
        let (_, certificate) = parse_x509_certificate(&der).unwrap();
        let is_our_key = *certificate.public_key().subject_public_key.data == *key.public_key_raw();
        let san = certificate.subject_alternative_name().unwrap().unwrap();
        (is_our_key, san.value.general_names == [GeneralName::DNSName("wrong.example")])
    };
    assert_eq!(check(other_key), (false, true));
    assert_eq!(check(other_name), (true, false));
    assert_eq!(check(right), (true, true));
}

#[tokio::test]
async fn an_order_is_processing_for_as_long_as_told() {
    let scene = Scene::new().await;
    let control = scene.world.ca.control();
    control.validation_default(ValidationResult::Valid);
    control.delay(Duration::from_hours(1));
    let mut order = scene.order("slow.example").await;
    scene.authorize(&mut order).await.unwrap();
    order.finalize_csr(&csr(&["slow.example".to_owned()]).0).await.unwrap();
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Processing);
    control.expire_orders();
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Invalid);
    scene.world.shutdown().await;
}

#[tokio::test]
async fn a_limited_name_has_to_wait() {
    let scene = Scene::new().await;
    let control = scene.world.ca.control();
    control.rate_limit(Some("limited.example"), Some(Duration::from_secs(90)));
    let identifiers = [Identifier::Dns("limited.example".to_owned())];
    let error = scene.account.new_order(&NewOrder::new(&identifiers)).await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:rateLimited");
    scene.order("free.example").await;
    control.rate_limit(Some("limited.example"), None);
    scene.order("limited.example").await;
}

#[tokio::test]
async fn a_ca_that_is_down_says_when_to_come_back() {
    let scene = Scene::new().await;
    scene.world.ca.control().down(true);
    let answer = scene.acme.client.get(scene.world.ca.directory_url()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    scene.world.ca.control().down(false);
    scene.order("back.example").await;
}

#[tokio::test]
async fn validation_comes_out_as_told() {
    let scene = Scene::new().await;
    let control = scene.world.ca.control();
    control.validation_result("valid.example", ValidationResult::Valid);
    scene.issue("valid.example").await.unwrap();
    assert_eq!(scene.world.edge.control().challenges(), 0);

    let (problem, detail) = ("caa".to_owned(), "CAA record for invalid.example prevents issuance".to_owned());
    control
        .validation_result("invalid.example", ValidationResult::Invalid { problem, detail: detail.clone() });
    let error = scene.failure("invalid.example").await;
    assert_eq!(error, ("urn:ietf:params:acme:error:caa".to_owned(), detail));

    control.validation_result("never.example", ValidationResult::Never);
    let mut order = scene.order("never.example").await;
    scene.authorize(&mut order).await.unwrap();
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Pending);
    control.validation_result("never.example", ValidationResult::Valid);
    let mut order = scene.account.order(order.url().to_owned()).await.unwrap();
    scene.authorize(&mut order).await.unwrap();
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Ready);
}

#[tokio::test]
async fn real_validation_says_what_is_wrong() {
    let ca = CaOptions { validation_timeout: Duration::from_millis(300), ..CaOptions::default() };
    let scene = Scene::with(WorldOptions { ca, ..WorldOptions::default() }).await;
    let dns = scene.world.dns.control();

    let (kind, detail) = scene.failure("unknown.example").await;
    assert_eq!(kind, DNS);
    assert!(detail.contains("NXDOMAIN looking up A for unknown.example"), "{detail}");

    dns.servfail("broken.example", true);
    let (kind, detail) = scene.failure("broken.example").await;
    assert_eq!(kind, DNS);
    assert!(detail.contains("SERVFAIL looking up A for broken.example"), "{detail}");

    dns.timeout("silent.example", true);
    let (kind, detail) = scene.failure("silent.example").await;
    assert_eq!(kind, DNS);
    assert!(detail.contains("query timed out looking up A for silent.example"), "{detail}");

    dns.set_aaaa("empty.example", &["::1".parse().unwrap()]);
    let (kind, detail) = scene.failure("empty.example").await;
    assert_eq!(kind, DNS);
    assert!(detail.contains("no valid A records found for empty.example"), "{detail}");

    dns.set_a("elsewhere.example", &[Ipv4Addr::new(127, 0, 0, 99)]);
    let (kind, detail) = scene.failure("elsewhere.example").await;
    assert_eq!(kind, CONNECTION);
    assert!(detail.starts_with("127.0.0.99: Fetching http://elsewhere.example/"), "{detail}");

    scene.world.point_at_cdn("blocked.example");
    scene.world.edge.control().block_challenges(true);
    let (kind, detail) = scene.failure("blocked.example").await;
    assert_eq!(kind, UNAUTHORIZED);
    assert!(detail.ends_with(": 403"), "{detail}");
}

#[tokio::test]
async fn another_key_authorization_is_no_proof() {
    let scene = Scene::new().await;
    scene.world.point_at_cdn("stranger.example");
    let mut order = scene.order("stranger.example").await;
    {
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.unwrap().unwrap();
        let mut challenge = authorization.challenge(instant_acme::ChallengeType::Http01).unwrap();
        scene.responder.put("stranger.example", &challenge.token, &format!("{}.thumbprint", challenge.token));
        challenge.set_ready().await.unwrap();
    }
    until(&mut order, |status| status == OrderStatus::Invalid).await.unwrap();
    let (kind, detail) = scene.challenge_error(&mut order).await;
    assert_eq!(kind, UNAUTHORIZED);
    assert!(detail.contains("did not match this challenge"), "{detail}");
}

#[tokio::test]
async fn validation_follows_redirects_but_not_for_ever() {
    use axum::Router;
    use axum::extract::Path;
    use axum::response::Redirect;

    let scene = Scene::new().await;
    let edge_port = scene.world.edge.http_addr().port();
    let router = Router::new().route(
        "/.well-known/acme-challenge/{token}",
        axum::routing::get(move |Path(token): Path<String>, headers: axum::http::HeaderMap| async move {
            let host = headers["host"].to_str().unwrap();
            let target = if host.starts_with("loop") {
                format!("/.well-known/acme-challenge/{token}")
            } else if host.starts_with("port") {
                format!("http://moved.example:1/.well-known/acme-challenge/{token}")
            } else {
                format!("http://edge-{host}/.well-known/acme-challenge/{token}")
            };
            Redirect::temporary(&target)
        }),
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.3", edge_port)).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let dns = scene.world.dns.control();
    for name in ["moved.example", "loop.example", "port.example"] {
        dns.set_a(name, &[Ipv4Addr::new(127, 0, 0, 3)]);
    }
    scene.world.point_at_cdn("edge-moved.example");

    let mut order = scene.order("moved.example").await;
    {
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.unwrap().unwrap();
        let mut challenge = authorization.challenge(instant_acme::ChallengeType::Http01).unwrap();
        let answer = challenge.key_authorization().as_str().to_owned();
        scene.responder.put("edge-moved.example", &challenge.token, &answer);
        challenge.set_ready().await.unwrap();
    }
    until(&mut order, |status| status != OrderStatus::Pending).await.unwrap();
    assert_eq!(order.state().status, OrderStatus::Ready);

    let (kind, detail) = scene.failure("loop.example").await;
    assert_eq!(kind, CONNECTION);
    assert!(detail.ends_with("Too many redirects"), "{detail}");
    let (kind, detail) = scene.failure("port.example").await;
    assert_eq!(kind, CONNECTION);
    assert!(detail.contains("Invalid port in redirect target"), "{detail}");
}

#[tokio::test]
async fn a_ca_on_its_own_is_steered_over_http() {
    let ca = sandbox::Ca::start(CaOptions { admin: true, ..CaOptions::default() }).await.unwrap();
    let acme = AcmeHttp::trusting(&ca.api_root_pem());
    let url = |path: &str| ca.directory_url().replace("directory", path);
    let root = acme.client.get(url("sandbox/issuing-root.pem")).send().await.unwrap();
    assert_eq!(root.text().await.unwrap(), ca.issuing_root_pem());
    let change = json!({ "down": true });
    let answer = acme.client.post(url("sandbox/control")).json(&change).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = acme.client.get(ca.directory_url()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);

    let refusal = json!({ "status": 400, "problem": "caa", "detail": "no", "retry_after": 7 });
    let every = json!([
        { "write_nulls": true }, { "write_bare_problem_types": true }, { "write_relative_references": false },
        { "write_subproblems": [["shop.example.com", "caa", "no"]] }, { "write_retry_after": ["9", "soon"] }, { "answer_after": { "endpoint": "order", "milliseconds": 1 } },
        { "refuse": { "endpoint": "finalize", "refusal": refusal } },
        { "refuse": { "endpoint": "finalize", "refusal": null } },
        { "refuse_next": { "endpoint": "new_order", "refusal": refusal, "times": 2 } },
        { "answer_with": { "endpoint": "challenge", "refusal": refusal } },
        { "answer_with_page": { "endpoint": "order", "status": 502 } }, { "refuse_replacements": refusal },
        { "refuse_us": { "problem": "userActionRequired", "detail": "terms" } }, { "refuse_us": null },
        { "pause": { "domain": "shop.example.com", "url": "https://ca.example/unpause" } },
        { "fail_issuances": { "problem": refusal, "times": 1 } }, { "list_orders": true }, { "list_orders_by": 2 },
        { "offer_http01": { "domain": "shop.example.com", "on": false } }, { "leave_failed_orders_pending": true },
        "forget_accounts", { "leave_out_of_directory": "newNonce" },
    ]);
    let change = json!({ "down": false, "switches": every });
    let answer = acme.client.post(url("sandbox/control")).json(&change).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    let answer = acme.client.get(ca.directory_url()).send().await.unwrap();
    assert_eq!(answer.headers().get_all("retry-after").iter().count(), 2);
    let directory: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert!(directory["newNonce"].is_null() && directory["newOrder"].is_string(), "{directory}");
    for unknown in [json!([{ "write_nonsense": true }]), json!([{ "refuse_us": { "problem": "x" } }])] {
        let change = json!({ "switches": unknown });
        let answer = acme.client.post(url("sandbox/control")).json(&change).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{change}");
    }
}
