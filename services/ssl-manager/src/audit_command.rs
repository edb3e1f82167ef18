//! `audit verify | list`: works on the store directly, read-only.

use std::path::Path;

use domain::DomainName;
use runtime::Config;
use seal::SealingKeys;
use serde_json::json;
use store::AuditLink;

use crate::backend::open_for_command;
use crate::cli::{AuditCommand, Output};
use crate::dispatch::CommandError;
use crate::output::{complain, print_done, print_many};

const MAX_HEADS_FILE_BYTES: u64 = 64 * 1024 * 1024;

pub(crate) async fn run(command: &AuditCommand, config: &Config, output: Output) -> Result<(), CommandError> {
    let store = open_for_command(config).await?;
    match command {
        AuditCommand::Verify { head, heads } => {
            let mut given = head.clone();
            if let Some(file) = heads {
                given.extend(read_heads(file)?);
            }
            let keys = SealingKeys::load(&config.keys.sealing_key_file);
            let keys = keys.as_ref().map_err(ToString::to_string);
            let report = audit::verify(&store, &given, keys).await?;
            print_report(&report, output)?;
            verdict(&report)
        }
        AuditCommand::List { subject, limit } => {
            // A name is kept as it was sent; what is no name at all can be looked for too.
            let subject = subject.as_deref().map(|subject| {
                DomainName::parse(subject).map_or_else(|_| subject.to_owned(), |name| name.to_string())
            });
            let mut lines = store.audit(subject.as_deref(), limit.saturating_add(1)).await?;
            if lines.len() > *limit as usize {
                lines.truncate(*limit as usize);
                complain(format_args!("The newest {limit} lines; there are more: --limit N"));
            }
            let rows: Vec<_> = lines
                .iter()
                .map(|line| {
                    json!({
                        "at": line.at,
                        "actor": line.actor,
                        "peer": line.peer,
                        "call": line.call,
                        "subject": line.subject,
                        "outcome": line.outcome,
                        "detail": line.detail,
                        "request_id": line.request_id,
                    })
                })
                .collect();
            print_many(
                output,
                &rows,
                &["at", "actor", "call", "subject", "outcome", "detail", "peer", "request_id"],
            )
        }
    }
}

/// `SEQUENCE:HASH`, as the head is printed and logged.
pub(crate) fn parse_head(text: &str) -> Result<AuditLink, String> {
    let seal = || {
        let (sequence, hash) = text.split_once(':')?;
        let hash: [u8; 32] = hex::decode(hash).ok()?.try_into().ok()?;
        let sequence: i64 = sequence.parse().ok()?;
        (sequence > 0).then_some(AuditLink { sequence, hash })
    };
    seal()
        .ok_or_else(|| "write a number, a colon, and 64 hexadecimal digits, as the log shows them".to_owned())
}

/// The heads in a file, in whatever stands around them.
fn read_heads(file: &Path) -> Result<Vec<AuditLink>, CommandError> {
    let text = text_file::read(file, MAX_HEADS_FILE_BYTES);
    let text =
        text.map_err(|error| CommandError::usage(format!("cannot read {}: {error}", file.display())))?;
    let is_apart = |letter: char| !letter.is_ascii_alphanumeric() && letter != ':';
    let heads: Vec<_> = text.split(is_apart).filter_map(|word| parse_head(word).ok()).collect();
    if heads.is_empty() {
        let sentence =
            format!("{} has no head in it: SEQUENCE:HASH, as the scheduler logs them", file.display());
        return Err(CommandError::new("NO_HEADS", sentence));
    }
    Ok(heads)
}

fn head(seal: &AuditLink) -> String {
    format!("{}:{}", seal.sequence, hex::encode(seal.hash))
}

fn print_report(report: &audit::Report, output: Output) -> Result<(), CommandError> {
    let mut lines = vec![
        format!("{} lines, {} waiting for their seal", report.lines, report.unsealed),
        format!("head {}", head(&report.head)),
        report.end.to_string(),
    ];
    lines.extend(report.broken.iter().map(ToString::to_string));
    let value = json!({
        "whole": report.broken.is_empty(),
        "lines": report.lines,
        "head": head(&report.head),
        "unsealed": report.unsealed,
        "end_checked": matches!(report.end, audit::End::Signed { .. }),
        "end": report.end.to_string(),
        "broken": report.broken.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    print_done(output, lines.join("\n"), &value)
}

fn verdict(report: &audit::Report) -> Result<(), CommandError> {
    match report.broken.first() {
        None => Ok(()),
        Some(first) => Err(CommandError::new(
            "AUDIT_BROKEN",
            format!(
                "the audit log is not as it was sealed: {first}; compare with a backup and with the heads in the logs"
            ),
        )),
    }
}
