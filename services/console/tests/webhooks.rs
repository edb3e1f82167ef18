//! The page of webhooks, over HTTP, before a real API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use jiff::Timestamp;
use store::{AuditEntry, FailedAttempt, FailureOf};

use served::{Served, served_with};

const PAGE: &str = "/webhooks";

async fn served() -> Served {
    let folder = tempfile::tempdir().unwrap().keep();
    served_with(|config| config.notifier.sealing_key_file = folder.join("notifier.key")).await
}

/// No test here has an endpoint switched off by its receiver.
fn unused_line() -> AuditEntry {
    AuditEntry {
        at: Timestamp::UNIX_EPOCH,
        actor: String::new(),
        peer: String::new(),
        call: String::new(),
        subject: String::new(),
        outcome: String::new(),
        detail: String::new(),
        request_id: String::new(),
    }
}

#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
#[tokio::test]
async fn an_administrator_makes_an_endpoint_and_sees_its_secret_once() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let empty = admin.get(PAGE).await;
    assert_eq!(empty.status, 200);
    assert!(
        empty.body.contains("There are no endpoints yet.")
            && empty.body.contains("aria-current=\"page\">Webhooks")
    );
    let fields = [
        ("action", "create"),
        ("name", "ops"),
        ("url", "https://hooks.example.net/<b>"),
        ("kind", "emergency"),
        ("labels", "team=a"),
        ("format", "slack"),
    ];
    let made = admin.send(PAGE, PAGE, &fields).await;
    assert!(made.body.contains("The secret of ops") && made.body.contains("whsec_"), "{}", made.body);
    assert!(!made.body.contains("<b>") && !made.body.contains("style=\""));
    assert!(made.header("cache-control").contains("no-store"), "{}", made.header("cache-control"));
    let shown = admin.get(PAGE).await;
    assert!(shown.body.contains("ops") && shown.body.contains("only team=a"), "{}", shown.body);
    assert!(!shown.body.contains("whsec_"));
    let tested = admin.send(PAGE, PAGE, &[("action", "test"), ("name", "ops")]).await;
    assert_eq!((tested.status, tested.header("location")), (303, "/webhooks?did=tested"));
    let shown = admin.get("/webhooks?did=tested").await;
    assert!(shown.body.contains("The test is sent within seconds") && shown.body.contains("To be sent"));
    let store = &served.context.store;
    let endpoint = store.endpoints().await.unwrap().remove(0).id;
    let claimed = store.claim_deliveries(endpoint, 1, served.context.clock.now()).await.unwrap().remove(0);
    let given_up = FailedAttempt {
        error: "the answer was 413".to_owned(),
        http_status: Some(413),
        due_at: served.context.clock.now(),
        of: FailureOf::Delivery { is_last: true, is_gone: false, off_if_refusing_since: Timestamp::MIN },
        line: unused_line(),
    };
    store.not_delivered(&claimed, &given_up).await.unwrap();
    let shown = admin.get(PAGE).await;
    assert!(shown.body.contains("Given up after 1 attempt<br>the answer was 413"), "{}", shown.body);
    assert!(
        shown.body.contains("https://hooks.example.net/…") && !shown.body.contains("hooks.example.net/&#60;")
    );
    let moved = [("action", "change"), ("name", "ops"), ("url", "https://moved.example.net/T0/B1")];
    let moved = admin.send(PAGE, PAGE, &moved).await;
    assert_eq!((moved.status, moved.header("location")), (303, "/webhooks?did=changed"));
    let shown = admin.get("/webhooks?did=changed").await.body;
    assert!(shown.contains("https://moved.example.net/…") && !shown.contains("T0/B1"), "{shown}");
    let renewed = admin.send(PAGE, PAGE, &[("action", "change"), ("name", "ops"), ("renew", "1")]).await;
    assert!(
        renewed.body.contains("The secret of ops") && renewed.body.contains("whsec_"),
        "{}",
        renewed.body
    );
    let nothing = admin.send(PAGE, PAGE, &[("action", "change"), ("name", "ops")]).await;
    assert!(nothing.body.contains("Nothing to change at ops"), "{}", nothing.body);
    for (action, expected) in [("disable", "Switch on ops"), ("enable", "Switch off ops")] {
        admin.send(PAGE, PAGE, &[("action", action), ("name", "ops")]).await;
        assert!(admin.get(PAGE).await.body.contains(expected), "{action}");
    }
    admin.send(PAGE, PAGE, &[("action", "delete"), ("name", "ops")]).await;
    assert!(admin.get(PAGE).await.body.contains("There are no endpoints yet."));
}

#[tokio::test]
async fn what_is_wrong_stands_above_the_form_with_what_was_typed() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let fields = [("action", "create"), ("name", "ops"), ("url", "https://127.0.0.1/x"), ("format", "json")];
    let refused = admin.send(PAGE, PAGE, &fields).await;
    assert!(refused.body.contains("loopback address"), "{}", refused.body);
    assert!(refused.body.contains("value=\"https://127.0.0.1/x\""));
    let fields = [("action", "create"), ("name", "ops"), ("url", "https://h.example/"), ("labels", "team")];
    assert!(admin.send(PAGE, PAGE, &fields).await.body.contains("Labels: "));
    let gone = admin.send(PAGE, PAGE, &[("action", "test"), ("name", "nobody")]).await;
    assert!(gone.body.to_lowercase().contains("there is no endpoint"), "{}", gone.body);
    assert!(admin.post(PAGE, &fields).await.body.contains("FORM_NOT_OURS"));
}

#[tokio::test]
async fn it_is_for_administrators() {
    let served = served().await;
    for role in [Role::Viewer, Role::Support, Role::KeyReader] {
        let other = served.browser(role).await;
        assert_eq!(other.get(PAGE).await.status, 403, "{role}");
        assert!(!other.get("/").await.body.contains("/webhooks"), "{role}");
        let sent = other.send("/", PAGE, &[("action", "delete"), ("name", "ops")]).await;
        assert_eq!(sent.status, 403, "{role}");
    }
}
