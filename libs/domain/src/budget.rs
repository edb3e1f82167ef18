//! A ledger of a CA's limits: how much of each is spent, and when there is room again.
//!
//! A bucket is one timestamp (GCRA, the generic cell rate algorithm of ATM): the theoretical arrival time, up to which
//! the bucket is spent. It is in the store and changed by the step that spends, so all copies of the issuer share it.
//! This module decides without I/O: a [`Charge`] names its buckets, the store reads them locked, and
//! [`Charge::weigh`] returns their new times and whether there is room.
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

mod limits;

use jiff::{SignedDuration, Timestamp};

pub use self::limits::{Exempt, Lane, Limit, LimitKind, Limits, Wait};
use crate::{DomainName, OrderId};

/// The clocks of our copies differ by less than this, and each copy dates its charges by its own clock.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(10);
/// When to check again if there is room only after another order has ended without a certificate.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// An order's charges and reservations in its CA's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The order. Its own reservations do not count against it.
    pub order: OrderId,
    /// Our name for the CA.
    pub issuer: String,
    /// The CA's limits.
    pub limits: Limits,
    /// The name that the order is for.
    pub name: DomainName,
    /// How urgent it is.
    pub lane: Lane,
    /// The limits that it is exempt from.
    pub exempt: Exempt,
    /// It waited in the queue, and its time has come.
    pub was_promised: bool,
    /// An earlier attempt has sent it to the CA and charged the account's new order then.
    pub is_asked_again: bool,
}

/// A bucket that an order is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    key: String,
    limit: Limit,
    kind: BucketKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BucketKind {
    /// New orders of the account.
    Orders,
    /// The time of the last order in the queue for one of those.
    Line,
    /// Certificates of the name or of its registered domain: reserved.
    Certificates(LimitKind),
    /// Reserved, but not checked.
    Counted,
    /// Checked, but charged only when an authorization fails.
    Failures,
}

/// The stored state of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketState {
    /// The time up to which it is spent; none if it was never charged.
    pub spent_until: Option<Timestamp>,
    /// End times of orders that count as issued and are not in `spent_until` yet, oldest first.
    pub ended_orders: Vec<Timestamp>,
    /// Number of other live orders with a reservation.
    pub reserved: u32,
}

/// The changes to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// Buckets and their new times; stored whether there is room or not.
    pub times: Vec<(String, Timestamp)>,
    /// The buckets to reserve for the order; or what it waits for.
    pub outcome: Result<Vec<String>, Wait>,
}

impl Bucket {
    /// The key that its time is stored under.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether live orders hold reservations in it.
    pub fn has_reservations(&self) -> bool {
        matches!(self.kind, BucketKind::Certificates(_))
    }
}

impl Charge {
    /// The buckets that the order is checked against, in the order of their keys, in which they are locked.
    pub fn buckets(&self) -> Vec<Bucket> {
        let (issuer, name, limits) = (&self.issuer, &self.name, &self.limits);
        let mut buckets = Vec::new();
        let mut add = |key: String, limit: Option<Limit>, kind| {
            buckets.extend(limit.map(|limit| Bucket { key, limit, kind }));
        };
        add(failures_key(issuer, name), limits.failed_authorizations, BucketKind::Failures);
        let of_the_names = match self.exempt {
            Exempt::Replacement => BucketKind::Counted,
            Exempt::Renewal | Exempt::Nothing => BucketKind::Certificates(LimitKind::Names),
        };
        add(names_key(issuer, name), limits.certificates_per_names, of_the_names);
        if self.exempt == Exempt::Nothing {
            let per_registered = limits.certificates_per_registered_domain;
            let kind = BucketKind::Certificates(LimitKind::RegisteredDomain);
            add(registered_key(issuer, name), per_registered, kind);
        }
        if self.exempt == Exempt::Nothing && !self.is_asked_again {
            let new_orders = limits.new_orders.map(Limit::seen_late);
            add(orders_key(issuer), new_orders, BucketKind::Orders);
            if self.lane.stands_in_line() {
                add(line_key(issuer, self.lane), new_orders, BucketKind::Line);
            }
        }
        buckets.sort_by(|one, other| one.key.cmp(&other.key));
        buckets
    }

    /// Returns whether the order has room in its buckets. `states` are their stored states, in the same order.
    pub fn weigh(&self, buckets: &[Bucket], states: &[BucketState], now: Timestamp) -> Weighed {
        let mut times = Vec::new();
        // It needs room for one more order of the account, and room in the limits of the name.
        let (mut in_line, mut of_the_name) = (None, None);
        let mut line: Option<(&str, Timestamp, SignedDuration)> = None;
        let (mut spent, mut reserved) = (Vec::new(), Vec::new());
        for (bucket, state) in buckets.iter().zip(states) {
            let interval = bucket.limit.interval();
            let at = bucket.spent_until(state);
            let next = at.max(now) + interval;
            match bucket.kind {
                BucketKind::Line => {
                    if at > now && !self.was_promised {
                        in_line = in_line.max(Some(at));
                    }
                    line = Some((&bucket.key, at + interval, interval));
                }
                BucketKind::Orders => {
                    let room_at = next - bucket.limit.reach(self.lane);
                    in_line = in_line.max(Some(room_at).filter(|room_at| *room_at > now));
                    spent.push((bucket.key.clone(), next));
                }
                BucketKind::Failures => {
                    let until = told(next - bucket.limit.all(), now);
                    of_the_name =
                        of_the_name.max(until.map(|until| (until, LimitKind::FailedAuthorizations)));
                }
                BucketKind::Certificates(kind) => {
                    if !state.ended_orders.is_empty() {
                        times.push((bucket.key.clone(), at));
                    }
                    let until = bucket.room_for_certificate(at, state.reserved, now);
                    of_the_name = of_the_name.max(until.map(|until| (until, kind)));
                    reserved.push(bucket.key.clone());
                }
                BucketKind::Counted => reserved.push(bucket.key.clone()),
            }
        }
        // A name that waits for its own limit takes no place in the account's queue.
        if let Some((until, limit)) = of_the_name {
            let until = in_line.map_or(until, |in_line| until.max(in_line));
            return Weighed { times, outcome: Err(Wait::without_a_queue(until, limit)) };
        }
        let Some(until) = in_line else {
            times.extend(spent);
            return Weighed { times, outcome: Ok(reserved) };
        };
        let Some((key, after_the_last, interval)) = line else {
            return Weighed { times, outcome: Err(Wait::without_a_queue(until, LimitKind::NewOrders)) };
        };
        let until = until.max(after_the_last);
        times.push((key.to_owned(), until));
        let seconds_per_place = u32::try_from(interval.as_secs().max(1)).unwrap_or(u32::MAX);
        let wait = Wait { until, limit: LimitKind::NewOrders, seconds_per_place };
        Weighed { times, outcome: Err(wait) }
    }
}

impl Bucket {
    /// The time up to which it is spent, including the ended orders that count as issued.
    fn spent_until(&self, state: &BucketState) -> Timestamp {
        let stored = state.spent_until.unwrap_or(Timestamp::UNIX_EPOCH);
        let spend = |at: Timestamp, ended_at: &Timestamp| at.max(*ended_at) + self.limit.interval();
        state.ended_orders.iter().fold(stored, spend)
    }

    /// Until when to wait for room for one more certificate; none if there is room even if all live orders are
    /// issued.
    fn room_for_certificate(&self, at: Timestamp, reserved: u32, now: Timestamp) -> Option<Timestamp> {
        let interval = self.limit.interval();
        let free_at = at.max(now) + interval - self.limit.all();
        if free_at > now {
            return told(free_at, now);
        }
        let others = i32::try_from(reserved).unwrap_or(i32::MAX);
        let room_at = free_at.saturating_add(interval.saturating_mul(others)).unwrap_or(Timestamp::MAX);
        (room_at > now).then(|| now + LOOK_AGAIN)
    }
}

/// Until when to wait for room that is there at `room_at`; none if that is not in the future.
fn told(room_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    (room_at > now).then(|| room_at + CLOCK_TOLERANCE)
}

/// The bucket of an issuer's new orders.
pub fn orders_key(issuer: &str) -> String {
    format!("{issuer}/orders")
}

/// The bucket with the time of the last order in a lane's queue.
pub fn line_key(issuer: &str, lane: Lane) -> String {
    format!("{}/line/{}", orders_key(issuer), lane.as_str())
}

/// The bucket of the certificates for a name's registered domain (public suffix list).
pub fn registered_key(issuer: &str, name: &DomainName) -> String {
    format!("{issuer}/registered/{}", name.registered())
}

/// The bucket of the certificates for exactly that name.
pub fn names_key(issuer: &str, name: &DomainName) -> String {
    format!("{issuer}/names/{name}")
}

/// The bucket of a name's failed authorizations.
pub fn failures_key(issuer: &str, name: &DomainName) -> String {
    format!("{issuer}/failures/{name}")
}

#[cfg(test)]
mod tests;
