//! A check of the preflight as pages show it, before a domain is added and after a recheck.

use proto::v1;

use crate::words;

/// A question of the preflight, with its answer.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    /// Shape and colour, those of the status that is most like it.
    pub(crate) class: &'static str,
    pub(crate) word: &'static str,
    pub(crate) found: String,
    pub(crate) actor: &'static str,
    pub(crate) message: String,
    pub(crate) needed: Vec<Record>,
}

/// A record to set.
pub(crate) struct Record {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Step {
    pub(crate) fn new(step: v1::CheckStep) -> Self {
        let (class, word) = match step.outcome() {
            v1::CheckOutcome::Fine => ("success", "Fine"),
            v1::CheckOutcome::Blocked => ("failure", "Blocked"),
            v1::CheckOutcome::CouldNotAsk => ("pending", "No answer"),
            v1::CheckOutcome::NotAsked | v1::CheckOutcome::Unspecified => ("none", "Not checked"),
        };
        let reason = step.reason.unwrap_or_default();
        let record =
            |record: v1::DnsRecord| Record { kind: record.r#type, name: record.name, value: record.value };
        Self {
            title: words::step(&step.step),
            class,
            word,
            found: step.found,
            actor: if reason.code.is_empty() { "" } else { words::who(&reason.who) },
            message: reason.message,
            needed: reason.needed.into_iter().map(record).collect(),
        }
    }
}
