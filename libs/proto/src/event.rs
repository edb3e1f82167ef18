//! Events as message bodies.

use domain::{DomainName, Event, EventKind};
use prost::Message;

use crate::v1;

/// The version of the envelope that this program writes.
pub const EVENT_VERSION: u32 = 1;

/// Why a body is not an event for us.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not protobuf, or not of this type.
    #[error("the body cannot be decoded")]
    Malformed(#[from] prost::DecodeError),
    /// Written by a newer program; it is set aside, not lost.
    #[error("the event has version {0}, this program knows {EVENT_VERSION}")]
    Newer(u32),
    /// A field makes no sense.
    #[error("the event's {0} makes no sense")]
    Field(&'static str),
}

/// The body of an event.
pub fn encode_event(event: &Event) -> Vec<u8> {
    use v1::event::Kind;
    let kind = match &event.kind {
        EventKind::CertificateRequested => Kind::CertificateRequested(v1::CertificateRequested {}),
        EventKind::ChallengeReady => Kind::ChallengeReady(v1::ChallengeReady {}),
        EventKind::CertIssued { certificate } => {
            Kind::CertIssued(v1::CertIssued { certificate_id: certificate.to_string() })
        }
        EventKind::IssueFailed => Kind::IssueFailed(v1::IssueFailed {}),
        EventKind::CertUploaded { certificate } => {
            Kind::CertUploaded(v1::CertUploaded { certificate_id: certificate.to_string() })
        }
        EventKind::UploadFailed { certificate } => {
            Kind::UploadFailed(v1::UploadFailed { certificate_id: certificate.to_string() })
        }
        EventKind::DomainDeleted => Kind::DomainDeleted(v1::DomainDeleted {}),
        EventKind::StatusChanged => Kind::StatusChanged(v1::StatusChanged {}),
        EventKind::RevocationRequested => Kind::RevocationRequested(v1::RevocationRequested {}),
    };
    v1::Event {
        version: EVENT_VERSION,
        id: event.id.to_string(),
        domain: event.name.to_string(),
        revision: event.revision,
        kind: Some(kind),
    }
    .encode_to_vec()
}

/// The event of a body.
pub fn decode_event(body: &[u8]) -> Result<Event, EventError> {
    use v1::event::Kind;
    let message = v1::Event::decode(body)?;
    if message.version > EVENT_VERSION {
        return Err(EventError::Newer(message.version));
    }
    let certificate = |id: String| id.parse().map_err(|_| EventError::Field("certificate_id"));
    let kind = match message.kind.ok_or(EventError::Field("kind"))? {
        Kind::CertificateRequested(_) => EventKind::CertificateRequested,
        Kind::ChallengeReady(_) => EventKind::ChallengeReady,
        Kind::CertIssued(issued) => {
            EventKind::CertIssued { certificate: certificate(issued.certificate_id)? }
        }
        Kind::IssueFailed(_) => EventKind::IssueFailed,
        Kind::CertUploaded(up) => EventKind::CertUploaded { certificate: certificate(up.certificate_id)? },
        Kind::UploadFailed(failed) => {
            EventKind::UploadFailed { certificate: certificate(failed.certificate_id)? }
        }
        Kind::DomainDeleted(_) => EventKind::DomainDeleted,
        Kind::StatusChanged(_) => EventKind::StatusChanged,
        Kind::RevocationRequested(_) => EventKind::RevocationRequested,
    };
    Ok(Event {
        id: message.id.parse().map_err(|_| EventError::Field("id"))?,
        kind,
        name: DomainName::parse(&message.domain).map_err(|_| EventError::Field("domain"))?,
        revision: message.revision,
    })
}

#[cfg(test)]
mod tests {
    use domain::EventId;

    use super::*;

    #[test]
    fn every_kind_comes_back_and_a_newer_version_is_told_apart() {
        let id = uuid::Uuid::from_u128(7);
        for word in EventKind::WORDS {
            let event = Event {
                id: EventId::from(id),
                kind: EventKind::from_parts(word, &id.to_string()).unwrap(),
                name: DomainName::parse("shop.example.com").unwrap(),
                revision: 3,
            };
            let body = encode_event(&event);
            assert_eq!(decode_event(&body).unwrap(), event);
            let mut newer = v1::Event::decode(body.as_slice()).unwrap();
            newer.version = EVENT_VERSION + 1;
            assert!(matches!(decode_event(&newer.encode_to_vec()), Err(EventError::Newer(2))));
        }
        assert!(decode_event(b"\xff\xff").is_err());
        assert!(decode_event(b"").is_err());
    }
}
