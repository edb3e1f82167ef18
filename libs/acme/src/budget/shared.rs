//! The limits that all names share, and what is left of them, for people and alerts.

use domain::budget::{Limit, Limits, orders_key};
use jiff::Timestamp;
use store::{Result, Store};

/// A bucket that all names share.
#[derive(Clone, Debug)]
pub struct SharedBucket {
    /// What is limited, in words.
    pub what: &'static str,
    /// Where its time is kept.
    pub key: String,
    /// The limit.
    pub limit: Limit,
}

/// The buckets of an issuer that all names share. Those of a name or a registered domain are as many as there are names.
pub fn shared_buckets(issuer: &str, limits: &Limits) -> Vec<SharedBucket> {
    let new_orders = limits.new_orders.map(|limit| SharedBucket {
        what: "new orders per account",
        key: orders_key(issuer),
        limit: limit.seen_late(),
    });
    new_orders.into_iter().collect()
}

/// The remainder of a limit that all names share.
#[derive(Clone, Debug)]
pub struct Left {
    /// Which limit, for people.
    pub what: &'static str,
    /// Its capacity.
    pub capacity: u32,
    /// Orders that may be placed now.
    pub orders: u32,
    /// When the next one may be placed; none if one may now.
    pub free_at: Option<Timestamp>,
}

/// The remaining limits of an issuer that all names share.
pub async fn left(store: &Store, issuer: &str, limits: &Limits, now: Timestamp) -> Result<Vec<Left>> {
    let mut found = Vec::new();
    for bucket in shared_buckets(issuer, limits) {
        let spent_until = store.bucket(&bucket.key).await?;
        let (orders, free_at) = bucket.limit.left(spent_until.unwrap_or(now), now);
        found.push(Left { what: bucket.what, capacity: bucket.limit.count, orders, free_at });
    }
    Ok(found)
}
