//! `domain history`: the history of a name, newest first.

use domain::printable;
use proto::{from_timestamp, v1};
use tonic::Request;

use super::connect::Client;
use super::{PAGE, answer};
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{history_json, print, print_json};
use crate::terminal::{Cell, Look, grid, wrap};
use crate::times::Times;

const INDENT: &str = "    ";

pub(super) async fn run(client: &mut Client, name: &str, output: Output) -> Result<(), CommandError> {
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::GetHistoryRequest { name: name.to_owned(), page_size: PAGE, page_token };
        let page = answer(client.get_history(Request::new(request)).await)?;
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    match output {
        Output::Json => print_json(&entries.iter().map(history_json).collect()),
        _ => print(text(&entries, &Times::here(), Look::of_stdout())),
    }
}

/// A line for what happened, and the sentence below it.
fn text(entries: &[v1::HistoryEntry], times: &Times, look: Look) -> String {
    let row = |entry: &v1::HistoryEntry| {
        let at = entry.at.as_ref().and_then(from_timestamp);
        vec![
            Cell::from(at.map_or_else(|| "-".to_owned(), |at| times.absolute(at))),
            Cell::from(&entry.kind),
            Cell::from(change(entry)),
            Cell::from(&entry.actor),
        ]
    };
    let rows: Vec<Vec<Cell>> = entries.iter().map(row).collect();
    // The rows are laid out together, so that they stand below each other, and taken apart for their sentences.
    let shown = grid(&["time", "what", "status", "by"], &rows, Look { width: usize::MAX, ..look });
    let room = look.width.saturating_sub(INDENT.len());
    let mut lines = shown.lines();
    let mut out: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
    for (line, entry) in lines.zip(entries) {
        out.push(line.to_owned());
        let message = printable(&entry.message).replace('\n', " ");
        let wrapped = wrap(message.trim(), room).into_iter().filter(|line| !line.is_empty());
        out.extend(wrapped.map(|line| format!("{INDENT}{line}")));
    }
    out.join("\n")
}

fn change(entry: &v1::HistoryEntry) -> String {
    let (from, to) = (proto::status_word(entry.status_from()), proto::status_word(entry.status_to()));
    if from.is_empty() || from == to { to.to_owned() } else { format!("{from} -> {to}") }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proto::to_timestamp;

    use super::*;

    #[test]
    fn an_entry_is_a_line_and_its_sentence() {
        let entry = |kind: &str, from: v1::Status, to: v1::Status, message: &str| v1::HistoryEntry {
            at: Some(to_timestamp("2026-11-30T08:00:07.123456Z".parse().unwrap())),
            kind: kind.to_owned(),
            actor: "token:dashboard".to_owned(),
            status_from: from.into(),
            status_to: to.into(),
            message: message.to_owned(),
            ..v1::HistoryEntry::default()
        };
        let entries = [
            entry("certificate_uploaded", v1::Status::Pending, v1::Status::Success, "Active at C4."),
            entry("added", v1::Status::Unspecified, v1::Status::Pending, &"words and more ".repeat(7)),
        ];
        let times = Times { zone: TimeZone::UTC, now: "2026-11-30T09:00:00Z".parse().unwrap() };
        let shown = text(&entries, &times, Look { width: 80, is_coloured: false });
        let expected = "\
TIME              WHAT                  STATUS              BY
30 Nov 08:00 UTC  certificate_uploaded  Pending -> Success  token:dashboard
    Active at C4.
30 Nov 08:00 UTC  added                 Pending             token:dashboard
    words and more words and more words and more words and more words and more
    words and more words and more";
        assert_eq!(shown, expected);
    }
}
