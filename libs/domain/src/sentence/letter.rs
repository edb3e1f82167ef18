//! Reasons in words: short for a list, in full for the party that must act, and as a message for the customer.
//!
//! A message to the customer must stand alone in an e-mail: what is wrong, which record or setting fixes it, and what
//! happens until then. It never asks for something impossible, such as a CNAME at an apex, and never blames the
//! customer for our own queue, CA or edges.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{NamedZone, Situation};
use crate::dns::{MAX_NAMED, and_more, listed};
use crate::{CaaFound, DomainName, Found, Pause, Reason, RecordKind, Trust, Who, refused_setting};

pub(super) const RESTORE_GUARD: &str = "C4 holds newer certificates than our database, as after a restore. Nothing is uploaded until each domain has been \
     compared, or our operations team accepts the restore; what C4 serves stays.";
const SWITCH_ON: &str = "To switch on HTTPS for";
/// The same if HTTPS is on.
const KEEP: &str = "To keep HTTPS for";

/// A reason in a few words, as a clause.
pub fn short(reason: &Reason) -> &'static str {
    match reason {
        Reason::NotPointed { proxy: Some(_), .. } => "a proxy stands between the domain and the CDN",
        reason => short_of(reason.code()).unwrap_or_default(),
    }
}

/// Like [`short`], by the code alone; none for an unknown code.
pub fn short_of(code: &str) -> Option<&'static str> {
    Some(match code {
        "not_pointed" => "DNS does not point to the CDN",
        "wrong_aaaa" => "an AAAA record leads elsewhere",
        "https_off" => "HTTPS is switched off",
        "port_missing" => "port 80 or 443 is switched off",
        "caa_forbids" => "CAA records forbid our CA",
        "cdn_caa_forbids" => "CAA records of the CDN forbid our CA",
        "dnssec_broken" => "the DNSSEC signatures are broken",
        "dns_broken" => "the nameservers do not answer properly",
        "challenge_unreachable" | "challenge_invalid" => "the challenge path does not reach us",
        "challenge_failed_at_edge" => "the edges do not forward the challenge path to us",
        "challenge_unreachable_elsewhere" => "the CA reaches the challenge path only from some places",
        "unknown_to_c4" => "C4 does not know this domain",
        "order_rejected" => "the order was refused",
        "certificate_rejected" => "the CA delivered another certificate than the one ordered",
        "issuer_refuses_us" => "the CA does not accept our requests",
        "paused_by_ca" => "the CA has paused this domain",
        "paused_by_operator" => "our operations team has paused requests",
        "restore_guard" => "our database was restored and is compared with C4",
        "ca_limited" => "a limit of the CA is used up",
        "ca_down" => "the CA does not answer",
        "could_not_ask" => "we could not check this yet",
        "not_served" => "some edges do not serve it yet",
        "pasted_ends" => "the pasted certificate ends soon",
        "pasted_ended" => "the pasted certificate ended",
        "pasted_lost" => "our copy of the pasted certificate is lost",
        "upload_failed" => "C4 did not take the certificate",
        _ => return None,
    })
}

impl Reason {
    /// The sentence for the party that must act, with times in UTC: for the API and the history.
    pub fn message(&self, name: &DomainName) -> String {
        self.message_in(name, &NamedZone::utc())
    }

    /// The request to the customer; none if the customer does not have to act.
    fn request(&self, name: &DomainName, zone: &NamedZone) -> Option<String> {
        Some(match self {
            Self::NotPointed { target, addresses, found, proxy } => {
                let wanted = wanted(name, target, addresses);
                format!("{SWITCH_ON} {name}, {wanted}. {}", today(found, proxy.as_deref()))
            }
            Self::WrongAaaa { found, ours } => wrong_aaaa(name, found, ours),
            Self::PortMissing { missing } => port_missing(name, missing),
            Self::CaaForbids { at, found, wanted } => caa_forbids(name, at, found, wanted),
            Self::DnssecBroken { zone } => format!(
                "The DNSSEC signatures of {zone} are broken, so no certificate authority may issue for {name}. Please have \
                 them fixed by the operator of {zone}, or remove its DS record at the registrar."
            ),
            Self::DnsBroken { zone: of, nameservers, since } => {
                dns_broken(name, of, nameservers, since.map(|since| zone.time(since)))
            }
            Self::ChallengeUnreachable { found } => format!(
                "Requests to http://{name}/.well-known/acme-challenge/ must reach us, but {found}. Please remove \
                 redirects, firewall rules and page rules for that path."
            ),
            Self::ChallengeInvalid { problem, detail } => format!(
                "Requests to http://{name}/.well-known/acme-challenge/ must reach us. The certificate authority \
                 reported {problem}: {detail}"
            ),
            Self::PastedEnds { at } => format!(
                "The certificate that you gave us for {name} ends on {}. Please send us a new one with its key, or let us \
                 generate a free one that renews itself. Without it browsers show a warning from then on.",
                zone.date(*at)
            ),
            Self::PastedEnded { at } => format!(
                "The certificate that you gave us for {name} ended on {}. Browsers show a warning now. Please send us a new \
                 one with its key, or let us generate a free one that renews itself.",
                zone.date(*at)
            ),
            Self::PastedLost { at } => pasted_lost(name, at.map(|at| zone.date(at))),
            _ => return None,
        })
    }

    /// The sentence for the party that must act; if that is not the customer, it includes details for staff only.
    pub fn message_in(&self, name: &DomainName, zone: &NamedZone) -> String {
        match self {
            Self::HttpsOff => format!(
                "HTTPS for {name} is switched off in the CDN dashboard. Nothing is done until it is switched on."
            ),
            Self::UnknownToC4 => {
                format!("C4 does not know {name}. Create it in the CDN dashboard, then recheck.")
            }
            Self::CdnCaaForbids { at, found, wanted } => format!(
                "The CAA records of {at}, which {name} leads to, do not allow our certificate authority to issue ({found}). \
                 The CDN operator must add: {at}. CAA 0 issue \"{wanted}\". Keep the others."
            ),
            Self::ChallengeFailedAtEdge { problem, detail } => failed_at_edge(name, problem, detail),
            Self::ChallengeUnreachableElsewhere { detail } => unreachable_elsewhere(name, detail),
            Self::OrderRejected { problem, detail } => {
                format!("The certificate authority refused the order for {name} ({problem}): {detail}")
            }
            Self::CertificateRejected { detail } => {
                format!(
                    "The certificate authority delivered a certificate for {name} that was not accepted: {detail}"
                )
            }
            Self::IssuerRefusesUs { issuer, problem, detail, url } => format!(
                "The certificate authority {issuer} does not accept our requests at present, for any domain; our \
                 operations team must act. It reported {problem}: {}",
                with_setting(told(detail, url), problem)
            ),
            Self::PausedByCa { detail, url } => format!(
                "The certificate authority has paused {name}, usually after many failed validations. Our operations team must \
                 lift the pause. It reported: {}",
                told(detail, url)
            ),
            Self::PausedByOperator { pause } => paused(pause, &zone.time(pause.since)),
            Self::RestoreGuard => RESTORE_GUARD.to_owned(),
            Self::CaLimited { until, issuer, limit, .. } => ca_limited(issuer, limit, &zone.time(*until)),
            Self::CaDown { detail } => {
                format!("The certificate authority cannot be reached ({detail}). Retrying automatically.")
            }
            Self::CouldNotAsk { detail } => {
                format!("We could not check {name} yet ({detail}). Retrying automatically.")
            }
            Self::NotServed { behind } => {
                format!("C4 has the certificate for {name}, but {}: {behind}", behind.clause())
            }
            Self::UploadFailed { detail } => {
                format!("C4 did not take the certificate for {name}: {detail}")
            }
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
            | Self::PastedLost { .. } => self.request(name, zone).unwrap_or_default(),
        }
    }
}

impl Situation {
    /// The sentence about the reason for the party that must act; none without a reason.
    pub fn message(&self, zone: &NamedZone) -> Option<String> {
        self.reason.as_ref().map(|reason| reason.message_in(&self.name, zone))
    }

    /// A message for the customer, with times in a named zone; none if there is nothing to say.
    pub fn letter(&self, zone: &NamedZone, now: Timestamp) -> Option<String> {
        let name = &self.name;
        let Some(reason) = &self.reason else { return self.letter_about_trust() };
        Some(match reason {
            Reason::PastedEnds { .. } | Reason::PastedEnded { .. } | Reason::PastedLost { .. } => {
                reason.message_in(name, zone)
            }
            Reason::UnknownToC4 => format!(
                "{name} is not set up in the CDN, so it gets no certificate. Create it in the CDN dashboard if you want \
                 HTTPS for it.{}",
                self.works_until(zone, now)
            ),
            Reason::HttpsOff => format!(
                "HTTPS for {name} is switched off in the CDN dashboard. Nothing is needed from you; switch it on there when you \
                 want HTTPS again, and the certificate follows by itself."
            ),
            reason if reason.who() == Some(Who::Customer) => {
                let mut asked = reason.message_in(name, zone);
                if self.served.as_ref().is_some_and(|served| now < served.not_after) {
                    asked = asked.replacen(SWITCH_ON, KEEP, 1);
                }
                let stop = if asked.ends_with('.') { "" } else { "." };
                format!("{asked}{stop}{}", self.until_then(zone, now))
            }
            Reason::CouldNotAsk { .. } => {
                let next = self.next.map(|at| format!("; next try {}", zone.time(at))).unwrap_or_default();
                format!(
                    "We could not check {name} yet. Retrying automatically{next}. Nothing is needed from you.{}",
                    self.works_until(zone, now)
                )
            }
            reason => self.nothing_needed(reason, zone, now),
        })
    }

    fn letter_about_trust(&self) -> Option<String> {
        let name = &self.name;
        Some(match self.distrust()? {
            (Trust::IntermediateMissing, issuer) => format!(
                "The certificate that you gave us for {name} came without its intermediate certificate \"{issuer}\", so \
                 many browsers show a warning. Please send it again together with that one; your certificate \
                 authority provides both."
            ),
            (_, issuer) => format!(
                "Browsers do not trust the certificate that you gave us for {name}: its issuer, \"{issuer}\", is no public \
                 certificate authority. For visitors with ordinary browsers, please send us one that a public \
                 certificate authority issued, or let us generate a free one."
            ),
        })
    }

    /// The message if the problem is ours to fix.
    fn nothing_needed(&self, reason: &Reason, zone: &NamedZone, now: Timestamp) -> String {
        let what = match reason {
            Reason::NotServed { .. } | Reason::UploadFailed { .. } => {
                "is issued, but its delivery is delayed on our side"
            }
            _ => "is delayed on our side",
        };
        let when = match reason {
            Reason::CaLimited { until, .. } => format!("; it is expected by {}", zone.time(*until)),
            _ => String::new(),
        };
        let name = &self.name;
        let works = self.works_until(zone, now);
        format!("Nothing is needed from you. The certificate for {name} {what}{when}.{works}")
    }

    /// Until when the served certificate is valid, or that it ended.
    fn works_until(&self, zone: &NamedZone, now: Timestamp) -> String {
        match &self.served {
            Some(served) if now < served.not_after => {
                format!(" Your present certificate works until {}.", zone.date(served.not_after))
            }
            Some(served) => format!(
                " Your certificate ended on {}, and browsers show a warning until the new one is there.",
                zone.date(served.not_after)
            ),
            None => String::new(),
        }
    }

    /// What happens until the customer acts.
    fn until_then(&self, zone: &NamedZone, now: Timestamp) -> String {
        let name = &self.name;
        match &self.served {
            Some(served) if now < served.not_after => format!(
                " Your present certificate works until {}; without this change browsers show a warning after that.",
                zone.date(served.not_after)
            ),
            Some(served) => format!(
                " Your certificate ended on {}, and browsers show a warning until this is done.",
                zone.date(served.not_after)
            ),
            None => format!(" Until then {name} has no HTTPS. We check again automatically."),
        }
    }
}

/// The records to set for a name that is not pointed at the CDN, as a clause that begins with "set".
fn wanted(name: &DomainName, target: &str, addresses: &[IpAddr]) -> String {
    let (is_apex, has_target) = (name.is_apex(), !target.is_empty());
    match (is_apex, has_target, addresses) {
        (false, true, _) => format!("set {name} as CNAME to {target}"),
        (true, true, []) => format!(
            "set {name} as ALIAS to {target} (some DNS providers call it ANAME or CNAME flattening; a CNAME cannot be set \
             there)"
        ),
        (true, true, _) => {
            format!("set {} for {name}, or an ALIAS (ANAME) record to {target}", records(addresses))
        }
        (_, false, []) => format!("point {name} to the CDN; ask support for the address"),
        (_, false, _) => format!("set {} for {name}", records(addresses)),
    }
}

/// `the A record 192.0.2.10 and the AAAA record 2001:db8::10`
fn records(addresses: &[IpAddr]) -> String {
    let of = |kind: RecordKind| {
        let of_kind: Vec<&IpAddr> =
            addresses.iter().filter(|address| RecordKind::of_address(**address) == kind).collect();
        let noun = if of_kind.len() == 1 { "record" } else { "records" };
        (!of_kind.is_empty()).then(|| format!("the {} {noun} {}", kind.as_str(), listed(&of_kind)))
    };
    let all: Vec<String> = [of(RecordKind::A), of(RecordKind::Aaaa)].into_iter().flatten().collect();
    all.join(" and ")
}

/// The present target of a name, and the records to remove.
fn today(found: &Found, proxy: Option<&str>) -> String {
    let remove = "Remove other A and AAAA records of the same name.";
    match (found, proxy) {
        (Found::NoName, _) => "Today that name does not exist.".to_owned(),
        (Found::NoRecord, _) => "Today it has no A, AAAA or CNAME record.".to_owned(),
        (Found::Circle, _) => "Today its CNAME records lead in a circle.".to_owned(),
        (found, Some(proxy)) => {
            format!("Today it points to {found}, the proxy of {proxy}: turn its proxy switch off. {remove}")
        }
        (found, None) => format!("Today it points to {found}. {remove}"),
    }
}

fn wrong_aaaa(name: &DomainName, found: &[IpAddr], ours: &[IpAddr]) -> String {
    let noun = if found.len() == 1 { "record" } else { "records" };
    let instead =
        if ours.is_empty() { String::new() } else { format!(", or replace it by {}", listed(ours)) };
    let (it, is) = if found.len() == 1 { ("it", "is") } else { ("they", "are") };
    format!(
        "Please delete the AAAA {noun} {} of {name}{instead}: certificates cannot be issued while {it} {is} there. Its A \
         records are right.",
        listed(found)
    )
}

/// For staff: the paused system, by whom, since when and why.
pub fn paused(pause: &Pause, since: &str) -> String {
    let (subject, by) = (pause.subject(), &pause.by);
    let why = if pause.reason.is_empty() { String::new() } else { format!(": {}", pause.reason) };
    let stop = if why.ends_with('.') { "" } else { "." };
    format!(
        "Requests to {subject} are paused by {by} since {since}{why}{stop} Continues automatically once this is lifted."
    )
}

fn failed_at_edge(name: &DomainName, problem: &str, detail: &str) -> String {
    format!(
        "{name} leads to the CDN, but the certificate authority did not find our answer at \
         http://{name}/.well-known/acme-challenge/ there. The CDN operator must configure the edges to forward that path to us. The \
         certificate authority reported {problem}: {detail}"
    )
}

fn unreachable_elsewhere(name: &DomainName, detail: &str) -> String {
    format!(
        "The certificate authority reaches http://{name}/.well-known/acme-challenge/ from some parts of the Internet, but not \
         from others. The CDN operator must serve that path from every edge, to every country and network. The certificate \
         authority reported: {detail}"
    )
}

fn caa_forbids(name: &DomainName, at: &str, found: &CaaFound, wanted: &str) -> String {
    let now = match found.allowed() {
        Some((allowed, 0)) if allowed.is_empty() => {
            format!("CAA records at {at} allow no certificate authority to issue for {name}.")
        }
        Some((allowed, more)) => {
            let count = allowed.len() + more as usize;
            let only = and_more(allowed.into_iter().take(MAX_NAMED).map(str::to_owned), count);
            format!("CAA records at {at} allow only {only} to issue for {name}.")
        }
        None => {
            format!(
                "CAA records at {at} do not allow our certificate authority to issue for {name} ({found})."
            )
        }
    };
    format!("{now} Please add: {at}. CAA 0 issue \"{wanted}\". Keep the others.")
}

/// `since`: when they were first found failing, in words.
fn dns_broken(name: &DomainName, zone: &str, nameservers: &str, since: Option<String>) -> String {
    let which = if nameservers.is_empty() { String::new() } else { format!(" ({nameservers})") };
    let fail = match since {
        Some(since) => format!("have not answered properly since {since}"),
        None => "do not answer properly".to_owned(),
    };
    format!(
        "The nameservers of {zone}{which} {fail}, so no certificate authority may issue for {name}. \
         Please have them fixed where {zone} is hosted, and check its NS records at the registrar."
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

/// `ends`: the last day of the certificate that C4 serves; none if it serves none.
fn pasted_lost(name: &DomainName, ends: Option<String>) -> String {
    let ask =
        "Please send it to us once more with its key, or let us generate a free one that renews itself.";
    match ends {
        Some(ends) => format!(
            "The certificate that you gave us for {name} is served until {ends}, but we have lost our copy of it, so we cannot restore it if the CDN loses it, too. {ask}"
        ),
        None => format!(
            "The certificate that you gave us for {name} is no longer served, and we do not have the latest copy of it. \
             {ask} Until then {name} has no HTTPS."
        ),
    }
}

fn ca_limited(issuer: &str, limit: &str, until: &str) -> String {
    let whose = if issuer.is_empty() { "The certificate authority" } else { issuer };
    match limit {
        "" => format!("{whose} accepts no order before {until}."),
        limit => format!("{whose} accepts no order before {until} (limit: {limit})."),
    }
}

/// A CA's words, with its URL at the end unless they have it already.
fn told(detail: &str, url: &str) -> String {
    if url.is_empty() || detail.contains(url) { detail.to_owned() } else { format!("{detail} (see {url})") }
}

/// What a CA told when it refused our account, and the setting to correct.
fn with_setting(told: String, problem: &str) -> String {
    match refused_setting(problem) {
        Some(setting) => format!("{}. Check the setting {setting}.", told.trim_end_matches('.')),
        None => told,
    }
}
