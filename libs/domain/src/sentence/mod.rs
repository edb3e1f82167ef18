//! The texts about a domain: a verdict for the support team, on the page and in a terminal, and a message for the
//! customer. `docs/SENTENCES.md` shows every one of them; `make docs` writes it.
//!
//! Sentences are built from typed facts at the time of reading, so each reader gets times in their own zone. A
//! sentence never says more than the facts: no certificate that is not served, no order that is not placed, no minute
//! if it takes hours.

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
/// Activities that take longer are described as slow.
const USUAL: SignedDuration = SignedDuration::from_mins(2);

/// The certificate that C4 serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// When it ends, or when it was revoked.
    pub not_after: Timestamp,
    /// Its source.
    pub source: Source,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// Whether browsers trust it; none for a generated one.
    pub trust: Option<Trust>,
}

/// The state of a domain: everything that a sentence about it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The domain.
    pub name: DomainName,
    /// Its status.
    pub status: Status,
    /// Where its next certificate comes from.
    pub source: Source,
    /// The reason that blocks it or that it waits for.
    pub reason: Option<Reason>,
    /// Whether the reason keeps a served certificate from being renewed.
    pub renewal_blocked: bool,
    /// The served certificate.
    pub served: Option<ServedCertificate>,
    /// The present activity.
    pub activity: Activity,
    /// Since when the activity is the present one.
    pub since: Option<Timestamp>,
    /// When the next attempt begins; the time is past while it runs.
    pub next: Option<Timestamp>,
    /// Failed attempts in a row.
    pub failed_attempts: u32,
}

impl Situation {
    /// The start of the next attempt, if it is in the future.
    fn upcoming(&self, reader: &Reader) -> Option<Timestamp> {
        self.next.filter(|next| *next > reader.now)
    }

    /// Whether the activity takes longer than usual.
    fn is_slow(&self, reader: &Reader) -> bool {
        self.since.is_some_and(|since| reader.now.duration_since(since) > USUAL)
    }

    /// Why browsers do not trust the served certificate; none if they do.
    fn distrust(&self) -> Option<(Trust, &str)> {
        let served = self.served.as_ref()?;
        let trust = served.trust.filter(|trust| *trust != Trust::Public)?;
        Some((trust, &served.issuer))
    }
}

/// A sentence saying who must act.
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
