//! For which of a CA's limits an order waits, in words, and how fast its queue moves.

use domain::DomainName;
use jiff::Timestamp;
use store::{Result, Tx};

use crate::budget::{Lane, Limits, failures_key, line_key, names_key, registered_key};

const NEW_ORDERS: &str = "new orders per account";
const PER_REGISTERED_DOMAIN: &str = "certificates per registered domain";
const PER_NAMES: &str = "certificates per exact name";
const FAILURES: &str = "failed authorizations per name";

/// What an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Until when.
    pub until: Timestamp,
    /// For room in which limit.
    pub limit: &'static str,
    /// The queue moves up one place in so many seconds; 0 where there is no queue.
    pub seconds_per_place: u32,
}

impl Wait {
    /// For which limit an order of that lane waits, now that the ledger has told it to wait until then.
    pub async fn until(
        tx: &mut Tx,
        limits: &Limits,
        issuer: &str,
        name: &DomainName,
        lane: Lane,
        until: Timestamp,
    ) -> Result<Self> {
        let queue = line_key(issuer, lane);
        if let Some(limit) = limits.new_orders
            && tx.buckets(std::slice::from_ref(&queue)).await? == [until]
        {
            let seconds_per_place = u32::try_from(limit.interval().as_secs().max(1)).unwrap_or(u32::MAX);
            return Ok(Self { until, limit: NEW_ORDERS, seconds_per_place });
        }
        // Of the limits of the name the one that has room last is the one that is waited for.
        let mut last = (Timestamp::MIN, NEW_ORDERS);
        for (key, limit, what) in [
            (failures_key(issuer, name), limits.failed_authorizations, FAILURES),
            (names_key(issuer, name), limits.certificates_per_names, PER_NAMES),
            (registered_key(issuer, name), limits.certificates_per_registered_domain, PER_REGISTERED_DOMAIN),
        ] {
            let Some(limit) = limit else { continue };
            let times = tx.buckets(std::slice::from_ref(&key)).await?;
            let others = i32::try_from(limit.count.saturating_sub(1)).unwrap_or(i32::MAX);
            let room_at = times.first().and_then(|at| at.checked_sub(limit.interval() * others).ok());
            last = last.max((room_at.unwrap_or(Timestamp::MIN), what));
        }
        let is_of_the_account = last.0 == Timestamp::MIN;
        let limit = if is_of_the_account { NEW_ORDERS } else { last.1 };
        Ok(Self { until, limit, seconds_per_place: 0 })
    }
}

/// The limit that a CA's own sentence is about; empty if it names none.
pub fn limit_named_in(detail: &str) -> &'static str {
    if detail.contains("new orders") {
        NEW_ORDERS
    } else if detail.contains("failed authorizations") {
        FAILURES
    } else if detail.contains("exact set") {
        PER_NAMES
    } else if detail.contains("certificates") {
        PER_REGISTERED_DOMAIN
    } else {
        ""
    }
}
