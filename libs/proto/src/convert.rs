//! Domain types as messages.

use domain::sentence::{ServedCertificate, Situation};
use domain::{CertificateSummary, DomainName, HistoryEntry, Source, Status, Trust, printable};
use jiff::Timestamp;

use crate::reason::from_message;
use crate::v1;

/// An instant as a message.
pub fn to_timestamp(at: Timestamp) -> prost_types::Timestamp {
    // Both count nanoseconds since 1970; protobuf wants the fraction to be positive.
    let nanoseconds = at.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    let nanos = i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0);
    prost_types::Timestamp { seconds, nanos }
}

/// A message as an instant; none if it is out of range.
pub fn from_timestamp(at: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok()
}

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Success => Self::Success,
            Status::Pending => Self::Pending,
            Status::Failure => Self::Failure,
            Status::Discard => Self::Discard,
            Status::Expired => Self::Expired,
            Status::Emergency => Self::Emergency,
        }
    }
}

/// The domain's status; none for one that is unspecified.
fn status(status: v1::Status) -> Option<Status> {
    Status::ALL.into_iter().find(|known| v1::Status::from(*known) == status)
}

/// The word for people: `Success`, `Pending` …; empty for an unspecified one.
pub fn status_word(message: v1::Status) -> &'static str {
    status(message).map_or("", Status::as_str)
}

/// The status for a word, in any case.
pub fn status_from_word(word: &str) -> Option<v1::Status> {
    Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word)).map(v1::Status::from)
}

impl TryFrom<v1::Status> for Status {
    type Error = ();

    fn try_from(message: v1::Status) -> Result<Self, ()> {
        status(message).ok_or(())
    }
}

impl From<Source> for v1::Source {
    fn from(source: Source) -> Self {
        match source {
            Source::C4 => Self::C4,
            Source::Text => Self::Text,
        }
    }
}

impl From<&CertificateSummary> for v1::Certificate {
    fn from(certificate: &CertificateSummary) -> Self {
        Self {
            sha256: certificate.sha256.clone(),
            serial: certificate.serial.clone(),
            issuer: printable(&certificate.issuer),
            not_before: Some(to_timestamp(certificate.not_before)),
            not_after: Some(to_timestamp(certificate.not_after)),
            source: v1::Source::from(certificate.source).into(),
            trust: certificate.trust.map_or("", Trust::as_str).to_owned(),
            edges: 0,
        }
    }
}

/// Where a domain stands, for sentences about it; none if the message has words that this program does not know.
pub fn situation(message: &v1::Domain) -> Option<Situation> {
    let instant = |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(from_timestamp);
    let reason = match &message.reason {
        Some(reason) => Some(from_message(reason)?),
        None => None,
    };
    let served = instant(&message.expires_at).map(|not_after| {
        let certificate = message.certificate.clone().unwrap_or_default();
        ServedCertificate {
            not_after,
            source: source(certificate.source()),
            trust: certificate.trust.parse().ok(),
            issuer: certificate.issuer,
        }
    });
    Some(Situation {
        name: DomainName::parse(&message.name).ok()?,
        status: status(message.status())?,
        source: source(message.source()),
        reason,
        renewal_blocked: message.renewal_blocked,
        served,
        activity: message.activity.parse().ok()?,
        since: instant(&message.activity_since),
        next: instant(&message.next_attempt_at),
        failed_attempts: message.failed_attempts,
    })
}

fn source(message: v1::Source) -> Source {
    match message {
        v1::Source::Text => Source::Text,
        v1::Source::C4 | v1::Source::Unspecified => Source::C4,
    }
}

impl From<&HistoryEntry> for v1::HistoryEntry {
    fn from(entry: &HistoryEntry) -> Self {
        let word = |status: Option<Status>| status.map_or(v1::Status::Unspecified, v1::Status::from).into();
        Self {
            at: Some(to_timestamp(entry.at)),
            kind: entry.kind.as_str().to_owned(),
            actor: printable(&entry.actor),
            status_from: word(entry.status_from),
            status_to: word(Some(entry.status_to)),
            message: printable(&entry.message),
            certificate_sha256: entry.certificate_sha256.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_words_come_back() {
        for text in ["2026-11-23T10:00:00.000001Z", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z"] {
            let at: Timestamp = text.parse().unwrap();
            let message = to_timestamp(at);
            assert!(message.nanos >= 0);
            assert_eq!(from_timestamp(&message), Some(at));
        }
        for status in Status::ALL {
            let message = v1::Status::from(status);
            assert_eq!(Status::try_from(message), Ok(status));
            assert_eq!(status_from_word(&status_word(message).to_lowercase()), Some(message));
        }
        assert_eq!(status_word(v1::Status::Unspecified), "");
    }
}
