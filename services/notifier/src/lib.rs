//! The notifier: sends notices to the endpoints of webhooks.
//!
//! A step writes its notices in its own transaction; notices that depend on time alone are found by this role
//! (`timers`). Each look takes the due notices and stores their deliveries in one transaction (`collect`), then
//! claims due deliveries and sends them (`send`). Rules. A receiver gets each notice at least once and with the same
//! id every time; a delivery that was sent but not stored as sent is sent again. Any number of copies may run without
//! a leader: a notice is taken once, and a delivery is leased. While no endpoint is enabled, notices are taken
//! without deliveries, and no key is needed.
//!
//! Why not bus events: they are hints that may be lost or duplicated, and a delivery must survive both.

mod body;
mod collect;
mod send;
mod signature;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dns::Nameservers;
use domain::{EndpointId, EndpointState};
use jiff::SignedDuration;
use rehearsal::{PostAddresses, Poster};
use runtime::{Context, RoleError};
use store::{Endpoint, StoreError};
use tokio::task::JoinSet;

pub use signature::{EVENT_ID_HEADER, SIGNATURE_HEADER, sign};

/// Interval between looks for due notices and deliveries.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Number of looks between two runs of the timers: ends of certificates, reports, metrics, deletion of old rows.
const TIMER_INTERVAL: u32 = 60;
/// Maximum number of requests in flight.
const MAX_IN_FLIGHT: usize = 16;
/// Requests in flight to one endpoint, so that a slow one leaves room for others.
const MAX_OF_ENDPOINT: usize = 4;
/// Rows per transaction.
const BATCH: u32 = 500;
/// How long deliveries are kept, accepted or not.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Runs the notifier until it is stopped.
pub async fn run(context: Context) -> Result<(), RoleError> {
    let mut notifier = Notifier::new(context.clone())?;
    context.health.ok("notifier");
    let stop = context.stop.soft().clone();
    while !stop.is_cancelled() {
        match notifier.look().await {
            Ok(()) => notifier.tell_health(),
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "webhooks failed, they are tried again");
                context.health.bad("notifier", error.to_string());
            }
        }
        tokio::select! {
            () = context.clock.sleep(LOOK_INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
    notifier.settle().await;
    Ok(())
}

/// The notifier's state; for [`run`], and for callers that run looks by hand.
pub struct Notifier {
    context: Context,
    sender: Arc<send::Sender>,
    in_flight: JoinSet<EndpointId>,
    by_endpoint: HashMap<EndpointId, usize>,
    looks: u32,
}

impl Notifier {
    /// A notifier before its first look.
    pub fn new(context: Context) -> Result<Self, RoleError> {
        let settings = &context.config.notifier;
        let root = settings.root_certificate_pem()?;
        let addresses = PostAddresses {
            allowed: settings.allow_addresses.clone().into(),
            refused: context.config.preflight.refuse_addresses.clone().into(),
        };
        let poster = Poster::new(addresses, root.as_deref()).map_err(|problem| {
            RoleError::setting("notifier.root_certificate_file", runtime::chain(&problem))
        })?;
        let nameservers = Nameservers::new(context.config.dns.nameservers.clone())
            .map_err(|problem| RoleError::setting("dns.nameservers", runtime::chain(&problem)))?;
        let sender = Arc::new(send::Sender::new(context.clone(), poster, nameservers));
        Ok(Self { context, sender, in_flight: JoinSet::new(), by_endpoint: HashMap::new(), looks: 0 })
    }

    /// Looks once: stores deliveries of due notices, and starts sending due deliveries; also runs the timers now and
    /// then, starting with the first look.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let look = self.looks;
        self.looks = look.wrapping_add(1);
        let has_endpoints = self.context.store.count_endpoints(EndpointState::Enabled).await? > 0;
        if look.is_multiple_of(TIMER_INTERVAL) {
            if has_endpoints {
                timers::sweep(&self.context).await?;
            }
            self.forget().await?;
            self.show_figures().await?;
        }
        collect::collect(&self.context).await?;
        if has_endpoints { self.send_due().await } else { Ok(()) }
    }

    /// Waits for the requests in flight.
    pub async fn settle(&mut self) {
        while self.in_flight.join_next().await.is_some() {}
        self.by_endpoint.clear();
    }

    async fn send_due(&mut self) -> Result<(), StoreError> {
        self.reap();
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Ok(());
        }
        let mut due = self.context.store.due_endpoints().await?;
        if due.is_empty() {
            return Ok(());
        }
        // Another one is first each time: several slow ones together leave room for others, too.
        let first = self.looks as usize % due.len();
        due.rotate_left(first);
        let endpoints = self.context.store.endpoints().await?;
        for endpoint in due.iter().filter_map(|id| endpoints.iter().find(|endpoint| endpoint.id == *id)) {
            self.send_to(endpoint).await?;
        }
        Ok(())
    }

    async fn send_to(&mut self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let of_endpoint = self.by_endpoint.get(&endpoint.id).copied().unwrap_or(0);
        let free = MAX_OF_ENDPOINT
            .saturating_sub(of_endpoint)
            .min(MAX_IN_FLIGHT.saturating_sub(self.in_flight.len()));
        if free == 0 {
            return Ok(());
        }
        let until = self.context.clock.now() + send::LEASE;
        let claimed = self.context.store.claim_deliveries(endpoint.id, free as u32, until).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        runtime::checkpoint("delivery-claimed").await;
        *self.by_endpoint.entry(endpoint.id).or_default() += claimed.len();
        for claimed in claimed {
            let (sender, endpoint) = (self.sender.clone(), endpoint.clone());
            self.in_flight.spawn(async move {
                sender.send(&claimed, &endpoint).await;
                endpoint.id
            });
        }
        Ok(())
    }

    /// Takes off the books what is not in flight any more.
    fn reap(&mut self) {
        while let Some(ended) = self.in_flight.try_join_next() {
            match ended {
                Ok(endpoint) => {
                    if let Some(count) = self.by_endpoint.get_mut(&endpoint) {
                        *count = count.saturating_sub(1);
                    }
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "a request to an endpoint ended badly");
                }
            }
        }
        if self.in_flight.is_empty() {
            self.by_endpoint.clear();
        }
    }

    fn tell_health(&self) {
        match self.sender.trouble() {
            None => self.context.health.ok("notifier"),
            Some(trouble) => self.context.health.bad("notifier", trouble),
        }
    }

    async fn forget(&self) -> Result<(), StoreError> {
        while self.context.store.forget_deliveries(self.context.clock.now() - KEPT, BATCH).await?
            >= u64::from(BATCH)
        {}
        Ok(())
    }

    async fn show_figures(&self) -> Result<(), StoreError> {
        let store = &self.context.store;
        for state in EndpointState::ALL {
            let count = store.count_endpoints(state).await?;
            metrics::gauge!("ssl_manager_webhook_endpoints", "state" => state.as_str()).set(count as f64);
        }
        let (waiting, oldest) = store.waiting_deliveries().await?;
        metrics::gauge!("ssl_manager_webhooks_waiting").set(waiting as f64);
        let now = self.context.clock.now();
        let seconds = oldest.map_or(0.0, |since| now.duration_since(since).as_secs_f64().max(0.0));
        metrics::gauge!("ssl_manager_webhooks_waiting_seconds").set(seconds);
        Ok(())
    }
}
