//! Days of the daily recheck, and counts of domains that C4 does not know.

use domain::DomainName;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::{Result, Store, Tx};

impl Store {
    /// Whether the daily recheck of that day is complete.
    pub async fn is_rechecked(&self, day: Date) -> Result<bool> {
        let text = "SELECT EXISTS (SELECT 1 FROM rechecked_days WHERE day = $1)";
        self.reader().await?.db().query("is_rechecked", text).bind(&day).scalar().await
    }
}

impl Tx {
    /// Marks up to `limit` domains as rechecked on `day` and returns them: domains of the daily recheck (Failure,
    /// Pending or Expired, to be generated) that were created before `created_before` and are not marked with that
    /// day or a later one. An empty result means that the day is complete.
    pub async fn take_recheck(
        &mut self,
        day: Date,
        created_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<DomainName>> {
        let text = "UPDATE domains SET rechecked_on = $1 WHERE name IN (
                SELECT name FROM domains
                WHERE deleted_at IS NULL AND source = 'c4' AND status IN ('Failure', 'Pending', 'Expired')
                    AND rechecked_on < $1 AND created_at < $2
                ORDER BY name LIMIT $3 {lock})
            RETURNING name";
        let mut db = self.db().await?;
        let query = db.query("take_recheck", text).bind(&day).bind(&created_before).limit(limit);
        let names: Vec<DomainName> = query.scalars().await?;
        if !names.is_empty() {
            self.add_tally("rechecked", day, names.len()).await?;
        }
        Ok(names)
    }

    /// Stores that the daily recheck of `day` is complete.
    pub async fn set_rechecked(&mut self, day: Date) -> Result<()> {
        let now = self.now();
        let text =
            "INSERT INTO rechecked_days (day, completed_at) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING";
        self.db().await?.query("set_rechecked", text).bind(&day).bind(&now).execute().await.map(drop)
    }

    /// Returns the number of domains with a live certificate that C4 has reported as unknown since `since`; and the
    /// number of domains with a live certificate, counted only as far as needed to see whether the former exceed 1%
    /// of them.
    pub async fn missing_and_live(&mut self, since: Timestamp) -> Result<(u64, u64)> {
        let mut db = self.db().await?;
        let text = "SELECT count(*) FROM domains
            WHERE missing_last_at >= $1 AND live_certificate_id IS NOT NULL AND deleted_at IS NULL";
        let missing = db.query("count_missing", text).bind(&since).count().await?;
        let text = "SELECT count(*) FROM (
                SELECT 1 FROM domains WHERE status = 'Success' AND deleted_at IS NULL LIMIT $1) AS l";
        let most = 100 * (missing as i64 + 1) + 1;
        Ok((missing, db.query("count_live", text).bind(&most).count().await?))
    }

    /// Clears the counted answers since `since` in which C4 did not know a domain with a live certificate.
    pub async fn discount_missing(&mut self, since: Timestamp) -> Result<()> {
        let text = "UPDATE domains SET missing_answers = 0 WHERE name IN (
                SELECT name FROM domains
                WHERE missing_last_at >= $1 AND missing_answers > 0 AND live_certificate_id IS NOT NULL
                {lock free})";
        self.db().await?.query("discount_missing", text).bind(&since).execute().await.map(drop)
    }
}
