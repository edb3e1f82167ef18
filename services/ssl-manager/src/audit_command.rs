//! `audit verify | list`: works on the store directly, read-only.

use domain::DomainName;
use runtime::Config;
use serde_json::json;
use store::AuditSeal;

use crate::backend::open_for_command;
use crate::cli::{AuditCommand, Output};
use crate::dispatch::Failure;
use crate::output::{complain, print_done, print_many};

pub(crate) async fn run(command: &AuditCommand, config: &Config, output: Output) -> Result<(), Failure> {
    let store = open_for_command(config).await?;
    match command {
        AuditCommand::Verify { head } => {
            let report = audit::verify(&store, *head).await?;
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
pub(crate) fn parse_head(text: &str) -> Result<AuditSeal, String> {
    let seal = || {
        let (sequence, hash) = text.split_once(':')?;
        let hash: [u8; 32] = hex::decode(hash).ok()?.try_into().ok()?;
        let sequence: i64 = sequence.parse().ok()?;
        (sequence > 0).then_some(AuditSeal { sequence, hash })
    };
    seal()
        .ok_or_else(|| "write a number, a colon, and 64 hexadecimal digits, as the log shows them".to_owned())
}

fn head(seal: &AuditSeal) -> String {
    format!("{}:{}", seal.sequence, hex::encode(seal.hash))
}

fn print_report(report: &audit::Report, output: Output) -> Result<(), Failure> {
    let mut lines = vec![
        format!("{} lines, {} waiting for their seal", report.lines, report.unsealed),
        format!("head {}", head(&report.head)),
    ];
    lines.extend(report.broken.iter().map(ToString::to_string));
    let value = json!({
        "whole": report.broken.is_empty(),
        "lines": report.lines,
        "head": head(&report.head),
        "unsealed": report.unsealed,
        "broken": report.broken.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    print_done(output, lines.join("\n"), &value)
}

fn verdict(report: &audit::Report) -> Result<(), Failure> {
    match report.broken.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(
            "AUDIT_BROKEN",
            format!(
                "the audit log is not as it was sealed: {first}; compare with a backup and with the heads in the logs"
            ),
        )),
    }
}
