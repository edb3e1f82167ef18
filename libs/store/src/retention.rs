//! Destroys keys and deletes rows that are no longer needed.
//!
//! The role that does this (the scheduler) may read neither sealed keys nor session hashes, so the statements do not
//! need them. Rows that another transaction has locked are left for the next time.

use domain::DomainName;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::{Result, Store, Tx};

/// The limits for deleting old rows.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// Sessions that ended by this time.
    pub sessions: Timestamp,
    /// Buckets of CAs' limits whose time is not after this.
    pub buckets: Timestamp,
    /// Reservations that were spent by this time, of buckets that were not used since.
    pub reservations: Timestamp,
    /// Days of the midnight report before this one.
    pub midnights: Date,
    /// Days of rechecks and of counts per day before this one.
    pub days: Date,
}

impl Store {
    /// Returns up to `limit` domains that were deleted by `deleted_by` and whose keys have not been destroyed since,
    /// in order of name.
    pub async fn keys_to_destroy(&self, deleted_by: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
        let text = "SELECT name FROM domains
            WHERE deleted_at <= $1 AND deleted_at IS NOT NULL
                AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at)
            ORDER BY deleted_at LIMIT $2";
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.query("keys_to_destroy", text).bind(&deleted_by).limit(limit);
        let mut names: Vec<DomainName> = query.scalars().await?;
        names.sort();
        Ok(names)
    }
}

impl Tx {
    /// Destroys the sealed keys of a name's certificates, if it was deleted by `deleted_by` and is not on the list
    /// again. Returns the number of keys; none if the name was not deleted, or if it was done before. (An ended order
    /// has no key.)
    pub async fn destroy_keys(&mut self, name: &DomainName, deleted_by: Timestamp) -> Result<Option<u64>> {
        let now = self.now();
        let mut db = self.db().await?;
        let text = "UPDATE domains SET keys_destroyed_at = {greatest}($3, deleted_at)
            WHERE name = $1 AND deleted_at <= $2
                AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at)";
        let query = db.query("note_keys_destroyed", text).bind(name).bind(&deleted_by).bind(&now);
        if query.execute().await? == 0 {
            return Ok(None);
        }
        let text = "UPDATE certificates SET sealed_key = NULL, key_destroyed_at = $2
            WHERE name = $1 AND key_destroyed_at IS NULL";
        db.query("destroy_keys", text).bind(name).bind(&now).execute().await.map(Some)
    }

    /// Deletes ended sessions, full buckets, old reservations and day counts, about `limit` of each kind; returns the
    /// number of rows.
    pub async fn forget(&mut self, past: Past, limit: u32) -> Result<u64> {
        let mut db = self.db().await?;
        let mut deleted = 0;
        let sessions = "DELETE FROM sessions WHERE expires_at <= (
                SELECT max(expires_at) FROM (
                    SELECT expires_at FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) AS s)";
        let buckets = "DELETE FROM buckets WHERE key IN (
                SELECT key FROM buckets WHERE at <= $1 LIMIT $2 {lock free})";
        let reservations = "DELETE FROM reservations WHERE (bucket, order_id) IN (
                SELECT bucket, order_id FROM reservations WHERE spent_at <= $1 LIMIT $2 {lock free})";
        for (operation, text, by) in [
            ("delete_sessions", sessions, past.sessions),
            ("delete_buckets", buckets, past.buckets),
            ("delete_reservations", reservations, past.reservations),
        ] {
            deleted += db.query(operation, text).bind(&by).limit(limit).execute().await?;
        }
        let days = "DELETE FROM rechecked_days WHERE day IN (
                SELECT day FROM rechecked_days WHERE day < $1 LIMIT $2)";
        let tallies = "DELETE FROM tallies WHERE (what, key) IN (
                SELECT what, key FROM tallies
                WHERE (what IN ('issued', 'failed', 'rechecked') AND key < $1) OR amount = 0
                LIMIT $2 {lock free})";
        for (operation, text) in [("delete_days", days), ("delete_tallies", tallies)] {
            deleted += db.query(operation, text).bind(&past.days).limit(limit).execute().await?;
        }
        deleted += self.forget_midnights(past.midnights, limit).await?;
        Ok(deleted)
    }
}
