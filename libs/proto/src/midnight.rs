//! The midnight report as messages, and in a sentence.

use domain::MidnightOutcome;
use domain::sentence::{MidnightTotals, NamedZone, midnight};
use jiff::tz::TimeZone;

use crate::{from_timestamp, v1};

impl From<MidnightOutcome> for v1::MidnightOutcome {
    fn from(outcome: MidnightOutcome) -> Self {
        match outcome {
            MidnightOutcome::Waiting => Self::Waiting,
            MidnightOutcome::Works => Self::Works,
            MidnightOutcome::Changed => Self::Changed,
            MidnightOutcome::Unchanged => Self::Unchanged,
            MidnightOutcome::Deleted => Self::Deleted,
        }
    }
}

/// The outcome; none for an unspecified one.
pub fn midnight_outcome(message: v1::MidnightOutcome) -> Option<MidnightOutcome> {
    MidnightOutcome::ALL.into_iter().find(|outcome| v1::MidnightOutcome::from(*outcome) == message)
}

/// A report in a sentence, dated as its reader dates it; none if there was no midnight yet.
pub fn midnight_sentence(report: &v1::GetMidnightReportResponse, reader: &NamedZone) -> Option<String> {
    let at = from_timestamp(report.at.as_ref()?)?;
    let mut totals = MidnightTotals::default();
    for count in &report.counts {
        if let Some(outcome) = midnight_outcome(count.outcome()) {
            totals.add(outcome, count.domains);
        }
    }
    let label = report.time_zone.rsplit('/').next().unwrap_or_default().replace('_', " ");
    let rules = TimeZone::get(&report.time_zone).unwrap_or(TimeZone::UTC);
    Some(midnight(at, &NamedZone { rules, label }, reader, &totals))
}
