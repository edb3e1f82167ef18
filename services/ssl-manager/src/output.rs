//! Results as tables and as JSON (DESIGN: keys in `snake_case`, times in RFC 3339 UTC).

use std::fmt::Display;
use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use domain::{is_unfit, printable};
use proto::v1;
use serde_json::{Value, json};

use crate::cli::Output;
use crate::dispatch::Failure;

pub(crate) fn time(at: Option<&prost_types::Timestamp>) -> Value {
    at.and_then(proto::from_timestamp).map_or(Value::Null, |at| json!(at.to_string()))
}

fn source(source: v1::Source) -> Value {
    match source {
        v1::Source::C4 => json!("c4"),
        v1::Source::Text => json!("text"),
        v1::Source::Unspecified => Value::Null,
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

/// Prints one value: as JSON, or as a table of its fields.
pub(crate) fn print_one(output: Output, value: &Value) -> Result<(), Failure> {
    match (output, value) {
        (Output::Json, value) => print_json(value),
        (Output::Table, Value::Object(fields)) => {
            let mut table = new_table();
            for (field, value) in fields {
                table.add_row([field.replace('_', " "), cell(value)]);
            }
            print(table)
        }
        (Output::Table, other) => print(cell(other)),
    }
}

/// Prints many values: as a JSON array, or as a table with these fields as columns.
pub(crate) fn print_many(output: Output, values: &[Value], columns: &[&str]) -> Result<(), Failure> {
    match output {
        Output::Json => print_json(&Value::from(values.to_vec())),
        Output::Table => print(table(values, columns)),
    }
}

/// Prints a sentence, or for programs the value that says the same.
pub(crate) fn print_done(output: Output, sentence: impl Display, value: &Value) -> Result<(), Failure> {
    match output {
        Output::Table => print(sentence),
        Output::Json => print_one(output, value),
    }
}

/// Prints JSON. What has no place on a terminal is in strings only, and is escaped there.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
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
pub(crate) fn print(line: impl Display) -> Result<(), Failure> {
    // One write: a line is whole or not there.
    write_out(printable(&format!("{line}\n")).as_bytes())
}

/// Writes bytes to stdout. Errors: as of [`print()`].
pub(crate) fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Prints a line on stderr. If stderr is gone, there is no place to say so.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}", printable(&line.to_string()));
}

/// A table with these fields as columns.
pub(crate) fn table(values: &[Value], columns: &[&str]) -> Table {
    let mut table = new_table();
    table.set_header(columns.iter().map(|column| column.replace('_', " ")));
    for value in values {
        table.add_row(columns.iter().map(|column| cell(&value[*column])));
    }
    table
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A value in a cell.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) if fields.contains_key("message") => {
            format!("{} ({}): {}", cell(&fields["code"]), cell(&fields["who"]), cell(&fields["message"]))
        }
        Value::Object(fields) => {
            let lines: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}: {}", cell(value))).collect();
            lines.join("\n")
        }
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    printable(&text)
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
                "expires_at",
                "name",
                "next_attempt_at",
                "reason",
                "source",
                "status"
            ]
        );
        assert!(value["certificate"].is_null() && value["reason"].is_null() && value["expires_at"].is_null());
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let hostile = "a\u{1b}[31mb\u{9b}c\u{202e}d\u{200b}e\u{e0041}f";
        assert_eq!(cell(&json!(hostile)), "a [31mb c d e f");
        let text = escaped(&json!({ "message": hostile }).to_string());
        assert!(!text.chars().any(is_unfit), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "message": hostile }));
    }
}
