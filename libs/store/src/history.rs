//! A name's history, which is the name's for ever.

use domain::{DomainName, HistoryEntry};

use crate::record::columns;
use crate::{Result, Store};

columns!(HistoryEntry in "history": name, at, kind, actor, status_from, status_to, message, certificate_sha256);

impl Store {
    /// A name's history, newest first; empty for a name that was never here.
    pub async fn history(&self, name: &DomainName, limit: u32) -> Result<Vec<HistoryEntry>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.select::<HistoryEntry>("history", "WHERE name = $1 ORDER BY id DESC LIMIT $2");
        query.bind(name).limit(limit).all().await
    }
}
