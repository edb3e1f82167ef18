//! What is known of a reason by its code alone.

use domain::{Reason, who_must_act};
use jiff::Timestamp;

/// One of each kind; a new one does not compile here until it is listed.
fn every() -> Vec<Reason> {
    let text = String::new;
    let at = Timestamp::UNIX_EPOCH;
    let reasons = vec![
        Reason::NotPointed { target: text(), found: text() },
        Reason::WrongAaaa { found: text(), ours: text() },
        Reason::PortMissing { missing: vec![80] },
        Reason::CaaForbids { at: text(), found: text(), wanted: text() },
        Reason::CdnCaaForbids { at: text(), found: text(), wanted: text() },
        Reason::DnssecBroken { zone: text() },
        Reason::DnsBroken { zone: text(), nameservers: text() },
        Reason::ChallengeUnreachable { found: text() },
        Reason::UnknownToC4,
        Reason::ChallengeInvalid { problem: text(), detail: text() },
        Reason::ChallengeFailedAtEdge { problem: text(), detail: text() },
        Reason::ChallengeUnreachableElsewhere { detail: text() },
        Reason::OrderRejected { problem: text(), detail: text() },
        Reason::CertificateRejected { detail: text() },
        Reason::IssuerRefusesUs { issuer: text(), problem: text(), detail: text(), url: text() },
        Reason::PausedByCa { detail: text(), url: text() },
        Reason::CaLimited { until: at },
        Reason::CaDown { detail: text() },
        Reason::CouldNotAsk { detail: text() },
        Reason::NotServed { edges: text() },
        Reason::PastedEnded { at },
        Reason::UploadFailed { detail: text() },
    ];
    for reason in &reasons {
        match reason {
            Reason::NotPointed { .. }
            | Reason::WrongAaaa { .. }
            | Reason::PortMissing { .. }
            | Reason::CaaForbids { .. }
            | Reason::CdnCaaForbids { .. }
            | Reason::DnssecBroken { .. }
            | Reason::DnsBroken { .. }
            | Reason::ChallengeUnreachable { .. }
            | Reason::UnknownToC4
            | Reason::ChallengeInvalid { .. }
            | Reason::ChallengeFailedAtEdge { .. }
            | Reason::ChallengeUnreachableElsewhere { .. }
            | Reason::OrderRejected { .. }
            | Reason::CertificateRejected { .. }
            | Reason::IssuerRefusesUs { .. }
            | Reason::PausedByCa { .. }
            | Reason::CaLimited { .. }
            | Reason::CaDown { .. }
            | Reason::CouldNotAsk { .. }
            | Reason::NotServed { .. }
            | Reason::PastedEnded { .. }
            | Reason::UploadFailed { .. } => {}
        }
    }
    reasons
}

#[test]
fn a_code_says_who_must_act_as_its_reason_does() {
    for reason in every() {
        assert_eq!(who_must_act(reason.code()), Some(reason.who()), "{}", reason.code());
    }
    assert_eq!(who_must_act("boredom"), None);
}
