//! Pauses of outside systems, and the work that waits until a pause is lifted.
//!
//! Work that met a pause has its target in `paused_for`, until it is claimed or scheduled again. Lifting a pause
//! makes the first rows of it due in the same transaction. The remaining rows, and those of workers that had read the
//! pause just before and put their work aside after it, are found by [`Store::resume_work`] within seconds, and by
//! [`Store::release_paused_work`].

use domain::{Outbound, Pause};
use jiff::SignedDuration;

use crate::record::columns;
use crate::{Result, Store, Tx};

columns!(Pause in "pauses": target, issuer, by as "paused_by", since, reason);

/// Delay between lifting a pause and resuming its work: longer than any process caches the pauses, so that none puts
/// the work aside again.
const RESUMES_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// Rows of work resumed per statement, because millions may be waiting.
const BATCH: u32 = 1000;
/// Maximum number of consecutive batches; work that meets another pause is put aside again.
const MAX_BATCHES: usize = 100;

const RESUME: &str = "UPDATE work SET due_at = $2, hinted_at = NULL, paused_for = '' WHERE (name, kind) IN (
        SELECT name, kind FROM work WHERE paused_for = $1 LIMIT $3)";

impl Store {
    /// Returns all pauses, by target and issuer.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let mut reader = self.reader().await?;
        reader.db().select::<Pause>("pauses", "ORDER BY target, issuer").all().await
    }

    /// Returns the names of all CAs that we have ever had an account with, retired accounts included.
    pub async fn account_issuers(&self) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let text = "SELECT DISTINCT issuer FROM accounts ORDER BY issuer";
        reader.db().query("account_issuers", text).scalars().await
    }

    /// Makes work due that waits for a pause of a target without any pause left.
    pub async fn release_paused_work(&self) -> Result<()> {
        for target in Outbound::ALL {
            let text = "SELECT EXISTS (SELECT 1 FROM work WHERE paused_for = $1)
                AND NOT EXISTS (SELECT 1 FROM pauses WHERE target = $1)";
            let mut reader = self.reader().await?;
            let is_stranded: bool = reader.db().query("has_paused_work", text).bind(&target).scalar().await?;
            drop(reader);
            if is_stranded {
                self.resume_work(target).await?;
            }
        }
        Ok(())
    }

    /// Makes work due that waits for a pause of that target, in batches; work that meets another pause is put aside
    /// again.
    pub async fn resume_work(&self, target: Outbound) -> Result<()> {
        for _ in 0..MAX_BATCHES {
            let mut writer = self.writer("resume_work").await?;
            let mut db = writer.db();
            let query = db.query("resume_work", RESUME).bind(&target).bind(&self.now());
            let resumed = query.limit(BATCH).execute().await?;
            if writer.done(resumed).await? < u64::from(BATCH) {
                break;
            }
        }
        Ok(())
    }
}

impl Tx {
    /// Stores a pause, and returns it and whether it is new; an existing one stays unchanged.
    pub async fn pause(&mut self, pause: &Pause) -> Result<(Pause, bool)> {
        let mut db = self.db().await?;
        let text = "INSERT INTO pauses (target, issuer, paused_by, since, reason) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (target, issuer) DO NOTHING";
        let is_new = db.query("pause", text).bind_record(pause).execute().await? == 1;
        let query = db.select::<Pause>("pause_row", "WHERE target = $1 AND issuer = $2 {lock}");
        let stored = query.bind(&pause.target).bind(&pause.issuer).one().await?;
        Ok((stored, is_new))
    }

    /// Deletes a pause and makes work due soon that waits for any pause of that target: the next worker finds out
    /// whether another pause applies. If there is much, the scheduler resumes the rest. None if there is no such
    /// pause.
    pub async fn lift_pause(&mut self, target: Outbound, issuer: &str) -> Result<Option<Pause>> {
        let due_at = self.now() + RESUMES_AFTER;
        let mut db = self.db().await?;
        let query = db.select::<Pause>("pause_row", "WHERE target = $1 AND issuer = $2 {lock}");
        let Some(pause) = query.bind(&target).bind(issuer).optional::<Pause>().await? else {
            return Ok(None);
        };
        let text = "DELETE FROM pauses WHERE target = $1 AND issuer = $2";
        db.query("lift_pause", text).bind(&target).bind(issuer).execute_one().await?;
        db.query("resume_work", RESUME).bind(&target).bind(&due_at).limit(BATCH).execute().await?;
        Ok(Some(pause))
    }
}
