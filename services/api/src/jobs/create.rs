//! Receives a list of names.
//!
//! Lines are stored as they arrive, so that a hundred thousand of them are never in memory together. Until the last
//! line has arrived the job is in the state of receiving: it is not shown, and retention deletes it if the stream was
//! cut. A client has 10 s for each message and a minute for all, its messages count as requests, and its rights are
//! checked with each thousand lines; no transaction is open while a message is awaited.

use std::collections::HashMap;

use audit::Caller;
use domain::{DomainName, JobId, JobKind, JobParameters, JobState, LabelChange, LineOutcome, one_line};
use jiff::SignedDuration;
use proto::v1;
use store::{Job, JobCounts, JobLine, StoreError};
use tonic::{Request, Status, Streaming};

use super::JobsService;
use crate::auth::{bearer, hash_token};
use crate::body::{MESSAGE_TIMEOUT, too_slow};
use crate::error::{bad_label, from_store, invalid, retry};
use crate::guard::replacement;
use crate::lasts::StreamRights;

/// Maximum number of lines of a job.
const MAX_LINES: u32 = 100_000;
/// Maximum number of unfinished jobs of one principal.
const MAX_OPEN: u64 = 50;
/// Maximum number of characters kept of a line that is not a name.
const MAX_ECHO: usize = 300;
const MAX_REQUEST_ID: usize = 128;
/// The lines of a job that began to arrive longer ago than that were cut off; the deadline of a call is shorter.
const MAX_ARRIVAL: SignedDuration = SignedDuration::from_mins(2);
/// Lines stored per transaction.
const TOGETHER: usize = 1000;

/// The hash of the token that a request carries; empty for a client certificate.
pub(super) fn credential<T>(request: &Request<T>) -> Vec<u8> {
    bearer(request).map(|token| hash_token(token).to_vec()).unwrap_or_default()
}

/// The validated parameters of the first message.
fn parameters(kind: JobKind, asked: &v1::CreateJobRequest) -> Result<JobParameters, Status> {
    if kind != JobKind::Label {
        let remove_from_c4 = kind == JobKind::Delete && asked.remove_from_c4;
        return Ok(JobParameters { remove_from_c4, ..JobParameters::default() });
    }
    let parameters = labelling(asked.customer_ref.clone(), &asked.labels, &asked.remove_labels);
    // The change of a draft may come with its start.
    let is_empty = label_change(&parameters)?.is_empty();
    if is_empty && !asked.draft { Err(nothing_to_label()) } else { Ok(parameters) }
}

/// The parameters of a job that labels.
pub(super) fn labelling(
    customer_ref: Option<String>,
    labels: &[v1::Label],
    remove_labels: &[String],
) -> JobParameters {
    let labels = labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect();
    JobParameters { remove_from_c4: false, customer_ref, labels, remove_labels: remove_labels.to_vec() }
}

pub(super) fn nothing_to_label() -> Status {
    invalid("NOTHING_TO_LABEL", "send a customer reference, labels, or keys of labels to remove")
}

/// The change of labels that a job makes.
pub(super) fn label_change(parameters: &JobParameters) -> Result<LabelChange, Status> {
    let JobParameters { customer_ref, labels, remove_labels, .. } = parameters;
    LabelChange::new(customer_ref.as_deref(), labels.clone(), remove_labels.clone()).map_err(bad_label)
}

fn check_request_id(text: &str) -> Result<(), Status> {
    if text.len() <= MAX_REQUEST_ID && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let sentence =
        format!("a request id has at most {MAX_REQUEST_ID} printable ASCII characters, without spaces");
    Err(invalid("REQUEST_ID_INVALID", sentence))
}

/// The lines received so far.
struct Lines {
    job: JobId,
    count: u32,
    /// The number of each outcome.
    counts: JobCounts,
    /// The position at which each name appears first.
    seen: HashMap<DomainName, u32>,
    /// Not stored yet.
    pending: Vec<JobLine>,
}

impl Lines {
    fn push(&mut self, sent: &v1::JobName) -> Result<(), Status> {
        if self.count == MAX_LINES {
            let sentence = format!("a job has at most {MAX_LINES} lines: split the list");
            return Err(invalid("TOO_MANY_LINES", sentence));
        }
        self.count += 1;
        let position = self.count;
        let line = |text: String, outcome, code: &str, sentence: String| JobLine {
            job: self.job,
            position,
            line: sent.line.min(i32::MAX.unsigned_abs()),
            text,
            outcome,
            code: code.to_owned(),
            sentence,
            message: String::new(),
            status_before: None,
            reason_before: String::new(),
            acted_at: None,
        };
        let line = match DomainName::parse(&sent.name) {
            Err(problem) => {
                let text = one_line(&sent.name, MAX_ECHO);
                line(text, LineOutcome::Refused, problem.reason(), problem.to_string())
            }
            Ok(name) => {
                if let Some(first) = self.seen.get(&name) {
                    let sentence = format!("the same name is entry {first} of the list");
                    line(name.to_string(), LineOutcome::Repeated, "NAME_REPEATED", sentence)
                } else {
                    let line = line(name.to_string(), LineOutcome::Waiting, "", String::new());
                    self.seen.insert(name, position);
                    line
                }
            }
        };
        *self.counts.entry(line.outcome).or_default() += 1;
        self.pending.push(line);
        Ok(())
    }
}

impl JobsService {
    /// Creates a job from the stream, and starts it unless it is a draft.
    pub(super) async fn create(
        &self,
        mut sent: Streaming<v1::CreateJobRequest>,
        by: &Caller,
        (credential, lasts): (Vec<u8>, &StreamRights),
    ) -> Result<Job, Status> {
        let first = next(&mut sent).await?;
        let kind = first.as_ref().and_then(|first| proto::job_kind(first.kind()));
        let (Some(first), Some(kind)) = (first, kind) else {
            return Err(invalid(
                "JOB_KIND_MISSING",
                "the first message says what is done with the names: kind",
            ));
        };
        check_request_id(&first.request_id)?;
        if let Some(job) = self.known(by, &first.request_id).await? {
            return Ok(job);
        }
        let now = self.context.clock.now();
        let job = Job {
            id: JobId::new(&*self.context.clock, &*self.context.entropy),
            kind,
            state: JobState::Receiving,
            owner: by.actor.clone(),
            credential,
            peer: by.peer.clone(),
            request_id: String::new(),
            parameters: parameters(kind, &first)?,
            created_at: now,
            started_at: None,
            ended_at: None,
            end_code: String::new(),
            ended_by: String::new(),
            line_count: 0,
            counts: JobCounts::new(),
            served_at: now,
        };
        self.require_room(&by.actor).await?;
        let (is_draft, request_id) = (first.draft, first.request_id.clone());
        self.begin(&job).await.map_err(|problem| from_store(&problem))?;
        let (line_count, counts) = self.receive(job.id, (first, sent), (by, lasts)).await?;
        let state = if is_draft { JobState::Draft } else { JobState::Queued };
        let job = Job { state, line_count, counts, request_id, ..job };
        let job = self.complete(job, by).await?;
        self.runner.wake();
        Ok(job)
    }

    async fn known(&self, by: &Caller, request_id: &str) -> Result<Option<Job>, Status> {
        let found = self.context.store.job_of_request(&by.actor, request_id).await;
        found.map_err(|problem| from_store(&problem))
    }

    async fn require_room(&self, owner: &str) -> Result<(), Status> {
        let arriving_since = self.context.clock.now() - MAX_ARRIVAL;
        let open = self
            .context
            .store
            .open_jobs(owner, arriving_since)
            .await
            .map_err(|problem| from_store(&problem))?;
        if open < MAX_OPEN {
            return Ok(());
        }
        let sentence = format!("{MAX_OPEN} jobs of yours are not over: wait for one, or cancel one");
        Err(retry("TOO_MANY_JOBS", sentence, std::time::Duration::from_mins(1)))
    }

    async fn begin(&self, job: &Job) -> Result<(), StoreError> {
        let mut tx = self.context.store.begin("create_job").await?;
        tx.insert_job(job).await?;
        tx.commit().await
    }

    /// Stores the lines; returns their number, and that of each outcome.
    async fn receive(
        &self,
        job: JobId,
        (first, mut sent): (v1::CreateJobRequest, Streaming<v1::CreateJobRequest>),
        (by, lasts): (&Caller, &StreamRights),
    ) -> Result<(u32, JobCounts), Status> {
        let (counts, seen, pending) = (JobCounts::new(), HashMap::new(), Vec::new());
        let mut lines = Lines { job, count: 0, counts, seen, pending };
        let mut message = Some(first);
        while let Some(request) = message {
            self.authenticator.pace(&by.actor, 1).await;
            for name in &request.names {
                lines.push(name)?;
                if lines.pending.len() == TOGETHER {
                    lasts.check().await?;
                    self.store(&mut lines.pending).await?;
                }
            }
            message = next(&mut sent).await?;
        }
        self.store(&mut lines.pending).await?;
        if lines.count == 0 {
            return Err(invalid("JOB_EMPTY", "send at least one name"));
        }
        Ok((lines.count, lines.counts))
    }

    async fn store(&self, lines: &mut Vec<JobLine>) -> Result<(), Status> {
        let lines = std::mem::take(lines);
        let stored: Result<(), StoreError> = async {
            let mut tx = self.context.store.begin("store_job_lines").await?;
            tx.insert_job_lines(&lines).await?;
            tx.commit().await
        }
        .await;
        stored.map_err(|problem| from_store(&problem))
    }

    /// Completes the job. If the same request was stored faster by another call, that job is kept and this one is not
    /// shown.
    async fn complete(&self, job: Job, by: &Caller) -> Result<Job, Status> {
        let detail = format!("{} {} lines", job.kind, job.line_count);
        let completed: Result<(), StoreError> = async {
            let mut tx = self.context.store.begin("complete_job").await?;
            tx.update_job(&job, JobState::Receiving).await?;
            tx.append_audit(by.line(job.created_at, &job.id.to_string(), audit::OK, &detail));
            tx.commit().await
        }
        .await;
        match completed {
            Ok(()) => Ok(job),
            Err(problem @ StoreError::Conflict { .. }) => match self.known(by, &job.request_id).await? {
                Some(faster) => Ok(faster),
                None => Err(from_store(&problem)),
            },
            Err(problem) => Err(from_store(&problem)),
        }
    }
}

/// The next message; none after the last.
async fn next(sent: &mut Streaming<v1::CreateJobRequest>) -> Result<Option<v1::CreateJobRequest>, Status> {
    let next = tokio::time::timeout(MESSAGE_TIMEOUT, sent.message()).await;
    next.map_err(|_| too_slow())?.map_err(|problem| replacement(&problem))
}
