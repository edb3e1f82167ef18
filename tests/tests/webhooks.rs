//! Webhooks end to end: an upload fails, a receiver is told; the notifier is killed at each of its steps, has a second copy,
//! and is driven from the terminal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sandbox::{Refusal, World, WorldOptions};
use serde_json::Value;
use tests::{Mode, Postgres, Receiver, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";
const STEPS: [&str; 5] =
    ["notices-read", "notices-taken", "deliveries-stored", "delivery-claimed", "delivery-sent"];

async fn world(mode: Mode) -> (World, SslManager, Receiver) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.c4.control().refuse(None, Refusal::unprocessable("quota exceeded"));
    (world, manager, Receiver::start().await)
}

/// An endpoint that is told of each emergency at once; returns its secret.
fn create(manager: &SslManager, receiver: &Receiver) -> String {
    let url = receiver.url.as_str();
    let made = manager.admin(&[
        "webhook",
        "create",
        "--name",
        "ops",
        "--url",
        url,
        "--kind",
        "emergency",
        "--alone",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    made.stdout.trim().to_owned()
}

fn ids(receiver: &Receiver) -> Vec<Value> {
    let events = receiver.received().into_iter().flat_map(|received| received.events());
    events.map(|event| event["id"].clone()).collect()
}

async fn is_told(receiver: &Receiver) {
    wait_for("the webhook", LIMIT, || {
        let told = receiver.received().iter().any(|received| {
            received.events().iter().any(|event| event["subject"] == NAME && event["kind"] == "emergency")
        });
        std::future::ready(if told { Ok(()) } else { Err(format!("{:?}", receiver.received())) })
    })
    .await;
}

/// kill -9 at each step: the receiver is told, and whatever comes twice has the same id.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_loses_no_notice() {
    for step in STEPS {
        let (_world, mut manager, receiver) = world(Mode::Embedded).await;
        manager.start().await;
        create(&manager, &receiver);
        // The report of a midnight without domains is taken before, so that the step is reached by the emergency alone.
        manager.process().kill_9();
        manager.start().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        manager.process().kill_9();
        manager.spawn(&[("SSL_MANAGER_STOP_AT", step)]);
        manager.ready().await;
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        manager.stopped_at(step).await;
        manager.process().kill_9();
        manager.start().await;
        is_told(&receiver).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let ids = ids(&receiver);
        let distinct: BTreeSet<String> = ids.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), 1, "{step}: {ids:?}");
        assert!(ids.len() == 1 || step == "delivery-sent", "{step}: {ids:?}");
    }
}

/// The steps of the notifier are the ones above.
#[test]
fn every_step_of_the_notifier_has_a_case() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../services/notifier/src"));
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(path).unwrap();
            let steps = text.split("checkpoint(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(steps.map(str::to_owned));
        }
    }
    assert_eq!(found, STEPS.map(str::to_owned).into());
}

/// Two notifiers with the database role of their own tell the receiver once; the API makes the endpoint with its own role.
#[tokio::test(flavor = "multi_thread")]
async fn two_notifiers_with_their_own_rights_tell_once() {
    let (_world, mut manager, receiver) = world(Mode::Scaled).await;
    manager.start().await;
    let key = manager.folder().join("data/sealing.key");
    std::fs::copy(key, manager.folder().join("data/notifier.key")).unwrap();
    let (postgres, role) = (Postgres::shared().await, "ssl_manager_notifier");
    let store = postgres.tls_url(role, &postgres.role_password(role), &manager.backends().database);
    let environment = [("SSL_MANAGER__STORE__URL", store.as_str())];
    let _one = manager.start_role("notifier", &environment).await;
    let _two = manager.start_role("notifier", &environment).await;
    create(&manager, &receiver);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    is_told(&receiver).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ids(&receiver).len(), 1);
}

/// From the terminal: made, listed, tried, switched off and on, sent again, deleted.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_drives_webhooks_from_the_terminal() {
    let (_world, mut manager, receiver) = world(Mode::Embedded).await;
    manager.start().await;
    let secret = create(&manager, &receiver);
    assert!(secret.starts_with("whsec_"), "{secret}");
    let run = |arguments: &[&str]| manager.admin(arguments);
    let listed = run(&["webhook", "list", "--output", "json"]);
    assert_eq!(listed.json[0]["name"], "ops");
    assert!(!listed.stdout.contains(&secret));
    let tried = run(&["webhook", "test", "ops", "--output", "json"]);
    assert_eq!((tried.code, &tried.json["state"]), (0, &Value::from("delivered")), "{tried:?}");
    let first = receiver.received().remove(0);
    assert_eq!(first.body["kind"], "test");
    assert_eq!(first.headers["ssl-manager-event-id"], first.body["id"]);
    assert!(is_signed(&secret, &first.headers["ssl-manager-signature"], &first.text));
    receiver.answer_with(500);
    let failed = run(&["webhook", "test", "ops"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("the answer was 500"), "{failed:?}");
    receiver.answer_with(200);
    assert_eq!(run(&["webhook", "disable", "ops"]).code, 0);
    assert_eq!(run(&["webhook", "test", "ops"]).code, 1);
    assert_eq!(run(&["webhook", "enable", "ops"]).code, 0);
    let before = receiver.received().len();
    let id = tried.json["id"].as_str().unwrap().to_owned();
    assert_eq!(run(&["webhook", "redeliver", &id]).code, 0);
    wait_for("the delivery again", LIMIT, || {
        let again =
            receiver.received().into_iter().skip(before).any(|again| again.body["id"] == first.body["id"]);
        std::future::ready(if again { Ok(()) } else { Err(String::new()) })
    })
    .await;
    assert_eq!(run(&["webhook", "delete", "ops"]).code, 0);
    assert_eq!(run(&["webhook", "show", "ops"]).code, 1);
    let denied = manager.new_token("support");
    assert_eq!(manager.run(&["webhook", "list"], &denied).code, 1);
}

/// As a receiver checks it: HMAC-SHA-256 of the time, a dot and the body.
fn is_signed(secret: &str, signature: &str, body: &str) -> bool {
    let (time, mac) = signature.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let line = format!("{time}.{body}");
    let mut openssl = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", secret, "-hex"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), line.as_bytes()).unwrap();
    let printed = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    printed.trim().ends_with(mac)
}
