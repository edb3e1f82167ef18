//! What people read about a domain: a verdict for the support team, on the page and in a terminal, and a message for the
//! customer. `docs/SENTENCES.md` shows every one of them; `make docs` writes it.
//!
//! Sentences are made from typed facts where they are read, so that each reader gets times in the own zone. A sentence
//! promises nothing that the facts do not hold: no certificate that is not served, no order that is not placed, no minute
//! where hours are left.

mod done;
mod letter;
mod midnight;
mod progress;
mod reader;
mod verdict;

use jiff::{SignedDuration, Timestamp};

pub use self::done::{Done, Served};
pub use self::letter::{paused, short, short_of};
pub use self::midnight::{MidnightTotals, midnight};
pub use self::reader::{Medium, NamedZone, Reader, relative};
use crate::{Activity, DomainName, Reason, Source, Status, Trust, Who};

const HTTPS_OFF: &str =
    "HTTPS is switched off in the CDN dashboard. Nothing is done until it is switched on.";
/// What takes longer is told as such.
const USUAL: SignedDuration = SignedDuration::from_mins(2);

/// The certificate that C4 serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// When it ends, or was revoked.
    pub not_after: Timestamp,
    /// Where it came from.
    pub source: Source,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// Whether browsers trust it; none for a generated one.
    pub trust: Option<Trust>,
}

/// Where a domain stands: all that a sentence about it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The domain.
    pub name: DomainName,
    /// Its status.
    pub status: Status,
    /// Where its next certificate comes from.
    pub source: Source,
    /// What blocks it or what it waits for.
    pub reason: Option<Reason>,
    /// Whether that keeps a served certificate from being renewed.
    pub renewal_blocked: bool,
    /// What is served.
    pub served: Option<ServedCertificate>,
    /// What is being done or waited for.
    pub activity: Activity,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When the next attempt begins; the time is past while it runs.
    pub next: Option<Timestamp>,
    /// Attempts at it that failed in a row.
    pub failed_attempts: u32,
}

impl Situation {
    /// When the next attempt begins, if that is yet to come.
    fn upcoming(&self, reader: &Reader) -> Option<Timestamp> {
        self.next.filter(|next| *next > reader.now)
    }

    /// Whether what is being done takes longer than usual.
    fn is_slow(&self, reader: &Reader) -> bool {
        self.since.is_some_and(|since| reader.now.duration_since(since) > USUAL)
    }

    /// Why browsers do not trust what is served, if they do not.
    fn distrust(&self) -> Option<(Trust, &str)> {
        let served = self.served.as_ref()?;
        let trust = served.trust.filter(|trust| *trust != Trust::Public)?;
        Some((trust, &served.issuer))
    }
}

/// Who must act, as a sentence.
fn must_act(who: Option<Who>) -> &'static str {
    match who {
        None => "No action is needed.",
        Some(Who::Customer) => "The customer must act.",
        Some(Who::CdnOperator) => "The CDN operator must act.",
        Some(Who::Ca) => "The certificate authority must act.",
        Some(Who::Us) => "Nothing is needed from the customer.",
    }
}

/// A clause as a sentence of its own.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
