//! Converts reasons and records to messages and back: a client makes its sentences from the fields of the message.

use std::net::IpAddr;

use domain::{
    CaaFound, CaaRecord, DnsRecord, DomainName, EdgeBehind, EdgesBehind, Found, Pause, Reason, RecordKind,
    Who, printable,
};

use crate::{from_timestamp, to_timestamp, v1};

const NO_NAME: &str = "no_name";
const NO_RECORD: &str = "no_record";
const CIRCLE: &str = "circle";
const TOO_LONG: &str = "too_long";

/// Why a domain is where it is, as a message; without a message for the customer.
pub fn reason(reason: &Reason, name: &DomainName) -> v1::Reason {
    let mut message = v1::Reason {
        code: reason.code().to_owned(),
        who: reason.who().map_or("", Who::as_str).to_owned(),
        message: reason.message(name),
        needed: reason.needed(name).iter().map(record).collect(),
        found: reason.found().unwrap_or_default(),
        ..v1::Reason::default()
    };
    put(reason, name, &mut message);
    let v1::Reason { message: sentence, found, issuer, problem, detail, url, .. } = &mut message;
    for foreign in [sentence, found, issuer, problem, detail, url] {
        *foreign = printable(foreign);
    }
    message
}

/// The fields that only some reasons have.
fn put(reason: &Reason, name: &DomainName, message: &mut v1::Reason) {
    match reason.clone() {
        Reason::NotPointed { found, proxy, .. } => {
            message.proxy = proxy.unwrap_or_default();
            put_found(&found, name, message);
        }
        Reason::WrongAaaa { found, .. } => put_found(&Found::Addresses(found), name, message),
        Reason::PortMissing { missing } => {
            message.missing_ports = missing.into_iter().map(u32::from).collect();
        }
        Reason::CaLimited { until, issuer, limit, seconds_per_place } => {
            message.at = Some(to_timestamp(until));
            message.issuer = issuer;
            message.limit = limit;
            message.seconds_per_place = seconds_per_place;
        }
        Reason::PastedEnds { at } | Reason::PastedEnded { at } => message.at = Some(to_timestamp(at)),
        Reason::PastedLost { at } => message.at = at.map(to_timestamp),
        Reason::ChallengeInvalid { problem, detail }
        | Reason::ChallengeFailedAtEdge { problem, detail }
        | Reason::OrderRejected { problem, detail } => {
            message.problem = problem;
            message.detail = detail;
        }
        Reason::IssuerRefusesUs { issuer, problem, detail, url } => {
            message.issuer = issuer;
            message.problem = problem;
            message.detail = detail;
            message.url = url;
        }
        Reason::PausedByOperator { pause: paused } => {
            message.issuer.clone_from(&paused.issuer);
            message.pause = Some(pause(&paused));
        }
        Reason::PausedByCa { detail, url } => {
            message.detail = detail;
            message.url = url;
        }
        Reason::ChallengeUnreachableElsewhere { detail }
        | Reason::CertificateRejected { detail }
        | Reason::CaDown { detail }
        | Reason::CouldNotAsk { detail }
        | Reason::UploadFailed { detail } => message.detail = detail,
        Reason::NotServed { behind } => put_edges(behind, message),
        Reason::DnssecBroken { zone } => message.zone = zone,
        Reason::DnsBroken { zone, nameservers, since } => {
            message.at = since.map(to_timestamp);
            message.zone = zone;
            message.detail = nameservers;
        }
        Reason::CaaForbids { found, .. } | Reason::CdnCaaForbids { found, .. } => put_caa(found, message),
        Reason::ChallengeUnreachable { .. }
        | Reason::UnknownToC4
        | Reason::HttpsOff
        | Reason::RestoreGuard => {}
    }
}

/// The reason that a message carries; none for one that this program does not know.
pub(crate) fn from_message(message: &v1::Reason) -> Option<Reason> {
    let (problem, detail) = (message.problem.clone(), message.detail.clone());
    let at = || from_timestamp(message.at.as_ref()?);
    Some(match message.code.as_str() {
        "not_pointed" => Reason::NotPointed {
            target: needed_name(message),
            addresses: addresses(&message.needed),
            found: found(message),
            proxy: Some(message.proxy.clone()).filter(|proxy| !proxy.is_empty()),
        },
        "https_off" => Reason::HttpsOff,
        "wrong_aaaa" => {
            Reason::WrongAaaa { found: addresses(&message.found_records), ours: addresses(&message.needed) }
        }
        "port_missing" => {
            let missing = message.missing_ports.iter().filter_map(|port| u16::try_from(*port).ok());
            Reason::PortMissing { missing: missing.collect() }
        }
        code @ ("caa_forbids" | "cdn_caa_forbids") => {
            let needed = message.needed.first()?;
            let wanted = needed.value.strip_prefix("0 issue \"")?.strip_suffix('"')?.to_owned();
            let (at, found) = (needed.name.clone(), found_caa(message));
            match code {
                "caa_forbids" => Reason::CaaForbids { at, found, wanted },
                _ => Reason::CdnCaaForbids { at, found, wanted },
            }
        }
        "dnssec_broken" => Reason::DnssecBroken { zone: message.zone.clone() },
        "dns_broken" => Reason::DnsBroken { zone: message.zone.clone(), nameservers: detail, since: at() },
        "challenge_unreachable" => Reason::ChallengeUnreachable { found: message.found.clone() },
        "unknown_to_c4" => Reason::UnknownToC4,
        "challenge_invalid" => Reason::ChallengeInvalid { problem, detail },
        "challenge_failed_at_edge" => Reason::ChallengeFailedAtEdge { problem, detail },
        "challenge_unreachable_elsewhere" => Reason::ChallengeUnreachableElsewhere { detail },
        "order_rejected" => Reason::OrderRejected { problem, detail },
        "certificate_rejected" => Reason::CertificateRejected { detail },
        "issuer_refuses_us" => {
            let (issuer, url) = (message.issuer.clone(), message.url.clone());
            Reason::IssuerRefusesUs { issuer, problem, detail, url }
        }
        "paused_by_ca" => Reason::PausedByCa { detail, url: message.url.clone() },
        "paused_by_operator" => {
            Reason::PausedByOperator { pause: pause_from_message(message.pause.as_ref()?)? }
        }
        "restore_guard" => Reason::RestoreGuard,
        "ca_limited" => Reason::CaLimited {
            until: at()?,
            issuer: message.issuer.clone(),
            limit: message.limit.clone(),
            seconds_per_place: message.seconds_per_place,
        },
        "ca_down" => Reason::CaDown { detail },
        "could_not_ask" => Reason::CouldNotAsk { detail },
        "not_served" => Reason::NotServed { behind: edges_behind(message) },
        "pasted_ends" => Reason::PastedEnds { at: at()? },
        "pasted_ended" => Reason::PastedEnded { at: at()? },
        "pasted_lost" => Reason::PastedLost { at: at() },
        "upload_failed" => Reason::UploadFailed { detail },
        _ => return None,
    })
}

/// A pause as a message.
pub fn pause(pause: &Pause) -> v1::Pause {
    v1::Pause {
        target: pause.target.as_str().to_owned(),
        issuer: pause.issuer.clone(),
        by: printable(&pause.by),
        since: Some(to_timestamp(pause.since)),
        reason: printable(&pause.reason),
    }
}

/// The pause that a message carries; none for a target that this program does not know.
pub fn pause_from_message(message: &v1::Pause) -> Option<Pause> {
    Some(Pause {
        target: message.target.parse().ok()?,
        issuer: message.issuer.clone(),
        by: message.by.clone(),
        since: from_timestamp(message.since.as_ref()?)?,
        reason: message.reason.clone(),
    })
}

fn record(record: &DnsRecord) -> v1::DnsRecord {
    v1::DnsRecord {
        r#type: record.kind.as_str().to_owned(),
        name: record.name.clone(),
        value: record.value.clone(),
    }
}

fn put_found(found: &Found, name: &DomainName, message: &mut v1::Reason) {
    let of = |kind: RecordKind, value: String| record(&DnsRecord { kind, name: name.to_string(), value });
    let (problem, records) = match found {
        Found::NoName => (NO_NAME, Vec::new()),
        Found::NoRecord => (NO_RECORD, Vec::new()),
        Found::Circle => (CIRCLE, Vec::new()),
        Found::TooLong(last) => (TOO_LONG, vec![of(RecordKind::Cname, last.clone())]),
        Found::Name(name) => ("", vec![of(RecordKind::Cname, name.clone())]),
        Found::Addresses(addresses) => {
            let of_address = |address: &IpAddr| of(RecordKind::of_address(*address), address.to_string());
            ("", addresses.iter().map(of_address).collect())
        }
    };
    problem.clone_into(&mut message.found_problem);
    message.found_records = records;
}

fn found(message: &v1::Reason) -> Found {
    let name = message.found_records.iter().find(|record| record.r#type == RecordKind::Cname.as_str());
    match (message.found_problem.as_str(), name) {
        (NO_NAME, _) => Found::NoName,
        (CIRCLE, _) => Found::Circle,
        (TOO_LONG, Some(last)) => Found::TooLong(last.value.clone()),
        (_, Some(name)) => Found::Name(name.value.clone()),
        _ => match addresses(&message.found_records) {
            none if none.is_empty() => Found::NoRecord,
            addresses => Found::Addresses(addresses),
        },
    }
}

fn put_caa(found: CaaFound, message: &mut v1::Reason) {
    match found {
        CaaFound::Records { records, more } => {
            let of = |record: CaaRecord| v1::CaaRecord {
                flags: record.flags.into(),
                tag: printable(&record.tag),
                value: printable(&record.value),
            };
            message.found_caa = records.into_iter().map(of).collect();
            message.found_caa_more = more;
        }
        CaaFound::Told(words) => message.detail = words,
    }
}

fn found_caa(message: &v1::Reason) -> CaaFound {
    if message.found_caa.is_empty() {
        return CaaFound::Told(message.detail.clone());
    }
    let of = |record: &v1::CaaRecord| CaaRecord {
        flags: u8::try_from(record.flags).unwrap_or_default(),
        tag: record.tag.clone(),
        value: record.value.clone(),
    };
    CaaFound::Records { records: message.found_caa.iter().map(of).collect(), more: message.found_caa_more }
}

fn put_edges(behind: EdgesBehind, message: &mut v1::Reason) {
    message.detail = behind.to_string();
    message.edges_asked = behind.asked;
    message.edges_behind_more = behind.more;
    let of = |behind: EdgeBehind| v1::EdgeBehind { edge: behind.edge, shows: behind.shows };
    message.edges_behind = behind.edges.into_iter().map(of).collect();
}

fn edges_behind(message: &v1::Reason) -> EdgesBehind {
    let of = |behind: &v1::EdgeBehind| EdgeBehind { edge: behind.edge.clone(), shows: behind.shows.clone() };
    EdgesBehind {
        edges: message.edges_behind.iter().map(of).collect(),
        more: message.edges_behind_more,
        asked: message.edges_asked,
    }
}

fn addresses(records: &[v1::DnsRecord]) -> Vec<IpAddr> {
    records.iter().filter_map(|record| record.value.parse().ok()).collect()
}

/// The name that a needed CNAME or ALIAS leads to.
fn needed_name(message: &v1::Reason) -> String {
    let kinds = [RecordKind::Cname.as_str(), RecordKind::Alias.as_str()];
    let leading = message.needed.iter().find(|record| kinds.contains(&record.r#type.as_str()));
    leading.map(|record| record.value.clone()).unwrap_or_default()
}

#[cfg(test)]
#[path = "../../domain/tests/every_reason/mod.rs"]
mod every_reason;

#[cfg(test)]
mod tests {
    use super::*;

    use super::every_reason::{Cdn, every_reason as every};

    #[test]
    fn every_reason_comes_back_from_its_message() {
        for cdn in Cdn::ALL {
            let name = DomainName::parse(cdn.name()).unwrap();
            for why in every(cdn) {
                assert_eq!(from_message(&reason(&why, &name)), Some(why));
            }
        }
        let newer = v1::Reason { code: "boredom".to_owned(), ..v1::Reason::default() };
        assert_eq!(from_message(&newer), None);
    }

    #[test]
    fn an_apex_is_asked_for_addresses_or_an_alias() {
        for (cdn, kinds) in [
            (Cdn::Below, &["CNAME"][..]),
            (Cdn::ApexWithAddresses, &["A", "AAAA", "ALIAS"]),
            (Cdn::ApexWithout, &["ALIAS"]),
            (Cdn::OnlyAddresses, &["A", "AAAA"]),
        ] {
            let name = DomainName::parse(cdn.name()).unwrap();
            let message = reason(&every(cdn)[0], &name);
            let needed: Vec<&str> = message.needed.iter().map(|record| record.r#type.as_str()).collect();
            assert_eq!(needed, kinds);
        }
    }
}
