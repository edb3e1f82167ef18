//! The cases that every backend of the [`Bus`] passes.
//!
//! A backend's test provides a fresh store, a bus over it and access to its internals ([`Rig`]), and calls
//! [`bus_contract!`](crate::bus_contract).

#![expect(clippy::missing_panics_doc, reason = "a case fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::{DomainName, Event, EventId, EventKind};
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Bus, BusError, Handler, Outcome, Queue};

/// A test's access to the internals of a bus.
#[async_trait]
pub trait Rig: Send + Sync {
    /// How many messages wait to be handled (those in hand included), and how many were set aside.
    async fn counts(&self) -> (u64, u64);

    /// Frees what a consumer that died had in hand, where nothing else does at once.
    async fn consumer_died(&self);
}

/// Makes one test per case. `$setup` is an async function that returns `(Arc<Store>, Arc<dyn Bus>, Arc<dyn Rig>)`.
#[macro_export]
macro_rules! bus_contract {
    ($setup:path) => {
        $crate::bus_contract!($setup:
            a_committed_event_is_handled_once, what_was_rolled_back_is_never_seen, retry_comes_again,
            a_dead_message_is_set_aside_and_blocks_nobody, prefetch_bounds_what_is_in_hand,
            an_unanswered_message_outlives_its_consumer, stop_waits_for_what_is_in_hand,
            queues_do_not_wait_for_each_other, a_broadcast_reaches_every_listener);
    };
    ($setup:path: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (store, bus, rig) = $setup().await;
                $crate::contract::$case(store, bus, rig).await;
            }
        )*
    };
}

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const REQUESTS: Queue = Queue { role: "issuer", kind: "certificate-requested", prefetch: 4 };
const DELETIONS: Queue = Queue { role: "c4-uploader", kind: "domain-deleted", prefetch: 4 };

/// A handler that answers as a script says, by the number of times it saw a name.
struct Scripted {
    seen: Mutex<HashMap<String, usize>>,
    changed: Notify,
    most_at_once: AtomicUsize,
    at_once: AtomicUsize,
    gate: Option<Semaphore>,
    answer: fn(&str, usize) -> Outcome,
}

impl Scripted {
    fn new(answer: fn(&str, usize) -> Outcome) -> Arc<Self> {
        Self::gated(answer, None)
    }

    fn gated(answer: fn(&str, usize) -> Outcome, gate: Option<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            changed: Notify::new(),
            most_at_once: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            gate,
            answer,
        })
    }

    fn times(&self, name: &str) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(0)
    }

    async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if reached(self) {
                    return;
                }
                changed.await;
            }
        };
        assert!(tokio::time::timeout(TIMEOUT, wait).await.is_ok(), "never came: {what}");
    }
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, event: &Event) -> Outcome {
        let name = event.name.to_string();
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let times = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let times = seen.entry(name.clone()).or_default();
            *times += 1;
            *times
        };
        self.changed.notify_waiters();
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("the gate is never closed").forget();
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        (self.answer)(&name, times)
    }
}

fn event(name: &str, kind: EventKind) -> Event {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let id = uuid::Uuid::from_u128(NEXT.fetch_add(1, Ordering::SeqCst) as u128);
    let name = DomainName::parse(name).expect("a good name");
    Event { id: EventId::from(id), kind, name, revision: 1 }
}

/// Publishes events of these kinds and names; returns them as they were sent.
async fn publish(store: &Arc<Store>, events: &[Event]) -> Vec<Event> {
    let mut tx = store.begin("publish").await.expect("a transaction");
    let sent = events.iter().map(|event| tx.publish(event.kind.clone(), &event.name, event.revision));
    let sent = sent.collect();
    tx.commit().await.expect("committed");
    sent
}

/// A consumer, or the bus itself, at work.
struct RunningConsumer {
    stop: CancellationToken,
    task: JoinHandle<Result<(), BusError>>,
}

fn run(bus: &Arc<dyn Bus>) -> RunningConsumer {
    let stop = CancellationToken::new();
    let (bus, stopped) = (bus.clone(), stop.clone());
    let task = tokio::spawn(async move { bus.run(stopped).await });
    RunningConsumer { stop, task }
}

/// Waits until that many messages wait and were set aside.
async fn expect_counts(rig: &dyn Rig, expected: (u64, u64)) {
    let mut seen = rig.counts().await;
    let reached = async {
        while seen != expected {
            tokio::time::sleep(POLL_INTERVAL).await;
            seen = rig.counts().await;
        }
    };
    let in_time = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
    assert!(in_time, "{seen:?} waiting and aside, not {expected:?}");
}

fn consume(bus: &Arc<dyn Bus>, queue: Queue, handler: Arc<Scripted>) -> RunningConsumer {
    let stop = CancellationToken::new();
    let (bus, stopped) = (bus.clone(), stop.clone());
    let task = tokio::spawn(async move { bus.consume(queue, handler, stopped).await });
    RunningConsumer { stop, task }
}

impl RunningConsumer {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .expect("it stops")
            .expect("without a panic")
            .expect("without an error");
    }
}

/// A committed event arrives, and is deleted once it was handled.
pub async fn a_committed_event_is_handled_once(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let running = run(&bus);
    let handler = Scripted::new(|_, _| Outcome::Done);
    publish(&store, &[event("a.example.com", EventKind::CertificateRequested)]).await;
    let consuming = consume(&bus, REQUESTS, handler.clone());
    publish(&store, &[event("b.example.com", EventKind::CertificateRequested)]).await;
    handler.until("both", |h| h.times("a.example.com") == 1 && h.times("b.example.com") == 1).await;
    consuming.stop().await;
    expect_counts(&*rig, (0, 0)).await;
    running.stop().await;
}

/// An event of a transaction that did not commit is not delivered.
pub async fn what_was_rolled_back_is_never_seen(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let running = run(&bus);
    let handler = Scripted::new(|_, _| Outcome::Done);
    let mut tx = store.begin("dropped").await.expect("a transaction");
    let lost = event("lost.example.com", EventKind::CertificateRequested);
    tx.publish(lost.kind, &lost.name, lost.revision);
    drop(tx);
    let consuming = consume(&bus, REQUESTS, handler.clone());
    publish(&store, &[event("kept.example.com", EventKind::CertificateRequested)]).await;
    handler.until("the kept one", |h| h.times("kept.example.com") == 1).await;
    consuming.stop().await;
    assert_eq!(handler.times("lost.example.com"), 0);
    expect_counts(&*rig, (0, 0)).await;
    running.stop().await;
}

/// A message that is not for now comes again, until it is done.
pub async fn retry_comes_again(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let running = run(&bus);
    let handler = Scripted::new(|_, times| match times {
        1 | 2 => Outcome::Retry { after: Duration::from_millis(10) },
        _ => Outcome::Done,
    });
    publish(&store, &[event("again.example.com", EventKind::CertificateRequested)]).await;
    let consuming = consume(&bus, REQUESTS, handler.clone());
    handler.until("the third time", |h| h.times("again.example.com") == 3).await;
    consuming.stop().await;
    expect_counts(&*rig, (0, 0)).await;
    running.stop().await;
}

/// A poison message ends aside; what comes after it is handled.
pub async fn a_dead_message_is_set_aside_and_blocks_nobody(
    store: Arc<Store>,
    bus: Arc<dyn Bus>,
    rig: Arc<dyn Rig>,
) {
    let running = run(&bus);
    let handler = Scripted::new(|name, _| match name {
        "poison.example.com" => Outcome::Dead { reason: "cannot be read".to_owned() },
        _ => Outcome::Done,
    });
    let poison = event("poison.example.com", EventKind::CertificateRequested);
    let good = event("good.example.com", EventKind::CertificateRequested);
    publish(&store, &[poison, good]).await;
    let consuming = consume(&bus, REQUESTS, handler.clone());
    handler.until("both", |h| h.times("good.example.com") == 1 && h.times("poison.example.com") == 1).await;
    consuming.stop().await;
    expect_counts(&*rig, (0, 1)).await;
    running.stop().await;
}

/// No more messages are in hand than the prefetch allows, and all of them are handled in the end.
pub async fn prefetch_bounds_what_is_in_hand(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let running = run(&bus);
    let handler = Scripted::gated(|_, _| Outcome::Done, Some(Semaphore::new(0)));
    let events: Vec<Event> = (0..20)
        .map(|number| event(&format!("d{number}.example.com"), EventKind::CertificateRequested))
        .collect();
    publish(&store, &events).await;
    let consuming = consume(&bus, REQUESTS, handler.clone());
    let in_hand = |h: &Scripted| h.at_once.load(Ordering::SeqCst);
    handler.until("a full hand", |h| in_hand(h) == usize::from(REQUESTS.prefetch)).await;
    handler.gate.as_ref().expect("gated").add_permits(events.len());
    handler.until("all", |h| h.seen.lock().unwrap_or_else(PoisonError::into_inner).len() == 20).await;
    consuming.stop().await;
    assert_eq!(handler.most_at_once.load(Ordering::SeqCst), usize::from(REQUESTS.prefetch));
    expect_counts(&*rig, (0, 0)).await;
    running.stop().await;
}

/// A consumer that dies with a message in hand loses nothing.
pub async fn an_unanswered_message_outlives_its_consumer(
    store: Arc<Store>,
    bus: Arc<dyn Bus>,
    rig: Arc<dyn Rig>,
) {
    let running = run(&bus);
    let dying = Scripted::gated(|_, _| Outcome::Done, Some(Semaphore::new(0)));
    publish(&store, &[event("orphan.example.com", EventKind::CertificateRequested)]).await;
    let consuming = consume(&bus, REQUESTS, dying.clone());
    dying.until("in hand", |h| h.times("orphan.example.com") == 1).await;
    consuming.task.abort();
    expect_counts(&*rig, (1, 0)).await;
    rig.consumer_died().await;
    let heir = Scripted::new(|_, _| Outcome::Done);
    let consuming = consume(&bus, REQUESTS, heir.clone());
    heir.until("the orphan", |h| h.times("orphan.example.com") == 1).await;
    consuming.stop().await;
    running.stop().await;
}

/// The stop takes nothing new and waits for what is in hand.
pub async fn stop_waits_for_what_is_in_hand(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let running = run(&bus);
    let handler = Scripted::gated(|_, _| Outcome::Done, Some(Semaphore::new(0)));
    publish(&store, &[event("slow.example.com", EventKind::CertificateRequested)]).await;
    let consuming = consume(&bus, REQUESTS, handler.clone());
    handler.until("in hand", |h| h.times("slow.example.com") == 1).await;
    consuming.stop.cancel();
    publish(&store, &[event("late.example.com", EventKind::CertificateRequested)]).await;
    assert!(!consuming.task.is_finished());
    handler.gate.as_ref().expect("gated").add_permits(1);
    consuming.stop().await;
    expect_counts(&*rig, (1, 0)).await;
    assert_eq!(handler.times("late.example.com"), 0);
    running.stop().await;
}

/// A full queue of one kind does not hold up another kind.
pub async fn queues_do_not_wait_for_each_other(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let running = run(&bus);
    let stuck = Scripted::gated(|_, _| Outcome::Done, Some(Semaphore::new(0)));
    let free = Scripted::new(|_, _| Outcome::Done);
    let mut events: Vec<Event> =
        (0..50).map(|n| event(&format!("s{n}.example.com"), EventKind::CertificateRequested)).collect();
    events.push(event("gone.example.com", EventKind::DomainDeleted));
    publish(&store, &events).await;
    let stuck_consumer = consume(&bus, REQUESTS, stuck.clone());
    stuck.until("a full hand", |h| h.at_once.load(Ordering::SeqCst) == 4).await;
    let free_consumer = consume(&bus, DELETIONS, free.clone());
    free.until("the other kind", |h| h.times("gone.example.com") == 1).await;
    free_consumer.stop().await;
    stuck.gate.as_ref().expect("gated").add_permits(events.len());
    stuck_consumer.stop().await;
    assert_eq!(rig.counts().await.1, 0, "nothing is set aside");
    running.stop().await;
}

/// Every listener hears a broadcast; no listener is fine.
pub async fn a_broadcast_reaches_every_listener(store: Arc<Store>, bus: Arc<dyn Bus>, rig: Arc<dyn Rig>) {
    let (mut first, mut second) = (bus.listen(), bus.listen());
    let running = run(&bus);
    let sent = publish(&store, &[event("heard.example.com", EventKind::StatusChanged)]).await;
    for listener in [&mut first, &mut second] {
        let heard = tokio::time::timeout(TIMEOUT, listener.recv()).await.expect("in time");
        assert_eq!([heard.expect("heard")], *sent);
    }
    drop((first, second));
    publish(&store, &[event("unheard.example.com", EventKind::ChallengeReady)]).await;
    expect_counts(&*rig, (0, 0)).await;
    running.stop().await;
}
