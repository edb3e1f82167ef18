//! A domain: first the meaning of its status and the next step, then its facts, and the message for the party that must
//! act.

use domain::printable;
use domain::sentence::{Medium, NamedZone, Reader};
use proto::{from_timestamp, v1};

use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{domain_json, print, print_json};
use crate::terminal::{Cell, Look, grid, wrap};
use crate::times::Times;

const INDENT: &str = "  ";

pub(super) fn print_domain(output: Output, domain: &v1::Domain) -> Result<(), CommandError> {
    match output {
        Output::Json => print_json(&domain_json(domain)),
        _ => print(text(domain, &Times::here(), Look::of_stdout())),
    }
}

fn text(domain: &v1::Domain, times: &Times, look: Look) -> String {
    let verdict = verdict(domain, times);
    let facts: Vec<Vec<Cell>> =
        facts(domain, times).into_iter().map(|(field, fact)| vec![field.into(), fact]).collect();
    let mut parts = vec![wrap(&printable(&verdict), look.width).join("\n"), pairs(&facts, look)];
    if let Some(reason) = &domain.reason {
        parts.push(message(reason, look));
    }
    parts.join("\n\n")
}

/// The meaning of the status and the next step. For unknown words of a newer API, the API's own sentence.
fn verdict(domain: &v1::Domain, times: &Times) -> String {
    let zone = NamedZone { rules: times.zone.clone(), label: times.zone_name() };
    let reader = Reader { medium: Medium::Terminal, zone, now: times.now };
    match (proto::situation(domain), &domain.reason) {
        (Some(situation), _) => situation.verdict(&reader),
        (None, Some(reason)) => reason.message.clone(),
        (None, None) => domain.activity.replace('_', " "),
    }
}

fn facts(domain: &v1::Domain, times: &Times) -> Vec<(&'static str, Cell)> {
    let time = |at: Option<&prost_types::Timestamp>| -> Cell {
        at.and_then(from_timestamp).map_or_else(|| "-".to_owned(), |at| times.both(at)).into()
    };
    let mut facts = vec![
        ("Name", Cell::from(&domain.name)),
        ("Status", Cell::status(domain.status())),
        ("Activity", domain.activity.replace('_', " ").into()),
        ("Next attempt", time(domain.next_attempt_at.as_ref())),
    ];
    if let Some(reason) = &domain.reason {
        let act = if reason.who.is_empty() { "nobody" } else { who(&reason.who) };
        facts.push(("Reason", format!("{} ({act} must act)", reason.code).into()));
    }
    if !domain.customer_ref.is_empty() {
        facts.push(("Customer", Cell::from(&domain.customer_ref)));
    }
    if !domain.labels.is_empty() {
        facts.push(("Labels", labels(domain).into()));
    }
    facts.push(("Source", source(domain.source()).into()));
    facts.push(("Expires", time(domain.expires_at.as_ref())));
    facts.push(("Added", time(domain.created_at.as_ref())));
    if let Some(certificate) = &domain.certificate {
        facts.push(("Issued by", Cell::from(&certificate.issuer)));
        facts.push(("Serial", Cell::from(&certificate.serial)));
        facts.push(("SHA-256", Cell::from(&certificate.sha256)));
    }
    facts
}

/// `tier=gold; team=a`
pub(super) fn labels(domain: &v1::Domain) -> String {
    let labels = domain.labels.iter().map(|label| format!("{}={}", label.key, label.value));
    labels.collect::<Vec<_>>().join("; ")
}

/// Facts beside their names.
pub(super) fn pairs(rows: &[Vec<Cell>], look: Look) -> String {
    let shown = grid(&["", ""], rows, look);
    shown.trim_start_matches('\n').to_owned()
}

/// The sentence for the party that must act, and the records to set.
pub(super) fn message(reason: &v1::Reason, look: Look) -> String {
    let mut lines = vec![match reason.who.as_str() {
        "us" | "" => "What is going on:".to_owned(),
        other => format!("Message for the {}:", who(other)),
    }];
    let room = look.width.saturating_sub(INDENT.len());
    lines.extend(wrap(&printable(&reason.message), room).into_iter().map(|line| format!("{INDENT}{line}")));
    for record in &reason.needed {
        let record = printable(&format!("{}  {}  {}", record.name, record.r#type, record.value));
        lines.extend(wrap(&record, room).into_iter().map(|line| format!("{INDENT}{}", line.trim())));
    }
    lines.join("\n")
}

pub(super) fn who(word: &str) -> &str {
    match word {
        "cdn_operator" => "CDN operator",
        "ca" => "certificate authority",
        "us" => "SSL Manager",
        other => other,
    }
}

pub(super) fn source(source: v1::Source) -> &'static str {
    match source {
        v1::Source::C4 => "generated",
        v1::Source::Text => "pasted",
        v1::Source::Unspecified => "-",
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proto::to_timestamp;

    use super::*;

    #[test]
    fn a_domain_begins_with_its_verdict_and_fits() {
        let now = "2026-11-30T08:00:00.123456Z".parse().unwrap();
        let times = Times { zone: TimeZone::get("Europe/Berlin").unwrap(), now };
        let domain = v1::Domain {
            name: "shop.example.com".to_owned(),
            status: v1::Status::Failure.into(),
            source: v1::Source::C4.into(),
            activity: "waiting_for_ca".to_owned(),
            created_at: Some(to_timestamp("2026-11-27T08:00:00.1Z".parse().unwrap())),
            next_attempt_at: Some(to_timestamp("2026-11-30T08:35:00.5Z".parse().unwrap())),
            reason: Some(v1::Reason {
                code: "not_pointed".to_owned(),
                who: "customer".to_owned(),
                message: "Set shop.example.com as CNAME to cdn.example.net. ".repeat(3).trim().to_owned(),
                needed: vec![v1::DnsRecord {
                    r#type: "CNAME".to_owned(),
                    name: "shop.example.com".to_owned(),
                    value: "cdn.example.net".to_owned(),
                }],
                ..v1::Reason::default()
            }),
            ..v1::Domain::default()
        };
        let shown = text(&domain, &times, Look { width: 80, is_coloured: false });
        let verdict = verdict(&domain, &times);
        assert!(verdict.starts_with("No certificate yet: DNS does not point to the CDN."), "{verdict}");
        assert!(verdict.contains("30 Nov 09:35 CET (in 35 min)"), "{verdict}");
        assert!(shown.replace('\n', " ").starts_with(&verdict), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
        for told in [
            "Status        Failure",
            "Next attempt  in 35 min, 30 Nov 09:35 CET",
            "Reason        not_pointed (customer must act)",
            "Added         3 d ago, 27 Nov 09:00 CET",
            "Expires       -",
            "\nMessage for the customer:\n  Set shop",
            "\n  shop.example.com  CNAME  cdn.example.net",
        ] {
            assert!(shown.contains(told), "{told:?} in\n{shown}");
        }
    }
}
