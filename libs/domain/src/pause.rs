//! Pauses: an outside system gets no requests until an operator lifts the pause.
//!
//! A pause is a row of the store, and every caller of a CA or C4 asks a [`Gate`] right before each request. Work that
//! meets a pause ends its lease and waits until the pause is lifted, without counting an attempt.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// An outside system that can be paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outbound {
    /// Certificate authorities.
    Ca,
    /// C4.
    C4,
}

impl Outbound {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ca, Self::C4];

    /// The word of the API, the store and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::C4 => "c4",
        }
    }
}

impl fmt::Display for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Outbound {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|target| target.as_str() == text).ok_or(())
    }
}

/// A pause of requests to an outside system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The system.
    pub target: Outbound,
    /// The one CA that is paused; empty for all of them, and for C4.
    pub issuer: String,
    /// The principal who paused it.
    pub by: String,
    /// When it began.
    pub since: Timestamp,
    /// The operator's reason; may be empty.
    pub reason: String,
}

impl Pause {
    /// Fallback for waiting work that was missed; normally lifting the pause makes it due at once.
    pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

    /// Whether it stops requests to that system. `issuer` is empty for C4.
    pub fn stops(&self, target: Outbound, issuer: &str) -> bool {
        self.target == target && (self.issuer.is_empty() || self.issuer == issuer)
    }

    /// The paused system, as the subject of a sentence.
    pub fn subject(&self) -> String {
        match (self.target, self.issuer.as_str()) {
            (Outbound::C4, _) => "C4".to_owned(),
            (Outbound::Ca, "") => "the certificate authorities".to_owned(),
            (Outbound::Ca, issuer) => format!("the certificate authority {issuer}"),
        }
    }
}

/// Why a request was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// An operator paused the system.
    #[error("requests to {} are paused by {}", .0.subject(), .0.by)]
    Paused(Box<Pause>),
    /// The pauses could not be read (with the reason), so nothing is sent.
    #[error("whether requests are paused could not be read: {0}")]
    Unknown(String),
}

/// Decides right before each request whether it may be sent.
pub trait Gate: Send + Sync + 'static {
    /// Checks that requests may be sent to that system; `issuer` names the CA and is empty for C4.
    fn check<'a>(
        &'a self,
        target: Outbound,
        issuer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), Closed>> + Send + 'a>>;

    /// Is told after a request whether that system answered, and otherwise why not.
    fn answered(&self, _target: Outbound, _outcome: Result<(), String>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_stops_what_it_names_and_nothing_else() {
        let pause = |target, issuer: &str| Pause {
            target,
            issuer: issuer.to_owned(),
            by: String::new(),
            since: Timestamp::UNIX_EPOCH,
            reason: String::new(),
        };
        let (all, one, c4) = (pause(Outbound::Ca, ""), pause(Outbound::Ca, "a"), pause(Outbound::C4, ""));
        assert!(all.stops(Outbound::Ca, "a") && all.stops(Outbound::Ca, "b") && !all.stops(Outbound::C4, ""));
        assert!(one.stops(Outbound::Ca, "a") && !one.stops(Outbound::Ca, "b"));
        assert!(c4.stops(Outbound::C4, "") && !c4.stops(Outbound::Ca, "a"));
    }
}
