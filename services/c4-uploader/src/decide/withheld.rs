//! Handles certificates that must not replace what C4 holds: C4 is ahead of this database, as after a restore from a
//! backup, or our certificate is revoked.

use c4::C4Certificate;
use domain::{Cause, Domain, HistoryKind, Reason, Source, Work, WorkKind};
use store::{Certificate, Entry, LastStep, Step, Write};

use super::{COMPARISON_INTERVAL, Decided, Decider, FIRST_COMPARISON_DELAY, Task, issue};
use crate::ACTOR;
use crate::upload::described;

/// Why our certificate is not uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// C4 has received an upload or removal that is not stored here.
    Ahead,
    /// Our certificate is revoked, or about to be.
    Revoked,
}

/// What C4 shows for a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The certificate.
    pub(crate) certificate: Option<C4Certificate>,
    /// Its row here, if it is stored.
    pub(crate) row: Option<Certificate>,
}

impl Shown {
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.certificate.as_ref().map(|certificate| certificate.sha256.as_str())
    }

    /// Whether it is pasted; without a certificate, whether a pasted one was expected.
    fn is_pasted(&self, domain: &Domain) -> bool {
        self.certificate.as_ref().map_or(domain.source, |certificate| certificate.source) == Source::Text
    }
}

impl Decider<'_> {
    /// Whether our certificate must not be sent, judged by what C4 shows alone. A certificate that is stored here was
    /// known when ours was requested. A pasted certificate is uploaded whatever the end of the other one.
    pub(crate) fn withholds(&self, task: &Task, shown: &Shown) -> Option<Withheld> {
        let summary = &task.certificate.summary;
        let is_import = summary.source == Source::Text && !task.is_live;
        let is_newer = |other: &C4Certificate| {
            shown.row.is_none() && other.source == summary.source && other.not_after > summary.not_after
        };
        let is_ahead = task.domain.known_ahead(shown.sha256()).is_some()
            || (!is_import && shown.certificate.as_ref().is_some_and(is_newer));
        if is_ahead && !self.is_wanted_all_the_same(task, shown) {
            return Some(Withheld::Ahead);
        }
        task.certificate.withdrawn.then_some(Withheld::Revoked)
    }

    /// Whether ours was ordered or requested after C4 was found to hold this certificate.
    pub(crate) fn is_wanted_all_the_same(&self, task: &Task, shown: &Shown) -> bool {
        task.domain.known_ahead(shown.sha256()).is_some_and(|known| {
            let is_asked_for = !task.is_live && self.lease.work.revision > known.revision;
            is_asked_for || task.certificate.created_at >= known.found_at
        })
    }

    /// Our certificate is not sent. The one at C4 becomes the live one if its key is stored here; otherwise another
    /// one is ordered, or has to be pasted.
    pub(crate) fn withheld(
        &self,
        domain: &Domain,
        task: &Task,
        why: Withheld,
        shown: &Shown,
    ) -> Decided<LastStep> {
        if why == Withheld::Revoked {
            return self.not_uploaded_again(domain, task, shown);
        }
        if let Some(row) = shown.row.as_ref().filter(|row| self.can_serve(row)) {
            return self.taken_over(domain, row);
        }
        let ahead = domain.note_ahead(shown.sha256(), self.now);
        let is_news = domain.ahead_at_c4.as_ref() != Some(&ahead);
        let step = Step::new("upload_withheld", self.lease, domain);
        let (step, then) = if shown.is_pasted(domain) {
            let at = shown.certificate.as_ref().map(|certificate| certificate.not_after);
            let after = domain.clone().overtaken_by_paste(ahead, Reason::PastedLost { at })?;
            (step.becomes(after), "it has to be sent again")
        } else {
            // C4 shows that the pasted certificate was later replaced by a generated one.
            let wanted = match domain.source {
                Source::Text => domain.clone().generate()?,
                Source::C4 => domain.clone(),
            };
            (self.orders(step, wanted.overtaken(ahead)?), "a new one is ordered")
        };
        let message = format!(
            "C4 has had an upload or removal that is not stored here, and holds {}. Ours is not uploaded over it; {then}.",
            described(shown.sha256())
        );
        let entry = is_news.then(|| task.entry(HistoryKind::AheadAtC4, message));
        Ok(self.compared_later(step.told(entry)))
    }

    /// C4 holds something other than the live certificate, which is revoked or about to be.
    fn not_uploaded_again(&self, domain: &Domain, task: &Task, shown: &Shown) -> Decided<LastStep> {
        let step = Step::new("upload_withheld", self.lease, domain);
        let (step, then) = match domain.source {
            Source::C4 => (self.orders(step, domain.clone().replaced()?), "a new one is ordered"),
            Source::Text => (step, "another one has to be pasted or generated"),
        };
        let message = format!(
            "C4 holds {} instead of the live one, which is revoked or to be. That one is not uploaded again; {then}.",
            described(shown.sha256())
        );
        Ok(self.compared_later(step.told(Some(task.entry(HistoryKind::NotUploadedAgain, message)))))
    }

    /// Stores the domain, and orders another certificate for it.
    fn orders(&self, step: Step, after: Domain) -> Step {
        let order = issue(&after, self.now);
        step.becomes(after).and(Write::ScheduleIfFree(order))
    }

    /// C4 is ahead by a certificate that is stored here. From now on our revisions are above C4's.
    fn taken_over(&self, domain: &Domain, row: &Certificate) -> Decided<LastStep> {
        let message =
            format!("C4 was ahead of us, and holds {}: it is the live one.", described_as_ours(row));
        let entry = Entry {
            certificate_sha256: Some(row.summary.sha256.clone()),
            ..Entry::new(HistoryKind::TakenOver, ACTOR, message)
        };
        let step = Step::new("upload_taken_over", self.lease, domain);
        let mut step = self.goes_live(step, domain, row, entry)?;
        step.after = step.after.taken_over(row.summary.source, self.now);
        let step = match row.summary.source {
            Source::C4 => {
                let renewal = self.renewal_of(&step.after, row);
                step.and(Write::ScheduleIfNone(renewal))
            }
            Source::Text => step.and(Write::Cancel(WorkKind::Issue)),
        };
        let due_at = Some(self.now + FIRST_COMPARISON_DELAY);
        Ok(step.then(Work { certificate: Some(row.id()), attempts: 0, ..self.next(Cause::Compare, due_at) }))
    }

    fn can_serve(&self, row: &Certificate) -> bool {
        let is_valid = row.summary.usable_at(self.now) <= self.now && self.now < row.ends_at();
        row.sealed_key.is_some() && !row.withdrawn && is_valid
    }

    /// Ends the lease with the step; a live certificate that is still valid is compared again later.
    fn compared_later(&self, step: Step) -> LastStep {
        let domain = &step.after;
        let next = domain.serving(self.now).map(|live| Work {
            certificate: Some(live.certificate),
            revision: domain.revision,
            attempts: 0,
            ..self.next(Cause::Compare, Some(self.now + COMPARISON_INTERVAL))
        });
        match next {
            Some(next) => step.then(next),
            None => step.done(),
        }
    }
}

fn described_as_ours(row: &Certificate) -> String {
    format!("a certificate that is stored here (SHA-256 {})", row.summary.sha256)
}

#[cfg(test)]
mod tests;
