//! The CA's state. Everything is found by id, without searching.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accounts::Accounts;
use super::authorizations::Authorization;
use super::certificates::Certificate;
use super::control::Knobs;
use super::crl::RevokedEntry;
use super::history::History;
use super::issue::Issuer;
use super::limits::Ledger;
use super::nonces::Nonces;
use super::oddities::Oddities;
use super::orders::Order;
use super::validation::Validator;
use super::{CaOptions, RevokedCertificate};
use crate::sync::{lock, read, write};
use crate::{Clock, SandboxError};

pub(super) struct State {
    pub(super) accounts: Accounts,
    pub(super) orders: Registry<u64, Order>,
    pub(super) authorizations: Registry<u64, Authorization>,
    /// By their identifier of RFC 9773.
    pub(super) certificates: Registry<String, Certificate>,
    pub(super) nonces: Nonces,
    pub(super) issuer: Issuer,
    pub(super) validator: Validator,
    pub(super) knobs: Knobs,
    pub(super) odd: Oddities,
    pub(super) counters: Counters,
    pub(super) history: History,
    pub(super) ledger: Ledger,
    pub(super) clock: Clock,
    /// HMAC keys by key identifier; when there are any, an account needs one.
    pub(super) eab: HashMap<String, Vec<u8>>,
    pub(super) caa_identities: Vec<String>,
    pub(super) reuse_authorizations: bool,
    pub(super) admin: bool,
    tasks: TaskTracker,
    stop: CancellationToken,
    pub(super) last_id: AtomicU64,
}

impl State {
    pub(super) fn new(options: CaOptions) -> Result<Self, SandboxError> {
        Ok(Self {
            accounts: Accounts::default(),
            orders: Registry::default(),
            authorizations: Registry::default(),
            certificates: Registry::default(),
            nonces: Nonces::default(),
            issuer: Issuer::make()?,
            validator: Validator {
                nameserver: options.dns,
                http_port: options.http_port,
                https_port: options.https_port,
                patience: options.validation_timeout,
            },
            knobs: Knobs::new(options.lifetime, options.profiles, options.order_life),
            odd: Oddities::default(),
            counters: Counters::default(),
            history: History::default(),
            ledger: Ledger::new(options.clock.clone()),
            clock: options.clock,
            eab: options.eab,
            caa_identities: options.caa_identities,
            reuse_authorizations: options.reuse_authorizations,
            admin: options.admin,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            last_id: AtomicU64::new(0),
        })
    }

    /// Runs a validation or a delayed issuance beside the requests.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(work));
    }

    /// Ends what was spawned.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Now, in whole seconds, which is what ACME and certificates carry.
    pub(super) fn now(&self) -> Timestamp {
        let now = (self.clock)();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Ids grow, so that "all orders up to now" is one number.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Later by that much; at the end of time if that is sooner.
pub(super) fn after(moment: Timestamp, lapse: std::time::Duration) -> Timestamp {
    let lapse = SignedDuration::try_from(lapse).unwrap_or(SignedDuration::MAX);
    moment.saturating_add(lapse).unwrap_or(Timestamp::MAX)
}

/// Objects by id.
pub(super) struct Registry<K, T>(RwLock<HashMap<K, Arc<T>>>);

impl<K, T> Default for Registry<K, T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, T> Registry<K, T> {
    pub(super) fn get(&self, id: &K) -> Option<Arc<T>> {
        read(&self.0).get(id).cloned()
    }

    pub(super) fn insert(&self, id: K, object: Arc<T>) {
        write(&self.0).insert(id, object);
    }

    pub(super) fn clear(&self) {
        write(&self.0).clear();
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) certificates: AtomicU64,
    orders_ended: AtomicU64,
    pub(super) validations: AtomicU64,
    pub(super) revoked: Mutex<Vec<RevokedCertificate>>,
    /// The same, as they stand on the revocation list.
    pub(super) listed: Mutex<Vec<RevokedEntry>>,
    orders_at: Mutex<Vec<Timestamp>>,
    orders_by_name: Mutex<HashMap<String, u64>>,
    latest_tokens: Mutex<HashMap<String, String>>,
}

impl Counters {
    pub(super) fn count_order(&self, names: &[String], now: Timestamp) {
        lock(&self.orders_at).push(now);
        let mut by_name = lock(&self.orders_by_name);
        for name in names {
            *by_name.entry(name.clone()).or_default() += 1;
        }
    }

    /// The CA ended one without a certificate.
    pub(super) fn count_ended_order(&self) {
        self.orders_ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn orders_ended(&self) -> u64 {
        self.orders_ended.load(Ordering::Relaxed)
    }

    pub(super) fn note_token(&self, name: &str, token: &str) {
        lock(&self.latest_tokens).insert(name.to_owned(), token.to_owned());
    }

    pub(super) fn latest_token(&self, name: &str) -> Option<String> {
        lock(&self.latest_tokens).get(name).cloned()
    }

    pub(super) fn orders(&self) -> u64 {
        lock(&self.orders_at).len() as u64
    }

    pub(super) fn orders_at(&self) -> Vec<Timestamp> {
        lock(&self.orders_at).clone()
    }

    pub(super) fn orders_for(&self, name: &str) -> u64 {
        lock(&self.orders_by_name).get(name).copied().unwrap_or_default()
    }
}
