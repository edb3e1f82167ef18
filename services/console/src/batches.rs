//! Work on many domains at once, in the background: a batch has its own address, so that no page has to stay open for
//! it, and every line gets its own result.
//!
//! Batches live in the memory of this process and end with it. Why not in the store: the console has none. Finished
//! domains stay done, and repeating them does no harm, so after a restart the user sends the same list again.

mod calls;
mod run;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, Entropy};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::lines::Line;

pub(crate) use calls::AsPerson;
pub(crate) use run::run;

const MAX_BATCHES: usize = 100;
/// Of all that is kept together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Memory of a line besides its text.
const LINE_BYTES: usize = 64;
const RETENTION: SignedDuration = SignedDuration::from_hours(1);
/// Batches that run at once; others wait for their turn.
const RUNNING: usize = 4;
/// Names that a page shows before it begins.
pub(crate) const SAMPLE: usize = 20;

/// The action on each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    Add,
    Recheck,
    Delete,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not confirmed yet.
    Draft,
    /// Queued behind other batches.
    Waiting,
    Running,
    /// Every line has its result.
    Done,
    /// A user cancelled the rest.
    Cancelled,
    /// An error that concerns every line stopped the rest.
    Stopped,
}

impl Phase {
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Stopped)
    }
}

/// A line that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedLine {
    pub(crate) line: Line,
    /// As in `google.rpc.ErrorInfo`.
    pub(crate) reason: String,
    pub(crate) sentence: String,
}

/// A batch in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) phase: Phase,
    /// Lines that are to be done.
    pub(crate) total: usize,
    /// Of them, those that have an answer.
    pub(crate) answered: usize,
    pub(crate) done: usize,
    /// Those that were as wished already.
    pub(crate) already: usize,
    /// Failed lines, and those that never could.
    pub(crate) failures: usize,
    /// Names that stood in the list twice.
    pub(crate) repeated: usize,
}

/// The result of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Already,
    Failed { reason: String, sentence: String },
}

/// A plan for many names.
pub(crate) struct Plan {
    pub(crate) what: BatchKind,
    pub(crate) names: Vec<Line>,
    /// Lines that cannot be done.
    pub(crate) failures: Vec<FailedLine>,
    pub(crate) repeated: usize,
}

impl Plan {
    fn bytes(&self) -> usize {
        let names = self.names.iter().map(|line| line.text.len() + LINE_BYTES);
        let failures = self.failures.iter();
        let failures =
            failures.map(|failure| failure.line.text.len() + failure.sentence.len() + 2 * LINE_BYTES);
        names.chain(failures).sum()
    }
}

/// One batch.
pub(crate) struct Batch {
    /// 128 random bits in hex.
    pub(crate) id: String,
    owner: String,
    pub(crate) what: BatchKind,
    pub(crate) names: Arc<[Line]>,
    repeated: usize,
    bytes: usize,
    cancel: CancellationToken,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Of the last change that a person made or waits for.
    touched_at: Timestamp,
    /// By position.
    answered: Vec<bool>,
    done: usize,
    already: usize,
    /// By line and position.
    failures: BTreeMap<(u32, usize), FailedLine>,
    /// Whether C4 shall forget what is deleted.
    remove_from_c4: bool,
}

impl Batch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn figures(&self) -> Figures {
        let state = self.state();
        Figures {
            phase: state.phase,
            total: self.names.len(),
            answered: state.answered.iter().filter(|answered| **answered).count(),
            done: state.done,
            already: state.already,
            failures: state.failures.len(),
            repeated: self.repeated,
        }
    }

    /// Failures in the order of their lines.
    pub(crate) fn failures(&self, from: usize, most: usize) -> Vec<FailedLine> {
        let state = self.state();
        state.failures.values().skip(from).take(most).cloned().collect()
    }

    /// True for the one who has to run it now; a second click finds it begun.
    pub(crate) fn begin(&self, remove_from_c4: bool) -> bool {
        let mut state = self.state();
        let begins = state.phase == Phase::Draft;
        if begins {
            state.phase = Phase::Waiting;
            state.remove_from_c4 = remove_from_c4;
        }
        begins
    }

    /// Leaves the rest undone; a draft is over at once.
    pub(crate) fn cancel(&self) {
        let mut state = self.state();
        if state.phase == Phase::Draft {
            state.phase = Phase::Cancelled;
        }
        self.cancel.cancel();
    }

    /// The pasted text, to be edited.
    pub(crate) fn text(&self) -> String {
        let state = self.state();
        let failures = state.failures.values().map(|failure| &failure.line);
        let mut lines: Vec<&Line> = self.names.iter().chain(failures).collect();
        lines.sort_by_key(|line| line.number);
        let texts: Vec<&str> = lines.into_iter().map(|line| line.text.as_str()).collect();
        texts.join("\n")
    }

    fn remove_from_c4(&self) -> bool {
        self.state().remove_from_c4
    }

    fn runs(&self) {
        self.state().phase = Phase::Running;
    }

    fn note(&self, position: usize, outcome: Outcome) {
        let mut state = self.state();
        state.answered[position] = true;
        match outcome {
            Outcome::Done => state.done += 1,
            Outcome::Already => state.already += 1,
            Outcome::Failed { reason, sentence } => {
                let line = self.names[position].clone();
                let failure = FailedLine { line, reason, sentence };
                let key = (failure.line.number, position);
                state.failures.insert(key, failure);
            }
        }
    }

    /// The same answer for every line that has none.
    fn leave(&self, reason: &str, sentence: &str) {
        let mut state = self.state();
        for position in 0..self.names.len() {
            if !state.answered[position] {
                let failure = FailedLine {
                    line: self.names[position].clone(),
                    reason: reason.to_owned(),
                    sentence: sentence.to_owned(),
                };
                state.failures.insert((failure.line.number, position), failure);
            }
        }
    }

    fn ends(&self, phase: Phase, now: Timestamp) {
        let mut state = self.state();
        state.phase = phase;
        state.touched_at = now;
    }

    fn is_in_use(&self) -> bool {
        matches!(self.state().phase, Phase::Waiting | Phase::Running)
    }
}

/// There is no room for another batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// All batches of this process.
pub(crate) struct Batches {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    turns: Arc<Semaphore>,
    /// Oldest first.
    kept: Mutex<Vec<Arc<Batch>>>,
}

impl Batches {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, turns: Arc::new(Semaphore::new(RUNNING)), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Arc<Batch>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.clock.now() - RETENTION;
        kept.retain(|batch| batch.is_in_use() || batch.state().touched_at > old);
        kept
    }

    /// Keeps what is to be done. If there is no room, the oldest that is not being done goes.
    pub(crate) fn keep(&self, owner: &str, plan: Plan) -> Result<Arc<Batch>, Full> {
        let bytes = plan.bytes();
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let failures = plan.failures.into_iter().enumerate();
        let failures = failures.map(|(index, failure)| {
            // After every name of its line.
            let key = (failure.line.number, usize::MAX / 2 + index);
            (key, failure)
        });
        let names = plan.names.len();
        let batch = Arc::new(Batch {
            id: hex::encode(id),
            owner: owner.to_owned(),
            what: plan.what,
            names: plan.names.into(),
            repeated: plan.repeated,
            bytes,
            cancel: CancellationToken::new(),
            state: Mutex::new(State {
                phase: Phase::Draft,
                touched_at: self.clock.now(),
                answered: vec![false; names],
                done: 0,
                already: 0,
                failures: failures.collect(),
                remove_from_c4: false,
            }),
        });
        let mut kept = self.kept();
        while kept.len() >= MAX_BATCHES
            || kept.iter().map(|batch| batch.bytes).sum::<usize>() + bytes > MAX_BYTES
        {
            let idle = kept.iter().position(|batch| !batch.is_in_use()).ok_or(Full)?;
            kept.remove(idle);
        }
        kept.push(batch.clone());
        Ok(batch)
    }

    /// A batch of this person; those of others do not exist.
    pub(crate) fn find(&self, id: &str, owner: &str) -> Option<Arc<Batch>> {
        let kept = self.kept();
        let mut own = kept.iter().filter(|batch| batch.owner == owner);
        own.find(|batch| batch.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use runtime::testing::{ManualClock, SeededEntropy};

    use super::*;

    fn batches() -> (Arc<ManualClock>, Batches) {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let batches = Batches::new(clock.clone(), Arc::new(SeededEntropy::new(1)));
        (clock, batches)
    }

    fn plan(names: usize) -> Plan {
        let line =
            |index| Line { number: u32::try_from(index).unwrap(), text: format!("d{index}.example.com") };
        Plan {
            what: BatchKind::Add,
            names: (0..names).map(line).collect(),
            failures: Vec::new(),
            repeated: 0,
        }
    }

    #[test]
    fn a_batch_is_there_for_its_owner_alone() {
        let (_, batches) = batches();
        let batch = batches.keep("eve", plan(2)).unwrap();
        assert_eq!(batch.id.len(), 32);
        assert!(batches.find(&batch.id, "eve").is_some());
        assert!(batches.find(&batch.id, "mallory").is_none());
        assert!(batches.find("", "eve").is_none());
        assert_ne!(batches.keep("eve", plan(2)).unwrap().id, batch.id);
    }

    #[test]
    fn what_is_over_is_forgotten_after_an_hour_and_what_runs_is_not() {
        let (clock, batches) = batches();
        let draft = batches.keep("eve", plan(1)).unwrap();
        let running = batches.keep("eve", plan(1)).unwrap();
        assert!(running.begin(false) && !running.begin(false));
        running.runs();
        clock.advance(SignedDuration::from_mins(59));
        assert!(batches.find(&draft.id, "eve").is_some());
        clock.advance(SignedDuration::from_mins(1));
        assert!(batches.find(&draft.id, "eve").is_none());
        assert!(batches.find(&running.id, "eve").is_some());
        running.ends(Phase::Done, clock.now());
        clock.advance(SignedDuration::from_mins(59));
        assert!(batches.find(&running.id, "eve").is_some());
        clock.advance(SignedDuration::from_mins(1));
        assert!(batches.find(&running.id, "eve").is_none());
    }

    #[test]
    fn there_is_room_for_so_many_and_what_runs_is_never_pushed_out() {
        let (_, batches) = batches();
        let first = batches.keep("eve", plan(1)).unwrap();
        let second = batches.keep("eve", plan(1)).unwrap();
        assert!(first.begin(false));
        for _ in 0..MAX_BATCHES - 2 {
            batches.keep("eve", plan(1)).unwrap();
        }
        assert!(batches.find(&second.id, "eve").is_some());
        batches.keep("eve", plan(1)).unwrap();
        assert!(batches.find(&first.id, "eve").is_some());
        assert!(batches.find(&second.id, "eve").is_none());
        for batch in batches.kept().iter() {
            batch.begin(false);
        }
        assert_eq!(batches.keep("eve", plan(1)).err(), Some(Full));
    }

    #[test]
    fn their_bytes_are_bounded_too() {
        let (_, batches) = batches();
        let big = || Plan {
            failures: vec![FailedLine {
                line: Line { number: 1, text: "x".repeat(MAX_BYTES / 2) },
                reason: String::new(),
                sentence: String::new(),
            }],
            ..plan(1)
        };
        let first = batches.keep("eve", big()).unwrap();
        let second = batches.keep("eve", big()).unwrap();
        assert!(batches.find(&first.id, "eve").is_none());
        assert!(batches.find(&second.id, "eve").is_some());
    }
}
