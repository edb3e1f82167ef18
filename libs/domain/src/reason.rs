//! Why a domain is where it is: typed, with who must act and a sentence that support can send on as it stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::DomainName;

/// Who has to act before a domain can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The owner of the domain.
    Customer,
    /// Whoever runs the CDN and C4.
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
        | "pasted_ended" => Who::Customer,
        "unknown_to_c4"
        | "cdn_caa_forbids"
        | "challenge_failed_at_edge"
        | "challenge_unreachable_elsewhere"
        | "not_served"
        | "upload_failed" => Who::CdnOperator,
        "order_rejected" | "certificate_rejected" => Who::Ca,
        "issuer_refuses_us" | "paused_by_ca" | "ca_limited" | "ca_down" | "could_not_ask" => Who::Us,
        _ => return None,
    })
}

/// Why. What it carries came from outside and was shortened on the way in; it is data for people, never markup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// DNS does not lead to the CDN.
    NotPointed {
        /// The CNAME target to set, or the addresses for an apex.
        target: String,
        /// What DNS says today.
        found: String,
    },
    /// A records lead to the CDN, AAAA records to somebody else.
    WrongAaaa {
        /// The foreign addresses.
        found: String,
        /// The CDN's; empty where it has none to set.
        ours: String,
    },
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
        found: String,
        /// What has to be allowed.
        wanted: String,
    },
    /// CAA records of the CDN's own name, or above it, forbid every CA that we could use.
    CdnCaaForbids {
        /// The name whose records decide.
        at: String,
        /// What stands there.
        found: String,
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
    /// The CA's limits leave no room before `until`.
    CaLimited {
        /// When there is room again.
        until: Timestamp,
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
        edges: String,
    },
    /// The pasted certificate ended, and nobody renews it.
    PastedEnded {
        /// When.
        at: Timestamp,
    },
    /// C4 did not take key and certificate.
    UploadFailed {
        /// What C4 said, or how it failed.
        detail: String,
    },
}

impl Reason {
    /// Stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPointed { .. } => "not_pointed",
            Self::WrongAaaa { .. } => "wrong_aaaa",
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
            Self::CaLimited { .. } => "ca_limited",
            Self::CaDown { .. } => "ca_down",
            Self::CouldNotAsk { .. } => "could_not_ask",
            Self::NotServed { .. } => "not_served",
            Self::PastedEnded { .. } => "pasted_ended",
            Self::UploadFailed { .. } => "upload_failed",
        }
    }

    /// Who has to act.
    pub fn who(&self) -> Who {
        match self {
            Self::NotPointed { .. }
            | Self::WrongAaaa { .. }
            | Self::PortMissing { .. }
            | Self::CaaForbids { .. }
            | Self::DnssecBroken { .. }
            | Self::DnsBroken { .. }
            | Self::ChallengeUnreachable { .. }
            | Self::ChallengeInvalid { .. }
            | Self::PastedEnded { .. } => Who::Customer,
            Self::UnknownToC4
            | Self::CdnCaaForbids { .. }
            | Self::ChallengeFailedAtEdge { .. }
            | Self::ChallengeUnreachableElsewhere { .. }
            | Self::NotServed { .. }
            | Self::UploadFailed { .. } => Who::CdnOperator,
            Self::OrderRejected { .. } | Self::CertificateRejected { .. } => Who::Ca,
            Self::IssuerRefusesUs { .. }
            | Self::PausedByCa { .. }
            | Self::CaLimited { .. }
            | Self::CaDown { .. }
            | Self::CouldNotAsk { .. } => Who::Us,
        }
    }

    /// What is there today in place of what is needed, where that is known.
    pub fn found(&self) -> Option<&str> {
        match self {
            Self::NotPointed { found, .. }
            | Self::WrongAaaa { found, .. }
            | Self::CaaForbids { found, .. }
            | Self::CdnCaaForbids { found, .. }
            | Self::ChallengeUnreachable { found } => Some(found),
            _ => None,
        }
    }

    /// A sentence for that person.
    pub fn message(&self, name: &DomainName) -> String {
        match self {
            Self::NotPointed { target, found } => format!(
                "To switch on HTTPS for {name}, set {name} as CNAME to {target}. Today it points to {found}. \
                 Remove other A and AAAA records of the same name."
            ),
            Self::WrongAaaa { found, ours } => wrong_aaaa(name, found, ours),
            Self::PortMissing { missing } => port_missing(name, missing),
            Self::CaaForbids { at, found, wanted } => format!(
                "The CAA records of {at} allow no certificate for {name}: {found}. Add the record {at} CAA 0 issue \
                 \"{wanted}\", or remove the CAA records that forbid it."
            ),
            Self::CdnCaaForbids { at, found, wanted } => format!(
                "The CAA records of {at}, which {name} leads to, allow no certificate for it: {found}. The CDN operator \
                 must add the record {at} CAA 0 issue \"{wanted}\"."
            ),
            Self::DnssecBroken { zone } => format!(
                "The DNSSEC signatures of {zone} are not valid, so certificate authorities get no answer from DNS for \
                 {name}. Have {zone} signed again where it is hosted, or delete its DS records at the registrar."
            ),
            Self::DnsBroken { zone, nameservers } => dns_broken(name, zone, nameservers),
            Self::ChallengeUnreachable { found } => format!(
                "Requests to http://{name}/.well-known/acme-challenge/ must reach us, but {found}. Remove redirects, \
                 firewall rules and page rules for that path."
            ),
            Self::UnknownToC4 => {
                format!("C4 does not know {name}. Create it in the CDN dashboard, then recheck.")
            }
            Self::ChallengeInvalid { problem, detail } => format!(
                "Requests to http://{name}/.well-known/acme-challenge/ must reach us. The certificate authority \
                 reported {problem}: {detail}"
            ),
            Self::ChallengeFailedAtEdge { problem, detail } => format!(
                "{name} leads to the CDN, but the certificate authority did not find our answer at \
                 http://{name}/.well-known/acme-challenge/ there. The CDN operator must have the edges pass that path on \
                 to us. The certificate authority reported {problem}: {detail}"
            ),
            Self::ChallengeUnreachableElsewhere { detail } => format!(
                "The certificate authority reaches http://{name}/.well-known/acme-challenge/ from some parts of the \
                 Internet, and not from others. The CDN operator must serve that path from every edge, to every country \
                 and network. The certificate authority reported: {detail}"
            ),
            Self::OrderRejected { problem, detail } => {
                format!("The certificate authority refused the order for {name} ({problem}): {detail}")
            }
            Self::CertificateRejected { detail } => {
                format!("What the certificate authority delivered for {name} was not accepted: {detail}")
            }
            Self::IssuerRefusesUs { issuer, problem, detail, url } => {
                issuer_refuses_us(issuer, problem, &told(detail, url))
            }
            Self::PausedByCa { detail, url } => paused_by_ca(name, &told(detail, url)),
            Self::CaLimited { until } => format!(
                "Nothing is needed from you. Delayed on our side by a limit of the certificate authority; \
                 expected after {until:.0}."
            ),
            Self::CaDown { detail } => format!(
                "Nothing is needed from you. The certificate authority cannot be reached ({detail}); we try again \
                 by ourselves."
            ),
            Self::CouldNotAsk { detail } => {
                format!("Not failed: we could not ask ({detail}). We ask again by ourselves.")
            }
            Self::NotServed { edges } => {
                format!("The certificate for {name} is uploaded, but not yet served at {edges}")
            }
            Self::PastedEnded { at } => format!(
                "The certificate that was pasted for {name} ended on {at:.0}, and pasted ones are not renewed by us. Paste \
                 a new one, or switch to a free one that renews itself."
            ),
            Self::UploadFailed { detail } => {
                format!("The certificate for {name} was issued, but C4 did not take it: {detail}")
            }
        }
    }
}

fn wrong_aaaa(name: &DomainName, found: &str, ours: &str) -> String {
    let instead = if ours.is_empty() { String::new() } else { format!(", or replace them by {ours}") };
    format!(
        "Delete the AAAA records of {name} that lead to {found}{instead}: certificates cannot be issued while they are \
         there. Its A records are right."
    )
}

fn dns_broken(name: &DomainName, zone: &str, nameservers: &str) -> String {
    let told = if nameservers.is_empty() { String::new() } else { format!(" ({nameservers})") };
    format!(
        "The nameservers of {zone}{told} have given no answer for {name} for over an hour, and certificate authorities get \
         none either. Check them where {zone} is hosted, and its NS records at the registrar."
    )
}

fn port_missing(name: &DomainName, missing: &[u16]) -> String {
    let ports: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let (noun, verb) = if ports.len() == 1 { ("port", "is") } else { ("ports", "are") };
    let ports = ports.join(" and ");
    format!(
        "Switch on HTTP and HTTPS (ports 80 and 443) for {name} in the CDN dashboard; {noun} {ports} {verb} missing today."
    )
}

fn issuer_refuses_us(issuer: &str, problem: &str, told: &str) -> String {
    format!(
        "The certificate authority {issuer} does not accept our requests at present, for whatever domain; our operations \
         must act. It reported {problem}: {told}"
    )
}

fn paused_by_ca(name: &DomainName, told: &str) -> String {
    format!(
        "The certificate authority has paused {name}, as a rule after many failed validations. Our operations must have it \
         resumed. It reported: {told}"
    )
}

/// A CA's words, with its URL at the end unless they have it already.
fn told(detail: &str, url: &str) -> String {
    if url.is_empty() || detail.contains(url) { detail.to_owned() } else { format!("{detail} (see {url})") }
}
