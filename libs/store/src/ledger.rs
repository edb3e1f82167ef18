//! The ledger of CAs' limits: one time per bucket, and the reservations of live orders.

use std::collections::BTreeMap;

use domain::budget::{Bucket, BucketState, Charge, Limits, Wait, Weighed, failures_key, names_key};
use domain::{DomainName, OrderId};
use jiff::Timestamp;

use crate::record::columns;
use crate::sql::Db;
use crate::{Result, Store, Tx};

/// A row of `reservations`.
struct Reservation {
    bucket: String,
    order: OrderId,
    spent_at: Option<Timestamp>,
}

columns!(Reservation in "reservations": bucket, order as "order_id", spent_at);

/// The states of an order's buckets, from `times` and the reservations of other orders.
async fn states(
    db: &mut Db<'_>,
    charge: &Charge,
    buckets: &[Bucket],
    times: BTreeMap<String, Timestamp>,
) -> Result<Vec<BucketState>> {
    let reserving: Vec<String> = buckets.iter().filter(|b| b.has_reservations()).map(key).collect();
    let mut found: Vec<(String, Option<Timestamp>)> = Vec::new();
    if !reserving.is_empty() {
        let text = "SELECT bucket, spent_at FROM reservations
            WHERE bucket IN (SELECT k.key FROM {set 1} AS k) AND (order_id <> $2 OR spent_at IS NOT NULL)
            ORDER BY spent_at";
        let query = db.query("reservations", text).bind_set(&reserving).bind(&charge.order);
        found = query.all().await?;
    }
    let mut states: Vec<BucketState> = Vec::new();
    for bucket in buckets {
        let of_bucket = found.iter().filter(|(key, _)| key == bucket.key());
        let ended_orders: Vec<Timestamp> = of_bucket.clone().filter_map(|(_, spent_at)| *spent_at).collect();
        let live = of_bucket.filter(|(_, spent_at)| spent_at.is_none()).count();
        let reserved = u32::try_from(live).unwrap_or(u32::MAX);
        states.push(BucketState { spent_until: times.get(bucket.key()).copied(), ended_orders, reserved });
    }
    Ok(states)
}

fn key(bucket: &Bucket) -> String {
    bucket.key().to_owned()
}

impl Store {
    /// Returns the time of a bucket.
    pub async fn bucket(&self, key: &str) -> Result<Option<Timestamp>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let found = db.query("bucket", "SELECT at FROM buckets WHERE key = $1").bind(key).optional::<(_,)>();
        Ok(found.await?.map(|(at,)| at))
    }
}

impl Store {
    /// Checks without locks whether there seems to be room for an order; otherwise returns what it would wait for.
    pub async fn look_for_room(
        &self,
        charge: &Charge,
        now: Timestamp,
    ) -> Result<std::result::Result<(), Wait>> {
        let buckets = charge.buckets();
        if buckets.is_empty() {
            return Ok(Ok(()));
        }
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let keys: Vec<String> = buckets.iter().map(key).collect();
        let text = "SELECT key, at FROM buckets WHERE key IN (SELECT k.key FROM {set 1} AS k)";
        let times = db.query("buckets", text).bind_set(&keys).all::<(_, _)>().await?;
        let states = states(&mut db, charge, &buckets, times.into_iter().collect()).await?;
        Ok(charge.weigh(&buckets, &states, now).outcome.map(drop))
    }

    /// Gives an order without room a place in its lane's queue, and returns what it waits for; nothing is charged.
    /// None if there is room after all.
    pub async fn stand_in_line(&self, charge: &Charge, now: Timestamp) -> Result<Option<Wait>> {
        let mut tx = self.begin("order_queued").await?;
        let Err(wait) = tx.charge(charge, now).await? else { return Ok(None) };
        tx.commit().await?;
        Ok(Some(wait))
    }
}

impl Tx {
    /// Charges an order to its CA's limits. Without room, changes only the queue and returns what the order waits
    /// for. Otherwise returns the buckets to [`Tx::reserve`] once the order's row is stored.
    pub async fn charge(
        &mut self,
        charge: &Charge,
        now: Timestamp,
    ) -> Result<std::result::Result<Vec<String>, Wait>> {
        let buckets = charge.buckets();
        if buckets.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let keys: Vec<String> = buckets.iter().map(key).collect();
        let times = keys.iter().cloned().zip(self.buckets(&keys).await?).collect();
        let mut states = states(&mut self.db().await?, charge, &buckets, times).await?;
        for (bucket, state) in buckets.iter().zip(&mut states) {
            if !state.ended_orders.is_empty() {
                state.ended_orders = self.take_spent(bucket.key()).await?;
            }
        }
        let Weighed { times, outcome } = charge.weigh(&buckets, &states, now);
        for (key, at) in times {
            self.set_bucket(&key, at).await?;
        }
        Ok(outcome)
    }

    /// Spends an order's reservations: its CA has issued, or may have.
    pub async fn spend_reserved(
        &mut self,
        order: OrderId,
        name: &DomainName,
        issuer: &str,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<()> {
        if *limits == Limits::default() {
            return self.give_back(order).await;
        }
        let keys = self.reserved(order).await?;
        let times = self.buckets(&keys).await?;
        for (key, at) in keys.iter().zip(times) {
            // A limit that was removed from the settings is not charged.
            let limit = if *key == names_key(issuer, name) {
                limits.certificates_per_names
            } else {
                limits.certificates_per_registered_domain
            };
            if let Some(limit) = limit {
                self.set_bucket(key, at.max(now) + limit.interval()).await?;
            }
        }
        self.give_back(order).await
    }

    /// Charges a failed authorization.
    pub async fn charge_failure(
        &mut self,
        name: &DomainName,
        issuer: &str,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<()> {
        let Some(limit) = limits.failed_authorizations else { return Ok(()) };
        let key = failures_key(issuer, name);
        let times = self.buckets(std::slice::from_ref(&key)).await?;
        let at = times.first().copied().unwrap_or(now).max(now);
        self.set_bucket(&key, at + limit.interval()).await
    }

    /// Returns the times of these buckets in the order of `keys`, which must be sorted; locks them. An unknown bucket
    /// has the earliest possible time.
    pub async fn buckets(&mut self, keys: &[String]) -> Result<Vec<Timestamp>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // A missing row cannot be locked, so it is inserted first.
        let text = "INSERT INTO buckets (key, at) SELECT k.key, $2 FROM {set 1} AS k WHERE true
            ON CONFLICT (key) DO UPDATE SET at = buckets.at RETURNING key, at";
        let mut db = self.db().await?;
        let query = db.query("lock_buckets", text).bind_set(keys).bind(&Timestamp::UNIX_EPOCH);
        let locked: BTreeMap<String, Timestamp> = query.all::<(_, _)>().await?.into_iter().collect();
        let time = |key| locked.get(key).copied().unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(keys.iter().map(time).collect())
    }

    /// Sets a bucket's time.
    pub async fn set_bucket(&mut self, key: &str, at: Timestamp) -> Result<()> {
        let text = "INSERT INTO buckets (key, at) VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET at = excluded.at";
        self.write("set_bucket", key, text).await?.bind(key).bind(&at).keep();
        Ok(())
    }

    /// Reserves one of each of these buckets for an order; existing reservations stay.
    pub async fn reserve(&mut self, order: OrderId, buckets: &[String]) -> Result<()> {
        let reservation = |bucket: &String| Reservation { bucket: bucket.clone(), order, spent_at: None };
        let rows: Vec<Reservation> = buckets.iter().map(reservation).collect();
        self.insert("reserve", "", &rows, &[], "ON CONFLICT (bucket, order_id) DO NOTHING").await
    }

    /// Returns the buckets in which an order has a reservation, sorted.
    pub async fn reserved(&mut self, order: OrderId) -> Result<Vec<String>> {
        let text = "SELECT bucket FROM reservations WHERE order_id = $1 AND spent_at IS NULL ORDER BY bucket";
        self.db().await?.query("reserved", text).bind(&order).scalars().await
    }

    /// Releases an order's reservations: its CA did not issue.
    pub async fn give_back(&mut self, order: OrderId) -> Result<()> {
        let text = "DELETE FROM reservations {rows} WHERE order_id = $1 AND spent_at IS NULL";
        self.write("give_back", "", text).await?.bind(&order).keep();
        Ok(())
    }

    /// Dates an order's reservations: it ended, and its CA may have issued. [`Tx::take_spent`] collects them.
    pub async fn spend_later(&mut self, order: OrderId) -> Result<()> {
        let now = self.now();
        let text = "UPDATE reservations SET spent_at = $2 {rows} WHERE order_id = $1 AND spent_at IS NULL";
        self.write("spend_later", "", text).await?.bind(&order).bind(&now).keep();
        Ok(())
    }

    /// Deletes the dated reservations of a bucket and returns their times, to be added to the bucket's time.
    pub async fn take_spent(&mut self, bucket: &str) -> Result<Vec<Timestamp>> {
        let text = "DELETE FROM reservations WHERE bucket = $1 AND spent_at IS NOT NULL RETURNING spent_at";
        let mut times: Vec<Timestamp> =
            self.db().await?.query("take_spent", text).bind(bucket).scalars().await?;
        times.sort();
        Ok(times)
    }
}
