//! Work rows and their leases. Every token comes from one counter, so that a row which went and came back never repeats
//! one. The counter begins above 0, so a row with token 0 is nobody's: what gives a lease back writes it, and the old
//! holder's later writes meet nothing.

use domain::{Domain, DomainName, Lease, Outbound, Work, WorkKind};
use jiff::Timestamp;

use crate::domains::DomainRow;
use crate::record::{FromRow, Reader, Record, columns};
use crate::{Result, Store, StoreError, Tx, dialect};

columns!(Work in "work": name, kind, revision, cause, attempts, due_at, certificate as "certificate_id");

/// A row that a claim took: the work and its token.
struct Claimed {
    work: Result<Work>,
    token: i64,
}

impl FromRow for Claimed {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let work = Work::read(reader);
        reader.skip_to(Work::COLUMNS.len());
        Ok(Self { work, token: reader.value()? })
    }
}

fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { kind: lease.work.kind.as_str(), name: lease.work.name.to_string() }
}

impl Store {
    /// The work rows of a name.
    pub async fn work(&self, name: &DomainName) -> Result<Vec<Work>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        db.select::<Work>("work_of", "WHERE name = $1 ORDER BY kind").bind(name).all().await
    }

    /// Claims work of one kind of these names: the leases last until `until`. What is not due, not there, or leased to
    /// another is not among the answers. Nor is a row that makes no sense: it is logged, and keeps nothing from the
    /// others.
    pub async fn claim_batch(
        &self,
        kind: WorkKind,
        names: &[DomainName],
        until: Timestamp,
    ) -> Result<Vec<Lease>> {
        let mut writer = self.writer("claim").await?;
        let mut db = writer.db();
        let text = format!("{} RETURNING {}, work.lease_token", dialect::claim(&db), Work::selected("work"));
        let query = db.query("claim", &text).bind_set(names).bind(&kind).bind(&until).bind(&self.now());
        let claimed = query.all().await?;
        let claimed = writer.done(claimed).await?;
        let mut leases = Vec::new();
        for Claimed { work, token } in claimed {
            match work {
                Ok(work) => leases.push(Lease { work, token, expires_at: until }),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "work not claimed"),
            }
        }
        Ok(leases)
    }

    /// Claims work of one kind and name.
    pub async fn claim(&self, kind: WorkKind, name: &DomainName, until: Timestamp) -> Result<Option<Lease>> {
        Ok(self.claim_batch(kind, std::slice::from_ref(name), until).await?.pop())
    }

    /// Prolongs a lease. [`StoreError::LeaseLost`] if it is not ours any more.
    pub async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<()> {
        let mut writer = self.writer("renew").await?;
        let text = "UPDATE work SET lease_until = $4 WHERE name = $1 AND kind = $2 AND lease_token = $3";
        let mut db = writer.db();
        let query = db.query("renew", text).bind(&lease.work.name).bind(&lease.work.kind).bind(&lease.token);
        let rows = query.bind(&until).execute().await?;
        ended(lease, writer.done(rows).await?)
    }

    /// Gives work back before its lease ends, due as it was; the lease is lost. Nothing happens if it is not ours any
    /// more.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        let mut writer = self.writer("release").await?;
        let text = "UPDATE work SET lease_token = 0, lease_until = NULL, hinted_at = NULL
            WHERE name = $1 AND kind = $2 AND lease_token = $3";
        let mut db = writer.db();
        let query = db.query("release", text).bind(&lease.work.name).bind(&lease.work.kind);
        query.bind(&lease.token).execute().await?;
        writer.done(()).await
    }

    /// Frees every lease and forgets which hints were given, of work, of jobs, of messages and of deliveries. For the start of a process that
    /// is alone on its store.
    pub async fn free_all_leases(&self) -> Result<()> {
        let mut tx = self.begin("free_all_leases").await?;
        let text = "UPDATE work SET lease_token = 0, lease_until = NULL, hinted_at = NULL
            WHERE lease_until IS NOT NULL OR hinted_at IS NOT NULL";
        tx.db().await?.query("free_work", text).execute().await?;
        let text = "UPDATE messages SET lease_token = 0, lease_until = NULL WHERE lease_until IS NOT NULL";
        tx.db().await?.query("free_messages", text).execute().await?;
        let text = "UPDATE deliveries SET lease_until = NULL WHERE lease_until IS NOT NULL";
        tx.db().await?.query("free_deliveries", text).execute().await?;
        let text =
            "UPDATE jobs SET lease_token = lease_token + 1, lease_until = NULL WHERE lease_until IS NOT NULL";
        tx.db().await?.query("free_jobs", text).execute().await?;
        tx.commit().await
    }
}

impl Tx {
    /// Writes work rows, no two of the same name and kind, whatever they were before; leases on them are lost.
    pub async fn schedule_all(&mut self, work: &[Work]) -> Result<()> {
        let rest =
            "ON CONFLICT (name, kind) DO UPDATE SET revision = excluded.revision, cause = excluded.cause,
            attempts = excluded.attempts, due_at = excluded.due_at, certificate_id = excluded.certificate_id,
            lease_token = excluded.lease_token, lease_until = NULL, hinted_at = NULL, paused_for = ''";
        let part = match work {
            [work] => work.kind.as_str(),
            _ => "",
        };
        self.insert("schedule", part, work, &[("lease_token", "{next_token}")], rest).await
    }

    /// Writes a work row, whatever it was before; a lease on it is lost.
    pub async fn schedule(&mut self, work: &Work) -> Result<()> {
        self.schedule_all(std::slice::from_ref(work)).await
    }

    /// Writes a work row, unless the name has one of that kind.
    pub async fn schedule_if_none(&mut self, work: &Work) -> Result<()> {
        let (with, rest) = ([("lease_token", "{next_token}")], "ON CONFLICT (name, kind) DO NOTHING");
        self.insert("schedule_if_none", work.kind.as_str(), std::slice::from_ref(work), &with, rest).await
    }

    /// Removes a work row; a lease on it is lost. Nothing happens if there is none.
    pub async fn cancel(&mut self, name: &DomainName, kind: WorkKind) -> Result<()> {
        let text = "DELETE FROM work WHERE name = $1 AND kind = $2";
        self.write("cancel", kind.as_str(), text).await?.bind(name).bind(&kind).keep();
        Ok(())
    }

    /// A name's work row of one kind, locked.
    pub async fn work(&mut self, name: &DomainName, kind: WorkKind) -> Result<Option<Work>> {
        let mut db = self.db().await?;
        let query = db.select::<Work>("work_row", "WHERE name = $1 AND kind = $2 {lock}");
        query.bind(name).bind(&kind).optional().await
    }

    /// Whether an unexpired lease on a name's work is held. Locks the row, so that it stays as it is.
    pub async fn is_leased(&mut self, name: &DomainName, kind: WorkKind) -> Result<bool> {
        let now = self.now();
        let text = "SELECT coalesce(lease_until > $3, false) FROM work WHERE name = $1 AND kind = $2 {lock}";
        let mut db = self.db().await?;
        let query = db.query("is_leased", text).bind(name).bind(&kind).bind(&now);
        Ok(query.optional::<(bool,)>().await?.is_some_and(|(leased,)| leased))
    }

    /// The row of a lease's name, if the lease is still ours and of the name's present revision; both stay as they are
    /// until the transaction ends, the name's row locked first, as everywhere. [`StoreError::LeaseLost`] otherwise, and
    /// then the transaction may go on.
    pub async fn fence(&mut self, lease: &Lease) -> Result<Domain> {
        let mut db = self.db().await?;
        let text = dialect::fence(&db);
        let query = db.query("fence", &text).bind(&lease.work.name).bind(&lease.work.kind);
        let ours = query.bind(&lease.token).bind(&lease.work.revision).optional::<DomainRow>().await?;
        ours.ok_or_else(|| lost(lease))?.try_into()
    }

    /// Ends a lease: the row becomes `next`, or goes. [`StoreError::LeaseLost`] if it is not ours any more;
    /// [`StoreError::Conflict`] if `next` is other work.
    pub async fn finish(&mut self, lease: &Lease, next: Option<&Work>) -> Result<()> {
        self.finish_paused(lease, next, None).await
    }

    /// What [`Self::finish`] does; the next work waits until no pause of `paused_for` is left, or for its time.
    pub(crate) async fn finish_paused(
        &mut self,
        lease: &Lease,
        next: Option<&Work>,
        paused_for: Option<Outbound>,
    ) -> Result<()> {
        let (name, kind) = (&lease.work.name, &lease.work.kind);
        let Some(next) = next else {
            let text = "DELETE FROM work WHERE name = $1 AND kind = $2 AND lease_token = $3";
            let write = self.write("finish", kind.as_str(), text).await?;
            write.bind(name).bind(kind).bind(&lease.token).keep_or(lost(lease));
            return Ok(());
        };
        if next.name != *name || next.kind != *kind {
            return Err(StoreError::Conflict { operation: "finish_as_another" });
        }
        let text =
            "UPDATE work SET revision = $4, cause = $5, attempts = $6, due_at = $7, certificate_id = $8,
                paused_for = $9, lease_token = {next_token}, lease_until = NULL, hinted_at = NULL
            WHERE name = $1 AND kind = $2 AND lease_token = $3";
        let write = self.write("finish_and_schedule", kind.as_str(), text).await?;
        let write = write.bind(name).bind(kind).bind(&lease.token).bind(&next.revision).bind(&next.cause);
        let write = write.bind(&next.attempts).bind(&next.due_at).bind(&next.certificate);
        let write = write.bind(paused_for.map_or("", Outbound::as_str));
        write.keep_or(lost(lease));
        Ok(())
    }

    /// Marks up to `limit` rows of work that are due, free and not hinted at since `hinted_before`, and returns them,
    /// those that have been due longest first.
    pub async fn mark_due(&mut self, hinted_before: Timestamp, limit: u32) -> Result<Vec<Work>> {
        let now = self.now();
        let text = format!(
            "UPDATE work SET hinted_at = $1 WHERE (name, kind) IN (
                SELECT name, kind FROM work
                WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
                    AND (hinted_at IS NULL OR hinted_at <= $2)
                ORDER BY due_at LIMIT $3 {{lock free}})
            RETURNING {}",
            Work::selected("")
        );
        let mut db = self.db().await?;
        let query = db.query("mark_due", &text).bind(&now).bind(&hinted_before).limit(limit);
        let mut marked: Vec<Work> = query.all().await?;
        // RETURNING promises no order.
        marked.sort_by_key(|work| work.due_at);
        Ok(marked)
    }
}

fn ended(lease: &Lease, rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(lost(lease)) }
}
