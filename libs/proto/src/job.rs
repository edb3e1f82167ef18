//! Jobs as messages, and in words.

use domain::{JobKind, JobParameters, JobState, LineOutcome};

use crate::v1;

macro_rules! messages {
    ($name:ident, $back:ident: $($variant:ident),+) => {
        impl From<$name> for v1::$name {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$variant),+
                }
            }
        }

        /// The value; none for an unspecified one.
        pub fn $back(message: v1::$name) -> Option<$name> {
            $name::ALL.into_iter().find(|value| v1::$name::from(*value) == message)
        }
    };
}

messages!(JobKind, job_kind: Add, Recheck, Delete, Generate, Reissue, Label);
messages!(LineOutcome, line_outcome: Waiting, Asked, Works, Unchanged, Changed, Unknown, Done, Already, Failed, Refused, Repeated);

impl From<JobState> for v1::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Receiving => Self::Unspecified,
            JobState::Draft => Self::Draft,
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Cancelled => Self::Cancelled,
            JobState::Stopped => Self::Stopped,
        }
    }
}

/// The word of the command line: `draft`, `queued` …; empty for an unspecified one.
pub fn job_state_word(message: v1::JobState) -> &'static str {
    let known = JobState::ALL.into_iter().find(|state| v1::JobState::from(*state) == message);
    known.filter(|state| *state != JobState::Receiving).map_or("", JobState::as_str)
}

/// Nothing more happens to a job in that state.
pub fn is_job_over(state: v1::JobState) -> bool {
    matches!(state, v1::JobState::Done | v1::JobState::Cancelled | v1::JobState::Stopped)
}

/// What a job does beside its kind, as its message has it.
pub fn put_job_parameters(parameters: &JobParameters, job: &mut v1::Job) {
    job.remove_from_c4 = parameters.remove_from_c4;
    job.customer_ref.clone_from(&parameters.customer_ref);
    let labels = parameters.labels.iter();
    job.labels = labels.map(|(key, value)| v1::Label { key: key.clone(), value: value.clone() }).collect();
    job.remove_labels.clone_from(&parameters.remove_labels);
}

/// How many lines of a job have that outcome.
pub fn job_lines_with(job: &v1::Job, outcome: LineOutcome) -> u32 {
    let wanted = v1::LineOutcome::from(outcome);
    job.counts.iter().filter(|count| count.outcome() == wanted).map(|count| count.lines).sum()
}

/// How many lines of a job have an outcome that is final.
pub fn job_lines_done(job: &v1::Job) -> u32 {
    let finals = LineOutcome::ALL.into_iter().filter(|outcome| outcome.is_final());
    finals.map(|outcome| job_lines_with(job, outcome)).sum()
}

/// An outcome in a few words, which follow a number: "12 now work".
pub fn outcome_words(kind: v1::JobKind, outcome: LineOutcome, is_over: bool) -> &'static str {
    match (outcome, kind) {
        (LineOutcome::Waiting, _) if is_over => "not done",
        (LineOutcome::Waiting, _) => "waiting",
        (LineOutcome::Asked, _) if is_over => "rechecked, result not awaited",
        (LineOutcome::Asked, _) => "being checked",
        (LineOutcome::Works, _) => "now work",
        (LineOutcome::Unchanged, _) => "unchanged",
        (LineOutcome::Changed, _) => "changed",
        (LineOutcome::Unknown, _) => "without a result within 10 minutes",
        (LineOutcome::Done, v1::JobKind::Add) => "added",
        (LineOutcome::Done, v1::JobKind::Delete) => "deleted",
        (LineOutcome::Done, v1::JobKind::Generate) => "requested",
        (LineOutcome::Done, v1::JobKind::Reissue) => "reissue requested",
        (LineOutcome::Done, v1::JobKind::Label) => "labelled",
        (LineOutcome::Done, _) => "done",
        (LineOutcome::Already, v1::JobKind::Add) => "on the list already",
        (LineOutcome::Already, _) => "nothing to do",
        (LineOutcome::Failed, _) => "failed",
        (LineOutcome::Refused, _) => "not a domain name",
        (LineOutcome::Repeated, _) => "listed twice",
    }
}

/// The figures of a job in a line: "12 now work, 75 unchanged".
pub fn job_figures(job: &v1::Job) -> String {
    let is_over = is_job_over(job.state());
    let told = LineOutcome::ALL.into_iter().filter_map(|outcome| {
        let lines = job_lines_with(job, outcome);
        (lines > 0).then(|| format!("{lines} {}", outcome_words(job.kind(), outcome, is_over)))
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(kind: JobKind, state: v1::JobState, counts: &[(LineOutcome, u32)]) -> v1::Job {
        let count = |(outcome, lines): &(LineOutcome, u32)| v1::JobCount {
            outcome: v1::LineOutcome::from(*outcome).into(),
            lines: *lines,
        };
        v1::Job {
            kind: v1::JobKind::from(kind).into(),
            state: state.into(),
            counts: counts.iter().map(count).collect(),
            ..v1::Job::default()
        }
    }

    #[test]
    fn every_value_has_its_message() {
        assert!(JobKind::ALL.into_iter().all(|kind| job_kind(kind.into()) == Some(kind)));
        assert!(LineOutcome::ALL.into_iter().all(|of| line_outcome(of.into()) == Some(of)));
        assert_eq!(job_kind(v1::JobKind::Unspecified), None);
        assert_eq!(
            (job_state_word(v1::JobState::Draft), job_state_word(v1::JobState::Unspecified)),
            ("draft", "")
        );
    }

    #[test]
    fn figures_are_a_line() {
        let counts = [(LineOutcome::Unchanged, 75), (LineOutcome::Works, 12), (LineOutcome::Waiting, 3)];
        let running = job(JobKind::Recheck, v1::JobState::Running, &counts);
        assert_eq!(job_figures(&running), "3 waiting, 12 now work, 75 unchanged");
        assert_eq!(job_lines_done(&running), 87);
        let stopped =
            job(JobKind::Delete, v1::JobState::Stopped, &[(LineOutcome::Waiting, 1), (LineOutcome::Done, 2)]);
        assert_eq!(job_figures(&stopped), "1 not done, 2 deleted");
    }
}
