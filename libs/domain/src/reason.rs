//! Reasons of a domain's status: typed, with who must act and the data of their sentences ([`crate::sentence`]).

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CaaFound, DnsRecord, DomainName, EdgesBehind, Found, Pause, RecordKind};

/// The party that has to act before a domain can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The owner of the domain.
    Customer,
    /// The operator of the CDN and of C4.
    CdnOperator,
    /// The certificate authority.
    Ca,
    /// SSL Manager itself: nobody has to do anything.
    Us,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Customer, Self::CdnOperator, Self::Ca, Self::Us];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::CdnOperator => "cdn_operator",
            Self::Ca => "ca",
            Self::Us => "us",
        }
    }
}

impl std::str::FromStr for Who {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|who| who.as_str() == text).ok_or(())
    }
}

/// The settings that a CA's refusal of our account is about, by its problem's type; none where only a person can act, at
/// the CA's URL.
pub fn refused_setting(problem: &str) -> Option<&'static str> {
    match problem {
        "invalidProfile" => Some("acme.issuers.profile"),
        "unsupportedContact" | "invalidContact" => Some("acme.issuers.contact"),
        "externalAccountRequired" => Some("acme.issuers.eab_key_id and eab_hmac_key_file"),
        "userActionRequired" => None,
        _ => Some("acme.issuers.eab_key_id and eab_hmac_key_file, if the account exists"),
    }
}

/// Who has to act on a reason with that code ([`Reason::code`]); none for an unknown code.
pub fn who_must_act(code: &str) -> Option<Who> {
    Some(match code {
        "not_pointed"
        | "wrong_aaaa"
        | "port_missing"
        | "caa_forbids"
        | "challenge_unreachable"
        | "challenge_invalid"
        | "dnssec_broken"
        | "dns_broken"
        | "pasted_ends"
        | "pasted_ended"
        | "pasted_lost" => Who::Customer,
        "unknown_to_c4"
        | "cdn_caa_forbids"
        | "challenge_failed_at_edge"
        | "challenge_unreachable_elsewhere"
        | "not_served"
        | "upload_failed" => Who::CdnOperator,
        "order_rejected" | "certificate_rejected" => Who::Ca,
        "issuer_refuses_us" | "paused_by_ca" | "paused_by_operator" | "restore_guard" | "ca_limited"
        | "ca_down" | "could_not_ask" => Who::Us,
        // Includes `https_off`: nobody has to act.
        _ => return None,
    })
}

/// A reason. Its texts came from outside and were shortened on the way in; they are data for people, never markup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// DNS does not lead to the CDN.
    NotPointed {
        /// The CNAME target to set; empty if there is none.
        target: String,
        /// The addresses to set at an apex, which cannot have a CNAME.
        addresses: Vec<IpAddr>,
        /// The present DNS answer.
        found: Found,
        /// The known proxy that all the found addresses belong to.
        proxy: Option<String>,
    },
    /// A records lead to the CDN, AAAA records lead elsewhere.
    WrongAaaa {
        /// The foreign addresses.
        found: Vec<IpAddr>,
        /// The CDN's addresses; empty if it has none to set.
        ours: Vec<IpAddr>,
    },
    /// The customer switched HTTPS off, after it was on.
    HttpsOff,
    /// C4 knows the domain without port 80 or 443.
    PortMissing {
        /// The ports that are missing.
        missing: Vec<u16>,
    },
    /// CAA records forbid every configured CA (RFC 8659).
    CaaForbids {
        /// The name that the decisive records belong to.
        at: String,
        /// The records.
        found: CaaFound,
        /// The CA identity that has to be allowed.
        wanted: String,
    },
    /// CAA records of the CDN's own name, or above it, forbid every configured CA.
    CdnCaaForbids {
        /// The name that the decisive records belong to.
        at: String,
        /// The records.
        found: CaaFound,
        /// The CA identity that has to be allowed.
        wanted: String,
    },
    /// The signatures (DNSSEC) of the domain's zone are not valid.
    DnssecBroken {
        /// The zone.
        zone: String,
    },
    /// The nameservers of the domain's zone have been failing for an hour.
    DnsBroken {
        /// The zone.
        zone: String,
        /// The nameservers; empty if unknown.
        nameservers: String,
        /// When they were first found failing; none if this is the first time.
        since: Option<Timestamp>,
    },
    /// The rehearsal of the challenge path received another answer than ours.
    ChallengeUnreachable {
        /// What happened.
        found: String,
    },
    /// C4 does not know the domain.
    UnknownToC4,
    /// The CA did not find the challenge response.
    ChallengeInvalid {
        /// The problem's type (RFC 8555 section 6.7), without its prefix.
        problem: String,
        /// The CA's own words.
        detail: String,
    },
    /// The CA connected to the CDN's own addresses and did not find the challenge response there.
    ChallengeFailedAtEdge {
        /// The problem's type.
        problem: String,
        /// The CA's own words.
        detail: String,
    },
    /// The CA found the challenge response, but not from all of its vantage points: its words speak of secondary
    /// validation.
    ChallengeUnreachableElsewhere {
        /// The CA's own words.
        detail: String,
    },
    /// The CA refused the order.
    OrderRejected {
        /// The problem's type.
        problem: String,
        /// The CA's own words.
        detail: String,
    },
    /// The certificate that the CA delivered does not match the order.
    CertificateRejected {
        /// What was wrong with it.
        detail: String,
    },
    /// The CA refuses our account for every name: its terms changed, or it does not accept our account, profile,
    /// binding or contact.
    IssuerRefusesUs {
        /// Our name for the CA.
        issuer: String,
        /// The problem's type.
        problem: String,
        /// The CA's own words.
        detail: String,
        /// The URL that the CA refers to; empty if there is none.
        url: String,
    },
    /// The CA has paused the name until the holder of our account resumes it.
    PausedByCa {
        /// The CA's own words.
        detail: String,
        /// The URL for resuming it.
        url: String,
    },
    /// An operator of ours paused the CA or C4: nothing is sent there until the pause is lifted.
    PausedByOperator {
        /// The pause.
        pause: Pause,
    },
    /// This database is older than C4, as after a restore: nothing is uploaded until that is settled (ADR 0026).
    RestoreGuard,
    /// The CA's limits have no room before `until`.
    CaLimited {
        /// When there is room again.
        until: Timestamp,
        /// Our name for the CA; empty if unknown.
        issuer: String,
        /// The limit in words; empty if the CA did not name it.
        limit: String,
        /// Seconds per place in the queue for that limit; 0 if there is no queue.
        seconds_per_place: u32,
    },
    /// The CA does not answer, or reports a failure of its own.
    CaDown {
        /// What happened.
        detail: String,
    },
    /// A preflight query got no answer.
    CouldNotAsk {
        /// The query and the error.
        detail: String,
    },
    /// C4 has the certificate, but these edges do not serve it.
    NotServed {
        /// The edges, and what they serve.
        behind: EdgesBehind,
    },
    /// The pasted certificate ends soon and is not renewed.
    PastedEnds {
        /// Its end.
        at: Timestamp,
    },
    /// The pasted certificate ended and is not renewed.
    PastedEnded {
        /// Its end.
        at: Timestamp,
    },
    /// C4 is ahead of this database by a pasted certificate or by its removal.
    PastedLost {
        /// The end of the certificate that C4 holds; none if it holds none.
        at: Option<Timestamp>,
    },
    /// C4 did not accept key and certificate.
    UploadFailed {
        /// C4's answer, or the error.
        detail: String,
    },
}

impl Reason {
    /// The codes of all reasons.
    pub const CODES: [&str; 27] = [
        "not_pointed",
        "wrong_aaaa",
        "https_off",
        "port_missing",
        "caa_forbids",
        "cdn_caa_forbids",
        "dnssec_broken",
        "dns_broken",
        "challenge_unreachable",
        "unknown_to_c4",
        "challenge_invalid",
        "challenge_failed_at_edge",
        "challenge_unreachable_elsewhere",
        "order_rejected",
        "certificate_rejected",
        "issuer_refuses_us",
        "paused_by_ca",
        "paused_by_operator",
        "restore_guard",
        "ca_limited",
        "ca_down",
        "could_not_ask",
        "not_served",
        "pasted_ends",
        "pasted_ended",
        "pasted_lost",
        "upload_failed",
    ];

    /// Stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPointed { .. } => "not_pointed",
            Self::WrongAaaa { .. } => "wrong_aaaa",
            Self::HttpsOff => "https_off",
            Self::PortMissing { .. } => "port_missing",
            Self::CaaForbids { .. } => "caa_forbids",
            Self::CdnCaaForbids { .. } => "cdn_caa_forbids",
            Self::DnssecBroken { .. } => "dnssec_broken",
            Self::DnsBroken { .. } => "dns_broken",
            Self::ChallengeUnreachable { .. } => "challenge_unreachable",
            Self::UnknownToC4 => "unknown_to_c4",
            Self::ChallengeInvalid { .. } => "challenge_invalid",
            Self::ChallengeFailedAtEdge { .. } => "challenge_failed_at_edge",
            Self::ChallengeUnreachableElsewhere { .. } => "challenge_unreachable_elsewhere",
            Self::OrderRejected { .. } => "order_rejected",
            Self::CertificateRejected { .. } => "certificate_rejected",
            Self::IssuerRefusesUs { .. } => "issuer_refuses_us",
            Self::PausedByCa { .. } => "paused_by_ca",
            Self::PausedByOperator { .. } => "paused_by_operator",
            Self::RestoreGuard => "restore_guard",
            Self::CaLimited { .. } => "ca_limited",
            Self::CaDown { .. } => "ca_down",
            Self::CouldNotAsk { .. } => "could_not_ask",
            Self::NotServed { .. } => "not_served",
            Self::PastedEnds { .. } => "pasted_ends",
            Self::PastedEnded { .. } => "pasted_ended",
            Self::PastedLost { .. } => "pasted_lost",
            Self::UploadFailed { .. } => "upload_failed",
        }
    }

    /// Who has to act; none if nobody has to.
    pub fn who(&self) -> Option<Who> {
        Some(match self {
            Self::HttpsOff => return None,
            Self::NotPointed { .. }
            | Self::WrongAaaa { .. }
            | Self::PortMissing { .. }
            | Self::CaaForbids { .. }
            | Self::DnssecBroken { .. }
            | Self::DnsBroken { .. }
            | Self::ChallengeUnreachable { .. }
            | Self::ChallengeInvalid { .. }
            | Self::PastedEnds { .. }
            | Self::PastedEnded { .. }
            | Self::PastedLost { .. } => Who::Customer,
            Self::UnknownToC4
            | Self::CdnCaaForbids { .. }
            | Self::ChallengeFailedAtEdge { .. }
            | Self::ChallengeUnreachableElsewhere { .. }
            | Self::NotServed { .. }
            | Self::UploadFailed { .. } => Who::CdnOperator,
            Self::OrderRejected { .. } | Self::CertificateRejected { .. } => Who::Ca,
            Self::IssuerRefusesUs { .. }
            | Self::PausedByCa { .. }
            | Self::PausedByOperator { .. }
            | Self::RestoreGuard
            | Self::CaLimited { .. }
            | Self::CaDown { .. }
            | Self::CouldNotAsk { .. } => Who::Us,
        })
    }

    /// The present value that is wrong, as a part of a sentence, if known.
    pub fn found(&self) -> Option<String> {
        match self {
            Self::NotPointed { found, .. } => Some(found.to_string()),
            Self::WrongAaaa { found, .. } => Some(crate::dns::listed(found)),
            Self::CaaForbids { found, .. } | Self::CdnCaaForbids { found, .. } => Some(found.to_string()),
            Self::ChallengeUnreachable { found } => Some(found.clone()),
            _ => None,
        }
    }

    /// The DNS records to set. At an apex an ALIAS is the alternative to the addresses before it.
    pub fn needed(&self, name: &DomainName) -> Vec<DnsRecord> {
        let record = |kind, value: String| DnsRecord { kind, name: name.to_string(), value };
        let of_address = |address: &IpAddr| record(RecordKind::of_address(*address), address.to_string());
        match self {
            Self::NotPointed { target, addresses, .. } => {
                let kind = if name.is_apex() { RecordKind::Alias } else { RecordKind::Cname };
                let leads = (!target.is_empty()).then(|| record(kind, target.clone()));
                match leads {
                    Some(cname) if kind == RecordKind::Cname => vec![cname],
                    alias => addresses.iter().map(of_address).chain(alias).collect(),
                }
            }
            Self::WrongAaaa { ours, .. } => ours.iter().map(of_address).collect(),
            Self::CaaForbids { at, wanted, .. } | Self::CdnCaaForbids { at, wanted, .. } => vec![DnsRecord {
                kind: RecordKind::Caa,
                name: at.clone(),
                value: format!("0 issue \"{wanted}\""),
            }],
            _ => Vec::new(),
        }
    }

    /// The place in the queue of a CA's limit at `now`, counted from 1; none if there is no queue.
    pub fn place(&self, now: Timestamp) -> Option<u32> {
        let Self::CaLimited { until, seconds_per_place: seconds @ 1.., .. } = self else {
            return None;
        };
        let wait = until.duration_since(now).as_secs().max(1);
        u32::try_from(wait.unsigned_abs().div_ceil(u64::from(*seconds))).ok()
    }
}
