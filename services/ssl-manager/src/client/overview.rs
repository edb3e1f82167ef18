//! `domain summary` and `domain overview`: the list in figures.

use proto::{from_timestamp, v1};
use serde_json::{Value, json};
use tonic::Request;

use super::answer;
use super::connect::Client;
use super::pause::{pauses, told};
use super::show::{pairs, who};
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{print, print_json, time};
use crate::terminal::{Cell, Look};
use crate::times::Times;

/// The API counts no further.
const MAX_OVERDUE: u64 = 10_000;

pub(crate) async fn summary(client: &mut Client, output: Output) -> Result<(), CommandError> {
    let told = answer(client.get_summary(Request::new(v1::GetSummaryRequest {})).await)?;
    let shown = json!({
        "statuses": statuses(&told.statuses),
        "renewal_blocked": told.renewal_blocked,
        "expiring_within_7_days": told.expiring_within_7_days,
        "waiting_for_budget": told.waiting_for_budget,
        "queue_through_at": time(told.queue_through_at.as_ref()),
        "at_risk": told.at_risk,
        "pauses": pauses(&told.pauses),
    });
    match output {
        Output::Json => print_json(&shown),
        _ => print(summary_text(&told, &Times::here(), Look::of_stdout())),
    }
}

fn summary_text(told: &v1::GetSummaryResponse, times: &Times, look: Look) -> String {
    let through = told.queue_through_at.as_ref();
    let rows = [
        ("Domains", status_counts(&told.statuses)),
        ("Renewal blocked", format!("{} live domains", told.renewal_blocked)),
        ("Ending", format!("{} within 7 days", told.expiring_within_7_days)),
        ("At risk", format!("{} live domains", told.at_risk)),
        ("Queue", queue(told.waiting_for_budget, through, times)),
    ];
    facts(rows.into_iter().chain(paused(&told.pauses, times)), look)
}

pub(crate) async fn overview(client: &mut Client, output: Output) -> Result<(), CommandError> {
    let told = answer(client.get_overview(Request::new(v1::GetOverviewRequest {})).await)?;
    match output {
        Output::Json => print_json(&overview_json(&told)),
        _ => print(overview_text(&told, &Times::here(), Look::of_stdout())),
    }
}

/// At most twenty lines of eighty columns, the first what a person on duty looks for first.
fn overview_text(told: &v1::GetOverviewResponse, times: &Times, look: Look) -> String {
    let mut rows = vec![("Domains", status_counts(&told.statuses))];
    rows.extend(paused(&told.pauses, times));
    rows.extend(must_act(&told.reasons).into_iter().enumerate().map(|(index, line)| match index {
        0 => ("Who must act", line),
        _ => ("", line),
    }));
    rows.push(("Renewal blocked", format!("{} live domains", told.renewal_blocked)));
    rows.push(("Ending", ending(&told.days_left)));
    rows.push(("Issued", issued(&told.issuance)));
    rows.push(("Queue", queue(told.waiting_for_budget, told.queue_through_at.as_ref(), times)));
    rows.push(("Overdue", overdue(told, times)));
    if let Some(last) = &told.last_midnight {
        let waits = format!("{} domains, {} of them still to come", last.domains, last.waiting);
        rows.push(("Daily recheck", format!("{}: {waits}", last.day)));
    }
    rows.extend(room(&told.budget, times).into_iter().enumerate().map(|(index, line)| match index {
        0 => ("Left at CAs", line),
        _ => ("", line),
    }));
    facts(rows, look)
}

fn paused(pauses: &[v1::Pause], times: &Times) -> impl Iterator<Item = (&'static str, String)> {
    pauses.iter().map(|pause| ("Paused", told(pause, times)))
}

fn facts(rows: impl IntoIterator<Item = (&'static str, String)>, look: Look) -> String {
    let cells = |(name, fact): (&str, String)| vec![Cell::from(name), Cell::from(fact)];
    let rows: Vec<Vec<Cell>> = rows.into_iter().map(cells).collect();
    pairs(&rows, look)
}

fn status_counts(counts: &[v1::StatusCount]) -> String {
    let all: u64 = counts.iter().map(|one| one.domains).sum();
    let count = |one: &v1::StatusCount| format!("{} {}", one.domains, proto::status_word(one.status()));
    let each: Vec<String> = counts.iter().filter(|one| one.domains > 0).map(count).collect();
    if all == 0 { "none".to_owned() } else { format!("{all}: {}", each.join(", ")) }
}

/// A line for each of the four who can, with what most of their domains wait for.
fn must_act(reasons: &[v1::ReasonCount]) -> Vec<String> {
    const MAX_CODES: usize = 3;
    let line = |word: &str| {
        let theirs: Vec<&v1::ReasonCount> = reasons.iter().filter(|one| one.who == word).collect();
        let all: u64 = theirs.iter().map(|one| one.domains).sum();
        let codes = theirs.iter().take(MAX_CODES).map(|one| format!("{} {}", one.domains, one.code));
        let more = theirs.len().saturating_sub(MAX_CODES);
        let more = (more > 0).then(|| format!("{more} more reasons"));
        let codes: Vec<String> = codes.chain(more).collect();
        (all > 0).then(|| format!("{} {all}: {}", who(word), codes.join(", ")))
    };
    let lines: Vec<String> = ["customer", "cdn_operator", "ca", "us"].into_iter().filter_map(line).collect();
    if lines.is_empty() { vec!["nobody".to_owned()] } else { lines }
}

fn ending(days: &[v1::DayCount]) -> String {
    let within =
        |most: u32| -> u64 { days.iter().filter(|one| one.days < most).map(|one| one.domains).sum() };
    format!(
        "{} in a day, {} in 7 days, {} in 30 days, {} in all",
        within(1),
        within(7),
        within(30),
        within(u32::MAX)
    )
}

fn issued(days: &[v1::IssuanceDay]) -> String {
    let last = |count: usize| {
        let days = days.iter().rev().take(count);
        days.fold((0, 0), |(issued, failed), day| (issued + day.issued, failed + day.failed))
    };
    let told = |(issued, failed)| format!("{issued} and {failed} orders failed");
    format!("today {}; in 30 days {}", told(last(1)), told(last(30)))
}

fn queue(waiting: u64, through: Option<&prost_types::Timestamp>, times: &Times) -> String {
    match through.and_then(from_timestamp) {
        _ if waiting == 0 => "empty".to_owned(),
        Some(at) => format!("{waiting} domains, done {}", times.both(at)),
        None => format!("{waiting} domains"),
    }
}

fn overdue(told: &v1::GetOverviewResponse, times: &Times) -> String {
    let count = match told.overdue {
        0 => return "none".to_owned(),
        MAX_OVERDUE => format!("{MAX_OVERDUE} domains or more"),
        count => format!("{count} domains"),
    };
    match told.oldest_due_at.as_ref().and_then(from_timestamp) {
        Some(at) => format!("{count}, the first {}", times.both(at)),
        None => count,
    }
}

/// The limits that are nearest to their end.
fn room(budget: &[v1::BudgetBucket], times: &Times) -> Vec<String> {
    const MAX_LINES: usize = 2;
    let mut limits: Vec<&v1::BudgetBucket> = budget.iter().filter(|one| one.capacity > 0).collect();
    limits.sort_by_key(|one| u64::from(one.left) * 1000 / u64::from(one.capacity));
    let line = |one: &&v1::BudgetBucket| {
        let free = one.free_at.as_ref().and_then(from_timestamp);
        let free = free.map_or_else(String::new, |at| format!(", next {}", times.relative(at)));
        format!("{}: {} of {} {}{free}", one.issuer, one.left, one.capacity, one.limit)
    };
    let more = limits.len().saturating_sub(MAX_LINES);
    let more = (more > 0).then(|| format!("and {more} limits with more room: --output json"));
    limits.iter().take(MAX_LINES).map(line).chain(more).collect()
}

fn overview_json(told: &v1::GetOverviewResponse) -> Value {
    let reason = |one: &v1::ReasonCount| json!({ "code": one.code, "who": one.who, "domains": one.domains });
    let day_left = |one: &v1::DayCount| json!({ "days": one.days, "domains": one.domains });
    let day = |one: &v1::IssuanceDay| json!({ "day": one.day, "issued": one.issued, "failed": one.failed });
    let bucket = |one: &v1::BudgetBucket| {
        json!({
            "issuer": one.issuer,
            "limit": one.limit,
            "capacity": one.capacity,
            "left": one.left,
            "free_at": time(one.free_at.as_ref()),
        })
    };
    let midnight =
        |one: &v1::Midnight| json!({ "day": one.day, "domains": one.domains, "waiting": one.waiting });
    json!({
        "statuses": statuses(&told.statuses),
        "renewal_blocked": told.renewal_blocked,
        "reasons": told.reasons.iter().map(reason).collect::<Vec<_>>(),
        "days_left": told.days_left.iter().map(day_left).collect::<Vec<_>>(),
        "issuance": told.issuance.iter().map(day).collect::<Vec<_>>(),
        "budget": told.budget.iter().map(bucket).collect::<Vec<_>>(),
        "overdue": told.overdue,
        "oldest_due_at": time(told.oldest_due_at.as_ref()),
        "waiting_for_budget": told.waiting_for_budget,
        "queue_through_at": time(told.queue_through_at.as_ref()),
        "last_midnight": told.last_midnight.as_ref().map(midnight),
        "pauses": pauses(&told.pauses),
    })
}

/// `{"Success": 3, …}`, in the order of the documentation.
fn statuses(counts: &[v1::StatusCount]) -> Value {
    let count = |one: &v1::StatusCount| (proto::status_word(one.status()).to_owned(), json!(one.domains));
    Value::Object(counts.iter().map(count).collect())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proto::to_timestamp;

    use super::*;

    /// As much as there can be of everything.
    fn full() -> v1::GetOverviewResponse {
        let at = |text: &str| Some(to_timestamp(text.parse().unwrap()));
        let count = |status: v1::Status| v1::StatusCount { status: status.into(), domains: 1_234_567 };
        let reason = |(who, code): (&str, &str)| v1::ReasonCount {
            code: code.to_owned(),
            who: who.to_owned(),
            domains: 12_345,
        };
        let reasons = [
            ("customer", "challenge_unreachable"),
            ("customer", "challenge_invalid"),
            ("customer", "not_pointed"),
            ("customer", "caa_forbids"),
            ("cdn_operator", "challenge_unreachable_elsewhere"),
            ("cdn_operator", "upload_failed"),
            ("cdn_operator", "not_served"),
            ("ca", "certificate_rejected"),
            ("ca", "order_rejected"),
            ("us", "issuer_refuses_us"),
            ("us", "could_not_ask"),
            ("us", "paused_by_ca"),
            ("us", "ca_limited"),
        ];
        let bucket = |left| v1::BudgetBucket {
            issuer: "letsencrypt".to_owned(),
            limit: "new orders per account".to_owned(),
            capacity: 300,
            left,
            free_at: at("2026-11-30T08:01:00Z"),
        };
        v1::GetOverviewResponse {
            statuses: [1, 2, 3, 4, 5, 6].map(|number| count(v1::Status::try_from(number).unwrap())).to_vec(),
            reasons: reasons.map(reason).to_vec(),
            days_left: (0..=90).map(|days| v1::DayCount { days, domains: 1000 }).collect(),
            end_hours: Vec::new(),
            issuance: (0..30)
                .map(|day| v1::IssuanceDay { day: format!("2026-11-{day:02}"), issued: 10_000, failed: 7 })
                .collect(),
            budget: [300, 12, 0, 5, 299, 7].map(bucket).to_vec(),
            overdue: 10_000,
            oldest_due_at: at("2026-11-30T06:59:59.123456Z"),
            waiting_for_budget: 1_000_000,
            queue_through_at: at("2027-11-30T07:00:00.123456Z"),
            last_midnight: Some(v1::Midnight {
                day: "2026-11-30".to_owned(),
                domains: 123_456,
                waiting: 4,
                ..v1::Midnight::default()
            }),
            renewal_blocked: 123_456,
            pauses: Vec::new(),
        }
    }

    #[test]
    fn the_overview_is_a_screen() {
        let times = Times { zone: TimeZone::UTC, now: "2026-11-30T08:00:00Z".parse().unwrap() };
        let look = Look { width: 80, is_coloured: false };
        let shown = overview_text(&full(), &times, look);
        assert!(shown.lines().count() <= 20 && shown.lines().all(|line| line.len() <= 80), "{shown}");
        for told in [
            "Domains          7407402: 1234567 Success, 1234567 Pending,",
            "Who must act     customer 49380: 12345 challenge_unreachable, ",
            "1 more reasons",
            "Ending           1000 in a day, 7000 in 7 days, 30000 in 30 days, 91000 in all",
            "Issued           today 10000 and 7 orders failed; in 30 days 300000 and 210",
            "Overdue          10000 domains or more, the first 1 h ago, 30 Nov 06:59 UTC",
            "Daily recheck    2026-11-30: 123456 domains, 4 of them still to come",
            "Left at CAs      letsencrypt: 0 of 300 new orders per account, next in 1 min",
            "and 4 limits with more room: --output json",
        ] {
            assert!(shown.contains(told), "{told:?} in\n{shown}");
        }
        let empty = overview_text(&v1::GetOverviewResponse::default(), &times, look);
        assert!(empty.contains("Domains          none\nWho must act     nobody\n"), "{empty}");
    }
}
