//! Certificates are got as from a real CA.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use instant_acme::{
    AuthorizationStatus, ExternalAccountKey, Identifier, NewOrder, OrderStatus, RevocationRequest,
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use sandbox::{CaOptions, WorldOptions, handshake, served_leaf, served_sha256};
use serde_json::Value;
use x509_parser::prelude::*;

use kit::{
    AcmeHttp, C4Http, Scene, certificate_id, create_account, csr, leaf, problem_type, sha256_of_leaf, until,
    upload,
};

async fn renewal_info(scene: &Scene, id: &str) -> (reqwest::StatusCode, Option<String>, Value) {
    let url = scene.world.ca.directory_url().replace("directory", &format!("renewal-info/{id}"));
    let answer = scene.acme.client.get(url).send().await.unwrap();
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status(), retry_after, answer.json().await.unwrap())
}

#[tokio::test]
async fn from_order_to_padlock() {
    let scene = Scene::new().await;
    let name = "www.customer.example";
    scene.world.point_at_cdn(name);
    let issued = scene.issue(name).await.unwrap();

    let der = leaf(&issued.chain_pem);
    let (_, certificate) = parse_x509_certificate(&der).unwrap();
    assert!(certificate.subject().iter().next().is_none());
    assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
    let san = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(san.value.general_names, [GeneralName::DNSName(name)]);
    assert_eq!(issued.chain_pem.matches("BEGIN CERTIFICATE").count(), 2);

    let edge = scene.world.edge.https_addr();
    assert!(served_leaf(edge, name).await.unwrap().is_none());
    let sha256 = sha256_of_leaf(&issued.chain_pem);
    let c4 = C4Http::of(&scene.world.c4);
    assert_eq!(c4.put(name, "certificate-1", &upload(&issued, &sha256, 1)).await.0, 204);
    assert_eq!(served_sha256(edge, name).await.unwrap(), Some(sha256));
    let shown = handshake(edge, name, &scene.world.ca.issuing_root_pem()).await.unwrap();
    assert_eq!(shown.as_ref(), der);
    assert!(handshake(edge, name, &scene.world.ca.api_root_pem()).await.is_err());

    let control = scene.world.ca.control();
    assert_eq!(control.contacts(), [["mailto:ssl@example.net"]]);
    assert!(control.token_for(name).is_some());
    assert_eq!((control.orders_placed(), control.orders_for(name), control.certificates_issued()), (1, 1, 1));
    scene.world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_orders_in_flight() {
    let scene = Scene::new().await;
    scene.world.ca.control().delay(Duration::from_millis(20));
    let names: Vec<_> = (0..200).map(|number| format!("shop-{number}.customer.example")).collect();
    for name in &names {
        scene.world.point_at_cdn(name);
    }
    let issued = join_all(names.iter().map(|name| scene.issue(name))).await;
    for issued in issued {
        issued.unwrap();
    }
    assert_eq!(scene.world.ca.control().certificates_issued(), 200);
    assert_eq!(scene.world.edge.control().challenges(), 200);
}

#[tokio::test]
async fn a_valid_authorization_serves_the_next_order() {
    let scene = Scene::new().await;
    scene.world.point_at_cdn("again.example");
    scene.issue("again.example").await.unwrap();
    let mut order = scene.order("again.example").await;
    assert_eq!(order.state().status, OrderStatus::Ready);
    let authorization = order.authorizations().next().await.unwrap().unwrap().status;
    assert_eq!(authorization, AuthorizationStatus::Valid);
    assert_eq!(scene.world.edge.control().challenges(), 1);
}

#[tokio::test]
async fn a_csr_must_be_the_orders() {
    let scene = Scene::new().await;
    scene.world.point_at_cdn("right.example");
    let mut order = scene.order("right.example").await;
    let (right, _) = csr(&["right.example".to_owned()]);
    let error = order.finalize_csr(&right).await.unwrap_err();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:orderNotReady");

    scene.authorize(&mut order).await.unwrap();
    until(&mut order, |status| status == OrderStatus::Ready).await.unwrap();
    let (other, _) = csr(&["right.example".to_owned(), "other.example".to_owned()]);
    let mut forged = right.clone();
    *forged.last_mut().unwrap() ^= 1;
    for wrong in [&other, &forged] {
        let error = order.finalize_csr(wrong).await.unwrap_err();
        assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:badCSR");
    }
    order.finalize_csr(&right).await.unwrap();
    assert_eq!(order.state().status, OrderStatus::Valid);
}

#[tokio::test]
async fn a_certificate_for_the_accounts_key_is_refused() {
    let scene = Scene::new().await;
    let (account, credentials) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    let scene = Scene { account, ..scene };
    scene.world.point_at_cdn("same-key.example");
    let mut order = scene.order("same-key.example").await;
    scene.authorize(&mut order).await.unwrap();
    until(&mut order, |status| status == OrderStatus::Ready).await.unwrap();
    let key = KeyPair::try_from(credentials.private_key().secret_pkcs8_der()).unwrap();
    let params = CertificateParams::new(["same-key.example".to_owned()]).unwrap();
    let error = order.finalize_csr(params.serialize_request(&key).unwrap().der()).await.unwrap_err();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:badCSR");
}

#[tokio::test]
async fn profiles_set_the_lifetime() {
    let scene = Scene::new().await;
    scene.world.ca.control().set_profile("shortlived", Duration::from_hours(160));
    scene.world.point_at_cdn("short.example");
    let (account, _) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    assert!(account.profiles().any(|profile| profile.name == "shortlived"));

    let identifiers = [Identifier::Dns("short.example".to_owned())];
    let issued = scene.issue_as(&NewOrder::new(&identifiers).profile("shortlived")).await.unwrap();
    let der = leaf(&issued.chain_pem);
    let validity = parse_x509_certificate(&der).unwrap().1.validity().clone();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 160 * 3600);

    let unknown = NewOrder::new(&identifiers).profile("eternal");
    let error = scene.account.new_order(&unknown).await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:invalidProfile");
}

#[tokio::test]
async fn renewal_info_follows_the_lifetime_or_what_was_set() {
    let scene = Scene::new().await;
    scene.world.point_at_cdn("renew.example");
    let issued = scene.issue("renew.example").await.unwrap();
    let id = certificate_id(&issued).to_string();
    let window = |info: &Value, end: &str| -> Timestamp {
        info["suggestedWindow"][end].as_str().unwrap().parse().unwrap()
    };

    let (_, retry_after, info) = renewal_info(&scene, &id).await;
    assert_eq!(retry_after.as_deref(), Some("21600"));
    let length = window(&info, "end").duration_since(window(&info, "start"));
    assert_eq!(length, SignedDuration::from_hours(30 * 24));

    let start: Timestamp = "2026-05-08T00:00:00Z".parse().unwrap();
    let end: Timestamp = "2026-05-09T00:00:00Z".parse().unwrap();
    let control = scene.world.ca.control();
    control.set_renewal_window(Some("renew.example"), start, end, Some("https://ca.example/incident"));
    let (_, _, info) = renewal_info(&scene, &id).await;
    assert_eq!((window(&info, "start"), window(&info, "end")), (start, end));
    assert_eq!(info["explanationURL"], "https://ca.example/incident");

    control.clear_renewal_windows();
    let (_, _, info) = renewal_info(&scene, &id).await;
    assert_ne!(window(&info, "start"), start);

    assert_eq!(renewal_info(&scene, "bm9ib2R5.bm9ib2R5").await.0, 404);
    assert_eq!(renewal_info(&scene, "nonsense").await.0, 400);
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    let scene = Scene::new().await;
    scene.world.point_at_cdn("replaced.example");
    let issued = scene.issue("replaced.example").await.unwrap();
    let identifiers = [Identifier::Dns("replaced.example".to_owned())];
    let order = || NewOrder::new(&identifiers).replaces(certificate_id(&issued));

    let mut first = scene.account.new_order(&order()).await.unwrap();
    assert!(first.state().replaces.is_some());
    let error = scene.account.new_order(&order()).await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:alreadyReplaced");

    // An order that came to nothing does not count.
    scene.world.ca.control().expire_orders();
    assert_eq!(first.refresh().await.unwrap().status, OrderStatus::Invalid);
    scene.issue_as(&order()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_revoked_once() {
    let scene = Scene::new().await;
    scene.world.point_at_cdn("revoked.example");
    let issued = scene.issue("revoked.example").await.unwrap();
    let der = leaf(&issued.chain_pem).into();
    let request = || RevocationRequest { certificate: &der, reason: None };
    let (stranger, _) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    let error = stranger.revoke(&request()).await.unwrap_err();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:unauthorized");
    scene.account.revoke(&request()).await.unwrap();
    let error = scene.account.revoke(&request()).await.unwrap_err();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:alreadyRevoked");
    let (_, _, info) = renewal_info(&scene, &certificate_id(&issued).to_string()).await;
    let end: Timestamp = info["suggestedWindow"]["end"].as_str().unwrap().parse().unwrap();
    assert!(end <= (sandbox::system_clock())());
}

#[tokio::test]
async fn accounts_are_bound_where_the_ca_wants_it() {
    let key = b"an hmac key of thirty-two bytes!".to_vec();
    let eab = [("kid-1".to_owned(), key.clone())].into();
    let ca = CaOptions { eab, ..CaOptions::default() };
    let ca = sandbox::Ca::start(ca).await.unwrap();
    let acme = AcmeHttp::trusting(&ca.api_root_pem());
    let error = create_account(&ca, &acme, None).await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:externalAccountRequired");
    let wrong = ExternalAccountKey::new("kid-1".to_owned(), b"another key");
    let error = create_account(&ca, &acme, Some(&wrong)).await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:unauthorized");
    let right = ExternalAccountKey::new("kid-1".to_owned(), &key);
    let (account, _) = create_account(&ca, &acme, Some(&right)).await.unwrap();
    assert!(account.id().contains("/account/"));
    ca.stop().await;
}

#[tokio::test]
async fn an_account_changes_its_key_and_ends() {
    let scene = Scene::new().await;
    let (mut account, old) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    let builder = || instant_acme::Account::builder_with_http(Box::new(scene.acme.clone()));
    let _credentials = account.update_key().await.unwrap();
    account.update_contacts(&["mailto:other@example.net"]).await.unwrap();
    let with_old_key = builder().from_credentials(old).await.unwrap();
    let error = with_old_key.update_contacts(&["mailto:thief@example.net"]).await.unwrap_err();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:malformed");

    let ended = account.clone();
    account.deactivate().await.unwrap();
    let error = ended.update_contacts(&[]).await.unwrap_err();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:unauthorized");
}

#[tokio::test]
async fn the_cas_time_is_what_it_is_told() {
    let now = Arc::new(AtomicI64::new(2_000_000_000));
    let clock = {
        let now = now.clone();
        Arc::new(move || Timestamp::from_second(now.load(Ordering::Relaxed)).unwrap())
    };
    let scene = Scene::with(WorldOptions { clock, ..WorldOptions::default() }).await;
    scene.world.point_at_cdn("future.example");
    let issued = scene.issue("future.example").await.unwrap();
    let der = leaf(&issued.chain_pem);
    let (_, certificate) = parse_x509_certificate(&der).unwrap();
    assert_eq!(certificate.validity().not_before.timestamp(), 2_000_000_000);

    let mut order = scene.order("late.example").await;
    now.fetch_add(8 * 24 * 3600, Ordering::Relaxed);
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Invalid);
}
