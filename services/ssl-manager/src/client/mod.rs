//! `domain …`: a client of the gRPC API like any other.

mod add;
mod certificates;
mod check;
mod connect;
mod destination;
mod download;
mod files;
mod history;
mod import;
pub(crate) mod jobs;
mod list;
mod midnight;
mod notes;
mod overview;
pub(crate) mod pause;
mod revoke;
mod show;
mod watch;
pub(crate) mod webhook;

use std::io::{BufRead, IsTerminal, Write};

use proto::v1;
use serde_json::json;
use tonic::{Request, Response, Status};

use crate::cli::{DomainCommand, Global, LabelArgs, MidnightArgs, Output, OwnerArgs};
use crate::dispatch::CommandError;
use crate::output::print_done;
use connect::{Client, connect};

pub(crate) use add::{AddArgs, listed as listed_names, progress, read as read_names};

const PAGE: i32 = 1000;

/// What the server said, as one line; where the connection broke, what broke it.
pub(crate) fn failed(status: &Status) -> CommandError {
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
    CommandError::new(&name, status.message().replace('\n', " "))
}

pub(crate) async fn run(command: &DomainCommand, global: &Global) -> Result<(), CommandError> {
    match command {
        DomainCommand::Delete { name, yes: false, .. } => confirm("delete", name)?,
        DomainCommand::Revoke(args) if !args.yes => confirm("revoke a certificate of", &args.name)?,
        _ => {}
    }
    let mut client = connect(global).await?;
    let output = global.output;
    let shown = match command {
        DomainCommand::Add(args) => return add::run(&mut client, args, output).await,
        DomainCommand::Generate { name, force, owner } => generate(&mut client, name, *force, owner).await?,
        DomainCommand::Label(args) => label(&mut client, args).await?,
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
        DomainCommand::Note(args) => return notes::run(&mut client, args, output).await,
        DomainCommand::History { name } => return history::run(&mut client, name, output).await,
        DomainCommand::List(args) => return list::run(&mut client, args, output).await,
        DomainCommand::Watch { after, name, owner, at_risk } => {
            let request = v1::WatchDomainsRequest {
                after_position: *after,
                name: name.clone().unwrap_or_default(),
                customer_ref: owner.customer_ref(),
                labels: owner.labels(),
                at_risk: *at_risk,
                ..v1::WatchDomainsRequest::default()
            };
            return watch::run(&mut client, request, output).await;
        }
        DomainCommand::Delete { name, remove_from_c4, .. } => {
            return delete(&mut client, name, *remove_from_c4, output).await;
        }
        DomainCommand::Download(args) => return download::run(&mut client, args, output).await,
        DomainCommand::Revoke(args) => return revoke::run(&mut client, args, output).await,
    };
    show::print_domain(output, &shown.unwrap_or_default())
}

/// `midnight`: the report of a daily recheck.
pub(crate) async fn midnight(args: &MidnightArgs, global: &Global) -> Result<(), CommandError> {
    let mut client = connect(global).await?;
    midnight::run(&mut client, args, global.output).await
}

pub(crate) fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, CommandError> {
    result.map(Response::into_inner).map_err(|status| failed(&status))
}

async fn generate(
    client: &mut Client,
    name: &str,
    force: bool,
    owner: &OwnerArgs,
) -> Result<Option<v1::Domain>, CommandError> {
    let request = v1::GenerateCertificateRequest {
        name: name.to_owned(),
        force,
        customer_ref: owner.customer_ref(),
        labels: owner.labels(),
    };
    Ok(answer(client.generate_certificate(Request::new(request)).await)?.domain)
}

async fn label(client: &mut Client, args: &LabelArgs) -> Result<Option<v1::Domain>, CommandError> {
    let request = v1::SetDomainLabelsRequest {
        name: args.name.clone(),
        customer_ref: args.owner.customer.clone(),
        labels: args.owner.labels(),
        remove_labels: args.remove.clone(),
    };
    Ok(answer(client.set_domain_labels(Request::new(request)).await)?.domain)
}

async fn delete(
    client: &mut Client,
    name: &str,
    remove_from_c4: bool,
    output: Output,
) -> Result<(), CommandError> {
    let request = v1::DeleteDomainRequest { name: name.to_owned(), remove_from_c4 };
    let deleted = answer(client.delete_domain(Request::new(request)).await)?;
    let value = json!({ "name": deleted.name, "deleted": true });
    print_done(output, format_args!("{}: {}", deleted.name, deleted.message), &value)
}

/// Asks on the terminal; where there is none, `--yes` has to say it.
fn confirm(what: &str, name: &str) -> Result<(), CommandError> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage("there is no terminal to ask on: use --yes"));
    }
    let mut line = String::new();
    let asked = write!(std::io::stderr(), "About to {what} {name}. Type the name to confirm: ");
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut line));
    read.map_err(|error| CommandError::new("FAILED", format!("cannot read the answer: {error}")))?;
    if line.trim().eq_ignore_ascii_case(name) {
        Ok(())
    } else {
        Err(CommandError::new("CANCELLED", "the name was not typed; nothing was changed"))
    }
}
