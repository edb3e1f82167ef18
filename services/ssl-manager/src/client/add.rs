//! `domain add`: one name shows its domain; several go over one stream, each with an answer of its own.
//!
//! If the stream ends early, by Ctrl-C or because the server stopped, the results up to then are printed. Adding the
//! same names again is safe: existing ones are reported as present.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use domain::host_of;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::v1;
use proto::v1::batch_add_domains_response::Result as Outcome;
use serde_json::{Value, json};
use tonic::{Request, Status};

use super::connect::Client;
use super::{answer, failed, show};
use crate::cli::{Output, OwnerArgs, pasted_name};
use crate::dispatch::CommandError;
use crate::output::{complain, print, print_json, table};

/// A million names of a usual length, and then some.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
const STDIN: &str = "-";

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Names, or addresses whose host counts
    #[arg(required_unless_present = "file", value_parser = pasted_name)]
    names: Vec<String>,
    /// File with names, one a line, or - for stdin; blank lines and those that begin with # are ignored
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    owner: OwnerArgs,
}

pub(crate) async fn run(client: &mut Client, args: &AddArgs, output: Output) -> Result<(), CommandError> {
    match (&args.file, &args.names[..]) {
        (None, [name]) => one(client, name, &args.owner, output).await,
        (None, _) => many(client, args.names.clone(), &args.owner, output).await,
        (Some(file), _) => {
            let mut names = args.names.clone();
            names.extend(listed(&read(file)?));
            if names.is_empty() {
                return Err(CommandError::usage(format!("there is no name in {}", file.display())));
            }
            many(client, names, &args.owner, output).await
        }
    }
}

async fn one(client: &mut Client, name: &str, owner: &OwnerArgs, output: Output) -> Result<(), CommandError> {
    let request = v1::AddDomainRequest {
        name: name.to_owned(),
        customer_ref: owner.customer_ref(),
        labels: owner.labels(),
    };
    let added = answer(client.add_domain(Request::new(request)).await)?;
    show::print_domain(output, &added.domain.unwrap_or_default())
}

/// Text of a file, or of stdin for `-`.
pub(crate) fn read(file: &Path) -> Result<String, CommandError> {
    let cannot =
        |error: std::io::Error| CommandError::usage(format!("cannot read {}: {error}", file.display()));
    let text = if file == Path::new(STDIN) {
        text_file::from_reader(std::io::stdin().lock(), MAX_BYTES)
    } else {
        text_file::read(file, MAX_BYTES)
    };
    Ok(text.map_err(cannot)?.to_string())
}

/// The names in it, one a line.
pub(crate) fn listed(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| host_of(line).to_owned())
}

/// How the stream ended.
enum End {
    Whole,
    Interrupted,
    Cut(Status),
}

async fn many(
    client: &mut Client,
    names: Vec<String>,
    owner: &OwnerArgs,
    output: Output,
) -> Result<(), CommandError> {
    let sent = names.len();
    let request = |name: &String| v1::BatchAddDomainsRequest {
        name: name.clone(),
        customer_ref: owner.customer_ref(),
        labels: owner.labels(),
    };
    let requests: Vec<_> = names.iter().map(request).collect();
    let call = client.batch_add_domains(Request::new(tokio_stream::iter(requests)));
    let mut answers = answer(call.await)?;
    let progress = progress(sent);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut rows: Vec<Value> = Vec::with_capacity(sent);
    let end = loop {
        let next = tokio::select! {
            biased;
            _ = &mut interrupted => break End::Interrupted,
            next = answers.message() => next,
        };
        match next {
            // Answers come in the order of the names, whose ends may be cut off in them.
            Ok(Some(answer)) => rows.push(row(names.get(rows.len()), answer.result)),
            Ok(None) => break End::Whole,
            Err(status) => break End::Cut(status),
        }
        progress.inc(1);
    };
    progress.finish_and_clear();
    tell(&rows, output)?;
    verdict(end, sent, &rows)
}

/// A bar on a terminal, nothing elsewhere.
pub(crate) fn progress(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn row(name: Option<&String>, outcome: Option<Outcome>) -> Value {
    let (result, reason, message) = match outcome {
        Some(Outcome::Added(added)) if added.created => ("added", None, None),
        Some(Outcome::Added(_)) => ("present", None, None),
        Some(Outcome::Error(error)) => ("error", Some(error.reason), Some(error.message)),
        None => ("error", None, None),
    };
    json!({ "name": name, "result": result, "reason": reason, "message": message })
}

fn count(rows: &[Value], result: &str) -> usize {
    rows.iter().filter(|row| row["result"] == result).count()
}

fn tell(rows: &[Value], output: Output) -> Result<(), CommandError> {
    if output == Output::Json {
        return print_json(&Value::from(rows.to_vec()));
    }
    let failures: Vec<Value> = rows.iter().filter(|row| row["result"] == "error").cloned().collect();
    if !failures.is_empty() {
        complain(table(&failures, &["name", "reason", "message"]));
    }
    let (added, present) = (count(rows, "added"), count(rows, "present"));
    print(format_args!("{added} added, {present} present before, {} failed", failures.len()))
}

fn verdict(end: End, sent: usize, rows: &[Value]) -> Result<(), CommandError> {
    let (answered, failures) = (rows.len(), count(rows, "error"));
    let again = format!("{answered} of {sent} names were answered; add all of them again, that is safe");
    match end {
        End::Interrupted => Err(CommandError::new("INTERRUPTED", again)),
        End::Cut(status) => Err(failed(&status).with(&again)),
        End::Whole if answered < sent => Err(CommandError::new("INCOMPLETE", again)),
        End::Whole if failures > 0 => {
            let sentence = format!("{failures} of {sent} names were not added");
            Err(CommandError::new("NOT_ALL_ADDED", sentence))
        }
        End::Whole => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_name_a_line() {
        let text =
            "# customers\n\n a.example.com \r\n\t# more\nb.example.com#not\nhttps://c.example.com:8443/x\n";
        let names: Vec<String> = listed(text).collect();
        assert_eq!(names, ["a.example.com", "b.example.com", "c.example.com"]);
    }

    #[test]
    fn whatever_is_not_whole_and_fine_is_a_failure() {
        let name = "a.example.com".to_owned();
        let added = |created| {
            let added = v1::BatchAdded { name: name.clone(), created };
            row(Some(&name), Some(Outcome::Added(added)))
        };
        let refused = row(Some(&name), Some(Outcome::Error(v1::BatchError::default())));
        let fine = [added(true), added(false)];
        assert_eq!((&fine[0]["result"], &fine[1]["result"]), (&json!("added"), &json!("present")));
        assert!(verdict(End::Whole, 2, &fine).is_ok());
        for (end, sent, rows, words) in [
            (End::Whole, 2, &[added(true), refused][..], "1 of 2 names were not added"),
            (End::Whole, 3, &fine[..], "2 of 3 names were answered"),
            (End::Interrupted, 2, &fine[..1], "1 of 2 names were answered"),
            (End::Cut(Status::unavailable("gone")), 2, &[][..], "gone; 0 of 2"),
        ] {
            let failure = verdict(end, sent, rows).unwrap_err();
            assert!(format!("{failure:?}").contains(words), "{words} in {failure:?}");
        }
    }
}
