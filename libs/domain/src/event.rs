//! Events between roles: hints with ids only, because the database is the source of truth.

use crate::{CertificateId, DomainName, EventId, WorkKind};

/// The kind of an event. Its word is the routing key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Work for the issuer became due.
    CertificateRequested,
    /// A challenge response is stored; responders load it by the name.
    ChallengeReady,
    /// A certificate and its sealed key are stored, or an upload is due for another reason.
    CertIssued {
        /// Its id.
        certificate: CertificateId,
    },
    /// An attempt ended without a certificate.
    IssueFailed,
    /// A certificate became active at C4.
    CertUploaded {
        /// Its id.
        certificate: CertificateId,
    },
    /// Uploading keeps failing.
    UploadFailed {
        /// Its id.
        certificate: CertificateId,
    },
    /// A domain was deleted.
    DomainDeleted,
    /// A domain's status changed.
    StatusChanged,
    /// A revocation became due.
    RevocationRequested,
}

/// How an event is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To one worker of the role that claims it; redelivered until acknowledged.
    Work,
    /// To every copy that is listening; a copy that misses it recovers by itself.
    Broadcast,
}

impl EventKind {
    /// The words of all kinds.
    pub const WORDS: [&'static str; 9] = [
        "certificate-requested",
        "challenge-ready",
        "cert-issued",
        "issue-failed",
        "cert-uploaded",
        "upload-failed",
        "domain-deleted",
        "status-changed",
        "revocation-requested",
    ];

    /// The words of the kinds with that delivery.
    pub fn words(delivery: Delivery) -> Vec<&'static str> {
        let nil = uuid::Uuid::nil().to_string();
        let travels =
            |word: &&str| Self::from_parts(word, &nil).is_some_and(|kind| kind.delivery() == delivery);
        Self::WORDS.into_iter().filter(travels).collect()
    }

    /// The routing key.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CertificateRequested => "certificate-requested",
            Self::ChallengeReady => "challenge-ready",
            Self::CertIssued { .. } => "cert-issued",
            Self::IssueFailed => "issue-failed",
            Self::CertUploaded { .. } => "cert-uploaded",
            Self::UploadFailed { .. } => "upload-failed",
            Self::DomainDeleted => "domain-deleted",
            Self::StatusChanged => "status-changed",
            Self::RevocationRequested => "revocation-requested",
        }
    }

    /// The id that it carries beside the name, as text; empty if there is none.
    pub fn subject(&self) -> String {
        match self {
            Self::CertIssued { certificate }
            | Self::CertUploaded { certificate }
            | Self::UploadFailed { certificate } => certificate.to_string(),
            _ => String::new(),
        }
    }

    /// Parses the kind from its word and subject; none if they do not fit together.
    pub fn from_parts(word: &str, subject: &str) -> Option<Self> {
        let certificate = || subject.parse().ok();
        Some(match word {
            "certificate-requested" => Self::CertificateRequested,
            "challenge-ready" => Self::ChallengeReady,
            "cert-issued" => Self::CertIssued { certificate: certificate()? },
            "issue-failed" => Self::IssueFailed,
            "cert-uploaded" => Self::CertUploaded { certificate: certificate()? },
            "upload-failed" => Self::UploadFailed { certificate: certificate()? },
            "domain-deleted" => Self::DomainDeleted,
            "status-changed" => Self::StatusChanged,
            "revocation-requested" => Self::RevocationRequested,
            _ => return None,
        })
    }

    /// The work that a worker claims on receiving it, if any.
    pub fn work(&self) -> Option<WorkKind> {
        match self {
            Self::CertificateRequested => Some(WorkKind::Issue),
            Self::CertIssued { .. } => Some(WorkKind::Upload),
            Self::DomainDeleted => Some(WorkKind::Remove),
            Self::RevocationRequested => Some(WorkKind::Revoke),
            Self::ChallengeReady
            | Self::IssueFailed
            | Self::CertUploaded { .. }
            | Self::UploadFailed { .. }
            | Self::StatusChanged => None,
        }
    }

    /// How it is delivered.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::CertificateRequested
            | Self::CertIssued { .. }
            | Self::DomainDeleted
            | Self::RevocationRequested => Delivery::Work,
            _ => Delivery::Broadcast,
        }
    }
}

/// A published event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique per event.
    pub id: EventId,
    /// The kind of event.
    pub kind: EventKind,
    /// The domain name.
    pub name: DomainName,
    /// The name's revision then.
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_subjects_come_back() {
        let id = uuid::Uuid::from_u128(7).to_string();
        for word in EventKind::WORDS {
            let kind = EventKind::from_parts(word, &id).expect(word);
            assert_eq!(kind.as_str(), word);
            assert_eq!(EventKind::from_parts(word, &kind.subject()), Some(kind));
        }
        assert_eq!(EventKind::from_parts("cert-issued", "no id"), None);
        assert_eq!(EventKind::from_parts("nonsense", ""), None);
    }
}
