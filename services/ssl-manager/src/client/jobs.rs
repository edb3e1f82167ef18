//! `job …`: work over many names, which the API does.

use std::io::{BufRead, IsTerminal, Write};

use domain::{host_of, spreadsheet_cell};
use indicatif::ProgressBar;
use proto::v1;
use serde_json::{Value, json};
use tonic::Request;

use super::connect::{Jobs, connect, connect_to_jobs};
use super::list::statuses;
use super::{PAGE, answer, failed, progress, read_names};
use crate::cli::{Global, JobCommand, KindWord, Output, StartArgs};
use crate::dispatch::CommandError;
use crate::output::{complain, print, print_json, time};
use crate::terminal::{Cell, Look, grid, wrap};
use crate::times::Times;

/// Names in one message, which has at most 64 KiB.
const TOGETHER: usize = 200;
const JOBS_PAGE: u32 = 100;
const CSV_HEADS: [&str; 7] = ["line", "name", "outcome", "code", "message", "customer_message", "acted_at"];

pub(crate) async fn run(command: &JobCommand, global: &Global) -> Result<(), CommandError> {
    let mut jobs = connect_to_jobs(global).await?;
    let output = global.output;
    match command {
        JobCommand::Start(args) => start(&mut jobs, args, global).await,
        JobCommand::List { limit } => list(&mut jobs, *limit, output).await,
        JobCommand::Show { id } => {
            let request = v1::GetJobRequest { id: id.clone() };
            let found = answer(jobs.get_job(Request::new(request)).await)?;
            print_job(output, &found.job.unwrap_or_default())
        }
        JobCommand::Lines { id, outcome } => lines(&mut jobs, id, outcome, output).await,
        JobCommand::Cancel { id } => {
            let request = v1::CancelJobRequest { id: id.clone() };
            let cancelled = answer(jobs.cancel_job(Request::new(request)).await)?;
            print_job(output, &cancelled.job.unwrap_or_default())
        }
        JobCommand::Watch { id } => watch(&mut jobs, id, output).await,
    }
}

async fn start(jobs: &mut Jobs, args: &StartArgs, global: &Global) -> Result<(), CommandError> {
    let names = names(args, global).await?;
    if names.is_empty() {
        return Err(CommandError::usage("there is no name: say names, --file, or which domains"));
    }
    if args.kind == KindWord::Delete && !args.yes {
        confirm(names.len())?;
    }
    let is_label = args.kind == KindWord::Label;
    let first = v1::CreateJobRequest {
        kind: v1::JobKind::from(args.kind).into(),
        request_id: args.request_id.clone(),
        remove_from_c4: args.remove_from_c4,
        customer_ref: args.owner.customer.clone().filter(|_| is_label),
        labels: if is_label { args.owner.labels() } else { Vec::new() },
        remove_labels: args.remove.clone(),
        ..v1::CreateJobRequest::default()
    };
    let of_names =
        |names: &[v1::JobName]| v1::CreateJobRequest { names: names.to_vec(), ..Default::default() };
    let messages: Vec<_> = std::iter::once(first).chain(names.chunks(TOGETHER).map(of_names)).collect();
    let created = answer(jobs.create_job(Request::new(tokio_stream::iter(messages))).await)?;
    let job = created.job.unwrap_or_default();
    if args.wait {
        return watch(jobs, &job.id, global.output).await;
    }
    print_job(global.output, &job)
}

/// The names of the command line, of the file with their lines, and of the list.
async fn names(args: &StartArgs, global: &Global) -> Result<Vec<v1::JobName>, CommandError> {
    let of_words = args.names.iter().map(|name| v1::JobName { name: name.clone(), line: 0 });
    let mut names: Vec<v1::JobName> = of_words.collect();
    if let Some(file) = &args.file {
        for (line, text) in (1..).zip(read_names(file)?.lines()) {
            let text = text.trim();
            if !text.is_empty() && !text.starts_with('#') {
                names.push(v1::JobName { name: host_of(text).to_owned(), line });
            }
        }
    }
    if let Some(filter) = filter(args)? {
        names.extend(found(filter, global).await?);
    }
    Ok(names)
}

/// Which domains of the list; none if the options name none.
fn filter(args: &StartArgs) -> Result<Option<v1::ListDomainsRequest>, CommandError> {
    let is_label = args.kind == KindWord::Label;
    let filter = v1::ListDomainsRequest {
        search: args.search.clone().unwrap_or_default(),
        statuses: statuses(&args.status)?,
        reason: args.reason.clone().unwrap_or_default(),
        who: args.who.map_or("", |who| who.as_str()).to_owned(),
        renewal_blocked: args.renewal_blocked,
        at_risk: args.at_risk,
        customer_ref: if is_label { String::new() } else { args.owner.customer_ref() },
        labels: if is_label { Vec::new() } else { args.owner.labels() },
        ..v1::ListDomainsRequest::default()
    };
    Ok((filter != v1::ListDomainsRequest::default()).then_some(filter))
}

async fn found(
    mut request: v1::ListDomainsRequest,
    global: &Global,
) -> Result<Vec<v1::JobName>, CommandError> {
    let mut client = connect(global).await?;
    let mut names = Vec::new();
    request.page_size = PAGE;
    loop {
        let page = answer(client.list_domains(Request::new(request.clone())).await)?;
        names.extend(page.domains.into_iter().map(|domain| v1::JobName { name: domain.name, line: 0 }));
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        request.page_token = page.next_page_token;
    }
}

/// Asks on the terminal; where there is none, `--yes` has to say it.
fn confirm(count: usize) -> Result<(), CommandError> {
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage("this asks on a terminal and there is none: say --yes"));
    }
    let mut line = String::new();
    let asked = write!(std::io::stderr(), "About to delete {count} domains. Type {count} to confirm: ");
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut line));
    read.map_err(|error| CommandError::new("FAILED", format!("cannot read the answer: {error}")))?;
    if line.trim() == count.to_string() {
        return Ok(());
    }
    Err(CommandError::new("CANCELLED", "the number was not typed; nothing was changed"))
}

async fn list(jobs: &mut Jobs, limit: u32, output: Output) -> Result<(), CommandError> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    let mut left = limit;
    while left > 0 {
        let page_size = i32::try_from(left.min(JOBS_PAGE)).unwrap_or_default();
        let request = v1::ListJobsRequest { page_size, page_token };
        let page = answer(jobs.list_jobs(Request::new(request)).await)?;
        left = left.saturating_sub(u32::try_from(page.jobs.len()).unwrap_or(u32::MAX));
        found.extend(page.jobs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    match output {
        Output::Json => print_json(&found.iter().map(job_json).collect()),
        Output::Name => print(found.iter().map(|job| job.id.as_str()).collect::<Vec<_>>().join("\n")),
        _ if found.is_empty() => print("There are no jobs."),
        _ => print(table(&found, &Times::here(), Look::of_stdout())),
    }
}

fn kind(job: &v1::Job) -> &'static str {
    proto::job_kind(job.kind()).map_or("", domain::JobKind::as_str)
}

fn table(jobs: &[v1::Job], times: &Times, look: Look) -> String {
    let row = |job: &v1::Job| {
        let created = job.created_at.as_ref().and_then(proto::from_timestamp);
        vec![
            Cell::from(&job.id),
            kind(job).into(),
            proto::job_state_word(job.state()).into(),
            created.map_or_else(String::new, |at| times.relative(at)).into(),
            Cell::from(&job.owner),
            proto::job_figures(job).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = jobs.iter().map(row).collect();
    grid(&["id", "kind", "state", "created", "owner", "lines"], &rows, look)
}

fn print_job(output: Output, job: &v1::Job) -> Result<(), CommandError> {
    match output {
        Output::Json => print_json(&job_json(job)),
        Output::Name => print(&job.id),
        _ => print(text(job, Look::of_stdout())),
    }
}

fn text(job: &v1::Job, look: Look) -> String {
    let state = proto::job_state_word(job.state());
    let told = [
        format!("Job {}: {} of {} lines, {state}, started by {}.", job.id, kind(job), job.lines, job.owner),
        format!("{}.", proto::job_figures(job)),
        job.end_message.clone(),
    ];
    let told = told.iter().filter(|line| !line.is_empty());
    told.flat_map(|line| wrap(line, look.width)).collect::<Vec<_>>().join("\n")
}

async fn watch(jobs: &mut Jobs, id: &str, output: Output) -> Result<(), CommandError> {
    let request = v1::WatchJobRequest { id: id.to_owned() };
    let mut states = answer(jobs.watch_job(Request::new(request)).await)?;
    let mut job = v1::Job::default();
    let mut bar: Option<ProgressBar> = None;
    while let Some(state) = states.message().await.map_err(|status| failed(&status))? {
        job = state.job.unwrap_or_default();
        let bar = bar.get_or_insert_with(|| progress(job.lines as usize));
        bar.set_position(proto::job_lines_done(&job).into());
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    print_job(output, &job)?;
    match job.state() {
        v1::JobState::Done => Ok(()),
        v1::JobState::Cancelled | v1::JobState::Stopped => {
            Err(CommandError::new(&job.end_reason, job.end_message))
        }
        _ => {
            Err(CommandError::new("UNAVAILABLE", "the API ended the stream; the job goes on: watch it again"))
        }
    }
}

async fn lines(
    jobs: &mut Jobs,
    id: &str,
    outcomes: &[domain::LineOutcome],
    output: Output,
) -> Result<(), CommandError> {
    let outcomes = outcomes.iter().map(|outcome| v1::LineOutcome::from(*outcome).into()).collect();
    let mut request =
        v1::ListJobLinesRequest { id: id.to_owned(), outcomes, page_size: PAGE, page_token: String::new() };
    let mut found = Vec::new();
    loop {
        let page = answer(jobs.list_job_lines(Request::new(request.clone())).await)?;
        found.extend(page.lines);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    match output {
        Output::Json => print_json(&found.iter().map(line_json).collect()),
        Output::Csv => print(csv(&found)?),
        Output::Name => print(found.iter().map(|line| line.name.as_str()).collect::<Vec<_>>().join("\n")),
        _ if found.is_empty() => {
            complain("There are no such lines.");
            Ok(())
        }
        Output::Table | Output::Wide => {
            let row = |line: &v1::JobLine| {
                vec![Cell::from(&line.name), outcome(line).into(), Cell::from(&line.message)]
            };
            let rows: Vec<Vec<Cell>> = found.iter().map(row).collect();
            print(grid(&["name", "outcome", "why"], &rows, Look::of_stdout()))
        }
    }
}

fn outcome(line: &v1::JobLine) -> &'static str {
    proto::line_outcome(line.outcome()).map_or("", domain::LineOutcome::as_str)
}

fn csv(lines: &[v1::JobLine]) -> Result<String, CommandError> {
    let wrong = |error: csv::Error| CommandError::new("OUTPUT", format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(CSV_HEADS).map_err(wrong)?;
    for line in lines {
        let record = [
            line.line.to_string(),
            spreadsheet_cell(&line.name).into_owned(),
            outcome(line).to_owned(),
            line.code.clone(),
            spreadsheet_cell(&line.message).into_owned(),
            spreadsheet_cell(&line.customer_message).into_owned(),
            time(line.acted_at.as_ref()).as_str().unwrap_or_default().to_owned(),
        ];
        writer.write_record(record).map_err(wrong)?;
    }
    let bytes = writer.into_inner().map_err(|error| CommandError::new("OUTPUT", error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

fn job_json(job: &v1::Job) -> Value {
    let count = |count: &v1::JobCount| {
        let outcome = proto::line_outcome(count.outcome());
        (outcome.map_or("", domain::LineOutcome::as_str).to_owned(), Value::from(count.lines))
    };
    json!({
        "id": job.id,
        "kind": kind(job),
        "state": proto::job_state_word(job.state()),
        "owner": job.owner,
        "created_at": time(job.created_at.as_ref()),
        "started_at": time(job.started_at.as_ref()),
        "ended_at": time(job.ended_at.as_ref()),
        "ended_by": Some(&job.ended_by).filter(|by| !by.is_empty()),
        "end_reason": Some(&job.end_reason).filter(|reason| !reason.is_empty()),
        "end_message": Some(&job.end_message).filter(|message| !message.is_empty()),
        "lines": job.lines,
        "counts": job.counts.iter().map(count).collect::<serde_json::Map<_, _>>(),
    })
}

fn line_json(line: &v1::JobLine) -> Value {
    json!({
        "position": line.position,
        "line": line.line,
        "name": line.name,
        "outcome": outcome(line),
        "code": line.code,
        "message": line.message,
        "customer_message": line.customer_message,
        "acted_at": time(line.acted_at.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_in_figures() {
        let count = |outcome: v1::LineOutcome, lines| v1::JobCount { outcome: outcome.into(), lines };
        let job = v1::Job {
            id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            kind: v1::JobKind::Recheck.into(),
            state: v1::JobState::Done.into(),
            owner: "user:lee".to_owned(),
            lines: 87,
            counts: vec![count(v1::LineOutcome::Works, 12), count(v1::LineOutcome::Unchanged, 75)],
            ..v1::Job::default()
        };
        let shown = text(&job, Look { width: 200, is_coloured: false });
        assert_eq!(
            shown,
            "Job 0190163d-8694-739b-aea5-966c26f8ad91: recheck of 87 lines, done, started by user:lee.\n\
             12 now work, 75 unchanged."
        );
        assert_eq!(job_json(&job)["counts"], json!({ "works": 12, "unchanged": 75 }));
        let narrow = text(&job, Look { width: 40, is_coloured: false });
        assert!(narrow.lines().all(|line| line.len() <= 48), "{narrow}");
    }

    #[test]
    fn what_was_sent_is_no_formula() {
        let line = v1::JobLine {
            line: 3,
            name: "=cmd|' /C calc'!A0".to_owned(),
            outcome: v1::LineOutcome::Refused.into(),
            code: "NAME_BAD_CHARACTER".to_owned(),
            message: "a name has letters".to_owned(),
            ..v1::JobLine::default()
        };
        let text = csv(&[line]).unwrap();
        assert_eq!(
            text.lines().last().unwrap(),
            "3,'=cmd|' /C calc'!A0,refused,NAME_BAD_CHARACTER,a name has letters,,"
        );
    }
}
