//! Outcomes of the daily recheck.

use std::fmt;
use std::str::FromStr;

/// The outcome for a domain of the daily recheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MidnightOutcome {
    /// Its attempt is pending or running.
    Waiting,
    /// It has a live certificate now.
    Works,
    /// It has none yet, and its reason or status changed.
    Changed,
    /// Nothing changed.
    Unchanged,
    /// It was taken off the list before there was a result.
    Deleted,
}

impl MidnightOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Works, Self::Changed, Self::Unchanged, Self::Deleted];

    /// The word of the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Works => "works",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for MidnightOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for MidnightOutcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or(())
    }
}
