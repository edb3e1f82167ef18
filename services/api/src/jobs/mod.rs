//! The service `sslmanager.v1.Jobs`, and the work behind it.
//!
//! `create` receives a list, `runner` holds jobs under leases and checks their owners' rights, `line` does the work
//! of a line, `figures` says when lines are counted, `outcome` finds the results of rechecks, `watch` follows a job, `shown` builds messages. Why here and
//! not in the console: a process that serves pages may be restarted at any moment, and there may be several (ADR
//! 0029).

mod create;
mod figures;
mod line;
mod outcome;
mod runner;
mod shown;
mod watch;

use audit::Caller;
use domain::{Action, JobId, JobKind, JobState, LineOutcome};
use jiff::{SignedDuration, Timestamp};
use proto::v1;
use proto::v1::jobs_server::Jobs;
use runtime::Context;
use store::{Job, JobPlace, StoreError};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::audited::audited;
use crate::auth::Authenticator;
use crate::error::{error, from_store, invalid};
use crate::lasts::StreamRights;
use crate::page;
use crate::service::page_size;

pub(crate) use runner::Runner;
use watch::JobStream;

const DEFAULT_JOBS: u32 = 50;
const MAX_JOBS: u32 = 100;
/// Drafts are deleted after a day; from here on one might lose lines while it is started.
const DRAFT_LIFE: SignedDuration = SignedDuration::from_hours(23);
const DEFAULT_LINES: u32 = 100;
const OF_JOBS: &str = "jobs";
/// The end code of a job that a person cancelled.
const CANCELLED: &str = "CANCELLED";

pub(crate) struct JobsService {
    pub(crate) context: Context,
    pub(crate) authenticator: Authenticator,
    pub(crate) runner: Runner,
}

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn create_job(
        &self,
        request: Request<Streaming<v1::CreateJobRequest>>,
    ) -> Result<Response<v1::CreateJobResponse>, Status> {
        let credential = create::credential(&request);
        let lasts = StreamRights::new(&self.authenticator, &request, Action::Operate);
        let create = async |by: &Caller, sent: Streaming<v1::CreateJobRequest>| {
            let job = self.create(sent, by, (credential, &lasts)).await?;
            Ok(Response::new(v1::CreateJobResponse { job: Some(shown::job(&job)) }))
        };
        let Self { context, authenticator, .. } = self;
        Box::pin(audited((context, authenticator), "CreateJob", Action::Operate, request, |_| "", create))
            .await
    }

    async fn start_job(
        &self,
        request: Request<v1::StartJobRequest>,
    ) -> Result<Response<v1::StartJobResponse>, Status> {
        let start = async |by: &Caller, asked: v1::StartJobRequest| {
            let job = self.start(job_id(&asked.id)?, &asked, by).await?;
            Ok(Response::new(v1::StartJobResponse { job: Some(shown::job(&job)) }))
        };
        let Self { context, authenticator, .. } = self;
        audited((context, authenticator), "StartJob", Action::Operate, request, |asked| &asked.id, start)
            .await
    }

    async fn get_job(
        &self,
        request: Request<v1::GetJobRequest>,
    ) -> Result<Response<v1::GetJobResponse>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let job = self.found(job_id(&request.get_ref().id)?).await?;
        Ok(Response::new(v1::GetJobResponse { job: Some(shown::job(&job)) }))
    }

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let limit = page_size(asked.page_size, DEFAULT_JOBS)?.min(MAX_JOBS);
        let after = place(&asked.page_token)?;
        let read = self.context.store.jobs(after, limit + 1).await;
        let mut jobs = read.map_err(|problem| from_store(&problem))?;
        let goes_on = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let next = jobs.last().filter(|_| goes_on).map(|job| token(job.created_at, job.id));
        let shown = jobs.iter().map(shown::job).collect();
        Ok(Response::new(v1::ListJobsResponse { jobs: shown, next_page_token: next.unwrap_or_default() }))
    }

    async fn list_job_lines(
        &self,
        request: Request<v1::ListJobLinesRequest>,
    ) -> Result<Response<v1::ListJobLinesResponse>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let limit = page_size(asked.page_size, DEFAULT_LINES)?;
        let outcomes = outcomes(&asked.outcomes)?;
        let id = job_id(&asked.id)?;
        let job = self.found(id).await?;
        let bound_to = format!("job {id} {outcomes:?}");
        let after = position(&bound_to, &asked.page_token)?;
        let read = self.context.store.job_lines(id, &outcomes, after, limit + 1).await;
        let mut lines = read.map_err(|problem| from_store(&problem))?;
        let goes_on = lines.len() > limit as usize;
        lines.truncate(limit as usize);
        let next = lines.last().filter(|_| goes_on);
        let next = next.map(|line| page::bind(&bound_to, &line.position.to_be_bytes()));
        Ok(Response::new(v1::ListJobLinesResponse {
            lines: lines.into_iter().map(|line| shown::line(&job, line)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn cancel_job(
        &self,
        request: Request<v1::CancelJobRequest>,
    ) -> Result<Response<v1::CancelJobResponse>, Status> {
        let cancel = async |by: &Caller, asked: v1::CancelJobRequest| {
            let job = self.cancel(job_id(&asked.id)?, by).await?;
            Ok(Response::new(v1::CancelJobResponse { job: Some(shown::job(&job)) }))
        };
        let Self { context, authenticator, .. } = self;
        audited((context, authenticator), "CancelJob", Action::Operate, request, |asked| &asked.id, cancel)
            .await
    }

    type WatchJobStream = JobStream;

    async fn watch_job(
        &self,
        request: Request<v1::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let lasts = StreamRights::new(&self.authenticator, &request, Action::Read);
        let id = job_id(&request.get_ref().id)?;
        self.found(id).await?;
        Ok(Response::new(watch::stream(&self.context, id, lasts)))
    }
}

impl JobsService {
    async fn found(&self, id: JobId) -> Result<Job, Status> {
        let found = self.context.store.job(id).await.map_err(|problem| from_store(&problem))?;
        found.filter(|job| job.state != JobState::Receiving).ok_or_else(not_found)
    }

    async fn start(&self, id: JobId, asked: &v1::StartJobRequest, by: &Caller) -> Result<Job, Status> {
        let labelling = create::labelling(asked.customer_ref.clone(), &asked.labels, &asked.remove_labels);
        let labels = create::label_change(&labelling)?;
        let now = self.context.clock.now();
        let change = |job: &mut Job| {
            if job.state.is_over() {
                let sentence = "the job is over: create another one for the same names";
                return Err(error(Code::FailedPrecondition, "JOB_IS_OVER", sentence));
            }
            let is_draft = job.state == JobState::Draft;
            if is_draft && now.duration_since(job.created_at) > DRAFT_LIFE {
                let sentence = "the draft is too old to be started: create the job again";
                return Err(error(Code::FailedPrecondition, "DRAFT_TOO_OLD", sentence));
            }
            if is_draft {
                job.state = JobState::Queued;
                job.parameters.remove_from_c4 = job.kind == JobKind::Delete && asked.remove_from_c4;
            }
            if is_draft && job.kind == JobKind::Label {
                if !labels.is_empty() {
                    job.parameters = labelling;
                }
                if create::label_change(&job.parameters)?.is_empty() {
                    return Err(create::nothing_to_label());
                }
            }
            Ok(is_draft)
        };
        let job = self.change(id, by, "start_job", change).await?;
        self.runner.wake();
        Ok(job)
    }

    async fn cancel(&self, id: JobId, by: &Caller) -> Result<Job, Status> {
        let now = self.context.clock.now();
        let change = |job: &mut Job| {
            let goes_on = !job.state.is_over();
            if goes_on {
                job.state = JobState::Cancelled;
                CANCELLED.clone_into(&mut job.end_code);
                job.ended_by.clone_from(&by.actor);
                job.ended_at = Some(now);
            }
            Ok(goes_on)
        };
        self.change(id, by, "cancel_job", change).await
    }

    /// Stores a job after `change`, if `change` returns that it changed something.
    async fn change(
        &self,
        id: JobId,
        by: &Caller,
        operation: &'static str,
        change: impl FnOnce(&mut Job) -> Result<bool, Status>,
    ) -> Result<Job, Status> {
        let failed = |problem: StoreError| from_store(&problem);
        let mut tx = self.context.store.begin(operation).await.map_err(failed)?;
        let found = tx.job(id).await.map_err(failed)?;
        let mut job = found.filter(|job| job.state != JobState::Receiving).ok_or_else(not_found)?;
        let from = job.state;
        if change(&mut job)? {
            if job.state.is_over() {
                job.counts = tx.job_counts(id).await.map_err(failed)?;
            }
            tx.update_job(&job, from).await.map_err(failed)?;
        }
        tx.append_audit(by.line(self.context.clock.now(), &id.to_string(), audit::OK, job.kind.as_str()));
        tx.commit().await.map_err(failed)?;
        Ok(job)
    }
}

fn not_found() -> Status {
    error(
        Code::NotFound,
        "JOB_NOT_FOUND",
        "there is no such job: jobs are kept for 30 days after their end, drafts for a day",
    )
}

fn job_id(text: &str) -> Result<JobId, Status> {
    text.parse().map_err(|_| invalid("JOB_ID_INVALID", "id is the id of a job, as ListJobs shows it"))
}

/// The outcomes of a filter, without duplicates.
fn outcomes(numbers: &[i32]) -> Result<Vec<LineOutcome>, Status> {
    let known = |number: &i32| proto::line_outcome(v1::LineOutcome::try_from(*number).ok()?);
    let outcomes: Option<Vec<LineOutcome>> = numbers.iter().map(known).collect();
    let unknown = || invalid("OUTCOME_INVALID", "an unknown outcome in the filter");
    let mut outcomes = outcomes.ok_or_else(unknown)?;
    outcomes.sort_unstable();
    outcomes.dedup();
    Ok(outcomes)
}

fn bad_token() -> Status {
    invalid("PAGE_TOKEN_INVALID", "send a next_page_token of the same question, or none for the first page")
}

fn token(at: Timestamp, id: JobId) -> String {
    let mut place = at.as_microsecond().to_be_bytes().to_vec();
    place.extend_from_slice(id.to_string().as_bytes());
    page::bind(OF_JOBS, &place)
}

/// The job that a page begins after; none for the first page.
fn place(token: &str) -> Result<Option<JobPlace>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = page::unbind(OF_JOBS, token)?;
        let (at, id) = bytes.split_first_chunk()?;
        let at = Timestamp::from_microsecond(i64::from_be_bytes(*at)).ok()?;
        Some((at, std::str::from_utf8(id).ok()?.parse().ok()?))
    };
    read().map(Some).ok_or_else(bad_token)
}

/// The position that a page begins after.
fn position(bound_to: &str, token: &str) -> Result<u32, Status> {
    if token.is_empty() {
        return Ok(0);
    }
    let place = page::unbind(bound_to, token).and_then(|place| <[u8; 4]>::try_from(place.as_slice()).ok());
    place.map(u32::from_be_bytes).ok_or_else(bad_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_token() {
        let at = Timestamp::from_microsecond(1_800_000_000_123_456).unwrap();
        let id: JobId = "0190163d-8694-739b-aea5-966c26f8ad91".parse().unwrap();
        assert_eq!(place(&token(at, id)).unwrap(), Some((at, id)));
        assert_eq!(place("").unwrap(), None);
        for bad in ["x", "AA", &token(at, id)[1..]] {
            assert!(place(bad).is_err(), "{bad}");
        }
        let bound = page::bind("a", &7_u32.to_be_bytes());
        assert_eq!(position("a", &bound).unwrap(), 7);
        assert!(position("b", &bound).is_err() && position("a", &token(at, id)).is_err());
    }
}
