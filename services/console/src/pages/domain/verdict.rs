//! The verdict card of a domain: its state, who must act, since when, what still serves, and the next attempt.

use jiff::Timestamp;
use proto::v1;

use crate::checks::{Check, Checked};
use crate::filter::Filter;
use crate::row::{Badge, Moment, risk};
use crate::words::{self, ToDo, instant};
use crate::zone::Zone;

/// A text about the reason.
pub(super) struct Letter {
    pub(super) heading: &'static str,
    pub(super) text: String,
    /// Whether it can be sent on as it stands.
    pub(super) is_sent: bool,
}

/// The time and result of the last check.
pub(super) struct LastCheck {
    pub(super) at: Moment,
    pub(super) found: String,
}

impl LastCheck {
    fn new(checked: &Checked, zone: &Zone) -> Option<Self> {
        match &checked.check {
            Check::Done(steps) => {
                Some(Self { at: Moment::clock(checked.at, zone), found: words::found(steps) })
            }
            Check::Running | Check::Failed(_) => None,
        }
    }
}

/// A customer or label of the domain, with the list of all its domains.
pub(super) struct FiledUnder {
    pub(super) text: String,
    pub(super) address: String,
}

pub(super) struct Verdict {
    pub(super) badge: Badge,
    /// When it ends, where it is at risk; empty where it is not.
    pub(super) risk: String,
    pub(super) sentence: String,
    /// What the checks of the last recheck found; none before there was one.
    pub(super) checked: Option<LastCheck>,
    pub(super) to_do: ToDo,
    pub(super) actor: &'static str,
    pub(super) doing: String,
    /// Of this status; none where the history that was read does not go back so far.
    pub(super) since: Option<Moment>,
    pub(super) serves: String,
    pub(super) next_label: &'static str,
    pub(super) next: Option<Moment>,
    pub(super) failed_attempts: u32,
    pub(super) source: &'static str,
    pub(super) created: Option<Moment>,
    /// None where the domain has no customer's reference.
    pub(super) customer: Option<FiledUnder>,
    pub(super) labels: Vec<FiledUnder>,
    pub(super) letters: Vec<Letter>,
}

impl Verdict {
    /// `entries`: newest first.
    pub(super) fn new(
        domain: &v1::Domain,
        entries: &[v1::HistoryEntry],
        checks: Option<&Checked>,
        zone: &Zone,
        now: Timestamp,
    ) -> Self {
        let reason = domain.reason.as_ref();
        let moment = |at: Option<&prost_types::Timestamp>| instant(at).map(|at| Moment::time(at, zone));
        let renews = domain.status() == v1::Status::Success
            && domain.activity == "idle"
            && domain.source() == v1::Source::C4;
        Self {
            badge: Badge(domain.status()),
            risk: risk(domain, zone, now),
            sentence: words::status(domain, zone, now),
            checked: checks.and_then(|checked| LastCheck::new(checked, zone)),
            to_do: words::to_do(domain),
            actor: reason.map_or("No one", |reason| words::who(&reason.who)),
            doing: words::activity(&domain.activity).to_owned(),
            since: since(domain.status(), entries).map(|at| Moment::time(at, zone)),
            serves: words::serves(domain, zone, now),
            next_label: if renews { "Renewal" } else { "Next attempt" },
            next: moment(domain.next_attempt_at.as_ref()),
            failed_attempts: domain.failed_attempts,
            source: words::source(domain.source()),
            created: moment(domain.created_at.as_ref()),
            customer: customer(domain),
            labels: labels(domain),
            letters: letters(domain, zone, now),
        }
    }

    pub(super) fn no_next(&self) -> &'static str {
        match self.badge.0 {
            v1::Status::Success => "None",
            _ => "None until it is rechecked",
        }
    }
}

fn customer(domain: &v1::Domain) -> Option<FiledUnder> {
    let text = domain.customer_ref.clone();
    let address = Filter::default().with(|only| only.customer.clone_from(&text)).address();
    (!text.is_empty()).then_some(FiledUnder { text, address })
}

fn labels(domain: &v1::Domain) -> Vec<FiledUnder> {
    let filed = domain.labels.iter().map(|label| {
        let pair = (label.key.clone(), label.value.clone());
        let address = Filter::default().with(|only| only.labels.push(pair)).address();
        FiledUnder { text: format!("{}={}", label.key, label.value), address }
    });
    filed.collect()
}

/// The text for staff, if a party other than the customer must act, and the message for the customer.
fn letters(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> Vec<Letter> {
    let (situation, zone) = (proto::situation(domain), zone.named_zone());
    let mut letters = Vec::new();
    if let Some(reason) = domain.reason.as_ref().filter(|reason| reason.who != "customer") {
        let known = situation.as_ref().and_then(|situation| situation.message(&zone));
        letters.push(Letter {
            heading: words::for_staff(&reason.who),
            text: known.unwrap_or_else(|| reason.message.clone()),
            is_sent: reason.who == "cdn_operator",
        });
    }
    let of_a_newer_api = || domain.reason.as_ref().map(|reason| reason.customer_message.clone());
    let text = situation.map_or_else(of_a_newer_api, |situation| situation.letter(&zone, now));
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        letters.push(Letter { heading: "Message for the customer", text, is_sent: true });
    }
    letters
}

/// When the status became what it is.
fn since(status: v1::Status, entries: &[v1::HistoryEntry]) -> Option<Timestamp> {
    let change = entries.iter().find(|entry| entry.status_from() != entry.status_to())?;
    // A status that changed without a line of its own would get the moment of another.
    (change.status_to() == status).then(|| instant(change.at.as_ref())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(second: i64, from: v1::Status, to: v1::Status) -> v1::HistoryEntry {
        v1::HistoryEntry {
            at: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
            status_from: from.into(),
            status_to: to.into(),
            ..v1::HistoryEntry::default()
        }
    }

    #[test]
    fn a_status_lasts_since_it_changed() {
        use v1::Status::{Failure, Pending, Success, Unspecified};
        let entries = [
            entry(40, Failure, Failure),
            entry(30, Failure, Failure),
            entry(20, Pending, Failure),
            entry(10, Unspecified, Pending),
        ];
        let second = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        assert_eq!(second(since(Failure, &entries)), Some(20));
        assert_eq!(second(since(Pending, &entries[3..])), Some(10));
        assert_eq!(since(Success, &entries), None, "the history does not say when");
        assert_eq!(since(Failure, &entries[..2]), None, "it began before what was read");
    }
}
