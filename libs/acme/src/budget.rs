//! A ledger of a CA's limits: how much of each is spent, and when there is room again.
//!
//! A bucket is one timestamp (GCRA, the generic cell rate algorithm of ATM): the theoretical arrival time, up to which
//! the bucket is spent. It is in the store and changed in the transaction of the step that spends, so all copies of the
//! issuer share it.
//!
//! A limit is charged when the CA charges it. A new order is charged with the order's row, and stays charged even if
//! the answer was lost. A certificate is charged when it is issued: until then the order has a reservation in the
//! buckets of its names and of its registered domain, so that no other order takes its place there. An order that ends
//! without a certificate deletes its reservation; an order with an unknown end counts as issued. A failed authorization
//! is charged when it fails.
//!
//! Lanes: certificates about to expire go before renewals, those before new domains, those before the daily recheck. A
//! lower lane leaves a part of the account's new orders for the upper ones; a bucket of under ten is too small for
//! that. The buckets of a name have no such part: its renewals are exempt from most of them, and other names cannot use
//! it.
//!
//! A domain that finds no room for a new order gets its own time in the bucket's queue. With one time for all, a
//! thousand waiting domains would come back together, and all but one in vain.

mod shared;

use domain::{DomainName, OrderId};
use jiff::{SignedDuration, Timestamp};
use runtime::config::{AcmeIssuer, IssuerLimits, LimitNumber, LimitNumbers};
use store::{Result, Tx};

pub use self::shared::{Left, SharedBucket, left, shared_buckets};
use crate::{LimitKind, Wait};

/// So many in a period, given back one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many at once.
    pub count: u32,
    /// After which all of them are back.
    pub period: SignedDuration,
}

/// Buckets smaller than this have no reserve.
const SMALLEST_WITH_RESERVE: u32 = 10;
/// The clocks of our copies differ by less than this, and each dates what it spends by its own.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(10);
/// When to look again where there is room only if another order ends without a certificate.
const RECHECK_PAUSE: SignedDuration = SignedDuration::from_mins(1);

impl Limit {
    const fn new(count: u32, period: SignedDuration) -> Self {
        Self { count, period }
    }

    fn count(self) -> i32 {
        i32::try_from(self.count.max(1)).unwrap_or(i32::MAX)
    }

    /// After which one is back.
    pub fn interval(self) -> SignedDuration {
        self.period / self.count()
    }

    /// A hundredth slower than at the CA, for what we spend before the CA does: it sees our requests late, and some of them
    /// later than others.
    fn seen_late(self) -> Self {
        Self { period: self.period / 100 * 101, ..self }
    }

    /// How far ahead of now all of it may be spent.
    fn all(self) -> SignedDuration {
        self.interval() * self.count()
    }

    /// How far ahead of now a lane may spend.
    fn reach(self, lane: Lane) -> SignedDuration {
        let reserved = if self.count < SMALLEST_WITH_RESERVE { 0 } else { lane.reserved_percent() };
        self.all() / 100 * (100 - reserved)
    }

    /// How many it allows at `now`, where its bucket is spent up to `at`, and from when on one more if that is none; to
    /// the most urgent lane, for which nothing is reserved.
    pub fn left(self, at: Timestamp, now: Timestamp) -> (u32, Option<Timestamp>) {
        let reach = self.all();
        let spent = at.max(now).duration_since(now);
        let left = (reach - spent).as_micros() / self.interval().as_micros().max(1);
        match u32::try_from(left) {
            Ok(left @ 1..) => (left, None),
            _ => (0, Some(at + self.interval() - reach)),
        }
    }
}

/// The limits of a CA; none where it has no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// New orders of one account.
    pub new_orders: Option<Limit>,
    /// Certificates of one registered domain (public suffix list).
    pub certificates_per_registered_domain: Option<Limit>,
    /// Certificates of exactly the same names.
    pub certificates_per_names: Option<Limit>,
    /// Failed authorizations of one name and account.
    pub failed_authorizations: Option<Limit>,
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Limits {
    /// Let's Encrypt's, as published in 2026.
    pub const LETS_ENCRYPT: Self = Self {
        new_orders: Some(Limit::new(300, SignedDuration::from_hours(3))),
        certificates_per_registered_domain: Some(Limit::new(50, WEEK)),
        certificates_per_names: Some(Limit::new(5, WEEK)),
        failed_authorizations: Some(Limit::new(5, HOUR)),
    };

    /// Those of its staging environment.
    pub const LETS_ENCRYPT_STAGING: Self = Self {
        new_orders: Some(Limit::new(1500, SignedDuration::from_hours(3))),
        certificates_per_registered_domain: Some(Limit::new(30_000, WEEK)),
        certificates_per_names: Some(Limit::new(30_000, WEEK)),
        failed_authorizations: Some(Limit::new(200, HOUR)),
    };
}

/// The limits of an issuer: those that the settings name or give in numbers; `auto` goes by the directory's host.
pub fn limits(settings: &AcmeIssuer) -> Limits {
    let host = settings.directory_url.trim_start_matches("https://");
    let host = host.split(['/', ':']).next().unwrap_or(host);
    let named = match &settings.limits {
        IssuerLimits::Named(name) => name.as_str(),
        IssuerLimits::Numbers(numbers) => return in_numbers(numbers),
    };
    match (named, host) {
        ("letsencrypt", _) | ("auto", "acme-v02.api.letsencrypt.org") => Limits::LETS_ENCRYPT,
        ("letsencrypt-staging", _) | ("auto", "acme-staging-v02.api.letsencrypt.org") => {
            Limits::LETS_ENCRYPT_STAGING
        }
        _ => Limits::default(),
    }
}

fn in_numbers(numbers: &LimitNumbers) -> Limits {
    let limit = |number: &Option<LimitNumber>| {
        number.as_ref().map(|number| Limit {
            count: number.count,
            period: SignedDuration::from_hours(number.hours.into()),
        })
    };
    Limits {
        new_orders: limit(&numbers.new_orders),
        certificates_per_registered_domain: limit(&numbers.certificates_per_registered_domain),
        certificates_per_names: limit(&numbers.certificates_per_names),
        failed_authorizations: limit(&numbers.failed_authorizations),
    }
}

/// How urgent an order is. The first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Under half of pre-expiry is left.
    Expiring,
    /// Due for renewal.
    Renewal,
    /// Asked for.
    New,
    /// The daily recheck found that it can succeed again.
    Recheck,
}

impl Lane {
    /// The word of metrics and of a line's key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expiring => "expiring",
            Self::Renewal => "renewal",
            Self::New => "new",
            Self::Recheck => "recheck",
        }
    }

    fn reserved_percent(self) -> i32 {
        match self {
            Self::Expiring => 0,
            Self::Renewal => 5,
            Self::New => 15,
            Self::Recheck => 40,
        }
    }

    /// Whether a domain without room is queued. Renewals have weeks, and do not queue behind a bulk of new domains.
    fn stands_in_line(self) -> bool {
        self >= Self::New
    }
}

/// Of which limits an order is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// Of none.
    Nothing,
    /// It renews a certificate for the same names: of new orders and of those per registered domain.
    Renewal,
    /// It replaces a certificate within the suggested window, on the same account: of all (RFC 9773 section 5). It counts
    /// among the certificates of the same names all the same.
    Replacement,
}

/// The amounts to spend and reserve.
#[derive(Clone, Copy, Debug)]
pub struct Purchase<'a> {
    /// By which order. What it has reserved already does not stand in its way.
    pub order: OrderId,
    /// Our name for the CA.
    pub issuer: &'a str,
    /// For which name.
    pub name: &'a DomainName,
    /// How urgent.
    pub lane: Lane,
    /// Of what it is exempt.
    pub exempt: Exempt,
    /// It stood in line, and its time has come.
    pub was_promised: bool,
    /// An earlier attempt has asked the CA for it, and charged the account's new order then.
    pub is_asked_again: bool,
}

/// Charges an order to the ledger in the caller's transaction; or changes nothing but the line, and says for what to wait
/// and when to come back. Returns the buckets of which the order is to reserve one, once its row is there.
pub async fn charge(
    tx: &mut Tx,
    limits: &Limits,
    purchase: &Purchase<'_>,
    now: Timestamp,
) -> Result<std::result::Result<Vec<String>, Wait>> {
    let buckets = purchase.buckets(limits);
    let keys: Vec<String> = buckets.iter().map(|bucket| bucket.key.clone()).collect();
    let times = tx.buckets(&keys).await?;
    // Room for one more order of the account, and room in the limits of the name.
    let (mut in_line, mut of_the_name) = (None, None);
    let mut line: Option<(String, Timestamp, SignedDuration)> = None;
    let (mut spent, mut reserved) = (Vec::new(), Vec::new());
    for (bucket, at) in buckets.into_iter().zip(times) {
        let interval = bucket.limit.interval();
        let next = at.max(now) + interval;
        match bucket.kind {
            Kind::Line => {
                if at > now && !purchase.was_promised {
                    in_line = in_line.max(Some(at));
                }
                line = Some((bucket.key, at + interval, interval));
            }
            Kind::Orders => {
                let room_at = next - bucket.limit.reach(purchase.lane);
                in_line = in_line.max(Some(room_at).filter(|room_at| *room_at > now));
                spent.push((bucket.key, next));
            }
            Kind::Failures => {
                let until = told(next - bucket.limit.all(), now);
                of_the_name = of_the_name.max(until.map(|until| (until, LimitKind::FailedAuthorizations)));
            }
            Kind::Certificates(kind) => {
                let until = bucket.room_for_certificate(tx, purchase.order, at, now).await?;
                of_the_name = of_the_name.max(until.map(|until| (until, kind)));
                reserved.push(bucket.key);
            }
            Kind::Counted => reserved.push(bucket.key),
        }
    }
    // A name that has to wait for itself takes no place from others.
    if let Some((until, limit)) = of_the_name {
        return Ok(Err(Wait::without_a_queue(in_line.map_or(until, |in_line| until.max(in_line)), limit)));
    }
    let Some(until) = in_line else {
        for (key, at) in spent {
            tx.set_bucket(&key, at).await?;
        }
        return Ok(Ok(reserved));
    };
    let Some((key, after_the_last, interval)) = line else {
        return Ok(Err(Wait::without_a_queue(until, LimitKind::NewOrders)));
    };
    let until = until.max(after_the_last);
    tx.set_bucket(&key, until).await?;
    let seconds_per_place = u32::try_from(interval.as_secs().max(1)).unwrap_or(u32::MAX);
    Ok(Err(Wait { until, limit: LimitKind::NewOrders, seconds_per_place }))
}

/// Until when to wait for room that is there at `room_at`, if that is to come yet.
fn told(room_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (room_at > now).then(|| room_at + CLOCK_TOLERANCE)
}

/// Spends what an order has reserved: its CA has issued, or may have.
pub async fn spend(
    tx: &mut Tx,
    limits: &Limits,
    issuer: &str,
    name: &DomainName,
    order: OrderId,
    now: Timestamp,
) -> Result<()> {
    let keys = tx.reserved(order).await?;
    let times = tx.buckets(&keys).await?;
    for (key, at) in keys.iter().zip(times) {
        // A limit that the settings do not have any more is none.
        let limit = if *key == names_key(issuer, name) {
            limits.certificates_per_names
        } else {
            limits.certificates_per_registered_domain
        };
        if let Some(limit) = limit {
            tx.set_bucket(key, at.max(now) + limit.interval()).await?;
        }
    }
    tx.give_back(order).await
}

/// Charges a failed authorization.
pub async fn charge_failure(
    tx: &mut Tx,
    limits: &Limits,
    issuer: &str,
    name: &DomainName,
    now: Timestamp,
) -> Result<()> {
    let Some(limit) = limits.failed_authorizations else {
        return Ok(());
    };
    let key = failures_key(issuer, name);
    let times = tx.buckets(std::slice::from_ref(&key)).await?;
    let at = times.first().copied().unwrap_or(now).max(now);
    tx.set_bucket(&key, at + limit.interval()).await
}

/// Stores that the CA itself said there is no room before `until`: its word counts more than our ledger. `detail` is the
/// CA's sentence, which says which limit it means. One that names no limit ("overloaded": a CA sheds load, usually at
/// 00:00 UTC) is booked on none, because it would hold up names that have nothing to do with it.
pub async fn correct(
    tx: &mut Tx,
    limits: &Limits,
    issuer: &str,
    name: &DomainName,
    detail: &str,
    until: Timestamp,
) -> Result<()> {
    let (key, limit) = match LimitKind::named_in(detail) {
        Some(LimitKind::NewOrders) => (orders_key(issuer), limits.new_orders.map(Limit::seen_late)),
        Some(LimitKind::FailedAuthorizations) => (failures_key(issuer, name), limits.failed_authorizations),
        Some(LimitKind::Names) => (names_key(issuer, name), limits.certificates_per_names),
        Some(LimitKind::RegisteredDomain) if names(detail, name.registered()) => {
            (registered_key(issuer, name), limits.certificates_per_registered_domain)
        }
        Some(LimitKind::RegisteredDomain) | None => return Ok(()),
    };
    let Some(limit) = limit else { return Ok(()) };
    let times = tx.buckets(std::slice::from_ref(&key)).await?;
    let full = until + limit.interval() * (limit.count() - 1);
    let at = times.first().copied().unwrap_or(full).max(full);
    tx.set_bucket(&key, at).await
}

/// Whether a sentence has that domain as a word of its own.
fn names(sentence: &str, domain: &str) -> bool {
    let is_of_a_name = |character: char| character.is_alphanumeric() || "-._".contains(character);
    let words = sentence.split(|character| !is_of_a_name(character));
    words.map(|word| word.trim_end_matches('.')).any(|word| word.eq_ignore_ascii_case(domain))
}

/// The key whose time is that of the last in the line of new domains.
pub fn line_key(issuer: &str, lane: Lane) -> String {
    format!("{}/line/{}", orders_key(issuer), lane.as_str())
}

fn orders_key(issuer: &str) -> String {
    format!("{issuer}/orders")
}

fn registered_key(issuer: &str, name: &DomainName) -> String {
    format!("{issuer}/registered/{}", name.registered())
}

fn names_key(issuer: &str, name: &DomainName) -> String {
    format!("{issuer}/names/{name}")
}

fn failures_key(issuer: &str, name: &DomainName) -> String {
    format!("{issuer}/failures/{name}")
}

struct Bucket {
    key: String,
    limit: Limit,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// New orders of the account.
    Orders,
    /// The time of the last place in the queue of one of those.
    Line,
    /// Certificates of the name or of its registered domain: reserved.
    Certificates(LimitKind),
    /// Reserved, but not looked at.
    Counted,
    /// Looked at, but charged only when an authorization fails.
    Failures,
}

impl Bucket {
    /// Until when to wait for room for one more certificate; none if there is room even if all orders end with one.
    async fn room_for_certificate(
        &self,
        tx: &mut Tx,
        order: OrderId,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let interval = self.limit.interval();
        let mut at = at;
        let spent = tx.take_spent(&self.key).await?;
        for spent_at in &spent {
            at = at.max(*spent_at) + interval;
        }
        if !spent.is_empty() {
            tx.set_bucket(&self.key, at).await?;
        }
        let free_at = at.max(now) + interval - self.limit.all();
        if free_at > now {
            return Ok(told(free_at, now));
        }
        let others = i32::try_from(tx.reserved_by_others(&self.key, order).await?).unwrap_or(i32::MAX);
        let room_at = free_at.saturating_add(interval.saturating_mul(others)).unwrap_or(Timestamp::MAX);
        Ok((room_at > now).then(|| now + RECHECK_PAUSE))
    }
}

impl Purchase<'_> {
    /// What an order is checked against, in the order of the keys.
    fn buckets(&self, limits: &Limits) -> Vec<Bucket> {
        let (issuer, name) = (self.issuer, self.name);
        let mut buckets = Vec::new();
        let mut add = |key: String, limit: Option<Limit>, kind| {
            buckets.extend(limit.map(|limit| Bucket { key, limit, kind }));
        };
        add(failures_key(issuer, name), limits.failed_authorizations, Kind::Failures);
        let of_the_names = match self.exempt {
            Exempt::Replacement => Kind::Counted,
            Exempt::Renewal | Exempt::Nothing => Kind::Certificates(LimitKind::Names),
        };
        add(names_key(issuer, name), limits.certificates_per_names, of_the_names);
        if self.exempt == Exempt::Nothing {
            let per_registered = limits.certificates_per_registered_domain;
            let kind = Kind::Certificates(LimitKind::RegisteredDomain);
            add(registered_key(issuer, name), per_registered, kind);
        }
        if self.exempt == Exempt::Nothing && !self.is_asked_again {
            let new_orders = limits.new_orders.map(Limit::seen_late);
            add(orders_key(issuer), new_orders, Kind::Orders);
            if self.lane.stands_in_line() {
                add(line_key(issuer, self.lane), new_orders, Kind::Line);
            }
        }
        buckets.sort_by(|one, other| one.key.cmp(&other.key));
        buckets
    }
}
