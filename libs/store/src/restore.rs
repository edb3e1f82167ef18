//! The guard after a restore, and the queries for a full comparison with C4.
//!
//! The guard is one row, so that every copy of the uploader sees it and it survives a restart. While it is up, no
//! certificate is sent to C4 until a comparison has covered all names, or an operator has released it.

use domain::{Cause, DomainName, Work, WorkKind};
use jiff::Timestamp;

use crate::domains::{Change, select_changes};
use crate::record::{FromRow, Reader};
use crate::{DomainView, Result, Store, Tx};

/// The guard: whether C4 showed that this database is older than C4's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreGuard {
    /// When the guard was last raised; none if never.
    pub raised_at: Option<Timestamp>,
    /// The name for which C4 holds a newer certificate.
    pub evidence: String,
    /// The last name that was compared; empty at the start.
    pub compared_to: String,
    /// When the guard was released; none while it is up.
    pub released_at: Option<Timestamp>,
}

impl RestoreGuard {
    /// Since when uploads are held back; none if the guard is down.
    pub fn up_since(&self) -> Option<Timestamp> {
        self.raised_at.filter(|_| self.released_at.is_none())
    }
}

impl FromRow for RestoreGuard {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            raised_at: reader.value()?,
            evidence: reader.value()?,
            compared_to: reader.value()?,
            released_at: reader.value()?,
        })
    }
}

impl Store {
    /// Returns the present guard.
    pub async fn restore_guard(&self) -> Result<RestoreGuard> {
        let text = "SELECT raised_at, evidence, compared_to, released_at FROM restore_guard";
        self.reader().await?.db().query("restore_guard", text).one().await
    }

    /// Raises the guard because of C4's certificate for that name. Returns false if it is up already.
    pub async fn raise_restore_guard(&self, evidence: &DomainName) -> Result<bool> {
        let text =
            "UPDATE restore_guard SET raised_at = $1, evidence = $2, compared_to = '', released_at = NULL
            WHERE raised_at IS NULL OR released_at IS NOT NULL";
        let mut writer = self.writer("raise_restore_guard").await?;
        let mut db = writer.db();
        let rows = db.query("raise_restore_guard", text).bind(&self.now()).bind(evidence).execute().await?;
        Ok(writer.done(rows).await? == 1)
    }

    /// Returns a page of the names on the list, whether or not they are live, by name.
    pub async fn listed_after(&self, after: &str, limit: u32) -> Result<Vec<DomainView>> {
        let rest = "WHERE d.deleted_at IS NULL AND d.name > $1 ORDER BY d.name LIMIT $2";
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let changes = select_changes(&mut db, "listed_after", rest).bind(after).limit(limit);
        Ok(changes.all::<Change>().await?.into_iter().map(|change| change.view).collect())
    }

    /// Returns up to `limit` domains with a live certificate, those whose renewal or comparison has been due longest
    /// or is due soonest first. In a restored database these show work that was done after the backup.
    pub async fn first_due_and_live(&self, limit: u32) -> Result<Vec<DomainView>> {
        let rest = "WHERE d.name IN (
                SELECT w.name FROM work w JOIN domains l ON l.name = w.name
                WHERE w.due_at IS NOT NULL AND w.kind IN ('issue', 'upload')
                    AND l.deleted_at IS NULL AND l.live_certificate_id IS NOT NULL
                ORDER BY w.due_at LIMIT $1)";
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let changes = select_changes(&mut db, "first_due_and_live", rest).limit(limit);
        Ok(changes.all::<Change>().await?.into_iter().map(|change| change.view).collect())
    }

    /// Returns those names that have a row, deleted or not.
    pub async fn known_names(&self, names: &[DomainName]) -> Result<Vec<DomainName>> {
        let mut reader = self.reader().await?;
        let text = "SELECT name FROM domains WHERE name {in 1} ORDER BY name";
        reader.db().query("known_names", text).bind_set(names).scalars().await
    }
}

impl Tx {
    /// Stores the progress of the comparison for the guard that was raised at that time. Another copy may be further.
    pub async fn note_restore_compared(&mut self, raised_at: Timestamp, to: &DomainName) -> Result<()> {
        let text = "UPDATE restore_guard SET compared_to = $2
            WHERE raised_at = $1 AND released_at IS NULL AND compared_to < $2";
        let mut db = self.db().await?;
        db.query("note_restore_compared", text).bind(&raised_at).bind(to).execute().await.map(drop)
    }

    /// Releases the guard that was raised at that time; without a time, any guard that is up. Returns false if there
    /// is none.
    pub async fn release_restore_guard(&mut self, raised_at: Option<Timestamp>) -> Result<bool> {
        let now = self.now();
        let text = "UPDATE restore_guard SET released_at = $1
            WHERE raised_at IS NOT NULL AND released_at IS NULL
                AND ($2{timestamptz} IS NULL OR raised_at = $2{timestamptz})";
        let mut db = self.db().await?;
        let query = db.query("release_restore_guard", text).bind(&now).bind(&raised_at);
        Ok(query.execute().await? == 1)
    }

    /// Makes comparisons of these names due that are scheduled for later.
    pub async fn compare_now(&mut self, names: &[DomainName]) -> Result<()> {
        let now = self.now();
        for name in names {
            let waiting = self.work(name, WorkKind::Upload).await?;
            let waiting = waiting.filter(|work| work.cause == Cause::Compare && work.due_at > Some(now));
            if let Some(waiting) = waiting {
                self.schedule(&Work { due_at: Some(now), ..waiting }).await?;
            }
        }
        Ok(())
    }
}
