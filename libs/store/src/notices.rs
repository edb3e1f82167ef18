//! Notices: messages for webhooks, written by the step that causes them.
//!
//! The notifier takes a notice in the transaction that stores its deliveries, so each is taken once, by the first
//! copy. A notice with a mark is stored once per kind, subject and mark, and its row is kept for a while after it was
//! taken, so that it is not created again.

use std::collections::BTreeMap;

use domain::{CertificateId, Domain, DomainName, EventId, NoticeKind, Noticed, Reason, Status};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::domains::DomainRow;
use crate::record::{FromRow, Reader, Record as _, columns};
use crate::{Result, Store, Tx};

/// A stored notice.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Its id, the same in every delivery and repetition.
    pub id: EventId,
    /// Its kind.
    pub kind: NoticeKind,
    /// The domain's name, our name for the CA, or the day.
    pub subject: String,
    /// One notice is stored per kind, subject and mark; if empty, each one is.
    pub mark: String,
    /// The domain's customer reference at that time; empty for none.
    pub customer_ref: String,
    /// When it happened.
    pub at: Timestamp,
    /// The time from which it is sent.
    pub due_at: Timestamp,
    /// The domain's status at that time.
    pub status: Option<Status>,
    /// The reason at that time.
    pub reason: Option<Reason>,
    /// The number of days before the end, for kinds with days.
    pub days: Option<u32>,
    /// The end of the live certificate at that time.
    pub ends_at: Option<Timestamp>,
}

columns!(Notice in "notices": id, kind, subject, mark, customer_ref, at, due_at, status, reason, days, ends_at);

impl Notice {
    pub(crate) fn of(noticed: Noticed, id: EventId, domain: &Domain, at: Timestamp) -> Self {
        Self {
            id,
            kind: noticed.kind,
            subject: noticed.subject,
            mark: noticed.mark,
            customer_ref: domain.customer_ref.clone(),
            at,
            due_at: noticed.due_at,
            status: Some(noticed.status),
            reason: noticed.reason,
            days: None,
            ends_at: noticed.ends_at,
        }
    }
}

/// A domain whose live certificate ends soon, without a notice of that number of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The domain.
    pub name: DomainName,
    /// Its customer reference; empty for none.
    pub customer_ref: String,
    /// The live certificate.
    pub certificate: CertificateId,
    /// Its end.
    pub ends_at: Timestamp,
    /// Why it is not renewed, if known.
    pub reason: Option<Reason>,
}

impl FromRow for Ending {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.table = "domains";
        let name = reader.value()?;
        let customer_ref: Option<String> = reader.value()?;
        Ok(Self {
            name,
            customer_ref: customer_ref.unwrap_or_default(),
            certificate: reader.value()?,
            ends_at: reader.value()?,
            reason: reader.value()?,
        })
    }
}

/// A row of `domains` with its labels.
struct Labelled {
    row: DomainRow,
    labels: BTreeMap<String, String>,
}

impl FromRow for Labelled {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { row: DomainRow::read(reader)?, labels: reader.value()? })
    }
}

impl Store {
    /// Returns up to `limit` notices that are due and not taken, longest due first.
    pub async fn due_notices(&self, limit: u32) -> Result<Vec<Notice>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rest = "WHERE handled_at IS NULL AND due_at <= $1 ORDER BY due_at, id LIMIT $2";
        db.select::<Notice>("due_notices", rest).bind(&self.now()).limit(limit).all().await
    }

    /// Returns those domains that are on the list, with their labels.
    pub async fn labelled_domains(
        &self,
        names: &[DomainName],
    ) -> Result<Vec<(Domain, BTreeMap<String, String>)>> {
        let mut reader = self.reader().await?;
        let text = format!(
            "SELECT {}, {{labels}} AS labels FROM domains d WHERE d.name {{in 1}} AND d.deleted_at IS NULL",
            DomainRow::selected("d")
        );
        let mut db = reader.db();
        let rows: Vec<Labelled> = db.query("labelled_domains", &text).bind_set(names).all().await?;
        rows.into_iter().map(|labelled| Ok((Domain::try_from(labelled.row)?, labelled.labels))).collect()
    }

    /// Returns up to `limit` domains whose live certificate ends after `after` and by `by`, is not being renewed, and
    /// has no notice of that kind and number of days. `kind` has days ([`NoticeKind::days_before_end`]).
    pub async fn ending_unnoticed(
        &self,
        kind: NoticeKind,
        days: i16,
        (after, by): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<Ending>> {
        let of_kind = match kind {
            NoticeKind::PastedEnding => "d.source = 'text'",
            _ => "d.source = 'c4' AND d.block IS NOT NULL",
        };
        // Rank 3: live, but not being renewed (attention.rs).
        let text = format!(
            "SELECT d.name, d.customer_ref, d.live_certificate_id, d.ends_at, d.block FROM domains d
            WHERE d.deleted_at IS NULL AND d.attention = 3 AND d.ends_at > $1 AND d.ends_at <= $2 AND {of_kind}
                AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.kind = $3 AND n.subject = d.name
                    AND n.mark = $4 || CAST(d.live_certificate_id AS text) AND n.mark <> '')
            ORDER BY d.ends_at, d.name LIMIT $5"
        );
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.query("ending_unnoticed", &text).bind(&after).bind(&by).bind(&kind);
        query.bind(&format!("{days}/")).limit(limit).all().await
    }

    /// Returns days whose recheck became complete after `since` and was not reported, each with the time of
    /// completion and whether a domain still has no outcome.
    pub async fn unreported_midnights(&self, since: Timestamp) -> Result<Vec<(Date, Timestamp, bool)>> {
        let text = "SELECT r.day, r.completed_at,
                EXISTS (SELECT 1 FROM midnights m WHERE m.day = r.day AND m.outcome = 'waiting')
            FROM rechecked_days r WHERE r.completed_at > $1 AND NOT EXISTS (
                SELECT 1 FROM notices n WHERE n.kind = 'midnight_report' AND n.subject = r.day
                    AND n.mark = r.day AND n.mark <> '')
            ORDER BY r.day LIMIT 10";
        self.reader().await?.db().query("unreported_midnights", text).bind(&since).all().await
    }

    /// Returns the number of listed domains with that reason code, from the tallies.
    pub async fn domains_with_reason(&self, code: &str) -> Result<u64> {
        let text =
            "SELECT coalesce(sum(amount), 0){bigint} FROM {tallies} WHERE what = 'reason' AND key = $1";
        let counted: i64 =
            self.reader().await?.db().query("domains_with_reason", text).bind(code).scalar().await?;
        Ok(counted.max(0).unsigned_abs())
    }

    /// Clears the marks of notices that do not hold: another one of the same kind, subject and mark is stored from then on.
    pub async fn clear_marks(&self, ids: &[EventId]) -> Result<()> {
        let text = "UPDATE notices SET mark = '' WHERE id {in 1} AND mark <> ''";
        let mut writer = self.writer("clear_marks").await?;
        let mut db = writer.db();
        db.query("clear_marks", text).bind_set(ids).execute().await?;
        writer.done(()).await
    }

    /// Deletes notices that are of no use any more: without a mark at most `limit` of those that were taken by `taken_by`,
    /// and at most `limit` that are older than `made_by`, taken or not. Returns the number of rows.
    pub async fn forget_notices(&self, taken_by: Timestamp, made_by: Timestamp, limit: u32) -> Result<u64> {
        let mut deleted = 0;
        // Two statements, because each goes by an index of its own; over both conditions at once none would serve.
        for (operation, by, text) in [
            (
                "forget_taken_notices",
                taken_by,
                "DELETE FROM notices WHERE id IN (
                    SELECT id FROM notices WHERE mark = '' AND handled_at <= $1
                    ORDER BY handled_at LIMIT $2 {lock free})",
            ),
            (
                "forget_old_notices",
                made_by,
                "DELETE FROM notices WHERE id IN (
                    SELECT id FROM notices WHERE at <= $1 ORDER BY at LIMIT $2 {lock free})",
            ),
        ] {
            let mut writer = self.writer(operation).await?;
            let mut db = writer.db();
            let rows = db.query(operation, text).bind(&by).limit(limit).execute().await?;
            deleted += writer.done(rows).await?;
        }
        Ok(deleted)
    }
}

impl Tx {
    /// Takes those notices that were not taken yet, and returns their ids. The resulting deliveries must be stored in
    /// the same transaction.
    pub async fn take_notices(&mut self, ids: &[EventId]) -> Result<Vec<EventId>> {
        let now = self.now();
        let text = "UPDATE notices SET handled_at = $2 WHERE id {in 1} AND handled_at IS NULL RETURNING id";
        self.db().await?.query("take_notices", text).bind_set(ids).bind(&now).scalars().await
    }
}
