//! The bus inside one process: the messages table is the queue.
//!
//! A consumer leases messages, hands them out, and deletes them once handled; after a crash they are taken again. It
//! wakes on commits that published an event, and polls once a second for messages that became due or were given back.
//! Why not a channel in memory: a hint could be lost between the commit and the handling, and the two modes would
//! differ in an important point. Broadcasts concern only present listeners and do go through memory; only those from
//! commands on the same file are rows, polled once a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, BusError, Handler, Outcome, Queue};
use domain::{Clock, Delivery, Event, EventKind};
use jiff::SignedDuration;
use store::{Message, Published, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How long a taken message is reserved, unless the lease is renewed.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// How often taken messages are kept.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How often a queue is looked at without a wake-up.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Broadcasts of others moved, and handled messages deleted, in one go.
const BATCH: usize = 256;

/// See the crate's documentation.
pub struct EmbeddedBus {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedBus {
    /// A bus over the messages table of `store`.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn consume(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        stop: CancellationToken,
    ) -> Result<(), BusError> {
        let (done, done_receiver) = mpsc::unbounded_channel();
        let consumer = Arc::new(Consumer {
            store: self.store.clone(),
            clock: self.clock.clone(),
            handler,
            in_hand: Mutex::default(),
            done,
        });
        let deleter = tokio::spawn(delete_handled(self.store.clone(), done_receiver));
        let keeper = tokio::spawn(consumer.clone().keep());
        consumer.clone().take(queue, stop).await;
        keeper.abort();
        drop(consumer);
        // The deleter ends when the last handler has dropped its end of the channel.
        let _ = deleter.await;
        Ok(())
    }

    fn listen(&self) -> broadcast::Receiver<Event> {
        self.store.broadcasts().subscribe()
    }

    fn trouble(&self) -> Option<String> {
        // It has nothing of its own that could be away.
        None
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), BusError> {
        self.store.hear_broadcasts(true);
        let kinds = EventKind::words(Delivery::Broadcast);
        while stop.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await.is_some() {
            while self.move_broadcasts(&kinds).await.unwrap_or_else(|error| {
                say_waiting(&error);
                0
            }) > 0
            {}
        }
        self.store.hear_broadcasts(false);
        Ok(())
    }
}

impl EmbeddedBus {
    async fn move_broadcasts(&self, kinds: &[&'static str]) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let messages = self.store.take_messages(kinds, BATCH as u32, now + LEASE).await?;
        for message in &messages {
            // No listener is fine: a broadcast concerns only present listeners.
            let _ = self.store.broadcasts().send(message.event.clone());
        }
        if !messages.is_empty() {
            self.store.delete_messages(&messages).await?;
        }
        Ok(messages.len())
    }
}

/// The store is away: its messages wait there.
fn say_waiting(error: &StoreError) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "messages not taken, they are looked for again");
}

/// Waits for a commit that published an event of the kind beyond those that were `seen`, a second, or the stop.
async fn look_again(
    published: &mut watch::Receiver<Published>,
    kind: &str,
    seen: u64,
    stop: &CancellationToken,
) {
    tokio::select! {
        _ = published.wait_for(|published| published.of(kind) != seen) => {}
        () = tokio::time::sleep(POLL_INTERVAL) => {}
        () = stop.cancelled() => {}
    }
}

struct Consumer {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    handler: Arc<dyn Handler>,
    in_hand: Mutex<HashMap<i64, Message>>,
    done: mpsc::UnboundedSender<Message>,
}

impl Consumer {
    async fn take(self: Arc<Self>, queue: Queue, stop: CancellationToken) {
        let prefetch = Arc::new(Semaphore::new(usize::from(queue.prefetch)));
        let handlers = TaskTracker::new();
        let mut published = self.store.published();
        while !stop.is_cancelled() {
            let Some(first) = acquire_unless_stopped(&prefetch, &stop).await else {
                break;
            };
            let mut permits = vec![first];
            while let Ok(permit) = prefetch.clone().try_acquire_owned() {
                permits.push(permit);
            }
            let seen = published.borrow_and_update().of(queue.kind);
            let (now, asked) = (self.clock.now(), permits.len());
            let messages =
                self.store.take_messages(&[queue.kind], asked as u32, now + LEASE).await.unwrap_or_else(
                    |error| {
                        say_waiting(&error);
                        Vec::new()
                    },
                );
            let is_all = messages.len() < asked;
            for (message, permit) in messages.into_iter().zip(permits.drain(..)) {
                self.hand().insert(message.sequence, message.clone());
                handlers.spawn(self.clone().handle(message, permit));
            }
            if is_all {
                look_again(&mut published, queue.kind, seen, &stop).await;
            }
        }
        handlers.close();
        handlers.wait().await;
    }

    async fn handle(self: Arc<Self>, message: Message, _permit: OwnedSemaphorePermit) {
        let span = bus::span(&message.event, message.trace_parent.as_deref());
        let outcome = self.handler.handle(&message.event).instrument(span).await;
        self.hand().remove(&message.sequence);
        let answered = match outcome {
            Outcome::Done => {
                // The deleter outlives every consumer, so this cannot fail; if it did, the message comes again.
                let _ = self.done.send(message);
                return;
            }
            Outcome::Retry { after } => {
                let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
                let due_at = self.clock.now().saturating_add(after).unwrap_or(jiff::Timestamp::MAX);
                self.store.delay_message(&message, due_at).await
            }
            Outcome::Dead { reason } => {
                tracing::error!(message.id = %message.event.id, message.kind = message.event.kind.as_str(),
                    reason, "message set aside");
                metrics::counter!("ssl_manager_messages_dead_total").increment(1);
                self.store.bury_message(&message, &reason).await
            }
        };
        if let Err(error) = answered {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "message not answered, it will come again"
            );
        }
    }

    /// Keeps what is in hand from being taken again while a handler waits for a permit.
    async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(KEEP_INTERVAL).await;
            let messages: Vec<Message> = self.hand().values().cloned().collect();
            if messages.is_empty() {
                continue;
            }
            if let Err(error) = self.store.keep_messages(&messages, self.clock.now() + LEASE).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "messages not kept");
            }
        }
    }

    fn hand(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Message>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn acquire_unless_stopped(
    prefetch: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        permit = prefetch.clone().acquire_owned() => permit.ok(),
        () = stop.cancelled() => None,
    }
}

/// Deletes handled messages, as many at once as came while the last deletion ran.
async fn delete_handled(store: Arc<Store>, mut done: mpsc::UnboundedReceiver<Message>) {
    let mut batch = Vec::new();
    while done.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = store.delete_messages(&batch).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "messages not deleted, they will come again"
            );
        }
        batch.clear();
    }
}
