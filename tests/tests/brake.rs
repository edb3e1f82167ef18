//! The brake: what an operator pauses is sent nothing by any process, and what waits goes on once that is lifted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{Ca, CaOptions, ValidationResult, World, WorldOptions};
use serde_json::{Value, json};
use tests::{Answer, Mode, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
/// From the lifting of a pause to a certificate at C4.
const GOES_ON_WITHIN: Duration = Duration::from_secs(20);
/// A pause holds everywhere a second after it was stored.
const HOLDS_AFTER: Duration = Duration::from_millis(1200);
const NAME: &str = "shop.example.com";
const OTHER: &str = "blog.example.com";

tests::in_both_modes!(
    c4_is_sent_nothing_while_it_is_paused_whatever_dies,
    one_of_two_issuers_is_paused_then_both,
    what_makes_no_sense_is_refused
);

/// Two issuers, of which the second has a CA of its own.
async fn running(mode: Mode) -> (World, Ca, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let second = Ca::start(CaOptions::default()).await.unwrap();
    for ca in [world.ca.control(), second.control()] {
        ca.validation_default(ValidationResult::Valid);
    }
    let folder = tempfile::tempdir().unwrap().keep();
    let root = folder.join("second.pem");
    std::fs::write(&root, second.api_root_pem()).unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.more_settings = format!(
        "[[acme.issuers]]\nname = \"second\"\ndirectory_url = \"{}\"\nroot_certificate_file = \"{}\"\n",
        second.directory_url(),
        root.display()
    );
    let mut manager = SslManager::new(mode, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.point_at_cdn(OTHER);
    manager.start().await;
    (world, second, manager)
}

fn brake(manager: &SslManager, arguments: &[&str]) -> Answer {
    manager.admin(&[&["--output", "json"], arguments].concat())
}

fn paused(manager: &SslManager) -> Value {
    brake(manager, &["paused"]).json
}

async fn reason(manager: &SslManager, name: &str, code: &str) -> Value {
    wait_for(&format!("the reason {code}"), LIMIT, || {
        let shown = manager.domain(&["show", name]).json;
        std::future::ready(if shown["reason"]["code"] == code { Ok(shown) } else { Err(shown.to_string()) })
    })
    .await
}

/// Waits until the scheduler shows that.
async fn gauge(manager: &SslManager, series: &str, value: u8) {
    let role = if manager.readiness("all").await.is_empty() { "scheduler" } else { "all" };
    let line = format!("ssl_manager_paused{{{series}}} {value}");
    wait_for(&line, LIMIT, || {
        let metrics = manager.metrics(role);
        let line = line.clone();
        async move {
            let metrics = metrics.await;
            if metrics.lines().any(|shown| shown == line) { Ok(()) } else { Err("not yet".to_owned()) }
        }
    })
    .await;
}

async fn c4_is_sent_nothing_while_it_is_paused_whatever_dies(mode: Mode) {
    let (world, _second, mut manager) = running(mode).await;
    let (c4, ca) = (world.c4.control(), world.ca.control());
    // It is issued, and C4 is paused before it is asked for the upload.
    ca.delay(Duration::from_millis(700));
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    wait_for("the order", LIMIT, || {
        std::future::ready(if ca.orders_placed() == 1 { Ok(()) } else { Err("none yet".to_owned()) })
    })
    .await;
    let done = brake(&manager, &["pause", "c4", "--reason", "edge maintenance"]);
    assert_eq!((done.code, done.json["target"].as_str()), (0, Some("c4")), "{}", done.stderr);
    // The process dies right after that.
    manager.process().kill_9();
    manager.start().await;
    ca.delay(Duration::ZERO);
    tokio::time::sleep(HOLDS_AFTER).await;
    let asked = (c4.gets(NAME), c4.puts(NAME));
    assert_eq!(asked.1, 0);
    assert_eq!(manager.domain(&["add", OTHER]).code, 0);
    let shown = reason(&manager, NAME, "paused_by_operator").await;
    assert_eq!((shown["status"].as_str(), shown["reason"]["who"].as_str()), (Some("Pending"), Some("us")));
    let message = shown["reason"]["message"].as_str().unwrap();
    assert!(message.contains("Requests to C4 are paused by token:admin since"), "{message}");
    assert!(message.contains(": edge maintenance."), "{message}");
    reason(&manager, OTHER, "paused_by_operator").await;
    // What is pressed again and again changes nothing.
    for name in [NAME, OTHER] {
        assert_eq!(manager.domain(&["recheck", name]).code, 0);
    }
    assert_eq!(manager.domain(&["check", NAME]).json["ready"], false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((c4.gets(NAME), c4.puts(NAME), c4.gets(OTHER)), (asked.0, 0, 0));
    assert_eq!(ca.orders_for(OTHER), 0);
    gauge(&manager, "target=\"c4\",issuer=\"\"", 1).await;

    let resumed = brake(&manager, &["resume", "c4"]);
    assert_eq!((resumed.code, resumed.json["resumed"].as_bool()), (0, Some(true)));
    for name in [NAME, OTHER] {
        manager.status(name, "Success", GOES_ON_WITHIN).await;
        assert_eq!(ca.orders_for(name), 1, "{name}");
    }
    gauge(&manager, "target=\"c4\",issuer=\"\"", 0).await;
    let audit = manager.run(&["--output", "json", "audit", "list"], "").json;
    let calls: Vec<&str> =
        audit.as_array().unwrap().iter().filter_map(|line| line["call"].as_str()).collect();
    assert!(calls.contains(&"PauseOutbound") && calls.contains(&"ResumeOutbound"), "{calls:?}");
}

async fn one_of_two_issuers_is_paused_then_both(mode: Mode) {
    let (world, second, mut manager) = running(mode).await;
    assert_eq!(brake(&manager, &["pause", "ca", "--issuer", "test"]).code, 0);
    tokio::time::sleep(HOLDS_AFTER).await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    assert_eq!((world.ca.control().requests(), second.control().orders_placed()), (0, 1));

    let both = brake(&manager, &["pause", "ca", "--reason", "wrong chain"]);
    assert_eq!(both.code, 0, "{}", both.stderr);
    tokio::time::sleep(HOLDS_AFTER).await;
    let before = second.control().requests();
    assert_eq!(manager.domain(&["add", OTHER]).code, 0);
    reason(&manager, OTHER, "paused_by_operator").await;
    let sha256 = manager.domain(&["show", NAME]).json["certificate"]["sha256"].clone();
    assert_eq!(manager.domain(&["delete", NAME, "--yes"]).code, 0);
    let revoke = ["revoke", NAME, "--sha256", sha256.as_str().unwrap(), "--reason", "superseded", "--yes"];
    assert_eq!(manager.domain(&revoke).code, 0);
    wait_for("the wait of the revocation", LIMIT, || {
        let kind = manager.domain(&["history", NAME]).json[0]["kind"].clone();
        std::future::ready(if kind == "revocation_waiting" { Ok(()) } else { Err(kind.to_string()) })
    })
    .await;
    assert_eq!((world.ca.control().requests(), second.control().requests()), (0, before));

    // The first stays paused: what waited goes to the second.
    assert_eq!(brake(&manager, &["resume", "ca"]).code, 0);
    manager.status(OTHER, "Success", GOES_ON_WITHIN).await;
    assert_eq!(world.ca.control().requests(), 0);
    wait_for("the revocation", GOES_ON_WITHIN, || {
        let revoked = second.control().revoked().len();
        std::future::ready(if revoked == 1 { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await;
    assert_eq!(paused(&manager).as_array().unwrap().len(), 1);
    assert_eq!(paused(&manager)[0]["issuer"], "test");
}

async fn what_makes_no_sense_is_refused(mode: Mode) {
    let (_world, _second, manager) = running(mode).await;
    for (arguments, code, told) in [
        (&["pause", "ca", "--issuer", "nobody"][..], 1, "the issuers are second, test"),
        (&["pause", "c4", "--issuer", "test"], 1, "C4 has no issuers"),
        (&["resume", "ca"], 1, "nothing else is"),
        (&["pause", "dns"], 64, "say ca or c4"),
    ] {
        let refused = brake(&manager, arguments);
        assert_eq!(refused.code, code, "{arguments:?}");
        assert!(refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(paused(&manager), json!([]));
    let first = brake(&manager, &["pause", "ca", "--reason", "first"]).json;
    assert_eq!(brake(&manager, &["pause", "ca", "--reason", "second"]).json, first, "it stays as it is");
    assert_eq!(paused(&manager), json!([first]));
    let other = brake(&manager, &["resume", "ca", "--issuer", "test"]);
    assert!(other.code == 1 && other.stderr.contains("the certificate authorities"), "{}", other.stderr);
    let viewer = manager.new_token("viewer");
    let refused = manager.run(&["resume", "ca"], &viewer);
    assert!(refused.code == 1 && refused.stderr.contains("PERMISSION_DENIED"), "{}", refused.stderr);
    let rollover = manager.run(&["account", "rollover", "--issuer", "test"], "");
    assert_eq!(rollover.code, 1, "{}", rollover.stdout);
    assert_eq!(brake(&manager, &["resume", "ca"]).code, 0);
}
