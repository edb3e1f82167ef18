//! What a CA allows, and on which terms an order asks for it.

use jiff::{SignedDuration, Timestamp};

/// Buckets smaller than this have no reserve.
const MIN_COUNT_WITH_RESERVE: u32 = 10;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// So many in a period, given back one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many at once.
    pub count: u32,
    /// After which all of them are back.
    pub period: SignedDuration,
}

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
    #[must_use]
    pub fn seen_late(self) -> Self {
        Self { period: self.period / 100 * 101, ..self }
    }

    /// How far ahead of now all of it may be spent.
    pub(super) fn all(self) -> SignedDuration {
        self.interval() * self.count()
    }

    /// How far ahead of now a lane may spend.
    pub(super) fn reach(self, lane: Lane) -> SignedDuration {
        let reserved = if self.count < MIN_COUNT_WITH_RESERVE { 0 } else { lane.reserved_percent() };
        self.all() / 100 * (100 - reserved)
    }

    /// The time of a bucket in which there is no room before `until`.
    pub fn full_until(self, until: Timestamp) -> Timestamp {
        until + self.interval() * (self.count() - 1)
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

/// What a CA allows; none where it has no such limit.
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

/// How urgent an order is. The first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Under half of pre-expiry is left.
    Expiring,
    /// Due for renewal.
    Renewal,
    /// Requested.
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

    /// Whether an order that finds no room stands in line. Renewals have weeks, and do not wait behind a bulk of new domains.
    pub(super) fn stands_in_line(self) -> bool {
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

/// One of a CA's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitKind {
    /// New orders of an account.
    NewOrders,
    /// Failed authorizations of a name.
    FailedAuthorizations,
    /// Certificates for the same names.
    Names,
    /// Certificates for a registered domain.
    RegisteredDomain,
}

impl LimitKind {
    /// The limit that a CA's own sentence is about; none if it names none.
    pub fn named_in(detail: &str) -> Option<Self> {
        [
            ("new orders", Self::NewOrders),
            ("failed authorizations", Self::FailedAuthorizations),
            ("exact set", Self::Names),
            ("certificates", Self::RegisteredDomain),
        ]
        .into_iter()
        .find_map(|(words, kind)| detail.contains(words).then_some(kind))
    }

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewOrders => "new orders per account",
            Self::FailedAuthorizations => "failed authorizations per name",
            Self::Names => "certificates per exact name",
            Self::RegisteredDomain => "certificates per registered domain",
        }
    }
}

/// What an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Until when.
    pub until: Timestamp,
    /// For room in which limit.
    pub limit: LimitKind,
    /// The queue moves up one place in so many seconds; 0 where there is no queue.
    pub seconds_per_place: u32,
}

impl Wait {
    pub(super) fn without_a_queue(until: Timestamp, limit: LimitKind) -> Self {
        Self { until, limit, seconds_per_place: 0 }
    }
}
