//! Jobs: one kind of work for a list of names, line by line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($name:ident: $count:literal, $($variant:ident = $word:literal),+) => {
        impl $name {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$variant),+];

            /// The word of the store and the command line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.into_iter().find(|word| word.as_str() == text).ok_or(())
            }
        }
    };
}

/// What a job does with each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Puts it on the list and orders a certificate.
    Add,
    /// Brings its next attempt to now, and waits for the result.
    Recheck,
    /// Takes it off the list.
    Delete,
    /// Orders a certificate if one is due.
    Generate,
    /// Orders a certificate whether or not one is due.
    Reissue,
    /// Changes the customer reference and the labels.
    Label,
}

words!(JobKind: 6, Add = "add", Recheck = "recheck", Delete = "delete", Generate = "generate", Reissue = "reissue",
    Label = "label");

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Its lines are still arriving; it is not shown.
    Receiving,
    /// Complete, and not started.
    Draft,
    /// Started; no copy of the API has taken it yet.
    Queued,
    /// A copy of the API works on it, or will continue to.
    Running,
    /// Every line has an outcome.
    Done,
    /// A person ended it early.
    Cancelled,
    /// The system ended it early.
    Stopped,
}

words!(JobState: 7, Receiving = "receiving", Draft = "draft", Queued = "queued", Running = "running", Done = "done",
    Cancelled = "cancelled", Stopped = "stopped");

impl JobState {
    /// Whether nothing more happens to it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Stopped)
    }
}

/// The outcome of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineOutcome {
    /// Not processed: not yet, or, once the job is over, not at all.
    Waiting,
    /// A recheck was started; its result is pending.
    Asked,
    /// Recheck: the name has a live certificate now and had none before.
    Works,
    /// Recheck: status and reason are unchanged.
    Unchanged,
    /// Recheck: status or reason changed, and there is still no live certificate.
    Changed,
    /// Recheck: no result within the time that a job waits for one.
    Unknown,
    /// The work was done.
    Done,
    /// There was nothing to do.
    Already,
    /// The work could not be done; the code says why.
    Failed,
    /// The line is not a domain name.
    Refused,
    /// The name is in an earlier line of the same job.
    Repeated,
}

words!(LineOutcome: 11, Waiting = "waiting", Asked = "asked", Works = "works", Unchanged = "unchanged",
    Changed = "changed", Unknown = "unknown", Done = "done", Already = "already", Failed = "failed",
    Refused = "refused", Repeated = "repeated");

impl LineOutcome {
    /// Whether nothing more is done with the line.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Asked)
    }
}

/// Parameters of a job beside its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobParameters {
    /// Delete: whether the certificates are removed from C4, too.
    pub remove_from_c4: bool,
    /// Label: the new customer reference; empty removes it, none keeps it.
    pub customer_ref: Option<String>,
    /// Label: labels to set.
    pub labels: BTreeMap<String, String>,
    /// Label: keys of labels to remove.
    pub remove_labels: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back() {
        assert!(JobKind::ALL.into_iter().all(|kind| kind.as_str().parse() == Ok(kind)));
        assert!(JobState::ALL.into_iter().all(|state| state.as_str().parse() == Ok(state)));
        assert!(LineOutcome::ALL.into_iter().all(|outcome| outcome.as_str().parse() == Ok(outcome)));
        assert_eq!("rechecks".parse::<JobKind>(), Err(()));
    }
}
