//! Messages between the roles: the [`Bus`] and [`Handler`] traits, and the contract suite of every backend.
//!
//! Publishing is not here: an event is published inside the transaction that changes state ([`store::Tx::publish`]),
//! and a bus only moves committed events. Messages are delivered at least once, may be late and out of order; delays,
//! attempts and timers are columns of the store, never features of a broker.

#[cfg(feature = "contract")]
pub mod contract;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Event;
use store::StoreError;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// The role that handles each kind of event.
pub const QUEUES: [(&str, &str); 4] = [
    ("issuer", "certificate-requested"),
    ("issuer", "revocation-requested"),
    ("c4-uploader", "cert-issued"),
    ("c4-uploader", "domain-deleted"),
];

/// A work queue: `ssl-manager.<role>.<kind>`, one of [`QUEUES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The role that handles it.
    pub role: &'static str,
    /// Which kind of event it takes, a word of [`domain::EventKind::WORDS`].
    pub kind: &'static str,
    /// Most messages handed out and not yet answered.
    pub prefetch: u16,
}

/// The result of handling a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Handled, or of no use any more. It is acknowledged.
    Done,
    /// Not now: it comes again.
    Retry {
        /// Not before that long.
        after: Duration,
    },
    /// Never: it is set aside with the reason.
    Dead {
        /// Why.
        reason: String,
    },
}

/// Handles a message. Must be idempotent.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one message; until it returns, the message is unacknowledged.
    async fn handle(&self, event: &Event) -> Outcome;
}

/// The span in which a message is handled, a part of its publisher's trace. For those who implement [`Bus`].
pub fn span(event: &Event, trace_parent: Option<&str>) -> tracing::Span {
    let span = tracing::info_span!("handle", otel.name = event.kind.as_str(), domain = %event.name);
    store::continue_trace(&span, trace_parent);
    span
}

/// Errors of a bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The store behind it failed.
    #[error("the message store failed")]
    Store(#[from] StoreError),
    /// The URL or a file that it needs cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The broker refuses what we ask of it from the start. Its configuration, or ours, must be changed.
    #[error("the broker refuses: {0}")]
    Refused(String),
}

/// Moves committed events.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Hands a queue's messages to `handler`, up to its prefetch at once, until `stop`; then waits for those in hand.
    async fn consume(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        stop: CancellationToken,
    ) -> Result<(), BusError>;

    /// Hears every broadcast from now on. A listener that is too slow misses some and is told so; it must not matter,
    /// because broadcasts are hints.
    fn listen(&self) -> broadcast::Receiver<Event>;

    /// Why messages do not move now, as a sentence.
    fn trouble(&self) -> Option<String>;

    /// Moves broadcasts (and, over a broker, everything published) until `stop`. Every process runs one; what passes,
    /// such as a database that is away, it waits for.
    async fn run(&self, stop: CancellationToken) -> Result<(), BusError>;
}
