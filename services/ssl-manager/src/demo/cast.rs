//! The sample domains: what the world does to each, and the status that must follow.

use jiff::Timestamp;
use proto::v1;

/// What the world does to a sample domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Pointed at the CDN, known to C4.
    Fine,
    /// The CA never finishes looking.
    NeverValidated,
    /// DNS leads elsewhere.
    PointedElsewhere,
    /// C4 does not know it.
    UnknownToC4,
    /// C4 does not take its certificate.
    Refused,
    /// Got a short certificate two hours ago, then left.
    Left,
}

/// A sample domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) fate: Fate,
    pub(super) wanted: v1::Status,
}

/// The old customer comes first: its certificate has to be live before the clock catches up.
pub(super) const CAST: [Sample; 8] = [
    Sample { name: "left.example.com", fate: Fate::Left, wanted: v1::Status::Expired },
    Sample { name: "shop.example.com", fate: Fate::Fine, wanted: v1::Status::Success },
    Sample { name: "www.example.org", fate: Fate::Fine, wanted: v1::Status::Success },
    Sample { name: "xn--bcher-kva.example", fate: Fate::Fine, wanted: v1::Status::Success },
    Sample { name: "slow.example.com", fate: Fate::NeverValidated, wanted: v1::Status::Pending },
    Sample { name: "elsewhere.example.com", fate: Fate::PointedElsewhere, wanted: v1::Status::Failure },
    Sample { name: "unknown.example.com", fate: Fate::UnknownToC4, wanted: v1::Status::Discard },
    Sample { name: "refused.example.com", fate: Fate::Refused, wanted: v1::Status::Emergency },
];

/// A sample domain as it is now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) fate: Fate,
    pub(super) wanted: v1::Status,
    pub(super) domain: Option<v1::Domain>,
    /// SHA-256 of the leaf that a TLS handshake with the edge shows.
    pub(super) served: Option<String>,
}

impl Row {
    /// Whether it is where it should be, and the edge shows what it should.
    pub(super) fn has_settled(&self) -> bool {
        let Some(domain) = &self.domain else { return false };
        if domain.status() != self.wanted {
            return false;
        }
        match self.fate {
            Fate::Fine => domain.certificate.as_ref().map(|live| &live.sha256) == self.served.as_ref(),
            // Pending from the first moment on: it counts once the CA is at it.
            Fate::NeverValidated => domain.activity == "validating",
            _ => true,
        }
    }

    pub(super) fn status(&self) -> &'static str {
        self.domain.as_ref().map_or("-", |domain| proto::status_word(domain.status()))
    }

    /// What it is doing or waiting for, and until when.
    pub(super) fn doing(&self) -> String {
        let Some(domain) = &self.domain else {
            return "not added yet".to_owned();
        };
        let reason = domain.reason.as_ref().map(|reason| format!(" {} ({})", reason.code, reason.who));
        let next = domain
            .next_attempt_at
            .as_ref()
            .and_then(|at| Timestamp::from_second(at.seconds).ok())
            .map(|at| format!(", next {at}"));
        format!("{}{}{}", domain.activity, reason.unwrap_or_default(), next.unwrap_or_default())
    }
}
