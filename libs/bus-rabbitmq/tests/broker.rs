//! What only a broker can do to us: refuse, go away, hand out nonsense.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::contract::Rig;
use bus::{Bus, BusError, Handler, Outcome, Queue};
use bus_rabbitmq::{DEAD, EVENTS, RabbitMqBus, RabbitMqOptions};
use domain::{DomainName, Event, EventId, EventKind};
use kit::Behind;
use reqwest::Method;
use runtime::SystemClock;
use runtime::testing::open_store;
use serde_json::json;
use store::Store;
use tests::{RabbitMq, wait_for};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_mins(1);
const REQUESTS: Queue = Queue { role: "issuer", kind: "certificate-requested", prefetch: 4 };

/// Tells the test what it was handed.
struct Telling(mpsc::UnboundedSender<String>);

#[async_trait]
impl Handler for Telling {
    async fn handle(&self, event: &Event) -> Outcome {
        self.0.send(event.name.to_string()).unwrap();
        Outcome::Done
    }
}

struct Consuming {
    names: mpsc::UnboundedReceiver<String>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), BusError>>,
    consumer: JoinHandle<Result<(), BusError>>,
}

fn start(bus: &Arc<dyn Bus>) -> Consuming {
    let (sender, names) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let (one, two) = (bus.clone(), bus.clone());
    let (stop_one, stop_two) = (stop.clone(), stop.clone());
    Consuming {
        names,
        stop,
        running: tokio::spawn(async move { one.run(stop_one).await }),
        consumer: tokio::spawn(
            async move { two.consume(REQUESTS, Arc::new(Telling(sender)), stop_two).await },
        ),
    }
}

impl Consuming {
    async fn next(&mut self) -> String {
        tokio::time::timeout(LIMIT, self.names.recv()).await.unwrap().unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.consumer.await.unwrap().unwrap();
        self.running.await.unwrap().unwrap();
    }
}

async fn publish(store: &Arc<Store>, label: &str) {
    let event = Event {
        id: EventId::from(uuid::Uuid::new_v4()),
        kind: EventKind::CertificateRequested,
        name: DomainName::parse(&format!("{label}.example.com")).unwrap(),
        revision: 1,
    };
    let mut tx = store.begin("publish").await.unwrap();
    tx.publish(event.kind, &event.name, event.revision);
    tx.commit().await.unwrap();
}

async fn expect_trouble(bus: &Arc<dyn Bus>, words: &str) {
    wait_for(words, LIMIT, || {
        let trouble = bus.trouble().unwrap_or_default();
        std::future::ready(if trouble.contains(words) { Ok(()) } else { Err(trouble) })
    })
    .await;
}

async fn expect_no_trouble(bus: &Arc<dyn Bus>) {
    wait_for("no trouble", LIMIT, || std::future::ready(bus.trouble().map_or(Ok(()), Err))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for_and_nothing_is_lost() {
    let rabbitmq: &'static mut RabbitMq = Box::leak(Box::new(RabbitMq::start().await));
    let vhost = rabbitmq.vhost().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let store = open_store(&path, Arc::new(SystemClock)).await.unwrap();
    rabbitmq.kill_9();

    let bus = kit::bus(store.clone(), &vhost.url, None);
    let mut consuming = start(&bus);
    expect_trouble(&bus, "relay: ").await;
    publish(&store, "before").await;
    rabbitmq.run().await;
    assert_eq!(consuming.next().await, "before.example.com");
    expect_no_trouble(&bus).await;

    rabbitmq.kill_9();
    expect_trouble(&bus, "ssl-manager.issuer.certificate-requested: ").await;
    publish(&store, "between").await;
    rabbitmq.run().await;
    // What was confirmed and not yet acknowledged may come again.
    while consuming.next().await != "between.example.com" {}
    expect_no_trouble(&bus).await;
    consuming.stop().await;
    assert_eq!(store.message_counts().await.unwrap(), (0, 0));
    rabbitmq.kill_9();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_falls_silent_is_given_up_and_nothing_is_lost() {
    let rabbitmq: &'static RabbitMq = Box::leak(Box::new(RabbitMq::start().await));
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let bus = behind.bus(&behind.vhost.url, None);
    let mut consuming = start(&bus);
    publish(&behind.store, "before").await;
    assert_eq!(consuming.next().await, "before.example.com");
    rabbitmq.freeze(true);
    for number in 0..20 {
        publish(&behind.store, &format!("silent{number}")).await;
    }
    expect_trouble(&bus, "relay: the broker does not answer").await;
    rabbitmq.freeze(false);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 20 {
        seen.insert(consuming.next().await);
    }
    expect_no_trouble(&bus).await;
    consuming.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_deleted_is_made_again() {
    let rabbitmq = RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let bus = behind.bus(&behind.vhost.url, None);
    let mut consuming = start(&bus);
    publish(&behind.store, "one").await;
    assert_eq!(consuming.next().await, "one.example.com");
    let path = format!("/queues/{}/ssl-manager.issuer.certificate-requested", behind.vhost.name);
    rabbitmq.must(Method::DELETE, &path, json!(null)).await;
    publish(&behind.store, "two").await;
    assert_eq!(consuming.next().await, "two.example.com");
    consuming.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_and_what_is_newer_are_set_aside_with_the_reason_and_hold_up_nobody() {
    let rabbitmq = RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let bus = behind.bus(&behind.vhost.url, None);
    let mut consuming = start(&bus);
    publish(&behind.store, "first").await;
    assert_eq!(consuming.next().await, "first.example.com");

    // Field 1 of an event is its version: 250 is one that is not written yet.
    for body in ["//8=", "CPoB"] {
        let message = json!({
            "properties": { "headers": { "traceparent": "nonsense" } },
            "routing_key": "certificate-requested", "payload": body, "payload_encoding": "base64",
        });
        let path = format!("/exchanges/{}/{EVENTS}/publish", behind.vhost.name);
        let routed = rabbitmq.must(Method::POST, &path, message).await;
        assert_eq!(routed["routed"], true);
    }
    publish(&behind.store, "last").await;
    assert_eq!(consuming.next().await, "last.example.com");
    wait_for("both aside", LIMIT, || async {
        let counts = behind.counts().await;
        if counts == (0, 2) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    let dead = rabbitmq.peek(&behind.vhost, DEAD, 10).await;
    let mut reasons: Vec<&str> =
        dead.iter().map(|message| message["properties"]["headers"]["x-reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert!(reasons[1].contains("250"), "{reasons:?}");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for message in &dead {
        let queue = &message["properties"]["headers"]["x-queue"];
        assert_eq!(queue, "ssl-manager.issuer.certificate-requested");
    }
    let bodies: Vec<&str> = dead.iter().map(|message| message["payload"].as_str().unwrap()).collect();
    assert!(bodies.contains(&"//8=") && bodies.contains(&"CPoB"), "nothing is lost: {bodies:?}");
    consuming.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_trouble_until_it_is_right() {
    let rabbitmq = RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let user = format!("late-{}", behind.vhost.name);
    let url = rabbitmq.url(&user, "right", &behind.vhost.name);
    let bus = behind.bus(&url, None);
    let mut consuming = start(&bus);
    expect_trouble(&bus, "ACCESS_REFUSED").await;
    assert!(!bus.trouble().unwrap().contains("right"));
    publish(&behind.store, "early").await;
    let account = json!({ "password": "right", "tags": "" });
    rabbitmq.must(Method::PUT, &format!("/users/{user}"), account).await;
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    let path = format!("/permissions/{}/{user}", behind.vhost.name);
    rabbitmq.must(Method::PUT, &path, all).await;
    assert_eq!(consuming.next().await, "early.example.com");
    expect_no_trouble(&bus).await;
    consuming.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_ends_it_with_a_sentence() {
    let rabbitmq = RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let user = format!("weak-{}", behind.vhost.name);
    let url = rabbitmq.user(&behind.vhost, &user, "^$", ".*", ".*").await;
    let consuming = start(&behind.bus(&url, None));
    for ended in [consuming.running, consuming.consumer] {
        let error = tokio::time::timeout(LIMIT, ended).await.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, BusError::Refused(_)), "{error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains(EVENTS) && sentence.contains("permission"), "{sentence}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_ends_it_with_a_sentence() {
    let rabbitmq = RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let path = format!("/queues/{}/{DEAD}", behind.vhost.name);
    rabbitmq.must(Method::PUT, &path, json!({ "durable": true })).await;
    let consuming = start(&behind.bus(&behind.vhost.url, None));
    let error = consuming.running.await.unwrap().unwrap_err();
    assert!(matches!(&error, BusError::Refused(sentence) if sentence.contains("delete")), "{error}");
    consuming.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_a_root_that_is_trusted() {
    let rabbitmq = RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = Behind::new(rabbitmq, vhost).await;
    let url = rabbitmq.over_tls(&behind.vhost.url);
    let stranger = behind.bus(&url, None);
    let consuming = start(&stranger);
    expect_trouble(&stranger, "relay: ").await;
    consuming.stop().await;

    let bus = behind.bus(&url, Some(rabbitmq.root_file()));
    let mut consuming = start(&bus);
    publish(&behind.store, "sealed").await;
    assert_eq!(consuming.next().await, "sealed.example.com");
    consuming.stop().await;
}

#[test]
fn a_bad_url_is_refused_without_being_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let path = folder.path().join("outbox.db");
    let store = runtime.block_on(open_store(&path, Arc::new(SystemClock))).unwrap();
    let options = |url: &str, root: Option<&str>| RabbitMqOptions {
        url: url.to_owned(),
        root_certificate_file: root.map(Into::into),
        name: "test".to_owned(),
        relay: true,
    };
    for options in [
        options("amqp://user:secret@host:port/vhost", None),
        options("amqps://user:secret@host/vhost", Some("/nowhere/root.pem")),
    ] {
        let refused = RabbitMqBus::new(options, store.clone(), Arc::new(SystemClock));
        let Err(BusError::Setting(sentence)) = refused else {
            panic!("it was not refused");
        };
        assert!(sentence.starts_with("bus.") && !sentence.contains("secret"), "{sentence}");
    }
}
