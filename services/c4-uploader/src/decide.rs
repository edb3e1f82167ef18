//! The decisions of the uploader, as steps: from the domain, the lease, and the latest answers of C4 and the edges.
//! No I/O.

use std::time::Duration;

use domain::sentence::NamedZone;
use domain::{
    Activity, Cause, Domain, EdgesBehind, EventKind, HistoryKind, HttpsSwitch, InvalidTransition, Lease,
    Live, Reason, Retry, SWITCHED_ON, Source, Work, WorkKind, renewal_point,
};
use jiff::{SignedDuration, Timestamp};
use runtime::config::Renewal;
use store::{Certificate, Entry, LastStep, Step, Write};

use crate::ACTOR;
use crate::upload::described;

pub(crate) use self::removal::Holding;
pub(crate) use self::withheld::{Shown, Withheld};

/// Delay of the first comparison after an upload: accidental overwrites happen soon after it.
const FIRST_COMPARISON_DELAY: SignedDuration = SignedDuration::from_mins(5);
const COMPARISON_INTERVAL: SignedDuration = SignedDuration::from_hours(24);
/// A certificate younger than this is not checked for revocation: the CA's list would not show it sooner.
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Attempts at fetching a revocation list before an upload goes without it: within a minute.
const ATTEMPTS_AT_LIST: u32 = 3;
/// Retry interval while the guard after a restore is up.
const GUARDED_DELAY: SignedDuration = SignedDuration::from_mins(1);
/// A new certificate's CA is first asked when to renew it after this time, plus a random part of the spread
/// (seconds).
const FIRST_QUESTION_DELAY: SignedDuration = SignedDuration::from_hours(1);
pub(crate) const FIRST_QUESTION_SPREAD: u64 = 5 * 3600;

/// The certificate to upload or compare.
pub(crate) struct Task {
    /// The domain as last stored.
    pub(crate) domain: Domain,
    pub(crate) certificate: Certificate,
    pub(crate) sealed_key: Vec<u8>,
    /// It is live already: this is a comparison.
    pub(crate) is_live: bool,
    /// Uploading has been failing for some time.
    pub(crate) is_failing: bool,
    /// Whether C4 shows that HTTPS is switched on; none before C4's answer.
    pub(crate) is_https_on: Option<bool>,
}

impl Task {
    pub(crate) fn sha256(&self) -> &str {
        &self.certificate.summary.sha256
    }

    /// Whether the leaf that C4 shows proves that C4 holds this certificate. A customer may paste the same leaf with
    /// another chain, so it proves nothing until a pasted certificate is live.
    pub(crate) fn is_told_by_leaf(&self) -> bool {
        self.is_live || self.certificate.summary.source == Source::C4
    }

    /// Whether the edges are asked until all of them serve it. For a live certificate, this is the case once a
    /// comparison has found an edge that does not.
    pub(crate) fn is_verified_at_edges(&self) -> bool {
        !self.is_live || self.is_failing || self.domain.activity == Activity::VerifyingEdges
    }

    /// SHA-256 of the leaf and of each issuer, as servers show them.
    pub(crate) fn shown_chain(&self) -> Vec<String> {
        let issuers = x509::chain_sha256(&self.certificate.chain_pem).into_iter().skip(1);
        std::iter::once(self.sha256().to_owned()).chain(issuers).collect()
    }

    fn entry(&self, kind: HistoryKind, message: String) -> Entry<'static> {
        Entry { certificate_sha256: Some(self.sha256().to_owned()), ..Entry::new(kind, ACTOR, message) }
    }
}

/// Why C4 did not accept it.
#[derive(Clone, Debug)]
pub(crate) struct UploadError {
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
}

/// Inputs shared by all decisions of one upload.
pub(crate) struct Decider<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) now: Timestamp,
    pub(crate) renewal: &'a Renewal,
    /// Below [`FIRST_QUESTION_SPREAD`].
    pub(crate) random: u64,
    /// Number of edges that must serve a certificate before it counts as live; 0 if none is configured.
    pub(crate) edges: u32,
}

type Decided<T> = Result<T, InvalidTransition>;

impl Decider<'_> {
    /// A certificate that is not valid yet is due when its validity starts, whatever the cause of this upload.
    pub(crate) fn usable_later(&self, certificate: &Certificate) -> Option<LastStep> {
        let usable_at = certificate.summary.usable_at(self.now);
        (usable_at > self.now)
            .then(|| LastStep::postponed(self.lease, self.next(self.lease.work.cause, Some(usable_at))))
    }

    /// Whether the CA may have revoked it without a record here: it is not fresh, as after a restore, a roll back, or
    /// a long absence at C4.
    pub(crate) fn is_in_doubt(&self, certificate: &Certificate) -> bool {
        self.now.duration_since(certificate.created_at) >= FRESH_FOR
    }

    /// Whether it is uploaded although the CA's list is not available: C4 serves no valid certificate, and the list
    /// was requested often enough. A visitor without any certificate is worse off than one with a certificate that is
    /// most likely good.
    pub(crate) fn goes_unvouched(&self, shown: &Shown) -> bool {
        let is_served = shown.certificate.as_ref().is_some_and(|held| self.now < held.not_after);
        !is_served && self.lease.work.attempts >= ATTEMPTS_AT_LIST
    }

    /// The CA's list is not available: it is requested again later.
    pub(crate) fn unvouched(&self) -> LastStep {
        let attempts = self.lease.work.attempts + 1;
        let due_at = Retry::CouldNotAsk.due(attempts, self.now);
        LastStep::postponed(self.lease, Work { attempts, ..self.next(self.lease.work.cause, due_at) })
    }

    /// The upload waits until the guard after a restore is down. That is stored as the reason of a certificate that is
    /// not live yet.
    pub(crate) fn guarded(&self, domain: &Domain, task: &Task) -> Decided<LastStep> {
        let next = self.next(self.lease.work.cause, Some(self.now + GUARDED_DELAY));
        let step = Step::new("upload_guarded", self.lease, domain);
        if task.is_live || task.is_failing || domain.waiting == Some(Reason::RestoreGuard) {
            return Ok(step.then(next));
        }
        let after = domain.clone().doing(Activity::Uploading, Some(Reason::RestoreGuard))?;
        Ok(step.becomes(after).then(next))
    }

    /// A certificate that ended, or that is to be revoked, is not uploaded. If C4 never accepted it, the next one is
    /// ordered, or the customer must paste one; the live certificate continues to be compared.
    pub(crate) fn of_no_use(&self, domain: &Domain, certificate: &Certificate) -> Decided<LastStep> {
        let step = Step::new("upload_of_no_use", self.lease, domain);
        if domain.is_live(certificate.id()) {
            return Ok(step.done());
        }
        let step = match certificate.summary.source {
            Source::C4 => step.and(Write::ScheduleIfNone(issue(domain, self.now))),
            Source::Text => {
                let at = certificate.summary.not_after;
                step.becomes(domain.clone().upload_given_up(Reason::PastedEnded { at })?)
            }
        };
        Ok(match domain.serving(self.now) {
            Some(live) => step.then(Work {
                certificate: Some(live.certificate),
                attempts: 0,
                ..self.next(Cause::Compare, Some(self.now))
            }),
            None => step.done(),
        })
    }

    /// An upload is about to be sent.
    pub(crate) fn intent(
        &self,
        domain: &Domain,
        task: &Task,
        shown: Option<&str>,
        fallen_back: Option<&EdgesBehind>,
    ) -> Decided<Step> {
        let entry = (task.is_live && !task.is_failing).then(|| {
            let message = match fallen_back {
                Some(behind) => format!("Edges serve something else than the live certificate: {behind}."),
                None => format!("C4 holds {} instead of the live one.", described(shown)),
            };
            task.entry(HistoryKind::DifferenceFound, message)
        });
        let numbered = if task.is_live { domain.uploading_again() } else { domain.uploading() };
        let after = numbered.doing(Activity::Uploading, None)?;
        Ok(Step::new("upload_intent", self.lease, domain).becomes(after).told(entry))
    }

    /// C4 has seen a higher revision than the last one that was sent, but our upload must go through.
    pub(crate) fn higher_revision(&self, domain: &Domain) -> Step {
        Step::new("upload_revision", self.lease, domain).becomes(domain.uploading_over(self.now))
    }

    /// C4 shows our certificate; `sent` if this run put it there.
    pub(crate) fn live(&self, domain: &Domain, task: &Task, sent: bool) -> Decided<LastStep> {
        let is_new = !domain.is_live(task.certificate.id());
        let step = Step::new("upload_live", self.lease, domain);
        let step = if is_new || sent || !is_settled(domain) {
            let ends = NamedZone::utc().time(task.certificate.summary.not_after);
            let message = format!("Active at C4, valid until {ends}.");
            let entry = task.entry(HistoryKind::CertificateUploaded, message);
            let step = self.goes_live(step, domain, &task.certificate, entry)?;
            if self.edges > 0 && (sent || task.is_verified_at_edges()) {
                step.and(Write::ServedByEdges(task.certificate.id(), self.edges))
            } else {
                step
            }
        } else {
            step
        };
        let step = switched(step, task)?;
        let pause = if is_new || sent { FIRST_COMPARISON_DELAY } else { COMPARISON_INTERVAL };
        Ok(step.then(Work { attempts: 0, ..self.next(Cause::Compare, Some(self.now + pause)) }))
    }

    fn goes_live(
        &self,
        step: Step,
        domain: &Domain,
        certificate: &Certificate,
        entry: Entry<'static>,
    ) -> Decided<Step> {
        let summary = &certificate.summary;
        let is_new = !domain.is_live(summary.id);
        let live = Live { certificate: summary.id, not_after: certificate.ends_at() };
        let mut after = domain.clone().uploaded(live)?;
        // Uploading the live certificate again does not remove an obstacle to its renewal.
        if !is_new && let Some(reason) = domain.block().cloned() {
            after = after.blocked(reason)?;
        }
        let renewal = self.renewal_of(&after, certificate);
        let mut step = step.becomes(after).told(Some(entry)).and(Write::Uploaded(summary.id));
        if is_new && summary.source == Source::C4 {
            step = step.and(Write::Schedule(renewal));
        }
        if is_new {
            // Revocations that waited for this replacement are due now.
            step = step.and(Write::DueNow(WorkKind::Revoke));
        }
        Ok(step.and(Write::Publish(EventKind::CertUploaded { certificate: summary.id })))
    }

    /// The renewal's timer; or, if it comes earlier, the first request for renewal information.
    fn renewal_of(&self, domain: &Domain, certificate: &Certificate) -> Work {
        let summary = &certificate.summary;
        let renewal_at = certificate.renewal.map_or_else(
            || renewal_point(summary.not_before, summary.not_after, self.renewal.pre_expiry_days),
            |renewal| renewal.at,
        );
        let first_question = self.now + FIRST_QUESTION_DELAY + SignedDuration::from_secs(self.random as i64);
        if self.renewal.ari && certificate.account.is_some() && first_question < renewal_at {
            Work { cause: Cause::RenewalInfo, ..issue(domain, first_question) }
        } else {
            issue(domain, renewal_at)
        }
    }

    /// C4 shows our certificate, but these edges do not serve it yet. This is an emergency once it takes too long.
    pub(crate) fn not_served(&self, domain: &Domain, task: &Task, behind: &EdgesBehind) -> Decided<LastStep> {
        let reason = Reason::NotServed { behind: behind.clone() };
        if self.is_overdue(task) {
            return self.emergency(domain, task, reason, None);
        }
        let attempts = self.lease.work.attempts + 1;
        let entry =
            (attempts == 1).then(|| task.entry(HistoryKind::NotServedYet, reason.message(&domain.name)));
        let after = domain.clone().doing(Activity::VerifyingEdges, Some(reason))?;
        let next = Work { attempts, ..self.next(Cause::Retry, Retry::Edges.due(attempts, self.now)) };
        Ok(Step::new("upload_not_served", self.lease, domain)
            .becomes(after)
            .told(entry)
            .and(Write::Uploaded(task.certificate.id()))
            .then(next))
    }

    /// Whether edges that do not serve it are an emergency.
    pub(crate) fn is_overdue(&self, task: &Task) -> bool {
        task.is_failing || self.lease.work.attempts + 1 >= Retry::LAST_OF_EDGES
    }

    /// C4 does not know the domain. `c4s_fault`: C4 reports so many domains as unknown that its answer is not
    /// believed.
    pub(crate) fn unknown(&self, domain: &Domain, c4s_fault: bool) -> Decided<LastStep> {
        let again = domain.missing().is_some();
        let attempts = if again { self.lease.work.attempts + 1 } else { 1 };
        let after = domain.clone().unknown_to_c4(self.now, c4s_fault)?;
        let mut due_at = Retry::Unknown.due(attempts, self.now);
        if !after.is_unknown_to_c4() {
            due_at = due_at.or_else(|| self.now.checked_add(Retry::MISSING_INTERVAL).ok());
        }
        let told = again && domain.is_unknown_to_c4() == after.is_unknown_to_c4();
        let message = Reason::UnknownToC4.message(&domain.name);
        let entry = (!told).then(|| Entry::new(HistoryKind::UnknownToC4, ACTOR, message));
        let next = Work { attempts, ..self.next(Cause::Retry, due_at) };
        Ok(Step::new("upload_unknown", self.lease, domain).becomes(after).told(entry).then(next))
    }

    /// A comparison got no answer: its result is unknown, so nothing changes.
    pub(crate) fn not_compared(&self, domain: &Domain, retry_after: Option<Duration>) -> LastStep {
        let attempts = self.lease.work.attempts + 1;
        let due_at = self.not_before(Retry::CouldNotAsk, attempts, retry_after);
        let next = Work { attempts, ..self.next(Cause::Compare, due_at) };
        Step::new("upload_not_compared", self.lease, domain).then(next)
    }

    /// C4 did not accept it, and the quick attempts are used up.
    pub(crate) fn failed(&self, domain: &Domain, task: &Task, error: &UploadError) -> Decided<LastStep> {
        let reason = Reason::UploadFailed { detail: error.detail.clone() };
        self.emergency(domain, task, reason, error.retry_after)
    }

    fn emergency(
        &self,
        domain: &Domain,
        task: &Task,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Decided<LastStep> {
        let was = domain.upload_failing();
        let attempts = if was.is_some() { self.lease.work.attempts + 1 } else { 1 };
        let entry = (was != Some(&reason))
            .then(|| task.entry(HistoryKind::UploadFailed, reason.message(&domain.name)));
        let after = domain.clone().upload_failed(reason)?;
        let next = Work {
            attempts,
            ..self.next(Cause::Retry, self.not_before(Retry::Upload, attempts, retry_after))
        };
        Ok(Step::new("upload_failed", self.lease, domain)
            .becomes(after)
            .told(entry)
            .and(Write::Publish(EventKind::UploadFailed { certificate: task.certificate.id() }))
            .then(next))
    }

    fn next(&self, cause: Cause, due_at: Option<Timestamp>) -> Work {
        Work { cause, due_at, ..self.lease.work.clone() }
    }

    /// The scheduled time, or the end of C4's Retry-After, whichever is later.
    fn not_before(&self, retry: Retry, attempts: u32, retry_after: Option<Duration>) -> Option<Timestamp> {
        let asked = retry_after.and_then(|wait| self.now.checked_add(wait).ok());
        retry.due(attempts, self.now).map(|due_at| asked.map_or(due_at, |asked| due_at.max(asked)))
    }
}

/// Whether a comparison without a difference has nothing to repair.
fn is_settled(domain: &Domain) -> bool {
    domain.missing().is_none()
        && domain.upload_failing().is_none()
        && !matches!(domain.activity, Activity::Uploading | Activity::VerifyingEdges)
}

fn issue(domain: &Domain, due_at: Timestamp) -> Work {
    Work::due(domain, WorkKind::Issue, Cause::Renewal, due_at)
}

mod paused;
mod removal;
mod withheld;

/// The customer switched HTTPS off, after it was on, or on again, which resumes a resting domain.
fn switched(step: Step, task: &Task) -> Decided<Step> {
    let after = step.after.clone();
    Ok(match (task.is_https_on, after.https()) {
        (Some(false), HttpsSwitch::On) => {
            let entry = Entry::new(HistoryKind::HttpsOff, ACTOR, Reason::HttpsOff.message(&after.name));
            step.becomes(after.https_off()?).told(Some(entry))
        }
        (Some(true), HttpsSwitch::Off) => {
            let entry = Entry::new(HistoryKind::HttpsOn, ACTOR, SWITCHED_ON);
            step.becomes(after.https_on()?).told(Some(entry)).and(Write::DueNow(WorkKind::Issue))
        }
        _ => step,
    })
}

#[cfg(test)]
mod tests;
