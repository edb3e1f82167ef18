//! A name's history, which is kept for ever.

use domain::{DomainName, HistoryEntry};

use crate::record::columns;
use crate::{Result, Store};

columns!(HistoryEntry in "history": name, at, kind, actor, status_from, status_to, message, certificate_sha256);

impl Store {
    /// Returns a name's history, newest first; empty for an unknown name.
    pub async fn history(&self, name: &DomainName, limit: u32) -> Result<Vec<HistoryEntry>> {
        Ok(self.history_before(name, None, limit).await?.0)
    }

    /// Returns a page of a name's history, newest first: the entries older than the given place, and the place where
    /// the next page begins, if there is one.
    pub async fn history_before(
        &self,
        name: &DomainName,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<HistoryEntry>, Option<i64>)> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = "SELECT id FROM history WHERE name = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let query = db.query("history_places", text).bind(name).bind(&before.unwrap_or(i64::MAX));
        let mut ids: Vec<i64> = query.limit(limit.saturating_add(1)).scalars().await?;
        let more = ids.len() > limit as usize;
        ids.truncate(limit as usize);
        let (Some(newest), Some(oldest)) = (ids.first(), ids.last()) else { return Ok((Vec::new(), None)) };
        let rest = "WHERE name = $1 AND id BETWEEN $2 AND $3 ORDER BY id DESC";
        let query = db.select::<HistoryEntry>("history", rest).bind(name).bind(oldest).bind(newest);
        Ok((query.all().await?, more.then_some(*oldest)))
    }
}
