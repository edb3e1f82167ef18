//! The ledger of CAs' limits: one time per bucket.

use jiff::Timestamp;

use crate::{Result, Store, Tx};

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
        let mut times = Vec::with_capacity(keys.len());
        for key in keys {
            // A row that is not there cannot be locked, so it is written first.
            let text = "INSERT INTO buckets (key, at) VALUES ($1, $2)
                ON CONFLICT (key) DO UPDATE SET at = buckets.at RETURNING at";
            let mut db = self.db();
            times.push(db.query("lock_bucket", text).bind(key).bind(&Timestamp::UNIX_EPOCH).scalar().await?);
        }
        Ok(times)
    }

    /// Sets a bucket's time.
    pub async fn set_bucket(&mut self, key: &str, at: Timestamp) -> Result<()> {
        let text = "INSERT INTO buckets (key, at) VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET at = excluded.at";
        self.db().query("set_bucket", text).bind(key).bind(&at).execute().await.map(drop)
    }
}
