//! Jobs and their lines.
//!
//! A copy of the API works on a job under a lease, and every write of its lines checks the lease's token and the
//! line's previous outcome. The line of a command is written in the command's own transaction ([`Tx::act_on_line`]),
//! so each line is done exactly once, even if a copy is killed. A copy gives a job back after a short while, and the next
//! one that is claimed is the one least recently served. The number of lines per outcome is stored with the job, so that a
//! list of jobs reads no lines: by the copy that gives it back, and in the transaction that ends it. Retention deletes lines first, in bounded batches,
//! then their jobs.

use std::collections::BTreeMap;

use domain::{DomainName, JobId, JobKind, JobParameters, JobState, LineOutcome, Status};
use jiff::Timestamp;

use crate::domains::{Change, select_changes};
use crate::record::{FromRow, Reader, Record, columns};
use crate::{DomainView, Result, Store, StoreError, Tx};

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does with each name.
    pub kind: JobKind,
    /// Its state.
    pub state: JobState,
    /// The principal on whose behalf the work is done.
    pub owner: String,
    /// SHA-256 of the token used to create it; empty for a client certificate.
    pub credential: Vec<u8>,
    /// The address of the request that created it, for the audit log.
    pub peer: String,
    /// The request id of its creator; empty if there was none. An owner has one job per request id.
    pub request_id: String,
    /// Its parameters beside the kind.
    pub parameters: JobParameters,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a copy of the API first took it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended early; empty if it did not.
    pub end_code: String,
    /// The principal who cancelled it; empty if it was not cancelled.
    pub ended_by: String,
    /// Its number of lines.
    pub line_count: u32,
    /// Its number of lines per outcome, as of when a copy last gave it back.
    pub counts: JobCounts,
    /// When a copy last claimed it or gave it back; before that, when it was created.
    pub served_at: Timestamp,
}

columns!(Job in "jobs": id, kind, state, owner, credential, peer, request_id, parameters, created_at, started_at, ended_at,
    end_code, ended_by, line_count, counts, served_at);

/// Lines per outcome; an outcome without lines is missing.
pub type JobCounts = BTreeMap<LineOutcome, u32>;

/// A line of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLine {
    /// The job.
    pub job: JobId,
    /// Its place among the lines, from 1.
    pub position: u32,
    /// The line number in the sender's input; 0 if unknown.
    pub line: u32,
    /// The name; or the text as sent, if it is not a name.
    pub text: String,
    /// Its outcome.
    pub outcome: LineOutcome,
    /// The code of an error, or of the domain's reason; empty for none.
    pub code: String,
    /// The message for staff; empty for none.
    pub sentence: String,
    /// The message for the customer; empty for none.
    pub message: String,
    /// The status before the work, if its result is awaited.
    pub status_before: Option<Status>,
    /// The reason's code before the work; empty for none.
    pub reason_before: String,
    /// When the work was done or started.
    pub acted_at: Option<Timestamp>,
}

columns!(JobLine in "job_lines": job as "job_id", position, line, text, outcome, code, sentence, message, status_before,
    reason_before, acted_at);

/// A job under our lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLease {
    /// The job as it was claimed.
    pub job: Job,
    /// The token, which every write checks.
    pub token: i64,
}

impl FromRow for JobLease {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let job = Job::read(reader)?;
        reader.skip_to(Job::COLUMNS.len());
        Ok(Self { job, token: reader.value()? })
    }
}

/// Marks a waiting line as acted on under a lease; see [`Tx::act_on_line`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineMark {
    /// The job.
    pub job: JobId,
    /// The token of its lease.
    pub token: i64,
    /// The line.
    pub position: u32,
    /// Its new outcome.
    pub outcome: LineOutcome,
}

/// The result of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineResult {
    /// The line.
    pub position: u32,
    /// Its present outcome.
    pub from: LineOutcome,
    /// Its new outcome.
    pub outcome: LineOutcome,
    /// See [`JobLine::code`].
    pub code: String,
    /// See [`JobLine::sentence`].
    pub sentence: String,
    /// See [`JobLine::message`].
    pub message: String,
}

/// A place in the list of jobs, newest first.
pub type JobPlace = (Timestamp, JobId);

/// The condition for a write under a lease: `$1` is the job, `$2` the token.
const IS_OURS: &str =
    "EXISTS (SELECT 1 FROM jobs WHERE id = $1 AND lease_token = $2 AND state = 'running' {lock shared})";

fn lost(job: JobId) -> StoreError {
    StoreError::LeaseLost { kind: "job", name: job.to_string() }
}

impl Store {
    /// Returns a job, also while its lines are arriving.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        let mut reader = self.reader().await?;
        reader.db().select::<Job>("job", "WHERE id = $1").bind(&id).optional().await
    }

    /// Returns an owner's job that was created with that request id.
    pub async fn job_of_request(&self, owner: &str, request_id: &str) -> Result<Option<Job>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rest = "WHERE owner = $1 AND request_id = $2 AND request_id <> ''";
        db.select::<Job>("job_of_request", rest).bind(owner).bind(request_id).optional().await
    }

    /// Returns the number of an owner's unfinished jobs, drafts included, and those whose lines have been arriving since
    /// then at most.
    pub async fn open_jobs(&self, owner: &str, arriving_since: Timestamp) -> Result<u64> {
        let text = "SELECT count(*) FROM jobs WHERE owner = $1 AND (state IN ('draft', 'queued', 'running')
            OR (state = 'receiving' AND created_at >= $2))";
        let mut reader = self.reader().await?;
        reader.db().query("open_jobs", text).bind(owner).bind(&arriving_since).count().await
    }

    /// Returns jobs whose lines have all arrived, newest first; those after a place, if given.
    pub async fn jobs(&self, after: Option<JobPlace>, limit: u32) -> Result<Vec<Job>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let mut query = db.select::<Job>("jobs", "WHERE state <> 'receiving'");
        if let Some((at, id)) = after {
            query.push(" AND (created_at, id) < (").push_bind(&at).push(", ").push_bind(&id).push(")");
        }
        query.push(format!(" ORDER BY created_at DESC, id DESC LIMIT {limit}"));
        query.all().await
    }

    /// Returns lines of a job in order, after a position; only those with the given outcomes, or all if that is
    /// empty.
    pub async fn job_lines(
        &self,
        id: JobId,
        outcomes: &[LineOutcome],
        after: u32,
        limit: u32,
    ) -> Result<Vec<JobLine>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let mut query = db.select::<JobLine>("job_lines", "WHERE job_id = $1 AND position > $2");
        query = query.bind(&id).bind(&after);
        if !outcomes.is_empty() {
            let words: Vec<String> = outcomes.iter().map(|outcome| format!("'{outcome}'")).collect();
            query.push(format!(" AND outcome IN ({})", words.join(", ")));
        }
        query.push(format!(" ORDER BY position LIMIT {limit}"));
        query.all().await
    }

    /// Claims the job least recently served that no other copy works on, with a lease until `until`.
    pub async fn claim_job(&self, until: Timestamp) -> Result<Option<JobLease>> {
        let text = format!(
            "UPDATE jobs SET state = 'running', started_at = coalesce(started_at, $1), lease_token = lease_token + 1,
                lease_until = $2, served_at = $1
            WHERE id = (
                SELECT id FROM jobs
                WHERE state IN ('queued', 'running') AND (lease_until IS NULL OR lease_until <= $1)
                ORDER BY served_at, lease_token LIMIT 1 {{lock free}})
            RETURNING {}, lease_token",
            Job::selected("")
        );
        let mut writer = self.writer("claim_job").await?;
        let mut db = writer.db();
        let claimed = db.query("claim_job", &text).bind(&self.now()).bind(&until).optional().await?;
        writer.done(claimed).await
    }

    /// Extends the lease of a job. [`StoreError::LeaseLost`] if it was lost, or if the job is over.
    pub async fn renew_job(&self, id: JobId, token: i64, until: Timestamp) -> Result<()> {
        let text =
            "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let mut writer = self.writer("renew_job").await?;
        let mut db = writer.db();
        let rows = db.query("renew_job", text).bind(&id).bind(&token).bind(&until).execute().await?;
        if writer.done(rows).await? == 1 { Ok(()) } else { Err(lost(id)) }
    }

    /// Gives a job back before its lease ends, with its figures if `recounts`; no copy claims it before `rests_until`. Does
    /// nothing if the lease was lost, or if the job is over.
    pub async fn release_job(
        &self,
        lease: &JobLease,
        recounts: bool,
        rests_until: Option<Timestamp>,
    ) -> Result<()> {
        let text = "UPDATE jobs SET lease_token = lease_token + 1, lease_until = $3, served_at = $4,
                counts = coalesce($5, counts)
            WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let (id, now) = (lease.job.id, self.now());
        let mut tx = self.begin("release_job").await?;
        let counts = if recounts { Some(tx.job_counts(id).await?) } else { None };
        let mut db = tx.db().await?;
        let query = db.query("release_job", text).bind(&id).bind(&lease.token).bind(&rests_until).bind(&now);
        query.bind(&counts).execute().await?;
        tx.commit().await
    }

    /// Returns those names whose next attempt is due or in progress.
    pub async fn names_at_work(&self, names: &[DomainName]) -> Result<Vec<DomainName>> {
        let text = "SELECT DISTINCT name FROM work
            WHERE name {in 1} AND kind IN ('issue', 'upload') AND (lease_until > $2 OR due_at <= $2)";
        let mut reader = self.reader().await?;
        reader.db().query("names_at_work", text).bind_set(names).bind(&self.now()).scalars().await
    }

    /// Returns those domains that are on the list.
    pub async fn listed(&self, names: &[DomainName]) -> Result<Vec<DomainView>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = select_changes(&mut db, "listed", "WHERE d.name {in 1} AND d.deleted_at IS NULL");
        let changes: Vec<Change> = query.bind_set(names).all().await?;
        Ok(changes.into_iter().map(|change| change.view).collect())
    }
}

impl Tx {
    /// Stores a job without lines. [`StoreError::Conflict`] if its owner has one with that request id.
    pub async fn insert_job(&mut self, job: &Job) -> Result<()> {
        self.db().await?.insert("insert_job", std::slice::from_ref(job), &[], "").await
    }

    /// Stores lines of a job in the state of receiving.
    pub async fn insert_job_lines(&mut self, lines: &[JobLine]) -> Result<()> {
        self.db().await?.insert("insert_job_lines", lines, &[], "").await
    }

    /// Returns a job, locked.
    pub async fn job(&mut self, id: JobId) -> Result<Option<Job>> {
        let mut db = self.db().await?;
        db.select::<Job>("job_row", "WHERE id = $1 {lock}").bind(&id).optional().await
    }

    /// Counts the lines of a job per outcome. Exact only while no copy acts on them: under our lease, or with the job
    /// locked.
    pub async fn job_counts(&mut self, id: JobId) -> Result<JobCounts> {
        let text = "SELECT outcome, count(*) FROM job_lines WHERE job_id = $1 GROUP BY outcome";
        let mut db = self.db().await?;
        let counts: Vec<(LineOutcome, i64)> = db.query("job_counts", text).bind(&id).all().await?;
        let count = |lines: i64| u32::try_from(lines).unwrap_or(u32::MAX);
        Ok(counts.into_iter().map(|(outcome, lines)| (outcome, count(lines))).collect())
    }

    /// Stores state, parameters, end, number of lines, figures and request id of a job, if its state is still `from`.
    /// [`StoreError::Conflict`] otherwise, or if its owner has another job with that request id.
    pub async fn update_job(&mut self, job: &Job, from: JobState) -> Result<()> {
        let text = "UPDATE jobs SET state = $3, parameters = $4, ended_at = $5, end_code = $6, ended_by = $7,
                line_count = $8, request_id = $9, counts = $10
            WHERE id = $1 AND state = $2";
        let mut db = self.db().await?;
        let query = db.query("update_job", text).bind(&job.id).bind(&from).bind(&job.state);
        let query = query.bind(&job.parameters).bind(&job.ended_at).bind(&job.end_code);
        let query = query.bind(&job.ended_by).bind(&job.line_count).bind(&job.request_id);
        query.bind(&job.counts).execute_one().await
    }

    /// Ends a job under its lease, with its figures. [`StoreError::LeaseLost`] if the lease was lost.
    pub async fn end_job(&mut self, lease: &JobLease, state: JobState, code: &str) -> Result<()> {
        let (now, counts) = (self.now(), self.job_counts(lease.job.id).await?);
        let text = "UPDATE jobs SET state = $3, end_code = $4, ended_at = $5, lease_until = NULL, counts = $6
            WHERE id = $1 AND lease_token = $2 AND state = 'running'";
        let mut db = self.db().await?;
        let query = db.query("end_job", text).bind(&lease.job.id).bind(&lease.token).bind(&state);
        let rows = query.bind(code).bind(&now).bind(&counts).execute().await?;
        if rows == 1 { Ok(()) } else { Err(lost(lease.job.id)) }
    }

    /// Stores that a waiting line is acted on, with the domain's state before. It is sent to the database with the
    /// transaction's other writes; [`StoreError::LeaseLost`] if the line was already acted on, or the lease was lost.
    pub async fn act_on_line(&mut self, mark: &LineMark, before: Option<(Status, &str)>) -> Result<()> {
        let now = self.now();
        let text = format!(
            "UPDATE job_lines SET outcome = $4, status_before = $5, reason_before = $6, acted_at = $7
            WHERE job_id = $1 AND position = $3 AND outcome = 'waiting' AND {IS_OURS}"
        );
        let write = self.write("act_on_line", "", &text).await?;
        let write = write.bind(&mark.job).bind(&mark.token).bind(&mark.position).bind(&mark.outcome);
        let write = write.bind(&before.map(|(status, _)| status));
        write.bind(before.map_or("", |(_, reason)| reason)).bind(&now).keep_or(lost(mark.job));
        Ok(())
    }

    /// Stores the results of lines; lines whose outcome has changed meanwhile stay unchanged.
    /// [`StoreError::LeaseLost`] if the lease was lost.
    pub async fn finish_lines(&mut self, id: JobId, token: i64, results: &[LineResult]) -> Result<()> {
        let text = format!(
            "UPDATE job_lines SET outcome = $5, code = $6, sentence = $7, message = $8
            WHERE job_id = $1 AND position = $3 AND outcome = $4 AND {IS_OURS}"
        );
        let mut db = self.db().await?;
        let ours = db.query("is_our_job", &format!("SELECT count(*) FROM jobs WHERE id = $1 AND {IS_OURS}"));
        if ours.bind(&id).bind(&token).count().await? == 0 {
            return Err(lost(id));
        }
        for result in results {
            let query = db.query("finish_line", &text).bind(&id).bind(&token).bind(&result.position);
            let query = query.bind(&result.from).bind(&result.outcome).bind(&result.code);
            query.bind(&result.sentence).bind(&result.message).execute().await?;
        }
        Ok(())
    }

    /// Deletes at most `limit` lines of jobs that ended before `ended`, and of drafts created before `drafted`, and
    /// then the jobs without lines; returns the number of rows.
    pub async fn forget_jobs(&mut self, ended: Timestamp, drafted: Timestamp, limit: u32) -> Result<u64> {
        let past = "ended_at < $1 OR (state IN ('receiving', 'draft') AND created_at < $2)";
        let lines = format!(
            "DELETE FROM job_lines WHERE (job_id, position) IN (
                SELECT job_id, position FROM job_lines WHERE job_id IN (SELECT id FROM jobs WHERE {past})
                LIMIT $3)"
        );
        let jobs = format!(
            "DELETE FROM jobs WHERE id IN (
                SELECT id FROM jobs WHERE ({past})
                    AND NOT EXISTS (SELECT 1 FROM job_lines WHERE job_id = jobs.id) LIMIT $3)"
        );
        let mut db = self.db().await?;
        let mut deleted = 0;
        for (operation, text) in [("delete_job_lines", lines), ("delete_jobs", jobs)] {
            let query = db.query(operation, &text).bind(&ended).bind(&drafted).limit(limit);
            deleted += query.execute().await?;
        }
        Ok(deleted)
    }
}
