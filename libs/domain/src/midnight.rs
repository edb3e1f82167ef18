//! What came of the daily recheck of a domain.

use std::fmt;
use std::str::FromStr;

/// What came out for a domain that was asked at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MidnightOutcome {
    /// Its attempt is still to come, or under way.
    Waiting,
    /// It has a live certificate now.
    Works,
    /// It has none yet, and the reason or the status is another one.
    Changed,
    /// It is as it was.
    Unchanged,
    /// It was taken off the list before anything came out.
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
