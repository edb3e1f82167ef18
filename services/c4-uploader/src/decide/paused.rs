//! C4 is paused by an operator: nothing was sent, so nothing new is known.

use domain::{Activity, Domain, HistoryKind, Outbound, Pause, Reason, Work};
use store::{LastStep, Step};

use super::{Decided, Decider, Task};

impl Decider<'_> {
    /// The work waits unchanged, and no attempt is counted. The pause is stored as the reason of a certificate that
    /// is not live yet; a skipped comparison stores nothing.
    pub(crate) fn paused(&self, domain: &Domain, task: &Task, pause: Pause) -> Decided<LastStep> {
        let next = Work { due_at: self.now.checked_add(Pause::LOOK_AGAIN).ok(), ..self.lease.work.clone() };
        let step = Step::new("upload_paused", self.lease, domain);
        let reason = Reason::PausedByOperator { pause };
        if task.is_live || task.is_failing || domain.waiting.as_ref() == Some(&reason) {
            return Ok(step.then(next).paused_for(Outbound::C4));
        }
        let entry = task.entry(HistoryKind::Paused, reason.message(&domain.name));
        let after = domain.clone().doing(Activity::Uploading, Some(reason))?;
        Ok(step.becomes(after).told(Some(entry)).then(next).paused_for(Outbound::C4))
    }
}
