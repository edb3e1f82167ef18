//! What the overview counts, and what is forgotten when it is old.
//!
//! None of these counts may cost a scan of all domains, so what changes with them is kept as tallies by the database
//! itself: triggers on `domains` for the reasons and for the hours in which live certificates end, the transaction of the
//! change for what is counted per day. The hours are finer than the days that are shown, because "days left" is meant from
//! now on and not from midnight. Why not indexes: one over all live certificates would have to be walked from end to
//! end, and failed orders have no line in the history where they repeat.
//!
//! On SQLite a tally is raised in place. On PostgreSQL that would make every transaction wait for the one before, so a
//! change is a row of its own there, which the scheduler adds up ([`crate::Store::fold_tallies`]).

use jiff::Timestamp;
use jiff::civil::Date;

use crate::{Columns, Result};

/// Most rows of overdue work that are counted.
pub const MOST_OVERDUE: u32 = 10_000;

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

/// The state of things in figures, beside [`crate::Summary`].
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
    /// Domains with work that nobody took though it was due, counted among the [`MOST_OVERDUE`] rows that are due longest.
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
    pub fn from_tallies(rows: Vec<(String, String, i64)>) -> Result<Self> {
        let mut overview = Self::default();
        for (what, key, amount) in rows {
            let columns = Columns { table: "tallies", id: &what };
            let bad = || columns.bad("key");
            let day = || key.parse::<Date>().map_err(|_| bad());
            let Ok(amount @ 1..) = u64::try_from(amount) else {
                continue;
            };
            match what.as_str() {
                "ends" => overview.end_hours.push((key.parse().map_err(|_| bad())?, amount)),
                "issued" => overview.issued.push((day()?, amount)),
                "failed" => overview.failed.push((day()?, amount)),
                "rechecked" => overview.rechecked.push((day()?, amount)),
                "reason" => overview.reasons.push((key, amount)),
                _ => return Err(columns.bad("what")),
            }
        }
        Ok(overview)
    }
}

/// What says nothing any more.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// Sessions that ended by then.
    pub sessions: Timestamp,
    /// Buckets of CAs' limits whose time is not after this.
    pub buckets: Timestamp,
    /// Days before this: of rechecks, and of what is counted per day.
    pub days: Date,
}
