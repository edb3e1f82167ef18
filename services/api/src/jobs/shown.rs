//! Jobs and lines as messages.

use domain::LineOutcome;
use proto::{put_job_parameters, to_timestamp, v1};
use store::{Job, JobLine};

use super::CANCELLED;

/// A job with its figures.
pub(super) fn job(job: &Job) -> v1::Job {
    let count = |(outcome, lines): (&LineOutcome, &u32)| v1::JobCount {
        outcome: v1::LineOutcome::from(*outcome).into(),
        lines: *lines,
    };
    let mut shown = v1::Job {
        id: job.id.to_string(),
        kind: v1::JobKind::from(job.kind).into(),
        state: v1::JobState::from(job.state).into(),
        owner: job.owner.clone(),
        created_at: Some(to_timestamp(job.created_at)),
        started_at: job.started_at.map(to_timestamp),
        ended_at: job.ended_at.map(to_timestamp),
        ended_by: job.ended_by.clone(),
        end_reason: job.end_code.clone(),
        end_message: end_message(job),
        lines: job.line_count,
        counts: job.counts.iter().map(count).collect(),
        ..v1::Job::default()
    };
    put_job_parameters(&job.parameters, &mut shown);
    shown
}

/// Why a job ended early, as a sentence.
fn end_message(job: &Job) -> String {
    let owner = &job.owner;
    match job.end_code.as_str() {
        "" => String::new(),
        CANCELLED => format!("Cancelled by {}. What was done stays done.", job.ended_by),
        "ROLE_LACKS_PERMISSION" => format!(
            "{owner} may not change domains any more, so the rest was not done. Start a new job for it with another account."
        ),
        "TOKEN_INVALID" => format!(
            "{owner} no longer exists, or the token or session that the job was started with has ended, so the rest was not \
             done. Start a new job for it."
        ),
        code => format!("The rest was not done ({code}). Start a new job for it."),
    }
}

/// A line of a job.
pub(super) fn line(job: &Job, line: JobLine) -> v1::JobLine {
    let is_left = job.state.is_over() && line.outcome == LineOutcome::Waiting;
    let (code, message) =
        if is_left { (job.end_code.clone(), end_message(job)) } else { (line.code, line.sentence) };
    v1::JobLine {
        position: line.position,
        line: line.line,
        name: line.text,
        outcome: v1::LineOutcome::from(line.outcome).into(),
        code,
        message,
        customer_message: line.message,
        acted_at: line.acted_at.map(to_timestamp),
    }
}
