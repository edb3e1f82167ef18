//! Jobs: what is taken in, what is done with each line, and what ends one early.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::sync::Arc;
use std::time::Duration;

use domain::{DomainName, JobId, Role};
use jiff::SignedDuration;
use proto::v1;
use proto::v1::jobs_client::JobsClient;
use proto::v1::{JobKind, JobState, LineOutcome};
use runtime::testing::ManualClock;
use tonic::transport::Channel;
use tonic::{Code, Status};

use served::{Served, has_reason, served, served_at, signed};

struct Caller {
    jobs: JobsClient<Channel>,
    token: String,
}

impl Caller {
    async fn of(served: &Served, role: Role) -> Self {
        Self { jobs: JobsClient::new(served.channel.clone()), token: served.session(role, |_| {}).await }
    }

    async fn create(&self, requests: Vec<v1::CreateJobRequest>) -> Result<v1::Job, Status> {
        let request = signed(tokio_stream::iter(requests), &self.token);
        Ok(self.jobs.clone().create_job(request).await?.into_inner().job.unwrap())
    }

    async fn get(&self, id: &str) -> v1::Job {
        let request = signed(v1::GetJobRequest { id: id.to_owned() }, &self.token);
        self.jobs.clone().get_job(request).await.unwrap().into_inner().job.unwrap()
    }

    async fn until(&self, id: &str, holds: impl Fn(&v1::Job) -> bool) -> v1::Job {
        for _ in 0..300 {
            let job = self.get(id).await;
            if holds(&job) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it is {:?}", self.get(id).await);
    }

    async fn over(&self, id: &str) -> v1::Job {
        self.until(id, |job| proto::is_job_over(job.state())).await
    }

    async fn lines(&self, id: &str, outcomes: &[LineOutcome]) -> Vec<v1::JobLine> {
        let mut lines = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListJobLinesRequest {
                id: id.to_owned(),
                outcomes: outcomes.iter().map(|outcome| (*outcome).into()).collect(),
                page_size: 2,
                page_token,
            };
            let page = self.jobs.clone().list_job_lines(signed(request, &self.token)).await.unwrap();
            let page = page.into_inner();
            lines.extend(page.lines);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return lines;
            }
        }
    }

    async fn cancel(&self, id: &str) -> Result<v1::Job, Status> {
        let request = signed(v1::CancelJobRequest { id: id.to_owned() }, &self.token);
        Ok(self.jobs.clone().cancel_job(request).await?.into_inner().job.unwrap())
    }
}

fn names(names: &[&str]) -> Vec<v1::JobName> {
    (1..).zip(names).map(|(line, name)| v1::JobName { name: (*name).to_owned(), line }).collect()
}

fn asked(kind: JobKind, of: &[&str]) -> v1::CreateJobRequest {
    v1::CreateJobRequest { kind: kind.into(), names: names(of), ..v1::CreateJobRequest::default() }
}

fn told(lines: &[v1::JobLine]) -> Vec<(String, LineOutcome, String)> {
    lines.iter().map(|line| (line.name.clone(), line.outcome(), line.code.clone())).collect()
}

async fn listed(served: &Served, name: &str) -> bool {
    let name = DomainName::parse(name).unwrap();
    served.context.store.domain(&name).await.unwrap().is_some()
}

fn figures(job: &v1::Job) -> String {
    proto::job_figures(job)
}

/// Lines of two messages, with rubbish and a name twice; each kind of work that is done at once.
#[tokio::test]
async fn each_line_has_its_outcome() {
    let served = served().await;
    let (lee, kim) = (Caller::of(&served, Role::Support).await, Caller::of(&served, Role::Viewer).await);
    let first = asked(JobKind::Add, &["b.example.com", "*.example.com", "a.example.com\0"]);
    let second =
        v1::CreateJobRequest { names: names(&["B.example.com.", "c.example.com"]), ..Default::default() };
    let added = lee.create(vec![first, second]).await.unwrap();
    assert_eq!((added.lines, added.kind()), (5, JobKind::Add));
    let added = lee.over(&added.id).await;
    assert_eq!(
        (added.state(), figures(&added).as_str()),
        (JobState::Done, "2 added, 2 not a domain name, 1 listed twice")
    );
    let line = |name: &str, outcome, code: &str| (name.to_owned(), outcome, code.to_owned());
    let lines = kim.lines(&added.id, &[]).await;
    assert_eq!(lines.iter().map(|line| line.line).collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
    assert_eq!(lines[3].message, "the same name is entry 1 of the list");
    assert_eq!(
        told(&lines),
        [
            line("b.example.com", LineOutcome::Done, ""),
            line("*.example.com", LineOutcome::Refused, "NAME_IS_WILDCARD"),
            line("a.example.com", LineOutcome::Refused, "NAME_BAD_CHARACTER"),
            line("b.example.com", LineOutcome::Repeated, "NAME_REPEATED"),
            line("c.example.com", LineOutcome::Done, ""),
        ]
    );
    let again = lee.create(vec![asked(JobKind::Add, &["b.example.com"])]).await.unwrap();
    assert_eq!(figures(&lee.over(&again.id).await), "1 on the list already");

    let label = v1::CreateJobRequest {
        customer_ref: Some("4711".to_owned()),
        labels: vec![v1::Label { key: "tier".to_owned(), value: "gold".to_owned() }],
        ..asked(JobKind::Label, &["b.example.com", "gone.example.com"])
    };
    let labelled = lee.over(&lee.create(vec![label]).await.unwrap().id).await;
    assert_eq!(figures(&labelled), "1 labelled, 1 failed");
    assert_eq!((labelled.customer_ref.as_deref(), labelled.labels.len()), (Some("4711"), 1));
    let failed = lee.lines(&labelled.id, &[LineOutcome::Failed]).await;
    assert_eq!(told(&failed), [line("gone.example.com", LineOutcome::Failed, "DOMAIN_NOT_FOUND")]);
    let view =
        served.context.store.domain(&DomainName::parse("b.example.com").unwrap()).await.unwrap().unwrap();
    assert_eq!((view.domain.customer_ref.as_str(), view.labels["tier"].as_str()), ("4711", "gold"));

    let generated = asked(JobKind::Reissue, &["c.example.com", "gone.example.com"]);
    let generated = lee.over(&lee.create(vec![generated]).await.unwrap().id).await;
    assert_eq!(figures(&generated), "1 reissue requested, 1 failed");
    assert!(!listed(&served, "gone.example.com").await, "a job puts nothing on the list that is not on it");

    let history = served.context.store.audit(Some("b.example.com"), 10).await.unwrap();
    let of_line = history.iter().find(|line| line.call == "AddDomain").unwrap();
    assert!(of_line.actor.starts_with("user:support-") && of_line.request_id.ends_with("/1"), "{of_line:?}");
}

/// A draft does nothing until it is started; what is said then counts.
#[tokio::test]
async fn a_draft_waits_for_its_start() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    lee.over(&lee.create(vec![asked(JobKind::Add, &["a.example.com"])]).await.unwrap().id).await;
    let draft = v1::CreateJobRequest { draft: true, ..asked(JobKind::Delete, &["a.example.com"]) };
    let draft = lee.create(vec![draft]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(
        (lee.get(&draft.id).await.state(), listed(&served, "a.example.com").await),
        (JobState::Draft, true)
    );
    let start = || {
        signed(
            v1::StartJobRequest { id: draft.id.clone(), remove_from_c4: true, ..Default::default() },
            &lee.token,
        )
    };
    let started = lee.jobs.clone().start_job(start()).await.unwrap().into_inner().job.unwrap();
    assert!(started.remove_from_c4);
    let deleted = lee.over(&draft.id).await;
    assert_eq!((figures(&deleted).as_str(), listed(&served, "a.example.com").await), ("1 deleted", false));
    assert!(lee.lines(&draft.id, &[]).await[0].message.contains("C4"));
    let refused = lee.jobs.clone().start_job(start()).await.unwrap_err();
    assert!(refused.code() == Code::FailedPrecondition && has_reason(&refused, "JOB_IS_OVER"));
}

/// What a draft changes may come with its start.
#[tokio::test]
async fn a_draft_that_labels_is_told_how_when_it_starts() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    lee.over(&lee.create(vec![asked(JobKind::Add, &["a.example.com"])]).await.unwrap().id).await;
    let draft = v1::CreateJobRequest { draft: true, ..asked(JobKind::Label, &["a.example.com"]) };
    let draft = lee.create(vec![draft]).await.unwrap();
    let start = async |labels: &[(&str, &str)]| {
        let label = |(key, value): &(&str, &str)| v1::Label { key: (*key).into(), value: (*value).into() };
        let labels = labels.iter().map(label).collect();
        let request = v1::StartJobRequest { id: draft.id.clone(), labels, ..Default::default() };
        lee.jobs.clone().start_job(signed(request, &lee.token)).await
    };
    for (labels, reason) in [(&[][..], "NOTHING_TO_LABEL"), (&[("!", "x")][..], "LABEL_KEY_INVALID")] {
        let refused = start(labels).await.unwrap_err();
        assert!(has_reason(&refused, reason), "{refused:?}");
        assert_eq!(lee.get(&draft.id).await.state(), JobState::Draft);
    }
    start(&[("tier", "gold")]).await.unwrap();
    assert_eq!(figures(&lee.over(&draft.id).await), "1 labelled");
    let view =
        served.context.store.domain(&DomainName::parse("a.example.com").unwrap()).await.unwrap().unwrap();
    assert_eq!(view.labels["tier"], "gold");
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    let name = &["a.example.com"][..];
    for (requests, reason) in [
        (vec![], "JOB_KIND_MISSING"),
        (vec![asked(JobKind::Unspecified, name)], "JOB_KIND_MISSING"),
        (vec![asked(JobKind::Recheck, &[])], "JOB_EMPTY"),
        (vec![asked(JobKind::Label, name)], "NOTHING_TO_LABEL"),
        (
            vec![v1::CreateJobRequest { remove_labels: vec!["!".to_owned()], ..asked(JobKind::Label, name) }],
            "LABEL_KEY_INVALID",
        ),
        (
            vec![v1::CreateJobRequest { request_id: "two words".to_owned(), ..asked(JobKind::Add, name) }],
            "REQUEST_ID_INVALID",
        ),
    ] {
        let refused = lee.create(requests).await.unwrap_err();
        assert!(
            refused.code() == Code::InvalidArgument && has_reason(&refused, reason),
            "{reason}: {refused:?}"
        );
    }
    for (id, code) in [("x", Code::InvalidArgument), (&nobodys(), Code::NotFound)] {
        let refused = lee.cancel(id).await.unwrap_err();
        assert_eq!(refused.code(), code, "{id}");
    }
    let request = signed(v1::ListJobsRequest::default(), &lee.token);
    let jobs = lee.jobs.clone().list_jobs(request).await.unwrap().into_inner().jobs;
    assert_eq!(jobs, [], "what was refused is not shown");
}

fn nobodys() -> String {
    JobId::new(&runtime::SystemClock, &runtime::SystemEntropy).to_string()
}

#[tokio::test]
async fn a_request_id_names_one_job() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    let request =
        v1::CreateJobRequest { request_id: "r-1".to_owned(), ..asked(JobKind::Add, &["a.example.com"]) };
    let first = lee.create(vec![request.clone()]).await.unwrap();
    let second = lee.create(vec![request.clone()]).await.unwrap();
    assert_eq!(first.id, second.id);
    let kim = Caller::of(&served, Role::Support).await;
    assert_ne!(kim.create(vec![request]).await.unwrap().id, first.id);
    let pages = async |token: String| {
        let request = signed(v1::ListJobsRequest { page_size: 1, page_token: token }, &lee.token);
        lee.jobs.clone().list_jobs(request).await.unwrap().into_inner()
    };
    let newest = pages(String::new()).await;
    let oldest = pages(newest.next_page_token).await;
    assert_eq!((oldest.jobs[0].id.as_str(), oldest.next_page_token.as_str()), (first.id.as_str(), ""));
}

/// No issuer runs here, so the result is never known.
#[tokio::test]
async fn a_recheck_without_a_result_is_given_up_and_a_colleague_may_cancel() {
    let clock = Arc::new(ManualClock::new("2026-11-23T12:00:00Z".parse().unwrap()));
    let served = served_at(clock.clone(), |_| {}).await;
    let (lee, kim) = (Caller::of(&served, Role::Support).await, Caller::of(&served, Role::Support).await);
    let both = ["a.example.com", "b.example.com"];
    lee.over(&lee.create(vec![asked(JobKind::Add, &both)]).await.unwrap().id).await;
    let job = lee.create(vec![asked(JobKind::Recheck, &["a.example.com"])]).await.unwrap();
    let is_asked = |job: &v1::Job| figures(job) == "1 being checked";
    lee.until(&job.id, is_asked).await;
    clock.advance(SignedDuration::from_mins(10));
    let done = lee.over(&job.id).await;
    assert_eq!(
        (done.state(), figures(&done).as_str()),
        (JobState::Done, "1 without a result within 10 minutes")
    );

    let job = lee.create(vec![asked(JobKind::Recheck, &both)]).await.unwrap();
    lee.until(&job.id, |job| figures(job) == "2 being checked").await;
    let cancelled = kim.cancel(&job.id).await.unwrap();
    assert_eq!((cancelled.state(), cancelled.end_reason.as_str()), (JobState::Cancelled, "CANCELLED"));
    assert!(cancelled.end_message.starts_with(&format!("Cancelled by {}", cancelled.ended_by)));
    assert_ne!(cancelled.ended_by, cancelled.owner);
    assert_eq!(figures(&cancelled), "2 rechecked, result not awaited");
    assert_eq!(kim.cancel(&job.id).await.unwrap(), cancelled, "again is the same");
}

/// The job of somebody who may do nothing any more stops before its next batch.
#[tokio::test]
async fn a_job_stops_with_its_owners_rights() {
    let served = served().await;
    let admin = Caller::of(&served, Role::Admin).await;
    let mut name = String::new();
    let token = served.session(Role::Support, |session| name.clone_from(&session.user)).await;
    let lee = Caller { jobs: admin.jobs.clone(), token };
    let draft = |of: &[&str]| v1::CreateJobRequest { draft: true, ..asked(JobKind::Add, of) };
    let (one, two, three) = (
        lee.create(vec![draft(&["a.example.com"])]).await.unwrap(),
        lee.create(vec![draft(&["b.example.com"])]).await.unwrap(),
        lee.create(vec![draft(&["c.example.com"])]).await.unwrap(),
    );
    let start = async |id: &str| {
        let request = signed(v1::StartJobRequest { id: id.to_owned(), ..Default::default() }, &admin.token);
        admin.jobs.clone().start_job(request).await.unwrap();
        admin.over(id).await
    };
    let keys = served.context.require_sealing_keys().unwrap();
    let change = async |change: &dyn Fn(&mut store::User)| {
        let mut user = served.context.store.user(&name).await.unwrap().unwrap();
        change(&mut user);
        api::signed::sign_user(&keys, &mut user).await.unwrap();
        let mut tx = served.context.store.begin("user").await.unwrap();
        assert!(tx.update_user(&user).await.unwrap());
        tx.commit().await.unwrap();
    };
    change(&|user| user.roles = Role::Viewer.into()).await;
    let stopped = start(&one.id).await;
    assert_eq!((stopped.state(), stopped.end_reason.as_str()), (JobState::Stopped, "ROLE_LACKS_PERMISSION"));
    let line = &admin.lines(&one.id, &[]).await[0];
    assert_eq!((line.outcome(), line.code.as_str()), (LineOutcome::Waiting, "ROLE_LACKS_PERMISSION"));
    change(&|user| (user.roles, user.password_hash) = (Role::Support.into(), None)).await;
    let stopped = start(&three.id).await;
    assert_eq!(
        (stopped.state(), stopped.end_reason.as_str()),
        (JobState::Stopped, "TOKEN_INVALID"),
        "disabled"
    );
    let mut tx = served.context.store.begin("gone").await.unwrap();
    assert!(tx.remove_user(&name).await.unwrap());
    tx.commit().await.unwrap();
    let stopped = start(&two.id).await;
    assert_eq!((stopped.state(), stopped.end_reason.as_str()), (JobState::Stopped, "TOKEN_INVALID"));
    for name in ["a.example.com", "b.example.com", "c.example.com"] {
        assert!(!listed(&served, name).await, "{name}");
    }
}

/// A person who signs out leaves the job to the API; a program whose token is revoked does not.
#[tokio::test]
async fn a_sign_out_stops_no_job_and_a_revoked_token_does() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    let draft = |of: &[&str]| v1::CreateJobRequest { draft: true, ..asked(JobKind::Add, of) };
    let of_person = lee.create(vec![draft(&["a.example.com"])]).await.unwrap();
    let token = served.token(Role::Support, |token| token.name = "bulk".to_owned()).await;
    let program = Caller { jobs: lee.jobs.clone(), token };
    let of_program = program.create(vec![draft(&["b.example.com"])]).await.unwrap();
    assert_eq!(of_program.owner, "token:bulk");
    let mut tx = served.context.store.begin("end").await.unwrap();
    assert!(tx.end_session(&api::hash_token(&lee.token)).await.unwrap());
    assert!(tx.revoke_token("bulk").await.unwrap());
    tx.commit().await.unwrap();
    let admin = Caller::of(&served, Role::Admin).await;
    for (job, state) in [(of_person, JobState::Done), (of_program, JobState::Stopped)] {
        let request = signed(v1::StartJobRequest { id: job.id.clone(), ..Default::default() }, &admin.token);
        admin.jobs.clone().start_job(request).await.unwrap();
        assert_eq!(admin.over(&job.id).await.state(), state, "{}", job.owner);
    }
}

#[tokio::test]
async fn a_watcher_sees_a_job_to_its_end() {
    let served = served().await;
    let (lee, kim) = (Caller::of(&served, Role::Support).await, Caller::of(&served, Role::Viewer).await);
    let draft = v1::CreateJobRequest { draft: true, ..asked(JobKind::Add, &["a.example.com"]) };
    let job = lee.create(vec![draft]).await.unwrap();
    let request = signed(v1::WatchJobRequest { id: job.id.clone() }, &kim.token);
    let mut states = kim.jobs.clone().watch_job(request).await.unwrap().into_inner();
    let first = states.message().await.unwrap().unwrap().job.unwrap();
    assert_eq!(first, job);
    let start = signed(v1::StartJobRequest { id: job.id.clone(), ..Default::default() }, &lee.token);
    lee.jobs.clone().start_job(start).await.unwrap();
    let mut last = first;
    while let Some(answer) = states.message().await.unwrap() {
        last = answer.job.unwrap();
    }
    assert_eq!((last.state(), figures(&last).as_str()), (JobState::Done, "1 added"));
}

/// As many large jobs as one copy works on at once; the assertion is in lines, for slices end early on a slow machine.
#[tokio::test]
async fn a_small_job_does_not_wait_for_large_ones() {
    const LARGE: u32 = 8000;
    const SLICE: u32 = 1000;
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    let label = |of: std::ops::Range<u32>| v1::CreateJobRequest {
        kind: JobKind::Label.into(),
        customer_ref: Some("4711".to_owned()),
        names: of.map(|line| v1::JobName { name: format!("d{line}.example.com"), line }).collect(),
        ..v1::CreateJobRequest::default()
    };
    let mut large = Vec::new();
    for _ in 0..3 {
        let job = lee.create((0..LARGE).step_by(1000).map(|from| label(from..from + 1000)).collect()).await;
        large.push(job.unwrap().id);
    }
    let processed = |job: &v1::Job| {
        let is_waiting = |count: &&v1::JobCount| count.outcome() == LineOutcome::Waiting;
        job.lines - job.counts.iter().find(is_waiting).map_or(0, |count| count.lines)
    };
    for id in &large {
        lee.until(id, |job| processed(job) > 0).await;
    }
    let mut before = Vec::new();
    for id in &large {
        before.push(processed(&lee.get(id).await));
    }
    let small = lee.create(vec![label(0..10)]).await.unwrap();
    assert_eq!(figures(&lee.over(&small.id).await), "10 failed");
    for (id, before) in large.iter().zip(before) {
        let job = lee.get(id).await;
        let (state, processed) = (job.state(), processed(&job));
        println!("{processed} of {LARGE} lines, {before} of them before the small job");
        assert_eq!(state, JobState::Running);
        assert!(processed <= before + 3 * SLICE, "{processed} after {before}");
        lee.cancel(id).await.unwrap();
    }
}

/// A client that is silent for ten seconds, or whose right ends, has no job and holds up none.
#[tokio::test]
async fn lines_arrive_in_time_or_not_at_all() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(asked(JobKind::Add, &["a.example.com"])).await.unwrap();
    let begun = std::time::Instant::now();
    let request = signed(tokio_stream::wrappers::ReceiverStream::new(receiver), &lee.token);
    let refused = lee.jobs.clone().create_job(request).await.unwrap_err();
    assert!(
        refused.code() == Code::DeadlineExceeded && has_reason(&refused, "REQUEST_TOO_SLOW"),
        "{refused:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    drop(sender);
    let jobs = lee.jobs.clone().list_jobs(signed(v1::ListJobsRequest::default(), &lee.token)).await.unwrap();
    assert_eq!(jobs.into_inner().jobs, []);

    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let (token, jobs) = (lee.token.clone(), lee.jobs.clone());
    let request = signed(tokio_stream::wrappers::ReceiverStream::new(receiver), &token);
    let created = tokio::spawn(async move { jobs.clone().create_job(request).await });
    let line = |line| v1::JobName { name: format!("d{line}.example.com"), line };
    let part = |from: u32| v1::CreateJobRequest {
        names: (from..from + 900).map(line).collect(),
        ..asked(JobKind::Add, &[])
    };
    sender.send(part(0)).await.unwrap();
    let mut tx = served.context.store.begin("end").await.unwrap();
    assert!(tx.end_session(&api::hash_token(&token)).await.unwrap());
    tx.commit().await.unwrap();
    sender.send(part(900)).await.unwrap();
    let refused = created.await.unwrap().unwrap_err();
    assert!(refused.code() == Code::Unauthenticated && has_reason(&refused, "TOKEN_INVALID"), "{refused:?}");
}

/// As large as it may be, and one more.
#[tokio::test]
async fn a_hundred_thousand_lines_of_rubbish_are_kept_and_one_more_is_refused() {
    let served = served().await;
    let lee = Caller::of(&served, Role::Support).await;
    let message = |from: u32, to: u32| v1::CreateJobRequest {
        kind: JobKind::Recheck.into(),
        names: (from..to)
            .map(|line| v1::JobName { name: format!("=cmd|' /C calc'!A{line}"), line })
            .collect(),
        ..v1::CreateJobRequest::default()
    };
    let whole =
        |lines: u32| (0..lines).step_by(1000).map(|from| message(from, (from + 1000).min(lines))).collect();
    let job = lee.create(whole(100_000)).await.unwrap();
    let done = lee.over(&job.id).await;
    assert_eq!((done.lines, figures(&done).as_str()), (100_000, "100000 not a domain name"));
    let refused = lee.create(whole(100_001)).await.unwrap_err();
    assert!(has_reason(&refused, "TOO_MANY_LINES"), "{refused:?}");
}
