//! `domain …`: a client of the gRPC API like any other.

mod add;
mod certificates;
mod check;
mod connect;
mod destination;
mod download;
mod files;
mod import;
mod list;
mod overview;
mod revoke;

use std::io::{BufRead, IsTerminal, Write};

use proto::v1;
use serde_json::json;
use tonic::{Request, Response, Status};

use crate::cli::{DomainCommand, Global, Output};
use crate::dispatch::Failure;
use crate::output::{domain_json, history_json, print, print_done, print_many, print_one};
use connect::{Client, connect};

pub(crate) use add::AddArgs;

const HISTORY_COLUMNS: [&str; 6] = ["at", "kind", "actor", "status_from", "status_to", "message"];
const PAGE: i32 = 1000;

/// What the server said, as one line; where the connection broke, what broke it.
pub(crate) fn failed(status: &Status) -> Failure {
    if let Some(problem) = connect::broken(status) {
        return problem;
    }
    let code = format!("{:?}", status.code());
    // Code's Debug is its name in CamelCase; the wire's names are in capitals.
    let mut name = String::new();
    for c in code.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_uppercase());
    }
    Failure::new(&name, status.message().replace('\n', " "))
}

pub(crate) async fn run(command: &DomainCommand, global: &Global) -> Result<(), Failure> {
    match command {
        DomainCommand::Delete { name, yes: false, .. } => confirm("delete", name)?,
        DomainCommand::Revoke(args) if !args.yes => confirm("revoke a certificate of", &args.name)?,
        _ => {}
    }
    let mut client = connect(global).await?;
    let output = global.output;
    let shown = match command {
        DomainCommand::Add(args) => return add::run(&mut client, args, output).await,
        DomainCommand::Generate { name, force } => {
            let request = v1::GenerateCertificateRequest { name: name.clone(), force: *force };
            answer(client.generate_certificate(Request::new(request)).await)?.domain
        }
        DomainCommand::Show { name } => {
            let request = v1::GetDomainRequest { name: name.clone() };
            answer(client.get_domain(Request::new(request)).await)?.domain
        }
        DomainCommand::Recheck { name } => {
            let request = v1::RecheckDomainRequest { name: name.clone() };
            answer(client.recheck_domain(Request::new(request)).await)?.domain
        }
        DomainCommand::Import(args) => import::run(&mut client, args).await?,
        DomainCommand::Rollback { name } => {
            let request = v1::RollbackCertificateRequest { name: name.clone() };
            answer(client.rollback_certificate(Request::new(request)).await)?.domain
        }
        DomainCommand::Check { name } => return check::run(&mut client, name, output).await,
        DomainCommand::Certificates { name } => return certificates::run(&mut client, name, output).await,
        DomainCommand::Summary => return overview::summary(&mut client, output).await,
        DomainCommand::Overview => return overview::overview(&mut client, output).await,
        DomainCommand::History { name } => return history(&mut client, name, output).await,
        DomainCommand::List(args) => return list::run(&mut client, args, output).await,
        DomainCommand::Watch { after, name } => {
            return watch(&mut client, *after, name.as_deref(), output).await;
        }
        DomainCommand::Delete { name, remove_from_c4, .. } => {
            return delete(&mut client, name, *remove_from_c4, output).await;
        }
        DomainCommand::Download(args) => return download::run(&mut client, args, output).await,
        DomainCommand::Revoke(args) => return revoke::run(&mut client, args, output).await,
    };
    print_one(output, &domain_json(&shown.unwrap_or_default()))
}

pub(crate) fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Failure> {
    result.map(Response::into_inner).map_err(|status| failed(&status))
}

async fn history(client: &mut Client, name: &str, output: Output) -> Result<(), Failure> {
    let request = v1::GetHistoryRequest { name: name.to_owned(), page_size: PAGE };
    let entries = answer(client.get_history(Request::new(request)).await)?.entries;
    let rows: Vec<_> = entries.iter().map(history_json).collect();
    print_many(output, &rows, &HISTORY_COLUMNS)
}

/// Prints one line per change until Ctrl-C. Errors: the server ended the stream, which it does when it stops.
async fn watch(
    client: &mut Client,
    after: Option<i64>,
    name: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let request = v1::WatchDomainsRequest {
        after_position: after,
        name: name.unwrap_or_default().to_owned(),
        ..v1::WatchDomainsRequest::default()
    };
    let mut changes = answer(client.watch_domains(Request::new(request)).await)?;
    let mut position = after;
    while let Some(change) = changes.message().await.map_err(|status| failed(&status))? {
        position = Some(change.position);
        let domain = change.domain.unwrap_or_default();
        let at = change.at.as_ref().and_then(proto::from_timestamp).map(|at| at.to_string());
        match output {
            Output::Json => {
                let shown =
                    if change.deleted { json!({ "name": domain.name }) } else { domain_json(&domain) };
                let line = json!({ "position": change.position, "at": at, "deleted": change.deleted, "domain": shown });
                print(line)?;
            }
            Output::Table => {
                let what = if change.deleted { "deleted" } else { proto::status_word(domain.status()) };
                let reason = domain.reason.map(|reason| format!("  {}", reason.code)).unwrap_or_default();
                let at = at.unwrap_or_default();
                print(format_args!(
                    "{:>8}  {at:<27}  {:<40}  {what:<10} {}{reason}",
                    change.position, domain.name, domain.activity
                ))?;
            }
        }
    }
    let resume = position.map_or_else(String::new, |position| format!(" with --after {position}"));
    let sentence = format!("the server ended the stream, it stops or starts again: watch again{resume}");
    Err(Failure::new("UNAVAILABLE", sentence))
}

async fn delete(
    client: &mut Client,
    name: &str,
    remove_from_c4: bool,
    output: Output,
) -> Result<(), Failure> {
    let request = v1::DeleteDomainRequest { name: name.to_owned(), remove_from_c4 };
    let deleted = answer(client.delete_domain(Request::new(request)).await)?;
    let value = json!({ "name": deleted.name, "deleted": true });
    print_done(output, format_args!("{}: {}", deleted.name, deleted.message), &value)
}

/// Asks on the terminal; where there is none, `--yes` has to say it.
fn confirm(what: &str, name: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("this asks on a terminal and there is none: say --yes"));
    }
    let mut line = String::new();
    let asked = write!(std::io::stderr(), "About to {what} {name}. Type the name to confirm: ");
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut line));
    read.map_err(|error| Failure::new("FAILED", format!("cannot read the answer: {error}")))?;
    if line.trim().eq_ignore_ascii_case(name) {
        Ok(())
    } else {
        Err(Failure::new("CANCELLED", "the name was not typed; nothing was changed"))
    }
}
