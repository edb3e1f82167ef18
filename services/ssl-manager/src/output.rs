//! Results as tables and as JSON (DESIGN: keys in `snake_case`, times in RFC 3339 UTC).

use std::fmt::Display;
use std::io::Write;

use domain::{is_unfit, printable};
use jiff::Timestamp;
use proto::v1;
use serde_json::{Map, Value, json};

use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::terminal::{Cell, Look, fit, grid};
use crate::times::Times;

pub(crate) fn time(at: Option<&prost_types::Timestamp>) -> Value {
    at.and_then(proto::from_timestamp).map_or(Value::Null, |at| json!(at.to_string()))
}

fn source(source: v1::Source) -> Value {
    Some(source_word(source)).filter(|word| !word.is_empty()).map_or(Value::Null, Value::from)
}

/// The API's word; empty for none.
pub(crate) fn source_word(source: v1::Source) -> &'static str {
    match source {
        v1::Source::C4 => "c4",
        v1::Source::Text => "text",
        v1::Source::Unspecified => "",
    }
}

pub(crate) fn certificate_json(certificate: &v1::Certificate) -> Value {
    json!({
        "sha256": certificate.sha256,
        "serial": certificate.serial,
        "issuer": certificate.issuer,
        "not_before": time(certificate.not_before.as_ref()),
        "not_after": time(certificate.not_after.as_ref()),
        "source": source(certificate.source()),
    })
}

pub(crate) fn domain_json(domain: &v1::Domain) -> Value {
    json!({
        "name": domain.name,
        "status": proto::status_word(domain.status()),
        "source": source(domain.source()),
        "created_at": time(domain.created_at.as_ref()),
        "expires_at": time(domain.expires_at.as_ref()),
        "reason": domain.reason.as_ref().map(reason_json),
        "activity": domain.activity,
        "next_attempt_at": time(domain.next_attempt_at.as_ref()),
        "certificate": domain.certificate.as_ref().map(certificate_json),
        "customer_ref": Some(&domain.customer_ref).filter(|customer_ref| !customer_ref.is_empty()),
        "labels": domain.labels.iter().map(|label| (label.key.clone(), json!(label.value))).collect::<Map<_, _>>(),
    })
}

pub(crate) fn reason_json(reason: &v1::Reason) -> Value {
    json!({ "code": reason.code, "who": reason.who, "message": reason.message })
}

pub(crate) fn history_json(entry: &v1::HistoryEntry) -> Value {
    let status = |status: v1::Status| match proto::status_word(status) {
        "" => Value::Null,
        word => json!(word),
    };
    json!({
        "at": time(entry.at.as_ref()),
        "kind": entry.kind,
        "actor": entry.actor,
        "status_from": status(entry.status_from()),
        "status_to": status(entry.status_to()),
        "message": entry.message,
        "certificate_sha256": Some(&entry.certificate_sha256).filter(|sha256| !sha256.is_empty()),
    })
}

/// Prints many values: as a JSON array, or as a table with these fields as columns.
pub(crate) fn print_many(output: Output, values: &[Value], columns: &[&str]) -> Result<(), CommandError> {
    match output {
        Output::Json => print_json(&Value::from(values.to_vec())),
        _ => print(table(values, columns)),
    }
}

/// Prints a sentence, or for programs the value that says the same.
pub(crate) fn print_done(output: Output, sentence: impl Display, value: &Value) -> Result<(), CommandError> {
    match output {
        Output::Json => print_json(value),
        _ => print(sentence),
    }
}

/// Prints JSON. What has no place on a terminal is in strings only, and is escaped there.
pub(crate) fn print_json(value: &Value) -> Result<(), CommandError> {
    write_out(escaped(&format!("{value}\n")).as_bytes())
}

fn escaped(json: &str) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !is_unfit(character) {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// Prints a line on stdout. Errors: the reader is gone, which ends the command quietly, or the disk is full.
pub(crate) fn print(line: impl Display) -> Result<(), CommandError> {
    // One write: a line is whole or not there.
    write_out(fit(&format!("{line}\n")).as_bytes())
}

/// Writes bytes to stdout. Errors: as of [`print()`].
pub(crate) fn write_out(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| CommandError::output(&error))
}

/// Prints a line on stderr. If stderr is gone, there is no place to say so.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}", printable(&line.to_string()));
}

/// A table with these fields as columns.
pub(crate) fn table(values: &[Value], columns: &[&str]) -> String {
    let times = Times::here();
    let row = |value: &Value| columns.iter().map(|column| cell(column, &value[*column], &times)).collect();
    let rows: Vec<Vec<Cell>> = values.iter().map(row).collect();
    grid(columns, &rows, Look::of_stdout())
}

/// A value in a cell. What happened `at` a time has that time; other times say how far away they are.
fn cell(column: &str, value: &Value, times: &Times) -> Cell {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) if column == "at" => times.absolute(at),
            Ok(at) => times.relative(at),
            Err(_) => text.clone(),
        },
        other => other.to_string(),
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_exactly_the_fixed_keys() {
        let value = domain_json(&v1::Domain::default());
        let mut keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "activity",
                "certificate",
                "created_at",
                "customer_ref",
                "expires_at",
                "labels",
                "name",
                "next_attempt_at",
                "reason",
                "source",
                "status"
            ]
        );
        assert!(value["customer_ref"].is_null() && value["labels"] == json!({}));
        assert!(value["certificate"].is_null() && value["reason"].is_null() && value["expires_at"].is_null());
    }

    #[test]
    fn json_is_escaped_where_a_terminal_would_obey() {
        let hostile = "a\u{1b}[31mb\u{9b}c\u{202e}d\u{200b}e\u{e0041}f";
        let text = escaped(&json!({ "message": hostile }).to_string());
        assert!(!text.chars().any(is_unfit), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "message": hostile }));
    }

    #[test]
    fn times_in_a_table_are_for_people() {
        let now: Timestamp = "2026-11-30T08:00:00Z".parse().unwrap();
        let times = Times { zone: jiff::tz::TimeZone::UTC, now };
        let shown = |column, value: &Value| cell(column, value, &times).text;
        let at = json!("2026-11-30T04:59:00.123456Z");
        assert_eq!(shown("created_at", &at), "3 h ago");
        assert_eq!(shown("at", &at), "30 Nov 04:59 UTC");
        assert_eq!((shown("x", &Value::Null), shown("x", &json!(true))), ("-".to_owned(), "yes".to_owned()));
    }
}
