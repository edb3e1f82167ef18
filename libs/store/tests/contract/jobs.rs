//! Jobs and their lines.

use domain::{JobId, JobKind, JobParameters, JobState, LineOutcome, Status, WorkKind};
use store::{Job, JobCounts, JobLease, JobLine, LineMark, LineResult, Store, StoreError};
use uuid::Uuid;

use crate::kit::{Case, add, at, name, work, write};

fn job(number: u128, state: JobState) -> Job {
    Job {
        id: JobId::from(Uuid::from_u128(number)),
        kind: JobKind::Label,
        state,
        owner: "user:lee".to_owned(),
        credential: vec![7; 32],
        peer: "192.0.2.1:5".to_owned(),
        request_id: String::new(),
        parameters: JobParameters {
            customer_ref: Some("=1+1".to_owned()),
            remove_labels: vec!["tier".to_owned()],
            ..JobParameters::default()
        },
        created_at: at(number as i64),
        started_at: None,
        ended_at: None,
        end_code: String::new(),
        ended_by: String::new(),
        line_count: 3,
        counts: JobCounts::from([(LineOutcome::Waiting, 3)]),
        served_at: at(number as i64),
    }
}

fn lines(job: &Job) -> Vec<JobLine> {
    let line = |position: u32| JobLine {
        job: job.id,
        position,
        line: position * 10,
        text: format!("d{position}.example.com"),
        outcome: LineOutcome::Waiting,
        code: String::new(),
        sentence: String::new(),
        message: String::new(),
        status_before: None,
        reason_before: String::new(),
        acted_at: None,
    };
    (1..=job.line_count).map(line).collect()
}

async fn store_job(store: &Store, job: &Job) {
    let (job, lines) = (job.clone(), lines(job));
    write(store, async |tx| {
        tx.insert_job(&job).await?;
        tx.insert_job_lines(&lines).await
    })
    .await;
}

async fn act(store: &Store, lease: &JobLease, position: u32) -> store::Result<()> {
    let outcome = LineOutcome::Asked;
    let mark = LineMark { job: lease.job.id, token: lease.token, position, outcome };
    let mut tx = store.begin("act").await?;
    tx.act_on_line(&mark, Some((Status::Failure, "not_pointed"))).await?;
    tx.commit().await
}

fn is_lost(result: &store::Result<()>) -> bool {
    matches!(result, Err(StoreError::LeaseLost { kind: "job", .. }))
}

/// Newest first; one whose lines are arriving is not shown but counts, and a request id names one job of an owner.
pub async fn jobs_come_back_newest_first(store: Case) {
    let shown = [job(1, JobState::Draft), job(2, JobState::Queued), job(3, JobState::Done)];
    for job in shown.iter().chain([&job(4, JobState::Receiving)]) {
        store_job(&store, job).await;
    }
    let [first, second, third] = &shown;
    assert_eq!(store.jobs(None, 2).await.unwrap(), [third.clone(), second.clone()]);
    let after = Some((second.created_at, second.id));
    assert_eq!(store.jobs(after, 9).await.unwrap(), std::slice::from_ref(first));
    assert_eq!(store.job(first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.open_jobs("user:lee", at(4)).await.unwrap(), 3);
    assert_eq!(store.open_jobs("user:lee", at(5)).await.unwrap(), 2, "its lines were cut off");
    assert_eq!(store.open_jobs("user:kim", at(0)).await.unwrap(), 0);
    assert_eq!(store.job(JobId::from(Uuid::from_u128(9))).await.unwrap(), None);
    let of_request = Job { request_id: "r1".to_owned(), ..job(5, JobState::Queued) };
    store_job(&store, &of_request).await;
    let found = store.job_of_request("user:lee", "r1").await.unwrap();
    assert_eq!(found, Some(of_request.clone()));
    assert_eq!(store.job_of_request("user:lee", "").await.unwrap(), None);
    let mut tx = store.begin("again").await.unwrap();
    let again = Job { id: JobId::from(Uuid::from_u128(6)), ..of_request };
    assert!(matches!(tx.insert_job(&again).await, Err(StoreError::Conflict { .. })));
}

pub async fn lines_have_pages_and_are_counted(store: Case) {
    let job = job(1, JobState::Queued);
    store_job(&store, &job).await;
    let all = lines(&job);
    assert_eq!(store.job_lines(job.id, &[], 0, 2).await.unwrap(), all[..2]);
    assert_eq!(store.job_lines(job.id, &[], 2, 2).await.unwrap(), all[2..]);
    let lease = store.claim_job(at(30)).await.unwrap().unwrap();
    act(&store, &lease, 2).await.unwrap();
    let asked = store.job_lines(job.id, &[LineOutcome::Asked, LineOutcome::Works], 0, 9).await.unwrap();
    let before = (asked[0].status_before, asked[0].reason_before.as_str(), asked[0].acted_at);
    assert_eq!((asked.len(), before), (1, (Some(Status::Failure), "not_pointed", Some(at(0)))));
    assert_eq!(store.job(job.id).await.unwrap().unwrap().counts, job.counts, "not given back yet");
    store.release_job(&lease, true, Some(at(20))).await.unwrap();
    let given_back = store.jobs(None, 1).await.unwrap().remove(0);
    assert_eq!(given_back.counts, JobCounts::from([(LineOutcome::Waiting, 2), (LineOutcome::Asked, 1)]));
    assert_eq!(store.at(19).claim_job(at(60)).await.unwrap(), None, "it rests");
    let lease = store.at(20).claim_job(at(60)).await.unwrap().unwrap();
    act(&store, &lease, 1).await.unwrap();
    let mut tx = store.begin("end").await.unwrap();
    tx.end_job(&lease, JobState::Stopped, "WHY").await.unwrap();
    tx.commit().await.unwrap();
    let ended = store.job(job.id).await.unwrap().unwrap();
    assert_eq!(ended.counts, JobCounts::from([(LineOutcome::Waiting, 1), (LineOutcome::Asked, 2)]));
}

/// The least recently served first, each once; a lease that ended is taken over, and its former holder writes nothing.
pub async fn a_job_is_worked_on_by_one_copy(store: Case) {
    for number in [1, 2] {
        store_job(&store, &job(number, JobState::Queued)).await;
    }
    store_job(&store, &job(3, JobState::Draft)).await;
    let first = store.claim_job(at(30)).await.unwrap().unwrap();
    assert_eq!((first.job.state, first.job.started_at), (JobState::Running, Some(at(0))));
    let second = store.claim_job(at(30)).await.unwrap().unwrap();
    assert_eq!((first.job.id, second.job.id), (job(1, JobState::Draft).id, job(2, JobState::Draft).id));
    assert_eq!(store.claim_job(at(30)).await.unwrap(), None);
    let store = store.at(10);
    store.renew_job(second.job.id, second.token, at(40)).await.unwrap();
    act(store, &first, 1).await.unwrap();
    assert!(is_lost(&act(store, &first, 1).await), "a line is acted on once");
    store.release_job(&first, true, None).await.unwrap();
    assert!(is_lost(&act(store, &first, 2).await), "it was given back");
    let again = store.claim_job(at(60)).await.unwrap().unwrap();
    assert_eq!((again.job.id, again.job.started_at), (first.job.id, Some(at(0))));
    assert!(again.token > first.token);
    assert!(is_lost(&store.renew_job(first.job.id, first.token, at(90)).await));
    act(store, &again, 2).await.unwrap();
}

/// As many in turn as there are, whichever was made first.
pub async fn the_job_least_recently_served_is_next(store: Case) {
    for number in [1, 2, 3] {
        store_job(&store, &job(number, JobState::Queued)).await;
    }
    let mut served = Vec::new();
    for seconds in [10, 10, 10, 20, 30, 40] {
        let store = store.at(seconds);
        let lease = store.claim_job(at(90)).await.unwrap().unwrap();
        served.push(lease.job.id.as_uuid().as_u128());
        store.release_job(&lease, false, None).await.unwrap();
    }
    assert_eq!(served, [1, 2, 3, 1, 2, 3]);
}

pub async fn a_job_whose_copy_is_gone_is_taken_over(store: Case) {
    store_job(&store, &job(1, JobState::Queued)).await;
    let first = store.claim_job(at(30)).await.unwrap().unwrap();
    let second = store.at(30).claim_job(at(60)).await.unwrap().unwrap();
    assert_eq!(second.job.id, first.job.id);
    assert!(is_lost(&act(&store, &first, 1).await));
    store.free_all_leases().await.unwrap();
    assert!(is_lost(&act(&store, &second, 1).await));
    assert!(store.claim_job(at(60)).await.unwrap().is_some());
}

pub async fn what_came_out_is_written_under_the_lease(store: Case) {
    store_job(&store, &job(1, JobState::Queued)).await;
    let lease = store.claim_job(at(30)).await.unwrap().unwrap();
    let id = lease.job.id;
    act(&store, &lease, 1).await.unwrap();
    let result = |position, from| LineResult {
        position,
        from,
        outcome: LineOutcome::Works,
        code: "c".to_owned(),
        sentence: "s".to_owned(),
        message: "m".to_owned(),
    };
    let finish = async |token, results: &[LineResult]| {
        let mut tx = store.begin("finish").await.unwrap();
        tx.finish_lines(id, token, results).await?;
        tx.commit().await
    };
    let results = [result(1, LineOutcome::Asked), result(2, LineOutcome::Asked)];
    assert!(is_lost(&finish(lease.token + 1, &results).await));
    finish(lease.token, &results).await.unwrap();
    let lines = store.job_lines(id, &[], 0, 9).await.unwrap();
    let told = |line: &JobLine| (line.outcome, format!("{}{}{}", line.code, line.sentence, line.message));
    assert_eq!(told(&lines[0]), (LineOutcome::Works, "csm".to_owned()));
    assert_eq!(told(&lines[1]), (LineOutcome::Waiting, String::new()), "it was not asked");
    let mut tx = store.begin("end").await.unwrap();
    tx.end_job(&lease, JobState::Stopped, "WHY").await.unwrap();
    tx.commit().await.unwrap();
    let ended = store.job(id).await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.end_code.as_str(), ended.ended_at),
        (JobState::Stopped, "WHY", Some(at(0)))
    );
    assert!(is_lost(&finish(lease.token, &results).await), "it is over");
    assert!(is_lost(&store.renew_job(id, lease.token, at(90)).await));
    assert_eq!(store.at(90).claim_job(at(99)).await.unwrap(), None);
}

pub async fn a_cancelled_job_takes_no_more_lines(store: Case) {
    let job = job(1, JobState::Queued);
    store_job(&store, &job).await;
    let lease = store.claim_job(at(30)).await.unwrap().unwrap();
    let cancelled = Job {
        state: JobState::Cancelled,
        ended_at: Some(at(5)),
        end_code: "CANCELLED".to_owned(),
        ended_by: "user:kim".to_owned(),
        ..lease.job.clone()
    };
    let mut tx = store.begin("cancel").await.unwrap();
    assert_eq!(tx.job(job.id).await.unwrap(), Some(lease.job.clone()));
    let stale = tx.update_job(&cancelled, JobState::Queued).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "it runs");
    tx.update_job(&cancelled, JobState::Running).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.job(job.id).await.unwrap(), Some(cancelled));
    assert!(is_lost(&act(&store, &lease, 1).await));
}

/// Lines go before their job, so many at a time; what runs stays, however old.
pub async fn past_jobs_are_deleted_in_batches(store: Case) {
    for (number, state, ended) in [
        (1, JobState::Done, Some(at(10))),
        (2, JobState::Done, Some(at(20))),
        (3, JobState::Running, None),
        (4, JobState::Draft, None),
        (5, JobState::Receiving, None),
    ] {
        store_job(&store, &Job { ended_at: ended, ..job(number, state) }).await;
    }
    let forget = async |limit| {
        let mut tx = store.begin("forget").await.unwrap();
        let rows = tx.forget_jobs(at(15), at(5), limit).await.unwrap();
        tx.commit().await.unwrap();
        rows
    };
    assert_eq!(forget(2).await, 2);
    let mut rounds = 0;
    while forget(2).await > 0 {
        rounds += 1;
    }
    assert!(rounds >= 2);
    let mut left = Vec::new();
    for number in 1..=5 {
        let id = JobId::from(Uuid::from_u128(number));
        left.extend(store.job(id).await.unwrap().map(|_| number));
    }
    assert_eq!(left, [2, 3, 5], "the draft of before, and what ended before");
    assert_eq!(store.job_lines(JobId::from(Uuid::from_u128(1)), &[], 0, 9).await.unwrap(), []);
    assert_eq!(store.job_lines(JobId::from(Uuid::from_u128(2)), &[], 0, 9).await.unwrap().len(), 3);
}

/// Due or leased: its attempt is not over. A comparison of another day is not an attempt.
pub async fn names_whose_attempt_is_not_over_are_known(store: Case) {
    for label in ["due", "leased", "later", "none"] {
        add(&store, label).await;
    }
    let works = [
        work("due", WorkKind::Issue, Some(at(0))),
        work("leased", WorkKind::Upload, Some(at(0))),
        work("later", WorkKind::Issue, Some(at(9))),
    ];
    write(&store, async |tx| tx.schedule_all(&works).await).await;
    store.claim(WorkKind::Upload, &name("leased"), at(30)).await.unwrap().unwrap();
    let names = ["due", "leased", "later", "none"].map(name);
    let mut at_work = store.names_at_work(&names).await.unwrap();
    at_work.sort();
    assert_eq!(at_work, [name("due"), name("leased")]);
    let listed = store.listed(&[name("later"), name("nowhere")]).await.unwrap();
    assert_eq!(listed.iter().map(|view| view.domain.name.clone()).collect::<Vec<_>>(), [name("later")]);
}
