//! What a transaction appends and never reads: kept until the commit, and then written by one statement for each table.
//! A batch of names costs as many statements for it as one name does.

use domain::{Event, HistoryEntry};
use jiff::Timestamp;
use sqlx::PgConnection;
use store::{AuditEntry, Counted, Result};

use crate::{audit, changes, messages, overview};

#[derive(Default)]
pub(crate) struct Appended {
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) audit: Vec<AuditEntry>,
    pub(crate) events: Vec<Sent>,
    pub(crate) counted: Vec<(Counted, Timestamp)>,
}

/// An event, when it was published, and the trace that it belongs to.
pub(crate) struct Sent {
    pub(crate) event: Event,
    pub(crate) at: Timestamp,
    pub(crate) trace_parent: Option<String>,
}

impl Appended {
    pub(crate) async fn write(&self, db: &mut PgConnection) -> Result<()> {
        if !self.history.is_empty() {
            changes::append_history(db, &self.history).await?;
        }
        if !self.audit.is_empty() {
            audit::append(db, &self.audit).await?;
        }
        if !self.counted.is_empty() {
            overview::count(db, &self.counted).await?;
        }
        if !self.events.is_empty() {
            messages::publish(db, &self.events).await?;
        }
        Ok(())
    }
}
