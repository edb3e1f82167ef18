//! Why a domain is where it is: typed, with who must act and what carries the sentences about it ([`crate::sentence`]).

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CaaFound, DnsRecord, DomainName, EdgesBehind, Found, Pause, RecordKind};

/// Who has to act before a domain can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The owner of the domain.
    Customer,
    /// The operator of the CDN and of C4.
    CdnOperator,
    /// The certificate authority.
    Ca,
    /// SSL Manager itself: nothing is needed from anybody.
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

/// Who has to act where a reason has that code ([`Reason::code`]); none for a word that is none.
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
        "issuer_refuses_us" | "paused_by_ca" | "paused_by_operator" | "ca_limited" | "ca_down"
        | "could_not_ask" => Who::Us,
        // Of `https_off`, too: nobody has to act.
        _ => return None,
    })
}

/// Why. What it carries came from outside and was shortened on the way in; it is data for people, never markup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// DNS does not lead to the CDN.
    NotPointed {
        /// The CNAME target to set; empty where there is none.
        target: String,
        /// The addresses to set where a name cannot have a CNAME: at an apex.
        addresses: Vec<IpAddr>,
        /// What DNS says today.
        found: Found,
        /// The known proxy to which all the found addresses belong.
        proxy: Option<String>,
    },
    /// A records lead to the CDN, AAAA records to somebody else.
    WrongAaaa {
        /// The foreign addresses.
        found: Vec<IpAddr>,
        /// The CDN's; none where it has none to set.
        ours: Vec<IpAddr>,
    },
    /// The customer switched HTTPS off, after it was on.
    HttpsOff,
    /// C4 knows the domain without port 80 or 443.
    PortMissing {
        /// The ports that are missing.
        missing: Vec<u16>,
    },
    /// CAA records forbid every CA that we could use (RFC 8659).
    CaaForbids {
        /// The name whose records decide.
        at: String,
        /// What stands there.
        found: CaaFound,
        /// What has to be allowed.
        wanted: String,
    },
    /// CAA records of the CDN's own name, or above it, forbid every CA that we could use.
    CdnCaaForbids {
        /// The name whose records decide.
        at: String,
        /// What stands there.
        found: CaaFound,
        /// What has to be allowed.
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
        /// The nameservers; empty where they are not known.
        nameservers: String,
    },
    /// The challenge path was rehearsed, and something else than our answer came back.
    ChallengeUnreachable {
        /// What happened.
        found: String,
    },
    /// C4 does not know the domain.
    UnknownToC4,
    /// The CA looked and did not find the challenge response.
    ChallengeInvalid {
        /// The problem's type (RFC 8555 section 6.7), without its prefix.
        problem: String,
        /// The CA's own words.
        detail: String,
    },
    /// The CA looked at the CDN's own addresses and did not find the challenge response there.
    ChallengeFailedAtEdge {
        /// The problem's type.
        problem: String,
        /// The CA's own words.
        detail: String,
    },
    /// The CA found the challenge response, but not from all of the places that it looks from: its words speak of secondary
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
    /// The CA delivered something else than what was asked for.
    CertificateRejected {
        /// What was wrong with it.
        detail: String,
    },
    /// The CA refuses us, whatever the name: its terms changed, our account, profile, binding or contact is not accepted.
    IssuerRefusesUs {
        /// Our name for the CA.
        issuer: String,
        /// The problem's type.
        problem: String,
        /// The CA's own words.
        detail: String,
        /// Where the CA sends people; empty if nowhere.
        url: String,
    },
    /// The CA has paused the name, until the holder of our account has it resumed.
    PausedByCa {
        /// The CA's own words.
        detail: String,
        /// Where to have it resumed.
        url: String,
    },
    /// An operator of ours paused the CA or C4: nothing is sent there until that is lifted.
    PausedByOperator {
        /// What is paused, since when, by whom and why.
        pause: Pause,
    },
    /// The CA's limits leave no room before `until`.
    CaLimited {
        /// When there is room again.
        until: Timestamp,
        /// Our name for the CA; empty where it is not known.
        issuer: String,
        /// Which of its limits, in words; empty where the CA did not say.
        limit: String,
        /// The queue for that limit moves up one place in so many seconds; 0 where there is no queue.
        seconds_per_place: u32,
    },
    /// The CA does not answer, or answers that it cannot.
    CaDown {
        /// What happened.
        detail: String,
    },
    /// A preflight question got no answer.
    CouldNotAsk {
        /// Which, and what happened.
        detail: String,
    },
    /// C4 has it, but these edges do not serve it.
    NotServed {
        /// Which, and what they show.
        behind: EdgesBehind,
    },
    /// The pasted certificate ends soon, and is not renewed.
    PastedEnds {
        /// When.
        at: Timestamp,
    },
    /// The pasted certificate ended, and is not renewed.
    PastedEnded {
        /// When.
        at: Timestamp,
    },
    /// C4 is ahead of this database by a certificate that was pasted, or by its removal.
    PastedLost {
        /// When the certificate that C4 holds ends; none if it holds none.
        at: Option<Timestamp>,
    },
    /// C4 did not take key and certificate.
    UploadFailed {
        /// What C4 said, or how it failed.
        detail: String,
    },
}

impl Reason {
    /// The codes of all reasons.
    pub const CODES: [&str; 26] = [
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
            | Self::CaLimited { .. }
            | Self::CaDown { .. }
            | Self::CouldNotAsk { .. } => Who::Us,
        })
    }

    /// What is there today in place of what is needed, as a part of a sentence, where that is known.
    pub fn found(&self) -> Option<String> {
        match self {
            Self::NotPointed { found, .. } => Some(found.to_string()),
            Self::WrongAaaa { found, .. } => Some(crate::dns::listed(found)),
            Self::CaaForbids { found, .. } | Self::CdnCaaForbids { found, .. } => Some(found.to_string()),
            Self::ChallengeUnreachable { found } => Some(found.clone()),
            _ => None,
        }
    }

    /// The DNS records that are needed. At an apex an ALIAS is the alternative to the addresses before it.
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

    /// The place in the queue of a CA's limit at `now`, counted from 1; none where there is no queue.
    pub fn place(&self, now: Timestamp) -> Option<u32> {
        let Self::CaLimited { until, seconds_per_place: seconds @ 1.., .. } = self else {
            return None;
        };
        let wait = until.duration_since(now).as_secs().max(1);
        u32::try_from(wait.unsigned_abs().div_ceil(u64::from(*seconds))).ok()
    }
}
