//! `midnight`: the domains that the daily recheck checked, and their outcomes.

use domain::MidnightOutcome;
use domain::sentence::NamedZone;
use proto::{midnight_outcome, midnight_sentence, v1};
use serde_json::{Value, json};
use tonic::Request;

use super::PAGE;
use super::answer;
use super::connect::Client;
use crate::cli::{MidnightArgs, Output};
use crate::dispatch::CommandError;
use crate::output::{print, print_json, time};
use crate::terminal::{Cell, Look, grid, wrap};
use crate::times::Times;

/// What a terminal shows of unchanged domains is their number.
const LISTED: [MidnightOutcome; 4] =
    [MidnightOutcome::Works, MidnightOutcome::Changed, MidnightOutcome::Waiting, MidnightOutcome::Deleted];

pub(super) async fn run(
    client: &mut Client,
    args: &MidnightArgs,
    output: Output,
) -> Result<(), CommandError> {
    let mut request =
        v1::GetMidnightReportRequest { day: args.day.clone(), page_size: PAGE, ..Default::default() };
    let mut report = answer(client.get_midnight_report(Request::new(request.clone())).await)?;
    // Pages that follow are of the same day, though another midnight may come meanwhile.
    request.day.clone_from(&report.day);
    let mut token = report.next_page_token.clone();
    while !token.is_empty() {
        request.page_token = token;
        let page = answer(client.get_midnight_report(Request::new(request.clone())).await)?;
        report.entries.extend(page.entries);
        token = page.next_page_token;
    }
    match output {
        _ if args.csv => print(csv(&report.entries)?),
        Output::Json => print_json(&report_json(&report)),
        _ => print(text(&report, &Times::here(), Look::of_stdout())),
    }
}

/// The API's word.
fn word(outcome: v1::MidnightOutcome) -> &'static str {
    midnight_outcome(outcome).map_or("", MidnightOutcome::as_str)
}

fn text(report: &v1::GetMidnightReportResponse, times: &Times, look: Look) -> String {
    let here = NamedZone { rules: times.zone.clone(), label: times.zone_name() };
    let Some(sentence) = midnight_sentence(report, &here) else {
        return "There was no midnight yet.".to_owned();
    };
    let mut parts = wrap(&sentence, look.width);
    let (new, gone) = (report.new_since, report.gone_since);
    let difference =
        format!("Compared with the day before: {new} more were asked, {gone} were not asked again.");
    parts.extend(wrap(&difference, look.width));
    let listed = report
        .entries
        .iter()
        .filter(|entry| midnight_outcome(entry.outcome()).is_some_and(|outcome| LISTED.contains(&outcome)));
    let rows: Vec<Vec<Cell>> = listed.map(row).collect();
    if !rows.is_empty() {
        parts.push(grid(&["name", "outcome", "before", "now"], &rows, look));
    }
    parts.join("\n")
}

fn row(entry: &v1::MidnightEntry) -> Vec<Cell> {
    vec![
        Cell::from(&entry.name),
        word(entry.outcome()).into(),
        state(entry.status_before(), &entry.reason_before).into(),
        state(entry.status_after(), &entry.reason_after).into(),
    ]
}

/// `Failure not_pointed`
fn state(status: v1::Status, reason: &str) -> String {
    match proto::status_word(status) {
        "" => "-".to_owned(),
        status => format!("{status} {reason}").trim_end().to_owned(),
    }
}

fn entry_json(entry: &v1::MidnightEntry) -> Value {
    let word = |status| Some(proto::status_word(status)).filter(|word| !word.is_empty());
    json!({
        "name": entry.name,
        "outcome": self::word(entry.outcome()),
        "status_before": word(entry.status_before()),
        "reason_before": entry.reason_before,
        "status_after": word(entry.status_after()),
        "reason_after": entry.reason_after,
        "decided_at": time(entry.decided_at.as_ref()),
    })
}

fn report_json(report: &v1::GetMidnightReportResponse) -> Value {
    let count = |count: &v1::MidnightCount| {
        (
            word(count.outcome()).to_owned(),
            json!({ "domains": count.domains, "day_before": count.day_before }),
        )
    };
    json!({
        "day": Some(&report.day).filter(|day| !day.is_empty()),
        "at": time(report.at.as_ref()),
        "time_zone": report.time_zone,
        "counts": report.counts.iter().map(count).collect::<serde_json::Map<_, _>>(),
        "new_since": report.new_since,
        "gone_since": report.gone_since,
        "entries": report.entries.iter().map(entry_json).collect::<Vec<_>>(),
    })
}

fn csv(entries: &[v1::MidnightEntry]) -> Result<String, CommandError> {
    let failed = |error: csv::Error| CommandError::new("OUTPUT", format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let heads =
        ["name", "outcome", "status_before", "reason_before", "status_after", "reason_after", "decided_at"];
    writer.write_record(heads).map_err(failed)?;
    for entry in entries {
        let decided_at = time(entry.decided_at.as_ref());
        let record = [
            entry.name.as_str(),
            word(entry.outcome()),
            proto::status_word(entry.status_before()),
            &entry.reason_before,
            proto::status_word(entry.status_after()),
            &entry.reason_after,
            decided_at.as_str().unwrap_or_default(),
        ];
        writer.write_record(record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| CommandError::new("OUTPUT", error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proto::to_timestamp;

    use super::*;

    #[test]
    fn a_midnight_is_told_as_its_reader_dates_it() {
        let entry = |name: &str, outcome: v1::MidnightOutcome| v1::MidnightEntry {
            name: name.to_owned(),
            outcome: outcome.into(),
            status_before: v1::Status::Failure.into(),
            reason_before: "not_pointed".to_owned(),
            status_after: v1::Status::Success.into(),
            ..v1::MidnightEntry::default()
        };
        let count = |outcome: v1::MidnightOutcome, domains| v1::MidnightCount {
            outcome: outcome.into(),
            domains,
            day_before: 0,
        };
        let report = v1::GetMidnightReportResponse {
            day: "2026-12-01".to_owned(),
            at: Some(to_timestamp("2026-11-30T16:00:00Z".parse().unwrap())),
            time_zone: "Asia/Singapore".to_owned(),
            counts: vec![count(v1::MidnightOutcome::Works, 1), count(v1::MidnightOutcome::Unchanged, 1)],
            new_since: 2,
            entries: vec![
                entry("a.example.com", v1::MidnightOutcome::Works),
                entry("b.example.com", v1::MidnightOutcome::Unchanged),
            ],
            ..v1::GetMidnightReportResponse::default()
        };
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let times = Times { zone, now: "2026-11-30T17:00:00Z".parse().unwrap() };
        let shown = text(&report, &times, Look { width: 80, is_coloured: false });
        assert_eq!(
            shown,
            "00:00 Singapore (30 Nov 2026, 17:00 your time): 2 asked, 1 now work, 1\n\
             unchanged.\n\
             Compared with the day before: 2 more were asked, 0 were not asked again.\n\
             NAME           OUTCOME  BEFORE               NOW\n\
             a.example.com  works    Failure not_pointed  Success"
        );
        assert_eq!(csv(&report.entries).unwrap().lines().count(), 3);
        let none = v1::GetMidnightReportResponse::default();
        assert_eq!(text(&none, &times, Look { width: 80, is_coloured: false }), "There was no midnight yet.");
    }
}
