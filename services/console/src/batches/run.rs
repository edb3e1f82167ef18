//! Runs a batch: names to add go over one stream, everything else is one call per name, a few at once.
//!
//! Calls that fail because the API is away or overloaded are retried; every call may be repeated. The API's answer
//! about a line is that line's result. An ended session stops all remaining lines.

use std::sync::Arc;
use std::time::Duration;

use domain::Clock;
use futures::{StreamExt, stream};
use http::StatusCode;
use proto::v1;
use proto::v1::batch_add_domains_response::Result as Answer;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls::{Calls, Names};
use super::{Batch, BatchKind, Batches, Outcome, Phase};
use crate::problem::{Problem, sentence};
use crate::words;

/// Calls at once of one batch.
const AT_ONCE: usize = 8;
/// Attempts without any progress.
const MAX_TRIES: u32 = 5;
/// Between attempts, times the attempt.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two answers of the stream: 250 names are added in a moment.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Does a batch that was begun. `stop` ends it with the process.
pub(crate) fn run(
    batches: &Batches,
    batch: Arc<Batch>,
    calls: impl Calls,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let running = Running { calls, batch, clock: batches.clock.clone(), stop };
    running.run(batches.turns.clone())
}

struct Running<C> {
    calls: C,
    batch: Arc<Batch>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

/// Why the rest is not done.
enum Rest {
    Cancelled,
    Stopped,
    /// Concerns every line that is left.
    Refused(Problem),
}

impl<C: Calls> Running<C> {
    async fn run(self, turns: Arc<Semaphore>) {
        let interrupted = async {
            tokio::select! {
                () = self.batch.cancel.cancelled() => Rest::Cancelled,
                () = self.stop.cancelled() => Rest::Stopped,
            }
        };
        let work = async {
            let Ok(_turn) = turns.acquire().await else {
                return Err(Rest::Stopped);
            };
            self.batch.runs();
            match self.batch.what {
                BatchKind::Add => self.add().await,
                BatchKind::Recheck | BatchKind::Delete => self.each().await,
            }
        };
        let ended = tokio::select! {
            biased;
            rest = interrupted => Err(rest),
            ended = work => ended,
        };
        let phase = match ended {
            Ok(()) => Phase::Done,
            Err(rest) => self.leave(rest),
        };
        self.batch.ends(phase, self.clock.now());
        let figures = self.batch.figures();
        tracing::info!(batch = self.batch.id, ?figures, "a batch is over");
    }

    /// Adds all that have no answer yet over one stream, and over another if that breaks.
    async fn add(&self) -> Result<(), Rest> {
        let total = self.batch.names.len();
        let mut from = 0;
        let mut tries = 0;
        while from < total {
            let (answered, problem) = self.stream_from(from).await;
            tries = if answered > from { 1 } else { tries + 1 };
            from = answered;
            let Some(problem) = problem else { continue };
            self.again(problem, tries).await?;
        }
        Ok(())
    }

    /// How far it came, and what broke it.
    async fn stream_from(&self, from: usize) -> (usize, Option<Problem>) {
        let names = Names { batch: self.batch.clone(), next: from };
        let mut answers = match self.calls.add(names).await {
            Ok(answers) => answers,
            Err(status) => return (from, Some(status.into())),
        };
        let mut position = from;
        while position < self.batch.names.len() {
            let answer = match tokio::time::timeout(ANSWER_TIMEOUT, answers.next()).await {
                Ok(Some(Ok(answer))) => answer,
                Ok(Some(Err(status))) => return (position, Some(status.into())),
                Ok(None) | Err(_) => {
                    return (position, Some(Status::unavailable("no more answers").into()));
                }
            };
            self.batch.note(position, outcome(answer));
            position += 1;
        }
        (position, None)
    }

    async fn each(&self) -> Result<(), Rest> {
        let calls = (0..self.batch.names.len()).map(|position| async move {
            let outcome = self.one(&self.batch.names[position].text).await?;
            self.batch.note(position, outcome);
            Ok(())
        });
        let mut calls = stream::iter(calls).buffer_unordered(AT_ONCE);
        while let Some(done) = calls.next().await {
            done?;
        }
        Ok(())
    }

    async fn one(&self, name: &str) -> Result<Outcome, Rest> {
        let mut tries = 0;
        loop {
            let answer = match self.batch.what {
                BatchKind::Delete => {
                    let remove = self.batch.remove_from_c4();
                    self.calls.delete(name.to_owned(), remove).await
                }
                BatchKind::Add | BatchKind::Recheck => self.calls.recheck(name.to_owned()).await,
            };
            let Err(status) = answer else {
                return Ok(Outcome::Done);
            };
            let problem = Problem::from(status);
            // The answer to the attempt before may have been lost: gone is what was wanted.
            if tries > 0 && self.batch.what == BatchKind::Delete && problem.status == StatusCode::NOT_FOUND {
                return Ok(Outcome::Done);
            }
            if !passes(&problem) && problem.status != StatusCode::UNAUTHORIZED {
                return Ok(failed(problem));
            }
            tries += 1;
            self.again(problem, tries).await?;
        }
    }

    /// Waits before another attempt, if there is to be one.
    async fn again(&self, problem: Problem, tries: u32) -> Result<(), Rest> {
        if !passes(&problem) || tries >= MAX_TRIES {
            return Err(Rest::Refused(problem));
        }
        let pause = problem.retry_after.unwrap_or_default().max(PAUSE * tries);
        self.clock.sleep(pause).await;
        Ok(())
    }

    /// Gives every line that has no answer one.
    fn leave(&self, rest: Rest) -> Phase {
        let (phase, reason, sentence) = match rest {
            Rest::Cancelled => (Phase::Cancelled, "CANCELLED".to_owned(), words::BATCH_CANCELLED.to_owned()),
            Rest::Stopped => (Phase::Stopped, "STOPPED".to_owned(), words::BATCH_STOPPED.to_owned()),
            Rest::Refused(problem) if problem.status == StatusCode::UNAUTHORIZED => {
                (Phase::Stopped, problem.reason, words::BATCH_SIGNED_OUT.to_owned())
            }
            Rest::Refused(problem) if problem.is_away() => {
                (Phase::Stopped, problem.reason, words::BATCH_AWAY.to_owned())
            }
            Rest::Refused(problem) => (Phase::Stopped, problem.reason, problem.sentence),
        };
        self.batch.leave(&reason, &sentence);
        phase
    }
}

/// Whether the same may work in a moment.
fn passes(problem: &Problem) -> bool {
    problem.is_away() || problem.status == StatusCode::TOO_MANY_REQUESTS
}

fn failed(problem: Problem) -> Outcome {
    Outcome::Failed { reason: problem.reason, sentence: problem.sentence }
}

fn outcome(answer: v1::BatchAddDomainsResponse) -> Outcome {
    match answer.result {
        Some(Answer::Added(added)) if added.created => Outcome::Done,
        Some(Answer::Added(_)) => Outcome::Already,
        Some(Answer::Error(error)) => {
            Outcome::Failed { reason: error.reason, sentence: sentence(&error.message) }
        }
        None => {
            Outcome::Failed { reason: "INTERNAL".to_owned(), sentence: words::BATCH_NO_ANSWER.to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use domain::Clock;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use jiff::Timestamp;
    use runtime::testing::{JumpingClock, SeededEntropy};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;
    use crate::batches::calls::Answers;
    use crate::batches::{FailedLine, Figures, Plan};
    use crate::lines::Lines;

    /// An API that does as it is told.
    #[derive(Default)]
    struct Told {
        /// How many answers each stream gives before it breaks; then streams go through.
        streams: Mutex<Vec<usize>>,
        /// What single calls answer, last first; then they work.
        calls: Mutex<Vec<Status>>,
        asked: AtomicUsize,
        silent: bool,
    }

    impl Told {
        async fn call(&self) -> Result<(), Status> {
            if self.silent {
                std::future::pending::<()>().await;
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            let status = self.calls.lock().unwrap().pop();
            status.map_or(Ok(()), Err)
        }
    }

    impl Calls for Arc<Told> {
        fn add(&self, names: Names) -> BoxFuture<'_, Result<Answers, Status>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let last = self.streams.lock().unwrap().pop();
            let answers = names.map(|request| {
                let result = if request.name.starts_with("bad") {
                    Answer::Error(v1::BatchError {
                        reason: "NAME_INVALID".to_owned(),
                        message: "not this one".to_owned(),
                    })
                } else {
                    Answer::Added(v1::BatchAdded {
                        created: !request.name.starts_with("old"),
                        name: request.name.clone(),
                    })
                };
                Ok(v1::BatchAddDomainsResponse { name: request.name, result: Some(result) })
            });
            let answers = match last {
                Some(last) => {
                    answers.take(last).chain(stream::iter([Err(Status::unavailable("gone"))])).boxed()
                }
                None => answers.boxed(),
            };
            async move { Ok(answers) }.boxed()
        }

        fn recheck(&self, _: String) -> BoxFuture<'_, Result<(), Status>> {
            self.call().boxed()
        }

        fn delete(&self, _: String, _: bool) -> BoxFuture<'_, Result<(), Status>> {
            self.call().boxed()
        }
    }

    fn typed(code: tonic::Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "ssl-manager", []);
        Status::with_error_details(code, "no", details)
    }

    async fn done(what: BatchKind, text: &str, told: &Arc<Told>) -> (Figures, Vec<FailedLine>) {
        let clock = Arc::new(JumpingClock::new(Timestamp::UNIX_EPOCH));
        let batches = Batches::new(clock.clone(), Arc::new(SeededEntropy::new(1)));
        let batch = begun(&batches, what, text);
        run(&batches, batch.clone(), told.clone(), CancellationToken::new()).await;
        assert!(clock.now() < Timestamp::from_second(60).unwrap());
        (batch.figures(), batch.failures(0, 100))
    }

    fn begun(batches: &Batches, what: BatchKind, text: &str) -> Arc<Batch> {
        let plan = Plan { what, names: Lines::parse(text).unwrap().names, failures: Vec::new(), repeated: 0 };
        let batch = batches.keep("eve", plan).unwrap();
        assert!(batch.begin(false));
        batch
    }

    const THREE: &str = "old.example.com\nbad.example.com\nnew.example.com";

    #[tokio::test]
    async fn each_line_gets_its_own_answer() {
        let told = Arc::new(Told::default());
        let (figures, failures) = done(BatchKind::Add, THREE, &told).await;
        assert_eq!(figures.phase, Phase::Done);
        assert_eq!((figures.total, figures.answered), (3, 3));
        assert_eq!((figures.done, figures.already, figures.failures), (1, 1, 1));
        assert_eq!(failures[0].line.number, 2);
        assert_eq!(failures[0].reason, "NAME_INVALID");
        assert_eq!(failures[0].sentence, "Not this one.");
    }

    #[tokio::test]
    async fn a_broken_stream_goes_on_where_it_broke() {
        let told = Arc::new(Told::default());
        *told.streams.lock().unwrap() = vec![0, 1, 1];
        let (figures, _) = done(BatchKind::Add, THREE, &told).await;
        assert_eq!(figures.phase, Phase::Done);
        assert_eq!((figures.done, figures.already, figures.failures), (1, 1, 1));
        assert_eq!(told.asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn an_api_that_stays_away_leaves_every_line_with_an_answer() {
        let told = Arc::new(Told::default());
        *told.streams.lock().unwrap() = vec![0; 10];
        let (figures, failures) = done(BatchKind::Add, THREE, &told).await;
        assert_eq!(figures.phase, Phase::Stopped);
        assert_eq!((figures.answered, figures.failures), (0, 3));
        assert!(failures.iter().all(|failure| failure.sentence == words::BATCH_AWAY));
        assert_eq!(told.asked.load(Ordering::Relaxed), MAX_TRIES as usize);
    }

    #[tokio::test]
    async fn a_call_is_made_again_while_the_api_is_away_and_never_after_a_no() {
        let told = Arc::new(Told::default());
        *told.calls.lock().unwrap() = vec![Status::unavailable("gone"), Status::unavailable("gone")];
        let (figures, _) = done(BatchKind::Recheck, "a.example.com", &told).await;
        assert_eq!((figures.phase, figures.done), (Phase::Done, 1));
        assert_eq!(told.asked.load(Ordering::Relaxed), 3);

        let told = Arc::new(Told::default());
        *told.calls.lock().unwrap() = vec![typed(tonic::Code::NotFound, "DOMAIN_NOT_FOUND")];
        let (figures, failures) = done(BatchKind::Delete, "a.example.com", &told).await;
        assert_eq!((figures.phase, figures.done, figures.failures), (Phase::Done, 0, 1));
        assert_eq!(failures[0].reason, "DOMAIN_NOT_FOUND");
        assert_eq!(told.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_delete_whose_answer_was_lost_is_done() {
        let told = Arc::new(Told::default());
        *told.calls.lock().unwrap() =
            vec![typed(tonic::Code::NotFound, "DOMAIN_NOT_FOUND"), Status::unavailable("gone")];
        let (figures, _) = done(BatchKind::Delete, "a.example.com", &told).await;
        assert_eq!((figures.done, figures.failures), (1, 0));
    }

    #[tokio::test]
    async fn an_ended_session_ends_the_batch() {
        let told = Arc::new(Told::default());
        *told.calls.lock().unwrap() = vec![typed(tonic::Code::Unauthenticated, "TOKEN_INVALID")];
        let names: Vec<String> = (0..100).map(|index| format!("d{index}.example.com ")).collect();
        let (figures, failures) = done(BatchKind::Recheck, &names.concat(), &told).await;
        assert_eq!(figures.phase, Phase::Stopped);
        assert_eq!(figures.done + figures.failures, 100);
        assert_eq!(failures[0].sentence, words::BATCH_SIGNED_OUT);
        assert!(told.asked.load(Ordering::Relaxed) <= AT_ONCE);
    }

    #[tokio::test]
    async fn cancelling_and_the_end_of_the_process_leave_the_rest() {
        for (cancel, phase, sentence) in
            [(true, Phase::Cancelled, words::BATCH_CANCELLED), (false, Phase::Stopped, words::BATCH_STOPPED)]
        {
            let told = Arc::new(Told { silent: true, ..Told::default() });
            let clock = Arc::new(JumpingClock::new(Timestamp::UNIX_EPOCH));
            let batches = Batches::new(clock, Arc::new(SeededEntropy::new(1)));
            let batch = begun(&batches, BatchKind::Recheck, "a.example.com");
            let stop = CancellationToken::new();
            let running = tokio::spawn(run(&batches, batch.clone(), told, stop.clone()));
            if cancel {
                batch.cancel();
            } else {
                stop.cancel();
            }
            running.await.unwrap();
            assert_eq!(batch.figures().phase, phase);
            assert_eq!(batch.failures(0, 1)[0].sentence, sentence);
        }
    }
}
