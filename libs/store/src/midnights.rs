//! The midnight report: the domains of each daily recheck and their outcomes.
//!
//! A row is written in the transaction that takes the domain for the day's recheck. The step that decides it stores
//! the outcome: the end of an attempt without a certificate, or any step that makes the domain Success
//! ([`Tx::apply`]). A domain without an outcome by the next midnight counts as unchanged. So the report is as durable
//! as the facts it reports.

use domain::{Domain, DomainName, MidnightOutcome, Status};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::record::columns;
use crate::sql::Query;
use crate::{Result, Store, Tx};

/// A domain of a day's recheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MidnightRow {
    /// The day, in the scheduler's zone.
    pub day: Date,
    /// The domain.
    pub name: DomainName,
    /// Its outcome.
    pub outcome: MidnightOutcome,
    /// The status before the recheck.
    pub status_before: Status,
    /// The code of its reason before the recheck; empty for none.
    pub reason_before: String,
    /// The status after it; none while it waits.
    pub status_after: Option<Status>,
    /// The code of the reason after it; empty for none.
    pub reason_after: String,
    /// When the outcome was stored.
    pub decided_at: Option<Timestamp>,
}

columns!(MidnightRow in "midnights":
    day, name, outcome, status_before, reason_before, status_after, reason_after, decided_at);

/// The figures of a day's report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MidnightFigures {
    /// Domains per outcome; an outcome without domains may be missing.
    pub outcomes: Vec<(MidnightOutcome, u64)>,
    /// Domains that were not in the previous day's recheck.
    pub new: u64,
    /// Domains that were in the previous day's recheck and not in this one.
    pub gone: u64,
}

/// A query for rows of a day.
#[derive(Clone, Debug)]
pub struct MidnightQuery {
    /// The day.
    pub day: Date,
    /// Only that outcome.
    pub outcome: Option<MidnightOutcome>,
    /// Only domains that were not in the previous day's recheck.
    pub only_new: bool,
    /// After this name.
    pub after: String,
    /// Maximum number of rows.
    pub limit: u32,
}

fn code(domain: &Domain) -> String {
    domain.reason().map_or("", |reason| reason.code()).to_owned()
}

impl Tx {
    /// Stores that these domains are in the recheck of that day. Their rows of earlier days without an outcome become
    /// unchanged.
    pub async fn ask_at_midnight(&mut self, day: Date, domains: &[Domain]) -> Result<()> {
        let row = |domain: &Domain| MidnightRow {
            day,
            name: domain.name.clone(),
            outcome: MidnightOutcome::Waiting,
            status_before: domain.recorded,
            reason_before: code(domain),
            status_after: None,
            reason_after: String::new(),
            decided_at: None,
        };
        let rows: Vec<MidnightRow> = domains.iter().map(row).collect();
        let names: Vec<DomainName> = rows.iter().map(|row| row.name.clone()).collect();
        let (now, mut db) = (self.now(), self.db().await?);
        let text = "UPDATE midnights SET outcome = 'unchanged', status_after = status_before,
                reason_after = reason_before, decided_at = $2
            WHERE name {in 1} AND outcome = 'waiting' AND day < $3";
        db.query("close_midnights", text).bind_set(&names).bind(&now).bind(&day).execute().await?;
        self.insert("ask_at_midnight", "", &rows, &[], "ON CONFLICT (day, name) DO NOTHING").await
    }

    /// Stores the outcome of a domain that waits for one; other domains stay unchanged.
    pub async fn decide_midnight(&mut self, after: &Domain) -> Result<()> {
        let now = self.now();
        let status = after.status(now);
        let reason = after.deleted_at.is_none().then(|| code(&after.clone().as_stored(now)));
        let text = "UPDATE midnights SET
                outcome = CASE WHEN $2 = 1 THEN 'deleted' WHEN $3 = 'Success' THEN 'works'
                    WHEN status_before = $3 AND reason_before = $4 THEN 'unchanged' ELSE 'changed' END,
                status_after = $3, reason_after = $4, decided_at = $5 {rows}
            WHERE name = $1 AND outcome = 'waiting'";
        let write = self.write("decide_midnight", after.name.as_str(), text).await?;
        let is_deleted = i64::from(after.deleted_at.is_some());
        let write = write.bind(&after.name).bind(&is_deleted).bind(&status);
        write.bind(&reason.unwrap_or_default()).bind(&now).keep();
        Ok(())
    }

    /// Deletes at most `limit` rows of days before `before`; returns the number of rows.
    pub(crate) async fn forget_midnights(&mut self, before: Date, limit: u32) -> Result<u64> {
        let text = "DELETE FROM midnights WHERE (day, name) IN (
                SELECT day, name FROM midnights WHERE day < $1 LIMIT $2)";
        self.db().await?.query("delete_midnights", text).bind(&before).limit(limit).execute().await
    }
}

impl Store {
    /// Returns the last day whose recheck began; none before the first one.
    pub async fn last_midnight(&self) -> Result<Option<Date>> {
        let text = "SELECT max(day) FROM (
                SELECT max(day) AS day FROM midnights UNION ALL SELECT max(day) FROM rechecked_days) AS d";
        self.reader().await?.db().query("last_midnight", text).scalar().await
    }

    /// Returns the figures of a day's report.
    pub async fn midnight_figures(&self, day: Date) -> Result<MidnightFigures> {
        let before = day.yesterday().unwrap_or(day);
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = "SELECT outcome, count(*) FROM midnights WHERE day = $1 GROUP BY outcome ORDER BY outcome";
        let outcomes: Vec<(MidnightOutcome, i64)> =
            db.query("midnight_outcomes", text).bind(&day).all().await?;
        let text = "SELECT count(*) FROM midnights m WHERE m.day = $1
            AND NOT EXISTS (SELECT 1 FROM midnights o WHERE o.day = $2 AND o.name = m.name)";
        let new = db.query("midnight_new", text).bind(&day).bind(&before).count().await?;
        let gone = db.query("midnight_gone", text).bind(&before).bind(&day).count().await?;
        let outcomes = outcomes.into_iter().map(|(outcome, count)| (outcome, count.unsigned_abs())).collect();
        Ok(MidnightFigures { outcomes, new, gone })
    }

    /// Returns rows of a day, in order of name.
    pub async fn midnight_page(&self, query: &MidnightQuery) -> Result<Vec<MidnightRow>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let mut sql = db.select::<MidnightRow>("midnight_page", "m WHERE m.day = $1 AND m.name > $2");
        sql = sql.bind(&query.day).bind(&query.after);
        push_rest(&mut sql, query);
        sql.all().await
    }
}

fn push_rest(sql: &mut Query<'_>, query: &MidnightQuery) {
    if let Some(outcome) = query.outcome {
        sql.push(" AND m.outcome = ").push_bind(&outcome);
    }
    if query.only_new {
        let before = query.day.yesterday().unwrap_or(query.day);
        sql.push(" AND NOT EXISTS (SELECT 1 FROM midnights o WHERE o.name = m.name AND o.day = ");
        sql.push_bind(&before).push(")");
    }
    sql.push(format!(" ORDER BY m.name LIMIT {}", query.limit));
}
