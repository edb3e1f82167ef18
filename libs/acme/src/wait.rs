//! The limit of a CA that an order waits for, and the speed of its queue.

use jiff::Timestamp;

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

/// The reason why an order waits.
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
    pub(crate) fn without_a_queue(until: Timestamp, limit: LimitKind) -> Self {
        Self { until, limit, seconds_per_place: 0 }
    }
}
