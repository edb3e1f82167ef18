//! `domain list`: page after page. A table has a line per domain: the name is never cut, and where a line is short of
//! room its last cells yield.

use std::fmt::Write;

use domain::{Clock, spreadsheet_cell};
use proto::{from_timestamp, to_timestamp, v1};
use runtime::SystemClock;
use serde_json::Value;
use tonic::Request;

use super::connect::Client;
use super::{PAGE, answer, show};
use crate::cli::{ListArgs, Output, When};
use crate::dispatch::CommandError;
use crate::output::{domain_json, print, print_json, source_word, time};
use crate::terminal::{Cell, Look, columns, grid};
use crate::times::Times;

const HEADS: [&str; 5] = ["NAME", "STATUS", "EXPIRES", "NEXT", "WHY"];
const WIDE_HEADS: [&str; 11] = [
    "name",
    "status",
    "why",
    "who",
    "activity",
    "next_attempt",
    "expires",
    "source",
    "added",
    "customer",
    "labels",
];
const CSV_HEADS: [&str; 13] = [
    "name",
    "status",
    "source",
    "created_at",
    "expires_at",
    "activity",
    "next_attempt_at",
    "reason",
    "who",
    "message",
    "customer_ref",
    "labels",
    "at_risk",
];
const GAP: usize = 2;
/// Fewer characters than these of a cell say nothing.
const MIN_CUT: usize = 8;

pub(super) async fn run(client: &mut Client, args: &ListArgs, output: Output) -> Result<(), CommandError> {
    let mut request = request(args)?;
    let mut left = args.limit.unwrap_or(u32::MAX);
    let mut printer = Printer { output, look: Look::of_stdout(), is_first: true, rows: Vec::new() };
    loop {
        request.page_size = i32::try_from(left).map_or(PAGE, |left| left.min(PAGE));
        let page = answer(client.list_domains(Request::new(request.clone())).await)?;
        printer.page(&page.domains)?;
        left = left.saturating_sub(u32::try_from(page.domains.len()).unwrap_or(u32::MAX));
        if page.next_page_token.is_empty() || left == 0 {
            return printer.end();
        }
        request.page_token = page.next_page_token;
    }
}

/// Prints a page when it is there; JSON only at the end, so that what was cut off is no JSON.
struct Printer {
    output: Output,
    look: Look,
    is_first: bool,
    rows: Vec<Value>,
}

impl Printer {
    fn page(&mut self, domains: &[v1::Domain]) -> Result<(), CommandError> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let mut text = match self.output {
            Output::Json => {
                self.rows.extend(domains.iter().map(domain_json));
                return Ok(());
            }
            Output::Name => domains.iter().map(|domain| domain.name.clone()).collect::<Vec<_>>().join("\n"),
            Output::Csv => csv(domains, is_first)?,
            Output::Wide => wide(domains, &Times::here(), self.look),
            Output::Table => narrow(domains, &Times::here(), self.look),
        };
        if !is_first && matches!(self.output, Output::Wide | Output::Table) {
            text = text.split_once('\n').map(|(_, rows)| rows.to_owned()).unwrap_or_default();
        }
        if text.is_empty() { Ok(()) } else { print(text) }
    }

    fn end(self) -> Result<(), CommandError> {
        match self.output {
            Output::Json => print_json(&Value::from(self.rows)),
            _ => Ok(()),
        }
    }
}

/// The reason, or else the activity.
fn why(domain: &v1::Domain) -> String {
    match &domain.reason {
        Some(reason) => reason.code.clone(),
        None if domain.activity == "idle" => String::new(),
        None => domain.activity.clone(),
    }
}

fn narrow(domains: &[v1::Domain], times: &Times, look: Look) -> String {
    let when = |at: Option<&prost_types::Timestamp>| {
        Cell::from(at.and_then(from_timestamp).map_or_else(|| "-".to_owned(), |at| times.relative(at)))
    };
    let rows: Vec<[Cell; 5]> = domains
        .iter()
        .map(|domain| {
            [
                Cell::from(&domain.name),
                Cell::status(domain.status()),
                when(domain.expires_at.as_ref()),
                when(domain.next_attempt_at.as_ref()),
                Cell::from(why(domain)),
            ]
        })
        .collect();
    let rows: Vec<[Cell; 5]> = std::iter::once(HEADS.map(Cell::from)).chain(rows).collect();
    let mut widths = [0; 5];
    for (index, width) in widths.iter_mut().enumerate() {
        *width = rows.iter().map(|row| columns(&row[index].text)).max().unwrap_or(0);
    }
    // Long names stick out, so that the short ones leave room for why.
    let others = widths[1..4].iter().sum::<usize>() + 4 * GAP + widths[4].min(2 * MIN_CUT);
    widths[0] = widths[0].min(look.width.saturating_sub(others));
    let lines: Vec<String> = rows.iter().map(|row| line(row, &widths, look)).collect();
    lines.join("\n")
}

/// One domain: name and status whole, then as many cells as there is room for.
fn line(row: &[Cell; 5], widths: &[usize; 5], look: Look) -> String {
    let (mut out, mut used, mut pad) = (String::new(), 0, 0);
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        let room = look.width.saturating_sub(used + pad);
        let length = columns(&cell.text);
        let text = if index < 2 || length <= room {
            cell.text.clone()
        } else if index == 4 && room >= MIN_CUT {
            cell.text.chars().take(room - 1).chain(['…']).collect()
        } else {
            break;
        };
        if text.is_empty() {
            break;
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{:pad$}{}", "", look.paint(&text, cell.colour));
        used += pad + columns(&text);
        pad = width.saturating_sub(columns(&text)) + GAP;
    }
    out
}

/// Everything, a line per domain, however long.
fn wide(domains: &[v1::Domain], times: &Times, look: Look) -> String {
    let when = |at: Option<&prost_types::Timestamp>| {
        Cell::from(at.and_then(from_timestamp).map_or_else(|| "-".to_owned(), |at| times.both(at)))
    };
    let row = |domain: &v1::Domain| {
        let reason = domain.reason.clone().unwrap_or_default();
        vec![
            Cell::from(&domain.name),
            Cell::status(domain.status()),
            dash(&reason.code),
            dash(&reason.who),
            Cell::from(&domain.activity),
            when(domain.next_attempt_at.as_ref()),
            when(domain.expires_at.as_ref()),
            Cell::from(show::source(domain.source())),
            when(domain.created_at.as_ref()),
            dash(&domain.customer_ref),
            dash(&show::labels(domain)),
        ]
    };
    let rows: Vec<Vec<Cell>> = domains.iter().map(row).collect();
    grid(&WIDE_HEADS, &rows, Look { width: usize::MAX, ..look })
}

fn dash(text: &str) -> Cell {
    Cell::from(if text.is_empty() { "-" } else { text })
}

/// Lines of RFC 4180 for programs, the first with the names of the fields.
fn csv(domains: &[v1::Domain], with_heads: bool) -> Result<String, CommandError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| CommandError::new("OUTPUT", format!("cannot write CSV: {error}"));
    if with_heads {
        writer.write_record(CSV_HEADS).map_err(failed)?;
    }
    let time = |at: Option<&prost_types::Timestamp>| time(at).as_str().unwrap_or_default().to_owned();
    for domain in domains {
        let reason = domain.reason.clone().unwrap_or_default();
        let record = [
            domain.name.clone(),
            proto::status_word(domain.status()).to_owned(),
            source_word(domain.source()).to_owned(),
            time(domain.created_at.as_ref()),
            time(domain.expires_at.as_ref()),
            domain.activity.clone(),
            time(domain.next_attempt_at.as_ref()),
            reason.code,
            reason.who,
            reason.message,
            spreadsheet_cell(&domain.customer_ref).into_owned(),
            show::labels(domain),
            domain.at_risk.to_string(),
        ];
        writer.write_record(record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| CommandError::new("OUTPUT", error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

/// The statuses of these words.
pub(super) fn statuses(words: &[String]) -> Result<Vec<i32>, CommandError> {
    let known = "Success, Pending, Failure, Discard, Expired or Emergency";
    let status = |word: &String| {
        let unknown = || CommandError::usage(format!("{word:?} is no status: use {known}"));
        proto::status_from_word(word).map(i32::from).ok_or_else(unknown)
    };
    words.iter().map(status).collect()
}

fn request(args: &ListArgs) -> Result<v1::ListDomainsRequest, CommandError> {
    let now = SystemClock.now();
    let instant = |when: Option<When>| match when.map(|when| when.at(now)) {
        None => Ok(None),
        Some(Some(at)) => Ok(Some(to_timestamp(at))),
        Some(None) => Err(CommandError::usage("a time that many days away is out of range: use fewer days")),
    };
    Ok(v1::ListDomainsRequest {
        search: args.search.clone(),
        statuses: statuses(&args.status)?,
        order: v1::ListOrder::from(args.order).into(),
        descending: args.descending,
        source: args.source.map_or(v1::Source::Unspecified, v1::Source::from).into(),
        expires_from: instant(args.expires_from)?,
        expires_before: instant(args.expires_before)?,
        renewal_blocked: args.renewal_blocked,
        who: args.who.map_or("", |who| who.as_str()).to_owned(),
        customer_ref: args.owner.customer_ref(),
        labels: args.owner.labels(),
        at_risk: args.at_risk,
        attention_from: instant(args.attention_from)?,
        reason: args.reason.clone(),
        ..v1::ListDomainsRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn domain(name: &str, status: v1::Status, code: &str) -> v1::Domain {
        let reason =
            v1::Reason { code: code.to_owned(), who: "customer".to_owned(), ..v1::Reason::default() };
        let ends = "2027-02-27T08:00:00Z".parse().unwrap();
        v1::Domain {
            name: name.to_owned(),
            status: status.into(),
            activity: "idle".to_owned(),
            expires_at: (status == v1::Status::Success).then(|| to_timestamp(ends)),
            next_attempt_at: Some(to_timestamp("2026-11-30T17:00:00.5Z".parse().unwrap())),
            reason: (!code.is_empty()).then_some(reason),
            ..v1::Domain::default()
        }
    }

    #[test]
    fn a_domain_is_a_line_whose_name_is_whole() {
        let times = Times { zone: TimeZone::UTC, now: "2026-11-30T08:00:00Z".parse().unwrap() };
        let look = Look { width: 80, is_coloured: false };
        let long = format!("{}.example.com", "a-long-label".repeat(5));
        let longer = format!("{}.{}.example.com", "a".repeat(60), "b".repeat(60));
        let domains = [
            domain("shop.example.com", v1::Status::Success, ""),
            domain("elsewhere.example.com", v1::Status::Failure, "challenge_unreachable_elsewhere"),
            domain(&long, v1::Status::Failure, "not_pointed"),
            domain(&longer, v1::Status::Success, ""),
        ];
        let shown = narrow(&domains, &times, look);
        let expected = [
            "NAME                                  STATUS   EXPIRES  NEXT    WHY".to_owned(),
            "shop.example.com                      Success  in 89 d  in 9 h".to_owned(),
            "elsewhere.example.com                 Failure  -        in 9 h  challenge_unrea…".to_owned(),
            format!("{long}  Failure"),
            format!("{longer}  Success"),
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        let piped = narrow(&domains, &times, Look { width: usize::MAX, ..look });
        assert!(piped.contains("in 9 h  challenge_unreachable_elsewhere"), "{piped}");
        let coloured = narrow(&domains[..1], &times, Look { is_coloured: true, ..look });
        assert!(coloured.contains("shop.example.com  \u{1b}[32mSuccess\u{1b}[0m  in 89 d"), "{coloured}");
        assert_eq!(wide(&domains, &times, look).lines().count(), 5);
        assert!(wide(&domains, &times, look).contains("in 89 d, 27 Feb 2027 08:00 UTC"));
    }

    #[test]
    fn csv_is_for_programs() {
        let mut domain = domain("a.example.com", v1::Status::Failure, "caa_forbids");
        domain.customer_ref = "=1+1".to_owned();
        domain.labels = vec![v1::Label { key: "tier".to_owned(), value: "gold".to_owned() }];
        if let Some(reason) = &mut domain.reason {
            reason.message = "Add the record 0 issue \"ca.example\", please.".to_owned();
        }
        assert_eq!(
            csv(&[domain], true).unwrap(),
            "name,status,source,created_at,expires_at,activity,next_attempt_at,reason,who,message,customer_ref,labels,at_risk\n\
             a.example.com,Failure,,,,idle,2026-11-30T17:00:00.5Z,caa_forbids,customer,\
             \"Add the record 0 issue \"\"ca.example\"\", please.\",'=1+1,tier=gold,false"
        );
        assert_eq!(csv(&[], false).unwrap(), "");
    }
}
