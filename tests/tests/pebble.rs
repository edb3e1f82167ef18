//! Against the CA that we did not write: a domain gets a certificate that a TLS client accepts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{World, WorldOptions, handshake};
use tests::{Mode, Pebble, SslManager, Surroundings, certificate_and_key_belong_together, sha256_of_leaf};

const LIMIT: Duration = Duration::from_mins(1);

tests::in_both_modes!(
    a_domain_becomes_success_and_a_tls_client_accepts_its_certificate,
    sixteen_domains_at_once_all_succeed,
    a_compromised_certificate_is_replaced_and_revoked
);

async fn start(mode: Mode) -> (World, Pebble, SslManager, tempfile::TempDir) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path(), world.edge.http_addr().port()).await;
    let mut manager = SslManager::new(mode, &Surroundings::pebble(&pebble, &world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    (world, pebble, manager, folder)
}

async fn is_served(world: &World, pebble: &Pebble, name: &str, shown: &serde_json::Value) {
    let held = world.c4.control().certificate(name).expect("C4 holds a certificate");
    assert!(certificate_and_key_belong_together(&held.certificate_pem, &held.private_key_pem), "{name}");
    assert_eq!(sha256_of_leaf(&held.certificate_pem), shown["certificate"]["sha256"], "{name}");
    let root = pebble.issuing_root_pem().await;
    let leaf = handshake(world.edge.https_addr(), name, &root).await.expect("a client that trusts the root");
    assert!(held.certificate_pem.matches("BEGIN CERTIFICATE").count() >= 2, "the chain comes along");
    let of_leaf = sandbox::served_sha256(world.edge.https_addr(), name).await.unwrap();
    assert!(!leaf.is_empty());
    assert_eq!(of_leaf.as_deref(), shown["certificate"]["sha256"].as_str(), "{name}");
}

async fn a_domain_becomes_success_and_a_tls_client_accepts_its_certificate(mode: Mode) {
    let (world, pebble, mut manager, _folder) = start(mode).await;
    let name = "shop.example.com";
    world.point_at_cdn(name);
    pebble.set_cname(name, world.cdn_target()).await;
    let added = manager.domain(&["add", name]);
    assert_eq!((added.code, added.json["status"].as_str()), (0, Some("Pending")), "{}", added.stderr);
    let shown = manager.status(name, "Success", LIMIT).await;
    assert_eq!(shown["source"], "c4");
    is_served(&world, &pebble, name, &shown).await;

    let history = manager.domain(&["history", name]);
    let kinds: Vec<&str> = history
        .json
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["kind"].as_str())
        // A CA may keep us waiting in between.
        .filter(|kind| *kind != "ca_waiting")
        .collect();
    assert_eq!(kinds, ["certificate_uploaded", "certificate_issued", "order_placed", "added"]);
}

async fn sixteen_domains_at_once_all_succeed(mode: Mode) {
    let (world, pebble, mut manager, _folder) = start(mode).await;
    let names: Vec<String> = (0..16).map(|number| format!("d{number}.example.com")).collect();
    for name in &names {
        world.point_at_cdn(name);
        pebble.set_cname(name, world.cdn_target()).await;
        assert_eq!(manager.domain(&["add", name]).code, 0);
    }
    for name in &names {
        let shown = manager.status(name, "Success", LIMIT).await;
        is_served(&world, &pebble, name, &shown).await;
    }
}

async fn a_compromised_certificate_is_replaced_and_revoked(mode: Mode) {
    let (world, pebble, mut manager, _folder) = start(mode).await;
    let name = "shop.example.com";
    world.point_at_cdn(name);
    pebble.set_cname(name, world.cdn_target()).await;
    assert_eq!(manager.domain(&["add", name]).code, 0);
    let first = manager.status(name, "Success", LIMIT).await["certificate"]["sha256"].clone();
    let revoke = ["revoke", name, "--reason", "key-compromise", "--yes"];
    assert_eq!(manager.domain(&revoke).code, 0);
    tests::wait_for("the revocation", LIMIT, || {
        let history = manager.domain(&["history", name]).json;
        let kinds: Vec<_> = history.as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
        std::future::ready(if kinds.contains(&&"revoked".into()) {
            Ok(())
        } else {
            Err(format!("{kinds:?}"))
        })
    })
    .await;
    let shown = manager.status(name, "Success", LIMIT).await;
    assert_ne!(shown["certificate"]["sha256"], first);
    is_served(&world, &pebble, name, &shown).await;
    // Asked for once more, it is the same wish.
    let again = ["revoke", name, "--reason", "key-compromise", "--yes", "--sha256", first.as_str().unwrap()];
    assert_eq!(manager.domain(&again).code, 0, "the same answer");
}
