//! Figures about the list and the state of the system.
//!
//! None of these may scan all domains, so the database itself keeps them as tallies: triggers on `domains` count
//! statuses, reasons and the hours in which live certificates end; the transaction of a change counts the figures per
//! day. Ends are counted per hour although days are shown, because "days left" is relative to now and not to
//! midnight. Why not indexes: one over all live certificates would have to be scanned completely, and repeated order
//! failures have no entry in the history.
//!
//! On SQLite a tally is updated in place. On PostgreSQL that would serialise all transactions, so each change is a
//! row of its own there, which the scheduler adds up ([`Store::fold_tallies`]); readers sum both and so see exactly
//! the committed changes, folded or not.

use domain::{Status, WorkKind};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::{AtRisk, ListFilter, Result, Store, StoreError, Tx, dialect};

/// Maximum number of rows of overdue work that are counted.
pub const MAX_OVERDUE: u32 = 10_000;

/// Figures about the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Domains per stored status; a status without domains may be missing.
    pub statuses: Vec<(Status, u64)>,
    /// Domains with status Success whose renewal is blocked.
    pub renewal_blocked: u64,
    /// Domains with status Success whose certificate ends before the given time.
    pub expiring: u64,
    /// Domains waiting for room in a CA's limits.
    pub waiting_for_budget: u64,
    /// Live domains whose visitors will see a warning soon unless a person acts.
    pub at_risk: u64,
}

/// An event that is counted per day (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A certificate was issued.
    Issued,
    /// An order failed.
    Failed,
}

impl Counted {
    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Failed => "failed",
        }
    }
}

/// Figures about the state of the system, beside [`Summary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Domains per reason code.
    pub reasons: Vec<(String, u64)>,
    /// Live certificates per hour in which they end, in hours since 1970.
    pub end_hours: Vec<(i64, u64)>,
    /// Certificates issued per day (UTC).
    pub issued: Vec<(Date, u64)>,
    /// Orders failed per day (UTC).
    pub failed: Vec<(Date, u64)>,
    /// Domains per day of the daily recheck that included them.
    pub rechecked: Vec<(Date, u64)>,
    /// Domains with overdue work that no worker has taken, counted among the [`MAX_OVERDUE`] rows that are due
    /// longest.
    pub overdue: u64,
    /// Since when the oldest of that work is due.
    pub oldest_due_at: Option<Timestamp>,
    /// The last day with a complete recheck.
    pub last_complete: Option<Date>,
    /// Domains whose recheck is planned but not done.
    pub rechecks_waiting: u64,
}

impl Overview {
    /// Converts the rows (what, key, amount) of the tallies.
    fn from_tallies(rows: Vec<(String, String, i64)>) -> Result<Self> {
        let mut overview = Self::default();
        for (what, key, amount) in rows {
            let bad = |column: &str| {
                let (table, column) = ("tallies", column.to_owned());
                StoreError::Inconsistency { table, column, id: what.clone() }
            };
            let day = || key.parse::<Date>().map_err(|_| bad("key"));
            let Ok(amount @ 1..) = u64::try_from(amount) else {
                continue;
            };
            match what.as_str() {
                "ends" => overview.end_hours.push((key.parse().map_err(|_| bad("key"))?, amount)),
                "issued" => overview.issued.push((day()?, amount)),
                "failed" => overview.failed.push((day()?, amount)),
                "rechecked" => overview.rechecked.push((day()?, amount)),
                "reason" => overview.reasons.push((key, amount)),
                _ => return Err(bad("what")),
            }
        }
        Ok(overview)
    }
}

impl Tx {
    /// Adds `amount` to a count per day.
    pub(crate) async fn add_tally(&mut self, what: &str, day: Date, amount: usize) -> Result<()> {
        let text = dialect::add_tally(self.is_sqlite());
        self.write("tally", what, text).await?.bind(what).bind(&day).bind(&(amount as i64)).keep();
        Ok(())
    }
}

impl Store {
    /// Returns the figures about the list; `expiring` counts certificates that end before `ends_before`, `at_risk`
    /// those at `risk`.
    pub async fn summary(&self, ends_before: Timestamp, risk: AtRisk) -> Result<Summary> {
        let at_risk = ListFilter { at_risk: Some(risk), ..ListFilter::default() };
        let at_risk = self.count(&at_risk, u32::MAX).await?;
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = "SELECT key, sum(amount){bigint} FROM {tallies} WHERE what = 'domains' GROUP BY key";
        let counted: Vec<(String, i64)> = db.query("summary", text).all().await?;
        let text = "SELECT count(*) FROM domains
            WHERE deleted_at IS NULL AND status = 'Success' AND live_not_after < $1";
        let expiring = db.query("count_expiring", text).bind(&ends_before).count().await?;
        let count = |what: &str| {
            let found = counted.iter().find(|(counted, _)| counted == what);
            found.map_or(0, |(_, domains)| *domains as u64)
        };
        Ok(Summary {
            statuses: Status::ALL
                .map(|status| (status, count(status.as_str())))
                .into_iter()
                .filter(|(_, domains)| *domains > 0)
                .collect(),
            renewal_blocked: count("renewal_blocked"),
            expiring,
            waiting_for_budget: count("waiting_for_budget"),
            at_risk,
        })
    }

    /// Returns the figures about the system's state, from tallies; overdue work is work that has been due since
    /// `overdue_since` and is not leased.
    pub async fn overview(&self, overdue_since: Timestamp) -> Result<Overview> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = "SELECT what, key, sum(amount){bigint} FROM {tallies}
            WHERE what <> 'domains' GROUP BY what, key ORDER BY what, key";
        let tallies = db.query("tallies", text).all().await?;
        let text = "SELECT count(DISTINCT name), min(due_at) FROM (
                SELECT name, due_at FROM work
                WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $2) ORDER BY due_at LIMIT $3) AS w";
        let query = db.query("overdue_work", text).bind(&overdue_since).bind(&self.now());
        let (overdue, oldest_due_at): (i64, _) = query.limit(MAX_OVERDUE).one().await?;
        let text = "SELECT max(day) FROM rechecked_days";
        let last_complete = db.query("last_rechecked", text).scalar().await?;
        let text = "SELECT count(due_at) FROM work WHERE cause = 'midnight'";
        let rechecks_waiting = db.query("rechecks_waiting", text).count().await?;
        Ok(Overview {
            overdue: overdue.unsigned_abs(),
            oldest_due_at,
            last_complete,
            rechecks_waiting,
            ..Overview::from_tallies(tallies)?
        })
    }

    /// Returns since when the oldest due and unleased work of each kind waits, among the [`MAX_OVERDUE`] rows that
    /// are due longest.
    pub async fn oldest_due(&self) -> Result<Vec<(WorkKind, Timestamp)>> {
        let text = "SELECT kind, min(due_at) FROM (
                SELECT kind, due_at FROM work
                WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due_at LIMIT $2) AS w
            GROUP BY kind ORDER BY kind";
        let now = self.now();
        self.reader().await?.db().query("oldest_due", text).bind(&now).limit(MAX_OVERDUE).all().await
    }

    /// Returns the number of live certificates that end before `ends_before` although their domains are to be
    /// renewed, without those whose customer must act.
    pub async fn late_renewals(&self, ends_before: Timestamp) -> Result<u64> {
        let text = "SELECT count(*) FROM domains
            WHERE deleted_at IS NULL AND status = 'Success' AND source = 'c4' AND live_not_after < $1
                AND (who IS NULL OR who <> 'customer') AND https_switch <> 'off'";
        self.reader().await?.db().query("late_renewals", text).bind(&ends_before).count().await
    }

    /// Adds up to `limit` changes to the tallies, and returns their number. If it is not called for long, reads
    /// become slower, but results stay the same; a no-op where tallies are updated in place.
    pub async fn fold_tallies(&self, limit: u32) -> Result<u64> {
        dialect::fold_tallies(self, limit).await
    }
}
