//! What a process prints and shows about itself.

use std::time::Duration;

use sandbox::{World, WorldOptions};
use serde_json::Value;
use tests::{Mode, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_on_request_and_metrics_count_what_was_done() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.spawn(&[("SSL_MANAGER__TELEMETRY__LOG_FORMAT", "json"), ("RUST_LOG", "debug")]);
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    let metrics = manager.metrics("all").await;
    for counted in ["ssl_manager_uploads_total{result=\"live\"} 1", "ssl_manager_messages_waiting "] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());

    let log = manager.log();
    assert!(log.lines().count() > 10, "{log}");
    let mut of_the_name = Vec::new();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(entry[field].is_string(), "{field} in {line}");
        }
        let is_of_the_name = entry["domain"] == NAME || entry["span"]["domain"] == NAME;
        if is_of_the_name && entry["level"] == "INFO" {
            of_the_name.push(entry);
        }
    }
    // The rehearsal before the order has its challenge answered, too.
    let position = |message: &str| of_the_name.iter().rposition(|entry| entry["message"] == message);
    let order =
        ["order placed", "challenge answered", "certificate issued", "certificate live at C4"].map(position);
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?} of {of_the_name:#?}");
    let placed = &of_the_name[order[0].unwrap()];
    assert!(placed["order.url"].as_str().is_some_and(|url| url.starts_with("http")), "{placed}");
    assert!(of_the_name[order[2].unwrap()]["seconds"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_colour_goes_where_no_terminal_is() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());
    let log = manager.log();
    assert!(log.contains("INFO") && !log.contains('\u{1b}'), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_what_readyz_says() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    let admin = manager.setting("all", "SSL_MANAGER__ADMIN__LISTEN");
    let settings = [("SSL_MANAGER__ADMIN__LISTEN", admin.as_str())];
    let before = manager.run_with(&["health"], &settings);
    assert_eq!(before.code, 1, "{before:?}");
    assert!(before.stderr.starts_with("NOT_RUNNING: "), "{before:?}");
    manager.start().await;
    let ready = manager.run_with(&["health"], &settings);
    assert_eq!(ready.code, 0, "{ready:?}");
    assert!(ready.stdout.contains("store: ok"), "{ready:?}");
}
