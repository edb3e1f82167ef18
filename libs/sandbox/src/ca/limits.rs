//! The limits that a real CA enforces; off by default.
//!
//! They are Let's Encrypt's, and work as its do. A limit is a bucket that starts full and gets one back every
//! `per / most`; an order is refused while any of its buckets is empty, and a refused order takes from none.
//!
//! | limit | counted per | takes one | refuses all orders but |
//! |---|---|---|---|
//! | new orders | account | an order, when placed | renewals and replacements |
//! | certificates | registered domain | a certificate, when issued, unless it renews | renewals and replacements |
//! | certificates | exact set of names | a certificate, when issued | replacements |
//! | failed authorizations | account and name | an authorization, when it fails | replacements |
//! | failures in a row | account and name | an authorization, when it fails | none: the name is paused |
//!
//! A valid authorization fills the last of them again. A name that empties it is paused: its orders are refused,
//! without a time, until the account's holder resumes it ([`super::CaControl::pause`]).
//!
//! A renewal is an order for exactly the names of an earlier certificate of the account. A replacement names the
//! certificate that it replaces, by RFC 9773 section 5, while that one's suggested window is open. So a replacement is
//! never refused, and its certificate is counted all the same.
//!
//! A bucket is kept as the moment at which it is full again (GCRA), not as a list of what happened: the real CA works
//! like this, refilling one by one and not a week's worth at once, and a load test needs no memory per order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::problem::Problem;
use super::state::after;
use crate::Clock;
use crate::sync::lock;

/// So many within such a time; what is used comes back evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many at once, after a long rest.
    pub most: u32,
    /// How long it takes until all of them are back.
    pub per: Duration,
}

/// The enforced limits of a CA; none switches a limit off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// New orders of an account.
    pub new_orders: Option<Limit>,
    /// Certificates of all accounts for names of one registered domain.
    pub certificates_per_registered_domain: Option<Limit>,
    /// Certificates of all accounts for one exact set of names.
    pub certificates_per_exact_set: Option<Limit>,
    /// Failed authorizations of an account for one name.
    pub failed_authorizations: Option<Limit>,
    /// Failed authorizations of an account for one name without a valid one between them.
    pub failures_in_a_row: Option<Limit>,
}

impl Limits {
    /// Those of Let's Encrypt.
    pub fn letsencrypt() -> Self {
        const HOUR: Duration = Duration::from_hours(1);
        const WEEK: Duration = Duration::from_hours(7 * 24);
        let limit = |most, per| Some(Limit { most, per });
        Self {
            new_orders: limit(300, 3 * HOUR),
            certificates_per_registered_domain: limit(50, WEEK),
            certificates_per_exact_set: limit(5, WEEK),
            failed_authorizations: limit(5, HOUR),
            failures_in_a_row: limit(1152, 1152 * 24 * HOUR),
        }
    }
}

impl Limit {
    /// When the bucket will be full again if one is taken now; if it is empty, how long until there is one.
    fn take(self, full_at: Timestamp, now: Timestamp) -> Result<Timestamp, Duration> {
        let refill = self.per / self.most.max(1);
        let full_again_at = after(full_at.max(now), refill);
        let too_late = full_again_at.duration_since(after(now, refill * self.most));
        match Duration::try_from(too_late) {
            Ok(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(full_again_at),
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Bucket {
    NewOrders { account: u64 },
    RegisteredDomain(String),
    ExactSet(Vec<String>),
    FailedAuthorizations { account: u64, name: String },
    FailuresInARow { account: u64, name: String },
}

impl Bucket {
    fn of_registered_domains(names: &[String]) -> impl Iterator<Item = Self> {
        let domains: BTreeSet<_> = names.iter().map(|name| registered_domain(name)).collect();
        domains.into_iter().map(|domain| Self::RegisteredDomain(domain.to_owned()))
    }

    fn limit(&self, limits: &Limits) -> Option<Limit> {
        match self {
            Self::NewOrders { .. } => limits.new_orders,
            Self::RegisteredDomain(_) => limits.certificates_per_registered_domain,
            Self::ExactSet(_) => limits.certificates_per_exact_set,
            Self::FailedAuthorizations { .. } => limits.failed_authorizations,
            Self::FailuresInARow { .. } => limits.failures_in_a_row,
        }
    }

    /// Of an order's names those that the bucket is about.
    fn names_among(&self, names: &[String]) -> Vec<String> {
        let is_about = |name: &String| match self {
            Self::NewOrders { .. } => false,
            Self::RegisteredDomain(domain) => registered_domain(name) == domain,
            Self::ExactSet(_) => true,
            Self::FailedAuthorizations { name: failed, .. } | Self::FailuresInARow { name: failed, .. } => {
                name == failed
            }
        };
        names.iter().filter(|name| is_about(name)).cloned().collect()
    }

    fn too_many(&self, Limit { most, per }: Limit) -> String {
        let per = hours_minutes_seconds(per);
        match self {
            Self::NewOrders { .. } => {
                format!("too many new orders ({most}) from this account in the last {per}")
            }
            Self::RegisteredDomain(domain) => {
                format!("too many certificates ({most}) already issued for {domain:?} in the last {per}")
            }
            Self::ExactSet(_) => format!(
                "too many certificates ({most}) already issued for this exact set of identifiers in the last {per}"
            ),
            Self::FailedAuthorizations { name, .. } | Self::FailuresInARow { name, .. } => {
                format!("too many failed authorizations ({most}) for {name:?} in the last {per}")
            }
        }
    }
}

/// A public suffix counts as itself.
fn registered_domain(name: &str) -> &str {
    psl::domain_str(name).unwrap_or(name)
}

fn hours_minutes_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A request for an order.
pub(super) struct OrderRequest<'a> {
    pub(super) account: u64,
    pub(super) names: &'a [String],
    /// By RFC 9773, inside the suggested window.
    pub(super) is_replacement: bool,
}

/// The use of the limits.
pub(super) struct Ledger {
    clock: Clock,
    books: Mutex<Books>,
    refused: AtomicU64,
}

#[derive(Default)]
struct Books {
    limits: Limits,
    full_at: HashMap<Bucket, Timestamp>,
    /// Accounts that have had a certificate, by its names; kept while no limit is on, too.
    issued: HashMap<Vec<String>, HashSet<u64>>,
}

impl Ledger {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, books: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// From now on, with all buckets full.
    pub(super) fn enforce(&self, limits: Limits) {
        let mut books = lock(&self.books);
        books.limits = limits;
        books.full_at.clear();
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Places an order unless a limit forbids it. Orders are placed one at a time, so that no two take the same last
    /// one; `place` may refuse too, and then nothing is taken.
    pub(super) fn admit<T>(
        &self,
        asked: &OrderRequest<'_>,
        place: impl FnOnce() -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut books = lock(&self.books);
        if asked.is_replacement || books.limits == Limits::default() {
            drop(books);
            return place();
        }
        let now = (self.clock)();
        if let Some(refusal) = books.refusal(asked, now) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(refusal);
        }
        let placed = place()?;
        if !books.is_renewal(asked.account, asked.names) {
            let account = asked.account;
            books.take(Bucket::NewOrders { account }, now);
        }
        Ok(placed)
    }

    pub(super) fn certificate_issued(&self, account: u64, names: &[String]) {
        let now = (self.clock)();
        let mut books = lock(&self.books);
        if !books.is_renewal(account, names) {
            for bucket in Bucket::of_registered_domains(names) {
                books.take(bucket, now);
            }
        }
        books.take(Bucket::ExactSet(names.to_owned()), now);
        books.issued.entry(names.to_owned()).or_default().insert(account);
    }

    /// True if the name is to be paused.
    pub(super) fn authorization_failed(&self, account: u64, name: &str) -> bool {
        let now = (self.clock)();
        let mut books = lock(&self.books);
        books.take(Bucket::FailedAuthorizations { account, name: name.to_owned() }, now);
        let in_a_row = Bucket::FailuresInARow { account, name: name.to_owned() };
        let Some(limit) = in_a_row.limit(&books.limits) else {
            return false;
        };
        books.take(in_a_row, now);
        let in_a_row = Bucket::FailuresInARow { account, name: name.to_owned() };
        limit.take(books.full_at(&in_a_row, now), now).is_err()
    }

    pub(super) fn authorization_valid(&self, account: u64, name: &str) {
        lock(&self.books).full_at.remove(&Bucket::FailuresInARow { account, name: name.to_owned() });
    }

    /// The account's holder has the name resumed, whatever the account.
    pub(super) fn resumed(&self, resumed: &str) {
        let is_of =
            |bucket: &Bucket| matches!(bucket, Bucket::FailuresInARow { name, .. } if name == resumed);
        lock(&self.books).full_at.retain(|bucket, _| !is_of(bucket));
    }

    /// How long an order would be refused.
    pub(super) fn wait(&self, asked: &OrderRequest<'_>) -> Duration {
        lock(&self.books).emptiest(asked, (self.clock)()).map_or(Duration::ZERO, |(wait, ..)| wait)
    }
}

impl Ledger {
    pub(super) fn new_orders_left(&self, account: u64) -> Option<u32> {
        let books = lock(&self.books);
        let limit = books.limits.new_orders?;
        let (now, bucket) = ((self.clock)(), Bucket::NewOrders { account });
        let used = books.full_at(&bucket, now).duration_since(now);
        let refill = limit.per / limit.most.max(1);
        let used = Duration::try_from(used).unwrap_or_default().as_secs_f64() / refill.as_secs_f64();
        Some(limit.most.saturating_sub(used.ceil() as u32))
    }
}

impl Books {
    fn is_renewal(&self, account: u64, names: &[String]) -> bool {
        self.issued.get(names).is_some_and(|accounts| accounts.contains(&account))
    }

    /// By the emptiest of the order's buckets.
    fn refusal(&self, asked: &OrderRequest<'_>, now: Timestamp) -> Option<Problem> {
        let (wait, bucket, limit) = self.emptiest(asked, now)?;
        let retry_at = after(now, wait).strftime("%Y-%m-%d %H:%M:%S UTC");
        let detail = format!("{}, retry after {retry_at}", bucket.too_many(limit));
        Some(Problem::rate_limited(detail, wait).about(bucket.names_among(asked.names)))
    }

    /// The bucket that keeps an order waiting for longest.
    fn emptiest(&self, asked: &OrderRequest<'_>, now: Timestamp) -> Option<(Duration, Bucket, Limit)> {
        let &OrderRequest { account, names, .. } = asked;
        let mut buckets = vec![Bucket::ExactSet(names.to_owned())];
        buckets.extend(names.iter().cloned().map(|name| Bucket::FailedAuthorizations { account, name }));
        if !self.is_renewal(account, names) {
            buckets.push(Bucket::NewOrders { account });
            buckets.extend(Bucket::of_registered_domains(names));
        }
        let empty = buckets.into_iter().filter_map(|bucket| {
            let limit = bucket.limit(&self.limits)?;
            let wait = limit.take(self.full_at(&bucket, now), now).err()?;
            Some((wait, bucket, limit))
        });
        empty.max_by_key(|(wait, ..)| *wait)
    }

    fn full_at(&self, bucket: &Bucket, now: Timestamp) -> Timestamp {
        self.full_at.get(bucket).copied().unwrap_or(now)
    }

    /// From an empty bucket nothing is taken: what orders that were placed earlier use is never owed.
    fn take(&mut self, bucket: Bucket, now: Timestamp) {
        if let Some(limit) = bucket.limit(&self.limits)
            && let Ok(full_again_at) = limit.take(self.full_at(&bucket, now), now)
        {
            self.full_at.insert(bucket, full_again_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    /// How many can be taken at that moment, and how long one waits for the next.
    fn drain(limit: Limit, full_at: &mut Timestamp, now: Timestamp) -> (u32, Duration) {
        let mut taken = 0;
        loop {
            match limit.take(*full_at, now) {
                Ok(full_again_at) => *full_at = full_again_at,
                Err(wait) => return (taken, wait),
            }
            taken += 1;
        }
    }

    #[test]
    fn a_bucket_starts_full_and_gets_one_back_at_a_time() {
        let limits = Limits::letsencrypt();
        for (limit, most, refill) in [
            (limits.new_orders, 300, Duration::from_secs(36)),
            (limits.certificates_per_registered_domain, 50, Duration::from_secs(12_096)),
            (limits.certificates_per_exact_set, 5, Duration::from_mins(2016)),
            (limits.failed_authorizations, 5, Duration::from_mins(12)),
        ] {
            let limit = limit.unwrap();
            let mut full_at = START;
            assert_eq!(drain(limit, &mut full_at, START), (most, refill));
            assert_eq!(drain(limit, &mut full_at, after(START, refill / 2)), (0, refill / 2));
            let later = after(START, refill * 2 + refill / 2);
            assert_eq!(drain(limit, &mut full_at, later), (2, refill / 2));
            assert_eq!(drain(limit, &mut full_at, after(later, limit.per * 9)), (most, refill));
        }
    }

    #[test]
    fn a_limit_of_none_at_all_lets_nothing_through() {
        let per = Duration::from_secs(7);
        let nothing = Limit { most: 0, per };
        assert_eq!(nothing.take(START, START), Err(per));
    }

    #[test]
    fn names_count_for_their_registered_domain() {
        for (name, domain) in [
            ("a.b.example.co.uk", "example.co.uk"),
            ("example.com", "example.com"),
            ("customer.github.io", "customer.github.io"),
            ("github.io", "github.io"),
        ] {
            assert_eq!(registered_domain(name), domain);
        }
    }
}
