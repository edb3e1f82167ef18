//! The list in figures, a name's certificates, and keys that are destroyed: each process with its own database role.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{World, WorldOptions};
use serde_json::{Value, json};
use tests::{Mode, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(the_state_of_things_is_told, keys_of_a_deleted_domain_go_and_a_new_certificate_comes);

async fn running(mode: Mode, more_settings: &str) -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.more_settings = more_settings.to_owned();
    let mut manager = SslManager::new(mode, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    (world, manager)
}

/// Waits until what a command prints looks like that.
async fn prints(manager: &SslManager, command: &[&str], looks: impl Fn(&Value) -> bool) -> Value {
    tests::wait_for(&command.join(" "), LIMIT, || {
        let shown = manager.domain(command).json;
        std::future::ready(if looks(&shown) { Ok(shown) } else { Err(shown.to_string()) })
    })
    .await
}

async fn the_state_of_things_is_told(mode: Mode) {
    let (_world, mut manager) = running(mode, "").await;
    let unknown = "unknown.example.com";
    assert_eq!(manager.domain(&["add", unknown]).code, 0);
    manager.status(unknown, "Discard", LIMIT).await;

    let summary = manager.domain(&["summary"]).json;
    assert_eq!((&summary["statuses"]["Success"], &summary["statuses"]["Discard"]), (&json!(1), &json!(1)));
    let told = prints(&manager, &["overview"], |told| !told["reasons"][0].is_null()).await;
    let reason = json!({ "code": "unknown_to_c4", "who": "cdn_operator", "domains": 1 });
    assert_eq!(told["reasons"], json!([reason]));
    assert_eq!(told["statuses"], summary["statuses"]);
    let issued = told["issuance"].as_array().unwrap().iter();
    assert_eq!(issued.map(|day| day["issued"].as_u64().unwrap()).sum::<u64>(), 1);
    let live = told["days_left"].as_array().unwrap().iter();
    assert_eq!(live.map(|day| day["domains"].as_u64().unwrap()).sum::<u64>(), 1);
    assert_eq!((&told["overdue"], &told["oldest_due_at"]), (&json!(0), &Value::Null));

    let table = manager.run(&["domain", "overview"], "");
    assert_ne!(table.code, 0, "not without a token");
}

async fn keys_of_a_deleted_domain_go_and_a_new_certificate_comes(mode: Mode) {
    let (_world, mut manager) = running(mode, "[retention]\ndeleted_keys_days = 0\n").await;
    let before = manager.domain(&["certificates", NAME]).json;
    assert_eq!((&before[0]["live"], &before[0]["has_key"]), (&json!(true), &json!(true)));
    assert!(before[0]["uploaded_at"].is_string() && before[1].is_null(), "{before}");

    assert_eq!(manager.domain(&["delete", NAME, "--yes"]).code, 0);
    prints(&manager, &["history", NAME], |history| history[0]["kind"] == "keys_destroyed").await;
    let after = manager.domain(&["certificates", NAME]).json;
    assert_eq!((&after[0]["live"], &after[0]["has_key"]), (&json!(false), &json!(false)));
    assert_eq!(after[0]["sha256"], before[0]["sha256"]);

    assert_eq!(manager.domain(&["generate", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    let shown = manager.domain(&["certificates", NAME]).json;
    assert_eq!((&shown[0]["live"], &shown[1]["live"]), (&json!(true), &json!(false)));
    assert_ne!(shown[0]["sha256"], before[0]["sha256"], "it was ordered anew");
    let refused = manager.domain(&["rollback", NAME]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("nothing to roll"), "{}", refused.stderr);
}
