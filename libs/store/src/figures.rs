//! The list and the state of things in figures.
//!
//! None of these may cost a scan of all domains, so what changes with them is kept as tallies by the database itself:
//! triggers on `domains` for the statuses, the reasons and the hours in which live certificates end, the transaction of
//! the change for what is counted per day. The hours are finer than the days that are shown, because "days left" is
//! meant from now on and not from midnight. Why not indexes: one over all live certificates would have to be walked
//! from end to end, and failed orders have no line in the history where they repeat.
//!
//! On SQLite a tally is raised in place. On PostgreSQL that would make every transaction wait for the one before, so a
//! change is a row of its own there, which the scheduler adds up ([`Store::fold_tallies`]); a reader sums both and so
//! sees exactly what has committed, folded or not.

use domain::{Status, WorkKind};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::{AtRisk, ListFilter, Result, Store, StoreError, Tx, dialect};

/// Most rows of overdue work that are counted.
pub const MOST_OVERDUE: u32 = 10_000;

/// The list in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Domains per stored status; a status without any may be missing.
    pub statuses: Vec<(Status, u64)>,
    /// Success, but the renewal is blocked.
    pub renewal_blocked: u64,
    /// Success, but only until the given time.
    pub expiring: u64,
    /// Waiting for room in a CA's limits.
    pub waiting_for_budget: u64,
    /// Live, and visitors see a warning soon unless somebody acts.
    pub at_risk: u64,
}

/// What is counted per day (UTC).
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

/// The state of things in figures, beside [`Summary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Domains per code of their reason.
    pub reasons: Vec<(String, u64)>,
    /// Live certificates per hour in which they end, in hours since 1970.
    pub end_hours: Vec<(i64, u64)>,
    /// Certificates issued per day (UTC).
    pub issued: Vec<(Date, u64)>,
    /// Orders failed per day (UTC).
    pub failed: Vec<(Date, u64)>,
    /// Domains per day of the daily recheck that took them.
    pub rechecked: Vec<(Date, u64)>,
    /// Domains with work that no worker took though it was due, counted among the [`MOST_OVERDUE`] rows that are due
    /// longest.
    pub overdue: u64,
    /// Since when the oldest of it is due.
    pub oldest_due_at: Option<Timestamp>,
    /// The last day whose recheck is complete.
    pub last_complete: Option<Date>,
    /// Domains whose recheck is planned, but was not carried out yet.
    pub rechecks_waiting: u64,
}

impl Overview {
    /// Sorts the rows (what, key, amount) of the tallies into their places.
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
    /// Counts one more on the day of `at`.
    pub(crate) async fn count_on_day_of(&mut self, counted: Counted, at: Timestamp) -> Result<()> {
        self.add_tally(counted.as_str(), at.to_zoned(TimeZone::UTC).date(), 1).await
    }

    /// Raises what is counted per day.
    pub(crate) async fn add_tally(&mut self, what: &str, day: Date, amount: usize) -> Result<()> {
        let text = dialect::add_tally(self.is_sqlite());
        self.write("tally", what, text).await?.bind(what).bind(&day).bind(&(amount as i64)).keep();
        Ok(())
    }
}

impl Store {
    /// The list in figures; `expiring` counts what ends before `ends_before`, `at_risk` what is at `risk`.
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

    /// The state of things, from what is kept as counts; `overdue` is work that has been due since `overdue_since` and
    /// that no lease holds.
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
        let (overdue, oldest_due_at): (i64, _) = query.limit(MOST_OVERDUE).one().await?;
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

    /// Since when the oldest due work of each kind waits that no lease holds, looked for among the [`MOST_OVERDUE`] rows
    /// that are due longest.
    pub async fn oldest_due(&self) -> Result<Vec<(WorkKind, Timestamp)>> {
        let text = "SELECT kind, min(due_at) FROM (
                SELECT kind, due_at FROM work
                WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due_at LIMIT $2) AS w
            GROUP BY kind ORDER BY kind";
        let now = self.now();
        self.reader().await?.db().query("oldest_due", text).bind(&now).limit(MOST_OVERDUE).all().await
    }

    /// Live certificates of domains to be renewed that end before `ends_before`, without those whose customer must act.
    pub async fn late_renewals(&self, ends_before: Timestamp) -> Result<u64> {
        let text = "SELECT count(*) FROM domains
            WHERE deleted_at IS NULL AND status = 'Success' AND source = 'c4' AND live_not_after < $1
                AND (who IS NULL OR who <> 'customer') AND https_switch <> 'off'";
        self.reader().await?.db().query("late_renewals", text).bind(&ends_before).count().await
    }

    /// Adds up to `limit` changes of figures to them, and returns how many there were. It costs readers when it is not
    /// done for long, and makes no other difference; there is nothing to do where figures are raised in place.
    pub async fn fold_tallies(&self, limit: u32) -> Result<u64> {
        dialect::fold_tallies(self, limit).await
    }
}
