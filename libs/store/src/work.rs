//! Work rows and their leases. All tokens come from one counter, so a row that was deleted and created again never
//! repeats one. The counter starts above 0: a released row gets token 0, which no worker has, so later writes of the
//! old holder match nothing.

use domain::{Domain, DomainName, Lease, Outbound, Work, WorkKind};
use jiff::Timestamp;

use crate::domains::DomainRow;
use crate::record::{FromRow, Reader, Record, columns};
use crate::{Result, Store, StoreError, Tx, dialect};

columns!(Work in "work": name, kind, revision, cause, attempts, due_at, certificate as "certificate_id");

/// A row that was claimed: the work and its token.
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
    /// Returns the work rows of a name.
    pub async fn work(&self, name: &DomainName) -> Result<Vec<Work>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        db.select::<Work>("work_of", "WHERE name = $1 ORDER BY kind").bind(name).all().await
    }

    /// Claims work of one kind of these names, with leases until `until`. Work that is not due, missing, or leased to
    /// another worker is left out. So is a row that cannot be decoded: it is logged and does not hold up the others.
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

    /// Extends a lease. [`StoreError::LeaseLost`] if it was lost.
    pub async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<()> {
        let mut writer = self.writer("renew").await?;
        let text = "UPDATE work SET lease_until = $4 WHERE name = $1 AND kind = $2 AND lease_token = $3";
        let mut db = writer.db();
        let query = db.query("renew", text).bind(&lease.work.name).bind(&lease.work.kind).bind(&lease.token);
        let rows = query.bind(&until).execute().await?;
        ended(lease, writer.done(rows).await?)
    }

    /// Releases work before its lease ends, due as it was; the lease is lost. Does nothing if the lease was lost
    /// already.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        let mut writer = self.writer("release").await?;
        let text = "UPDATE work SET lease_token = 0, lease_until = NULL, hinted_at = NULL
            WHERE name = $1 AND kind = $2 AND lease_token = $3";
        let mut db = writer.db();
        let query = db.query("release", text).bind(&lease.work.name).bind(&lease.work.kind);
        query.bind(&lease.token).execute().await?;
        writer.done(()).await
    }

    /// Frees every lease and clears all hint marks: of work, jobs, messages and deliveries. For the start of a
    /// process that is the only one on its store.
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
    /// Stores work rows, at most one per name and kind, replacing existing ones; leases on them are lost.
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

    /// Stores a work row, replacing an existing one; a lease on it is lost.
    pub async fn schedule(&mut self, work: &Work) -> Result<()> {
        self.schedule_all(std::slice::from_ref(work)).await
    }

    /// Stores a work row, unless the name has one of that kind.
    pub async fn schedule_if_none(&mut self, work: &Work) -> Result<()> {
        let (with, rest) = ([("lease_token", "{next_token}")], "ON CONFLICT (name, kind) DO NOTHING");
        self.insert("schedule_if_none", work.kind.as_str(), std::slice::from_ref(work), &with, rest).await
    }

    /// Deletes a work row; a lease on it is lost. Does nothing if there is none.
    pub async fn cancel(&mut self, name: &DomainName, kind: WorkKind) -> Result<()> {
        let text = "DELETE FROM work {rows} WHERE name = $1 AND kind = $2";
        self.write("cancel", kind.as_str(), text).await?.bind(name).bind(&kind).keep();
        Ok(())
    }

    /// Returns a name's work row of one kind, locked.
    pub async fn work(&mut self, name: &DomainName, kind: WorkKind) -> Result<Option<Work>> {
        let mut db = self.db().await?;
        let query = db.select::<Work>("work_row", "WHERE name = $1 AND kind = $2 {lock}");
        query.bind(name).bind(&kind).optional().await
    }

    /// Whether a name's work is under an unexpired lease. Locks the row, so that the answer stays true.
    pub async fn is_leased(&mut self, name: &DomainName, kind: WorkKind) -> Result<bool> {
        let now = self.now();
        let text = "SELECT coalesce(lease_until > $3, false) FROM work WHERE name = $1 AND kind = $2 {lock}";
        let mut db = self.db().await?;
        let query = db.query("is_leased", text).bind(name).bind(&kind).bind(&now);
        Ok(query.optional::<(bool,)>().await?.is_some_and(|(leased,)| leased))
    }

    /// Returns the row of a lease's name, if the lease is still held and is for the name's present revision. Locks
    /// both rows until the transaction ends, the name's row first, as everywhere. [`StoreError::LeaseLost`]
    /// otherwise; the transaction may continue then.
    pub async fn fence(&mut self, lease: &Lease) -> Result<Domain> {
        let mut db = self.db().await?;
        let text = dialect::fence(&db);
        let query = db.query("fence", &text).bind(&lease.work.name).bind(&lease.work.kind);
        let ours = query.bind(&lease.token).bind(&lease.work.revision).optional::<DomainRow>().await?;
        ours.ok_or_else(|| lost(lease))?.try_into()
    }

    /// Like [`Self::fence`] for the leases of a group, on PostgreSQL. Rows that another transaction has locked are left
    /// out like those of lost leases.
    pub(crate) async fn fence_all(&mut self, leases: &[&Lease]) -> Result<Vec<Domain>> {
        let names: Vec<&DomainName> = leases.iter().map(|lease| &lease.work.name).collect();
        let kinds: Vec<WorkKind> = leases.iter().map(|lease| lease.work.kind).collect();
        let tokens: Vec<i64> = leases.iter().map(|lease| lease.token).collect();
        let revisions: Vec<i64> = leases.iter().map(|lease| lease.work.revision).collect();
        let mut db = self.db().await?;
        let query = db.query("fence_all", &dialect::fence_all()).bind_array(&names).bind_array(&kinds);
        let rows = query.bind_array(&tokens).bind_array(&revisions).all::<DomainRow>().await?;
        rows.into_iter().map(Domain::try_from).collect()
    }

    /// Ends a lease: the row becomes `next`, or is deleted. [`StoreError::LeaseLost`] if the lease was lost;
    /// [`StoreError::Conflict`] if `next` is for another name or kind.
    pub async fn finish(&mut self, lease: &Lease, next: Option<&Work>) -> Result<()> {
        self.finish_paused(lease, next, None).await
    }

    /// Like [`Self::finish`]; the next work waits until no pause of `paused_for` is left, or until its due time.
    pub(crate) async fn finish_paused(
        &mut self,
        lease: &Lease,
        next: Option<&Work>,
        paused_for: Option<Outbound>,
    ) -> Result<()> {
        let (name, kind) = (&lease.work.name, &lease.work.kind);
        let Some(next) = next else {
            let text = "DELETE FROM work {rows} WHERE name = $1 AND kind = $2 AND lease_token = $3";
            let write = self.write("finish", kind.as_str(), text).await?;
            write.bind(name).bind(kind).bind(&lease.token).keep_or(lost(lease));
            return Ok(());
        };
        if next.name != *name || next.kind != *kind {
            return Err(StoreError::Conflict { operation: "finish_as_another" });
        }
        let text =
            "UPDATE work SET revision = $4, cause = $5, attempts = $6, due_at = $7, certificate_id = $8,
                paused_for = $9, lease_token = {next_token}, lease_until = NULL, hinted_at = NULL {rows}
            WHERE name = $1 AND kind = $2 AND lease_token = $3";
        let write = self.write("finish_and_schedule", kind.as_str(), text).await?;
        let write = write.bind(name).bind(kind).bind(&lease.token).bind(&next.revision).bind(&next.cause);
        let write = write.bind(&next.attempts).bind(&next.due_at).bind(&next.certificate);
        let write = write.bind(paused_for.map_or("", Outbound::as_str));
        write.keep_or(lost(lease));
        Ok(())
    }

    /// Marks up to `limit` work rows that are due, free and not hinted since `hinted_before`, and returns them,
    /// longest due first.
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
        // RETURNING guarantees no order.
        marked.sort_by_key(|work| work.due_at);
        Ok(marked)
    }
}

fn ended(lease: &Lease, rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(lost(lease)) }
}
