//! Test controls of a CA: faults, limits, lifetimes, windows. The rest of the CA reads them here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::ari::RenewalWindow;
use super::limits::{Limits, OrderRequest};
use super::problem::Problem;
use super::state::State;
use super::{CaRefusal, Endpoint, Nonsense, RevokedCertificate, ValidationResult};
use crate::serve::{LostPart, PlannedLosses};
use crate::sync::{lock, read, write};

/// Steers a running CA. Every setting holds until it is set again.
#[derive(Clone)]
pub struct CaControl(pub(super) Arc<State>);

impl CaControl {
    /// Refuses that share of good nonces with `badNonce`: evenly spread, so 50 is every second one.
    pub fn reject_nonces(&self, percent: u8) {
        self.0.knobs.reject_percent.store(percent.min(100), Ordering::Relaxed);
    }

    /// How long certificates live that are ordered without a profile.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.settings(|settings| settings.lifetime = lifetime);
    }

    /// Announces a profile and how long its certificates live.
    pub fn set_profile(&self, name: &str, lifetime: Duration) {
        self.settings(|settings| settings.profiles.insert(name.to_owned(), lifetime));
    }

    /// What comes of validating that name from now on. Anything but `Real` also makes the CA validate anew where it
    /// would have used an earlier authorization.
    pub fn validation_result(&self, domain: &str, result: ValidationResult) {
        self.settings(|settings| settings.validation.insert(domain.to_ascii_lowercase(), result));
    }

    /// What comes of validating names that [`CaControl::validation_result`] says nothing about.
    pub fn validation_default(&self, result: ValidationResult) {
        self.settings(|settings| settings.validation_default = result);
    }

    /// Validates by connecting there, without asking DNS.
    pub fn validate_at(&self, address: Option<SocketAddr>) {
        self.settings(|settings| settings.validate_at = address);
    }

    /// The window of ARI for a certificate (by its identifier of RFC 9773), for all certificates of a domain, or with
    /// none for all. Otherwise it is the last third of the lifetime.
    pub fn set_renewal_window(
        &self,
        certificate_or_domain: Option<&str>,
        start: Timestamp,
        end: Timestamp,
        explanation_url: Option<&str>,
    ) {
        let window = RenewalWindow { start, end, explanation_url: explanation_url.map(str::to_owned) };
        self.settings(|settings| settings.windows.insert(certificate_or_domain.map(str::to_owned), window));
    }

    /// When the CA wants to be asked about a certificate's renewal again; 6 h at first.
    pub fn ask_renewal_again_after(&self, wait: Duration) {
        self.settings(|settings| settings.ask_renewal_again_after = wait);
    }

    /// Takes back every window that was set.
    pub fn clear_renewal_windows(&self) {
        self.settings(|settings| settings.windows.clear());
    }

    /// Answers 503 with a Retry-After to everything.
    pub fn down(&self, down: bool) {
        self.0.knobs.down.store(down, Ordering::Relaxed);
    }

    /// Serves no revocation list.
    pub fn crl_down(&self, down: bool) {
        self.0.knobs.crl_down.store(down, Ordering::Relaxed);
    }

    /// Answers 429 `rateLimited` to new orders of that domain, or of all; no wait ends it.
    pub fn rate_limit(&self, domain: Option<&str>, retry_after: Option<Duration>) {
        let domain = domain.map(str::to_ascii_lowercase);
        self.settings(|settings| match retry_after {
            Some(wait) => settings.rate_limits.insert(domain, wait),
            None => settings.rate_limits.remove(&domain),
        });
    }

    /// Enforces limits as a real CA does, on the CA's clock, from now on and as if nothing had been used of them;
    /// [`Limits::default`] ends it.
    pub fn enforce(&self, limits: Limits) {
        self.0.ledger.enforce(limits);
    }

    /// New orders that were refused because of what [`CaControl::enforce`] enforces.
    pub fn refused_by_limits(&self) -> u64 {
        self.0.ledger.refused()
    }

    /// How long what [`CaControl::enforce`] enforces would refuse the newest account an order for that domain.
    pub fn wait_for_order(&self, domain: &str) -> Duration {
        let names = [domain.to_ascii_lowercase()];
        let account = self.0.accounts.newest();
        self.0.ledger.wait(&OrderRequest { account, names: &names, is_replacement: false })
    }

    /// How many new orders the newest account may place now; none without a limit.
    pub fn new_orders_left(&self) -> Option<u32> {
        self.0.ledger.new_orders_left(self.0.accounts.newest())
    }

    /// Closes the connection on the next good request to that endpoint, which comes to nothing.
    pub fn drop_request(&self, next: Endpoint) {
        self.0.knobs.drops.wish(next, LostPart::Request);
    }

    /// Processes the next good request to that endpoint, then closes the connection without an answer.
    pub fn drop_answer(&self, next: Endpoint) {
        self.0.knobs.drops.wish(next, LostPart::Answer);
    }

    /// Processes the next good request to that endpoint and answers nonsense. `OtherKey` and `OtherName` are for
    /// [`Endpoint::Certificate`]; elsewhere they change nothing.
    pub fn answer_nonsense(&self, next: Endpoint, nonsense: Nonsense) {
        lock(&self.0.knobs.nonsense).entry(next).or_default().push_back(nonsense);
    }

    /// Answers good requests to that endpoint with an error instead of doing what they ask for; none ends it.
    pub fn refuse(&self, endpoint: Endpoint, refusal: Option<CaRefusal>) {
        self.settings(|settings| match refusal {
            Some(refusal) => settings.refusals.insert(endpoint, refusal),
            None => settings.refusals.remove(&endpoint),
        });
    }

    /// What was revoked, in the order in which it was.
    pub fn revoked(&self) -> Vec<RevokedCertificate> {
        lock(&self.0.counters.revoked).clone()
    }

    /// Lets every order that is not valid, and every authorization that is pending, be expired.
    pub fn expire_orders(&self) {
        self.0.knobs.expired_up_to.store(self.0.last_id.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// How long the orders to come live, by the CA's clock.
    pub fn expire_order_after(&self, life: Duration) {
        self.settings(|settings| settings.order_life = life);
    }

    /// How long a finalized order is `processing`, in real time.
    pub fn delay(&self, delay: Duration) {
        self.settings(|settings| settings.finalize_delay = delay);
    }

    /// The Retry-After on pending orders and authorizations and on processing orders; none by default.
    pub fn poll_after(&self, wait: Option<Duration>) {
        self.settings(|settings| settings.poll_after = wait);
    }

    /// The challenge token of the newest authorization for that name.
    pub fn token_for(&self, domain: &str) -> Option<String> {
        self.0.counters.latest_token(domain)
    }

    /// Contacts of every account.
    pub fn contacts(&self) -> Vec<Vec<String>> {
        self.0.accounts.contacts()
    }

    /// Orders placed.
    pub fn orders_placed(&self) -> u64 {
        self.0.counters.orders()
    }

    /// When they were placed, by the CA's clock, in the order of their arrival.
    pub fn orders_placed_at(&self) -> Vec<Timestamp> {
        self.0.counters.orders_at()
    }

    /// Orders placed that have this name.
    pub fn orders_for(&self, domain: &str) -> u64 {
        self.0.counters.orders_for(domain)
    }

    /// Orders that the CA ended without a certificate: a challenge was wrong, or the issuance failed.
    pub fn orders_ended(&self) -> u64 {
        self.0.counters.orders_ended()
    }

    /// Validations that came to a result.
    pub fn validations(&self) -> u64 {
        self.0.counters.validations.load(Ordering::Relaxed)
    }

    /// Certificates issued.
    pub fn certificates_issued(&self) -> u64 {
        self.0.counters.certificates.load(Ordering::Relaxed)
    }

    /// Requests received, refused ones included.
    pub fn requests(&self) -> u64 {
        self.0.counters.requests.load(Ordering::Relaxed)
    }

    fn settings<R>(&self, change: impl FnOnce(&mut Settings) -> R) {
        change(&mut write(&self.0.knobs.settings));
    }
}

pub(super) struct Knobs {
    down: AtomicBool,
    crl_down: AtomicBool,
    reject_percent: AtomicU8,
    redeemed: AtomicU64,
    expired_up_to: AtomicU64,
    settings: RwLock<Settings>,
    pub(super) drops: PlannedLosses<Endpoint>,
    nonsense: Mutex<HashMap<Endpoint, VecDeque<Nonsense>>>,
}

struct Settings {
    lifetime: Duration,
    profiles: BTreeMap<String, Duration>,
    order_life: Duration,
    finalize_delay: Duration,
    poll_after: Option<Duration>,
    validate_at: Option<SocketAddr>,
    validation: HashMap<String, ValidationResult>,
    validation_default: ValidationResult,
    /// By domain; none is all.
    rate_limits: HashMap<Option<String>, Duration>,
    /// By certificate identifier or domain; none is all.
    windows: HashMap<Option<String>, RenewalWindow>,
    ask_renewal_again_after: Duration,
    refusals: HashMap<Endpoint, CaRefusal>,
}

impl Knobs {
    pub(super) fn new(
        lifetime: Duration,
        profiles: BTreeMap<String, Duration>,
        order_life: Duration,
    ) -> Self {
        Self {
            down: AtomicBool::new(false),
            crl_down: AtomicBool::new(false),
            reject_percent: AtomicU8::new(0),
            redeemed: AtomicU64::new(0),
            expired_up_to: AtomicU64::new(0),
            settings: RwLock::new(Settings {
                lifetime,
                profiles,
                order_life,
                finalize_delay: Duration::ZERO,
                poll_after: None,
                validate_at: None,
                validation: HashMap::new(),
                validation_default: ValidationResult::Real,
                rate_limits: HashMap::new(),
                windows: HashMap::new(),
                ask_renewal_again_after: Duration::from_hours(6),
                refusals: HashMap::new(),
            }),
            drops: PlannedLosses::default(),
            nonsense: Mutex::default(),
        }
    }

    pub(super) fn crl_is_down(&self) -> bool {
        self.crl_down.load(Ordering::Relaxed)
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn rejects_this_nonce(&self) -> bool {
        let percent = u64::from(self.reject_percent.load(Ordering::Relaxed));
        let before = self.redeemed.fetch_add(1, Ordering::Relaxed);
        (before + 1) * percent / 100 != before * percent / 100
    }

    pub(super) fn is_expired(&self, id: u64) -> bool {
        id <= self.expired_up_to.load(Ordering::Relaxed)
    }

    pub(super) fn nonsense_for(&self, endpoint: Endpoint) -> Option<Nonsense> {
        lock(&self.nonsense).get_mut(&endpoint).and_then(VecDeque::pop_front)
    }

    pub(super) fn refusal_of(&self, endpoint: Endpoint) -> Option<Problem> {
        let settings = read(&self.settings);
        let refusal = settings.refusals.get(&endpoint)?;
        Some(refusal.into())
    }

    pub(super) fn profiles(&self) -> BTreeMap<String, Duration> {
        read(&self.settings).profiles.clone()
    }

    pub(super) fn has_profile(&self, name: &str) -> bool {
        read(&self.settings).profiles.contains_key(name)
    }

    pub(super) fn lifetime_of(&self, profile: Option<&str>) -> Duration {
        let settings = read(&self.settings);
        profile.and_then(|profile| settings.profiles.get(profile)).copied().unwrap_or(settings.lifetime)
    }

    pub(super) fn order_life(&self) -> Duration {
        read(&self.settings).order_life
    }

    pub(super) fn finalize_delay(&self) -> Duration {
        read(&self.settings).finalize_delay
    }

    pub(super) fn poll_after(&self) -> Option<Duration> {
        read(&self.settings).poll_after
    }

    pub(super) fn validate_at(&self) -> Option<SocketAddr> {
        read(&self.settings).validate_at
    }

    pub(super) fn validation_of(&self, name: &str) -> ValidationResult {
        let settings = read(&self.settings);
        settings.validation.get(name).unwrap_or(&settings.validation_default).clone()
    }

    pub(super) fn ask_renewal_again_after(&self) -> Duration {
        read(&self.settings).ask_renewal_again_after
    }

    /// The first of the names that is limited, and for how long.
    pub(super) fn rate_limit_of(&self, names: &[String]) -> Option<(String, Duration)> {
        let settings = read(&self.settings);
        names.iter().find_map(|name| {
            let limit = settings.rate_limits.get(&Some(name.clone())).or(settings.rate_limits.get(&None));
            limit.map(|wait| (name.clone(), *wait))
        })
    }

    pub(super) fn renewal_window_of(&self, certificate: &str, names: &[String]) -> Option<RenewalWindow> {
        let settings = read(&self.settings);
        let keys = std::iter::once(certificate).chain(names.iter().map(String::as_str));
        keys.map(|key| Some(key.to_owned())).chain([None]).find_map(|key| settings.windows.get(&key).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_rejected_as_often_as_asked() {
        let knobs = Knobs::new(Duration::ZERO, BTreeMap::new(), Duration::ZERO);
        for percent in [0, 10, 50, 100] {
            knobs.reject_percent.store(percent, Ordering::Relaxed);
            let rejected = (0..100).filter(|_| knobs.rejects_this_nonce()).count();
            assert_eq!(rejected, usize::from(percent));
        }
    }
}
