//! A CA's limits, and the terms on which an order is charged to them.

use jiff::{SignedDuration, Timestamp};

/// Buckets smaller than this have no reserve.
const MIN_COUNT_WITH_RESERVE: u32 = 10;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A number of requests per period, refilled one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Maximum burst.
    pub count: u32,
    /// The time after which the whole count is available again.
    pub period: SignedDuration,
}

impl Limit {
    const fn new(count: u32, period: SignedDuration) -> Self {
        Self { count, period }
    }

    fn count(self) -> i32 {
        i32::try_from(self.count.max(1)).unwrap_or(i32::MAX)
    }

    /// The time after which one more is available.
    pub fn interval(self) -> SignedDuration {
        self.period / self.count()
    }

    /// A hundredth slower than at the CA, for limits that we charge before the CA does: the CA sees our requests
    /// late, and some of them later than others.
    #[must_use]
    pub fn seen_late(self) -> Self {
        Self { period: self.period / 100 * 101, ..self }
    }

    /// How far ahead of now the whole count reaches.
    pub(super) fn all(self) -> SignedDuration {
        self.interval() * self.count()
    }

    /// How far ahead of now a lane may spend.
    pub(super) fn reach(self, lane: Lane) -> SignedDuration {
        let reserved = if self.count < MIN_COUNT_WITH_RESERVE { 0 } else { lane.reserved_percent() };
        self.all() / 100 * (100 - reserved)
    }

    /// The time of a bucket that has no room before `until`.
    pub fn full_until(self, until: Timestamp) -> Timestamp {
        until + self.interval() * (self.count() - 1)
    }

    /// The number of requests left at `now` for a bucket that is spent up to `at`, and if that is none, when one more
    /// is available; for the most urgent lane, which has no reserve to leave.
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

/// The limits of a CA; none for a limit that it does not have.
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

/// How urgent an order is; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Less than half of pre-expiry is left.
    Expiring,
    /// Due for renewal.
    Renewal,
    /// Requested by a person or program.
    New,
    /// The daily recheck found that the domain can succeed again.
    Recheck,
}

impl Lane {
    /// The word of metrics and of a queue's key.
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

    /// Whether an order without room joins the queue. Renewals have weeks, and do not wait behind a bulk of new
    /// domains.
    pub(super) fn stands_in_line(self) -> bool {
        self >= Self::New
    }
}

/// The limits that an order is exempt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// None.
    Nothing,
    /// It renews a certificate for the same names: exempt from the limits on new orders and per registered domain.
    Renewal,
    /// It replaces a certificate within the suggested window, with the same account: exempt from all limits (RFC 9773
    /// section 5). It still counts among the certificates of the same names.
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
    /// The limit that a CA's own words name; none if they name none.
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

/// A wait for room in a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The end of the wait.
    pub until: Timestamp,
    /// The limit.
    pub limit: LimitKind,
    /// Seconds per place in the queue; 0 if there is no queue.
    pub seconds_per_place: u32,
}

impl Wait {
    pub(super) fn without_a_queue(until: Timestamp, limit: LimitKind) -> Self {
        Self { until, limit, seconds_per_place: 0 }
    }
}
