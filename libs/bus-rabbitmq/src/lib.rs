//! The bus over RabbitMQ.
//!
//! Events of a transaction stay in the messages table (the outbox) until a relay has published them with a confirm; the
//! relays of all processes share the table by leases. Work goes through quorum queues, one per role and kind, and is
//! acknowledged once it is handled; messages that cannot be handled end in `ssl-manager.dead` with their reason.
//! Broadcasts go to an exclusive queue of each listening process.
//!
//! The broker delays, counts and times nothing. After an outage each part (relay, consumers, listener) reconnects by
//! itself, and reports in [`Bus::trouble`] why it is not connected. Why not the client's own recovery: it covers lost
//! connections, but neither a closed channel nor a deleted queue, and a confirm that never comes looks like one that is
//! late.

mod consumer;
mod link;
mod listener;
mod message;
mod relay;
mod topology;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bus::{Bus, BusError, Handler, Queue};
use domain::{Clock, Event};
use store::Store;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub use topology::{DEAD, EVENTS};

use crate::link::Link;

/// Broadcasts held for a slow listener before it misses some.
const BROADCAST_CAPACITY: usize = 4096;

/// The options of the bus.
pub struct RabbitMqOptions {
    /// `amqp://` or `amqps://`, with user, password and virtual host.
    pub url: String,
    /// One more root to trust, PEM.
    pub root_certificate_file: Option<PathBuf>,
    /// The name of the process at the broker.
    pub name: String,
    /// Whether this process publishes what stands in the messages table. A process that may only read does not.
    pub relay: bool,
}

/// See the crate's documentation.
pub struct RabbitMqBus {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    link: Arc<Link>,
    relay: bool,
    broadcasts: broadcast::Sender<Event>,
    /// Whether there was ever a listener: a queue without a reader is not declared.
    wanted: watch::Sender<bool>,
}

impl RabbitMqBus {
    /// A bus at that URL. Connects when it runs, so that a broker which is away does not keep a process from starting.
    pub fn new(options: RabbitMqOptions, store: Arc<Store>, clock: Arc<dyn Clock>) -> Result<Self, BusError> {
        let (broadcasts, _) = broadcast::channel(BROADCAST_CAPACITY);
        Ok(Self {
            store,
            clock,
            relay: options.relay,
            link: Arc::new(Link::new(options)?),
            broadcasts,
            wanted: watch::Sender::new(false),
        })
    }
}

impl RabbitMqBus {
    /// Whether the broker lets us in and declares what we need of it. Nothing is left open.
    pub async fn check(&self) -> Result<(), BusError> {
        let refused = |error: link::LinkError| BusError::Refused(error.in_a_sentence());
        let channel = self.link.channel().await.map_err(refused)?;
        let declared = topology::declare(&channel).await.map_err(refused);
        self.link.close().await;
        declared
    }

    /// Connects by another URL from now on, as after a change of the password; the connection that is open stays.
    pub fn use_url(&self, url: &str) -> Result<(), BusError> {
        self.link.use_url(url)
    }
}

#[async_trait]
impl Bus for RabbitMqBus {
    async fn consume(
        &self,
        queue: Queue,
        handler: Arc<dyn Handler>,
        stop: CancellationToken,
    ) -> Result<(), BusError> {
        consumer::consume(&self.link, queue, handler, stop).await
    }

    fn listen(&self) -> broadcast::Receiver<Event> {
        let receiver = self.broadcasts.subscribe();
        self.wanted.send_replace(true);
        receiver
    }

    fn trouble(&self) -> Option<String> {
        self.link.trouble()
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), BusError> {
        let bound = CancellationToken::new();
        if !*self.wanted.borrow() {
            bound.cancel();
        }
        let relay = async {
            if !self.relay {
                return Ok(());
            }
            relay::run(&self.link, &self.store, &*self.clock, &bound, &stop).await
        };
        let listener = listener::run(&self.link, &self.broadcasts, self.wanted.subscribe(), &bound, &stop);
        tokio::try_join!(relay, listener)?;
        self.link.close().await;
        Ok(())
    }
}
