//! The ledger of CAs' limits: one time per bucket, and what live orders have reserved of it.

use std::collections::BTreeMap;

use domain::OrderId;
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// A row of `reservations`.
struct Reservation {
    bucket: String,
    order: OrderId,
    spent_at: Option<Timestamp>,
}

columns!(Reservation in "reservations": bucket, order as "order_id", spent_at);

impl Store {
    /// The time of a bucket of a CA's budget.
    pub async fn bucket(&self, key: &str) -> Result<Option<Timestamp>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let found = db.query("bucket", "SELECT at FROM buckets WHERE key = $1").bind(key).optional::<(_,)>();
        Ok(found.await?.map(|(at,)| at))
    }
}

impl Tx {
    /// The times of these buckets of a CA's budget, in the order of `keys`, which must be sorted, locked; one that was
    /// never there stands at the beginning of time.
    pub async fn buckets(&mut self, keys: &[String]) -> Result<Vec<Timestamp>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // A row that is not there cannot be locked, so it is written first.
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

    /// Reserves one of each of these buckets for an order; what it has reserved already stays.
    pub async fn reserve(&mut self, order: OrderId, buckets: &[String]) -> Result<()> {
        let reservation = |bucket: &String| Reservation { bucket: bucket.clone(), order, spent_at: None };
        let rows: Vec<Reservation> = buckets.iter().map(reservation).collect();
        self.insert("reserve", "", &rows, &[], "ON CONFLICT (bucket, order_id) DO NOTHING").await
    }

    /// The buckets of which an order has reserved one, sorted.
    pub async fn reserved(&mut self, order: OrderId) -> Result<Vec<String>> {
        let text = "SELECT bucket FROM reservations WHERE order_id = $1 AND spent_at IS NULL ORDER BY bucket";
        self.db().await?.query("reserved", text).bind(&order).scalars().await
    }

    /// How many orders beside this one have reserved one of a bucket.
    pub async fn reserved_by_others(&mut self, bucket: &str, order: OrderId) -> Result<u64> {
        let text = "SELECT count(*) FROM reservations
            WHERE bucket = $1 AND order_id <> $2 AND spent_at IS NULL";
        self.db().await?.query("reserved_by_others", text).bind(bucket).bind(&order).count().await
    }

    /// Gives back what an order has reserved: its CA did not issue.
    pub async fn give_back(&mut self, order: OrderId) -> Result<()> {
        let text = "DELETE FROM reservations WHERE order_id = $1 AND spent_at IS NULL";
        self.write("give_back", "", text).await?.bind(&order).keep();
        Ok(())
    }

    /// Dates what an order has reserved: it ended, and its CA may have issued. [`Tx::take_spent`] finds it.
    pub async fn spend_later(&mut self, order: OrderId) -> Result<()> {
        let now = self.now();
        let text = "UPDATE reservations SET spent_at = $2 WHERE order_id = $1 AND spent_at IS NULL";
        self.write("spend_later", "", text).await?.bind(&order).bind(&now).keep();
        Ok(())
    }

    /// Deletes the dated reservations of a bucket and returns their times, for its time to be moved on.
    pub async fn take_spent(&mut self, bucket: &str) -> Result<Vec<Timestamp>> {
        let text = "DELETE FROM reservations WHERE bucket = $1 AND spent_at IS NOT NULL RETURNING spent_at";
        let mut times: Vec<Timestamp> =
            self.db().await?.query("take_spent", text).bind(bucket).scalars().await?;
        times.sort();
        Ok(times)
    }
}
