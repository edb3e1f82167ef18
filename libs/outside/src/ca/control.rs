//! What a test can make the CA do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::state::{AuthorizationStatus, CaState, OrderStatus};

/// A resource of the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the resources of RFC 8555 section 7.1")]
pub enum Endpoint {
    NewAccount,
    NewOrder,
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
}

/// What happens when the CA looks at a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidationResult {
    /// It really looks.
    Real,
    /// Valid without looking.
    Valid,
    /// Invalid, for that reason.
    Invalid {
        /// Problem type without its prefix, for example `unauthorized`.
        problem: String,
        /// Its detail.
        detail: String,
    },
    /// It never finishes looking.
    Never,
}

/// An answer that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// JSON that ends in the middle.
    Truncated,
    /// A page of HTML with status 200.
    Html,
    /// More than anybody should read.
    Huge,
    /// On download: a certificate for another key.
    OtherKey,
    /// On download: a certificate for another name.
    OtherName,
}

/// Switches that the handlers read.
pub(crate) struct Behaviour {
    reject_nonces_percent: u8,
    nonces_seen: u64,
    pub(crate) lifetime: Duration,
    pub(crate) profiles: HashMap<String, Duration>,
    pub(crate) validation: HashMap<String, ValidationResult>,
    pub(crate) validate_at: Option<SocketAddr>,
    pub(crate) renewal_windows: HashMap<String, (Timestamp, Timestamp)>,
    pub(crate) down: bool,
    pub(crate) rate_limit: Option<u64>,
    pub(crate) delay: Duration,
    drop_answers: HashMap<Endpoint, u32>,
    nonsense: HashMap<Endpoint, Nonsense>,
}

impl Behaviour {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            reject_nonces_percent: 0,
            nonces_seen: 0,
            lifetime,
            profiles: HashMap::new(),
            validation: HashMap::new(),
            validate_at: None,
            renewal_windows: HashMap::new(),
            down: false,
            rate_limit: None,
            delay: Duration::ZERO,
            drop_answers: HashMap::new(),
            nonsense: HashMap::new(),
        }
    }

    /// Evenly spread, so that a run can be repeated.
    pub(crate) fn rejects_this_nonce(&mut self) -> bool {
        self.nonces_seen += 1;
        let percent = u64::from(self.reject_nonces_percent);
        self.nonces_seen * percent / 100 != (self.nonces_seen - 1) * percent / 100
    }

    pub(crate) fn drops_this_answer(&mut self, endpoint: Endpoint) -> bool {
        match self.drop_answers.get_mut(&endpoint) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn restore(&mut self, endpoint: Endpoint, nonsense: Nonsense) {
        self.nonsense.insert(endpoint, nonsense);
    }

    pub(crate) fn nonsense_now(&mut self, endpoint: Endpoint) -> Option<Nonsense> {
        self.nonsense.remove(&endpoint)
    }
}

/// What the CA does next, and what it did so far.
#[derive(Clone)]
pub struct CaControl {
    pub(crate) state: Arc<CaState>,
}

impl CaControl {
    /// So many percent of nonces are refused.
    pub fn reject_nonces(&self, percent: u8) {
        self.state.behaviour().reject_nonces_percent = percent.min(100);
    }

    /// How long certificates live from here on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.state.behaviour().lifetime = lifetime;
    }

    /// A profile and how long its certificates live.
    pub fn set_profile(&self, name: &str, lifetime: Duration) {
        self.state.behaviour().profiles.insert(name.to_owned(), lifetime);
    }

    /// What happens when it looks at challenges of a name.
    pub fn validation_result(&self, name: &str, result: ValidationResult) {
        self.state.behaviour().validation.insert(name.to_owned(), result);
    }

    /// Where it looks, whatever DNS says.
    pub fn validate_at(&self, address: Option<SocketAddr>) {
        self.state.behaviour().validate_at = address;
    }

    /// The suggested renewal window of a certificate, by its ARI id (RFC 9773 section 4.1).
    pub fn set_renewal_window(&self, certificate_id: &str, start: Timestamp, end: Timestamp) {
        self.state
            .behaviour()
            .renewal_windows
            .insert(certificate_id.to_owned(), (start, end));
    }

    /// Whether every request gets 503 with a Retry-After.
    pub fn down(&self, down: bool) {
        self.state.behaviour().down = down;
    }

    /// New orders get 429 with that Retry-After in seconds.
    pub fn rate_limit(&self, retry_after_seconds: Option<u64>) {
        self.state.behaviour().rate_limit = retry_after_seconds;
    }

    /// The next request there takes effect, but its answer is lost.
    pub fn drop_answer(&self, endpoint: Endpoint) {
        *self.state.behaviour().drop_answers.entry(endpoint).or_default() += 1;
    }

    /// The next answer there makes no sense.
    pub fn answer_nonsense(&self, endpoint: Endpoint, nonsense: Nonsense) {
        self.state.behaviour().nonsense.insert(endpoint, nonsense);
    }

    /// How long an order is processing before its certificate is there.
    pub fn delay(&self, delay: Duration) {
        self.state.behaviour().delay = delay;
    }

    /// Every order without a certificate runs out now, with its authorization.
    pub fn expire_orders(&self) {
        let mut tables = self.state.tables();
        let mut authorizations = Vec::new();
        for order in tables
            .orders
            .values_mut()
            .filter(|order| order.status != OrderStatus::Valid)
        {
            order.status = OrderStatus::Invalid;
            authorizations.push((
                order.authorization.clone(),
                (order.account.clone(), order.name.clone()),
            ));
        }
        for (id, usable) in authorizations {
            tables.usable.remove(&usable);
            if let Some(authorization) = tables.authorizations.get_mut(&id) {
                authorization.status = AuthorizationStatus::Invalid;
            }
        }
    }

    /// The challenge token of a name's usable authorization.
    pub fn token_for(&self, name: &str) -> Option<String> {
        let tables = self.state.tables();
        let mut usable = tables.usable.iter().filter(|((_, of), _)| of == name);
        let (_, id) = usable.next()?;
        tables
            .authorizations
            .get(id)
            .map(|authorization| authorization.token.clone())
    }

    /// Orders placed so far.
    pub fn orders_placed(&self) -> u64 {
        self.state.tables().orders_by_name.values().sum()
    }

    /// Orders placed so far for one name.
    pub fn orders_for(&self, name: &str) -> u64 {
        self.state.tables().orders_by_name.get(name).copied().unwrap_or(0)
    }

    /// Certificates issued so far.
    pub fn certificates_issued(&self) -> u64 {
        self.state.certificates_issued.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Contacts of every account.
    pub fn contacts(&self) -> Vec<Vec<String>> {
        self.state
            .tables()
            .accounts
            .values()
            .map(|account| account.contact.clone())
            .collect()
    }
}
