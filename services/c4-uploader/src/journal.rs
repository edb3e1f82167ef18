//! The steps of an upload as the store sees them: each is one transaction that holds the lease's fencing token.
//!
//! Work of an older revision of the name, or of a deleted one, comes to nothing: its lease is ended, so that the sweep
//! does not find it again.

use std::time::Duration;

use domain::sentence::NamedZone;
use domain::{
    Activity, Cause, CertificateId, Domain, EventKind, HistoryKind, Lease, Live, Reason, Retry, Source, Work,
    WorkKind, renewal_point,
};
use jiff::{SignedDuration, Timestamp};
use runtime::{Context, JobError};
use store::{Certificate, Entry, StoreError, Tx};

use crate::ACTOR;
use crate::upload::described;

/// First comparison after an upload: whatever overwrites it by mistake does so soon.
const FIRST_COMPARE: SignedDuration = SignedDuration::from_mins(5);
const COMPARE_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// A new certificate's CA is first asked when to renew it after this, and up to the spread (seconds) later.
const FIRST_QUESTION: SignedDuration = SignedDuration::from_hours(1);
const FIRST_QUESTION_SPREAD: u64 = 5 * 3600;

/// What is to be uploaded or compared.
pub(crate) struct Task {
    pub(crate) certificate: Certificate,
    pub(crate) sealed_key: Vec<u8>,
    /// It is the live one already: this is a comparison.
    pub(crate) is_live: bool,
    /// Uploading fails for longer already.
    pub(crate) is_failing: bool,
}

impl Task {
    pub(crate) fn sha256(&self) -> &str {
        &self.certificate.summary.sha256
    }

    /// Whether the leaf, which is what C4 shows, says that C4 holds this certificate. A customer may paste the same leaf
    /// with another chain, so until a pasted certificate is live, it says nothing.
    pub(crate) fn is_told_by_leaf(&self) -> bool {
        self.is_live || self.certificate.summary.source == Source::C4
    }
}

/// Why C4 did not take it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
}

/// The journal of one upload.
pub(crate) struct Journal<'a> {
    context: &'a Context,
    lease: &'a Lease,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(context: &'a Context, lease: &'a Lease) -> Self {
        Self { context, lease }
    }

    /// What there is to do; nothing if the work is of no use any more, and then the lease is ended.
    pub(crate) async fn load(&self) -> Result<Option<Task>, JobError> {
        let store = &self.context.store;
        let wanted = match self.lease.work.certificate {
            Some(id) => store.certificate(&self.lease.work.name, id).await?,
            None => None,
        };
        let Some((tx, domain)) = self.open("upload_loaded").await? else {
            return Ok(None);
        };
        let usable = wanted.and_then(|certificate| Some((certificate.sealed_key.clone()?, certificate)));
        let Some((sealed_key, certificate)) = usable else {
            tracing::error!("the certificate or its key is gone, nothing can be uploaded");
            return self.give_up(tx).await.map(|()| None);
        };
        let is_of_no_use = certificate.withdrawn && !is_live(&domain, certificate.id());
        if is_of_no_use || certificate.summary.not_after <= self.context.clock.now() {
            return self.ended(tx, &domain, &certificate).await.map(|()| None);
        }
        let is_live = is_live(&domain, certificate.id());
        if !is_live && self.begins_later(tx, &certificate).await? {
            return Ok(None);
        }
        let is_failing = domain.facts.upload_failing.is_some();
        Ok(Some(Task { certificate, sealed_key, is_live, is_failing }))
    }

    /// Whether a certificate cannot be used yet, whoever asked for its upload now; then that is due once it can.
    async fn begins_later(&self, mut tx: Tx, certificate: &Certificate) -> Result<bool, JobError> {
        let now = self.context.clock.now();
        let usable_at = certificate.summary.usable_at(now);
        if usable_at <= now {
            return Ok(false);
        }
        tracing::info!(certificate.id = %certificate.id(), begins_at = %usable_at, "it cannot be used yet");
        tx.finish(self.lease, Some(&self.next(self.lease.work.cause, Some(usable_at)))).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// That an upload is about to be sent; returns its revision. None if nobody wants it any more.
    pub(crate) async fn intent(&self, task: &Task, shown: Option<&str>) -> Result<Option<i64>, JobError> {
        let Some((mut tx, domain)) = self.open("upload_intent").await? else {
            return Ok(None);
        };
        let entry = (task.is_live && !task.is_failing).then(|| Entry {
            kind: HistoryKind::DifferenceFound,
            actor: ACTOR,
            message: format!("C4 holds {} instead of the live one; it is uploaded again.", described(shown)),
            certificate_sha256: Some(task.sha256().to_owned()),
        });
        let after = raised(&domain).doing(Activity::Uploading, None)?;
        tx.apply(Some(&domain), &after, entry).await?;
        tx.commit().await?;
        Ok(Some(after.upload_revision))
    }

    /// A higher revision, for when C4 has seen a higher one. None if nobody wants the upload any more.
    pub(crate) async fn fresh_revision(&self) -> Result<Option<i64>, JobError> {
        let Some((mut tx, domain)) = self.open("upload_revision").await? else {
            return Ok(None);
        };
        let after = raised(&domain);
        tx.apply(Some(&domain), &after, None).await?;
        tx.commit().await?;
        Ok(Some(after.upload_revision))
    }

    /// C4 shows our certificate.
    pub(crate) async fn live(&self, task: &Task, sent: bool) -> Result<(), JobError> {
        let Some((mut tx, domain)) = self.open("upload_live").await? else {
            return Ok(());
        };
        let now = self.context.clock.now();
        let is_new = !is_live(&domain, task.certificate.id());
        if is_new || sent || !is_settled(&domain) {
            self.go_live(&mut tx, task, &domain, is_new).await?;
        }
        let pause = if is_new || sent { FIRST_COMPARE } else { COMPARE_EVERY };
        let next = Work { attempts: 0, ..self.next(Cause::Compare, Some(now + pause)) };
        tx.finish(self.lease, Some(&next)).await?;
        tx.commit().await?;
        if is_new || sent {
            metrics::counter!("ssl_manager_uploads_total", "result" => "live").increment(1);
            tracing::info!(certificate.id = %task.certificate.id(), "certificate live at C4");
        }
        Ok(())
    }

    async fn go_live(&self, tx: &mut Tx, task: &Task, domain: &Domain, is_new: bool) -> Result<(), JobError> {
        let summary = &task.certificate.summary;
        tx.mark_uploaded(summary.id).await?;
        let live = Live { certificate: summary.id, not_after: task.certificate.ends_at() };
        let mut after = domain.clone().uploaded(live)?;
        // What blocks the renewal of the live certificate is not settled by uploading that one again.
        if !is_new && let Some(reason) = domain.facts.block.clone() {
            after = after.blocked(reason)?;
        }
        let entry = Entry {
            kind: HistoryKind::CertificateUploaded,
            actor: ACTOR,
            message: format!("Active at C4, valid until {}.", NamedZone::utc().time(summary.not_after)),
            certificate_sha256: Some(summary.sha256.clone()),
        };
        tx.apply(Some(domain), &after, Some(entry)).await?;
        if is_new && summary.source == Source::C4 {
            tx.schedule(&self.renewal_of(&after, &task.certificate)).await?;
        }
        if is_new {
            self.revoke_replaced(tx, &after).await?;
        }
        self.publish(tx, EventKind::CertUploaded { certificate: summary.id });
        Ok(())
    }

    /// What waited for its replacement to be revoked waits no longer.
    async fn revoke_replaced(&self, tx: &mut Tx, domain: &Domain) -> Result<(), JobError> {
        let Some(waiting) = tx.work(&domain.name, WorkKind::Revoke).await? else {
            return Ok(());
        };
        let due = Work { due_at: Some(self.context.clock.now()), ..waiting };
        tx.schedule(&due).await?;
        self.publish(tx, EventKind::RevocationRequested);
        Ok(())
    }

    /// The renewal's timer; or, if it comes earlier, the first question to the CA when that should be.
    fn renewal_of(&self, domain: &Domain, certificate: &Certificate) -> Work {
        let settings = &self.context.config.renewal;
        let summary = &certificate.summary;
        let pre_expiry = settings.pre_expiry_days;
        let renewal_at = certificate.renewal.map_or_else(
            || renewal_point(summary.not_before, summary.not_after, pre_expiry),
            |renewal| renewal.at,
        );
        let spread = self.context.entropy.below(FIRST_QUESTION_SPREAD) as i64;
        let first_question = self.context.clock.now() + FIRST_QUESTION + SignedDuration::from_secs(spread);
        if settings.ari && certificate.account.is_some() && first_question < renewal_at {
            Work { cause: Cause::RenewalInfo, ..issue(domain, first_question) }
        } else {
            issue(domain, renewal_at)
        }
    }

    /// C4 shows our certificate, but these edges do not serve it yet. An emergency once it takes too long.
    pub(crate) async fn not_served(&self, task: &Task, edges: String) -> Result<(), JobError> {
        let attempts = self.lease.work.attempts + 1;
        if task.is_failing || attempts >= Retry::LAST_OF_EDGES {
            let reason = Reason::NotServed { edges };
            return self.emergency(task, reason, None).await;
        }
        let Some((mut tx, domain)) = self.open("upload_not_served").await? else {
            return Ok(());
        };
        let now = self.context.clock.now();
        tx.mark_uploaded(task.certificate.id()).await?;
        let reason = Reason::NotServed { edges };
        let entry = (attempts == 1).then(|| Entry {
            kind: HistoryKind::NotServedYet,
            actor: ACTOR,
            message: reason.message(&domain.name),
            certificate_sha256: Some(task.sha256().to_owned()),
        });
        let after = domain.clone().doing(Activity::VerifyingEdges, Some(reason))?;
        tx.apply(Some(&domain), &after, entry).await?;
        let next = Work { attempts, ..self.next(Cause::Retry, Retry::Edges.due(attempts, now)) };
        tx.finish(self.lease, Some(&next)).await?;
        Ok(tx.commit().await?)
    }

    /// C4 does not know the domain.
    pub(crate) async fn unknown(&self) -> Result<(), JobError> {
        let Some((mut tx, domain)) = self.open("upload_unknown").await? else {
            return Ok(());
        };
        let now = self.context.clock.now();
        let again = domain.facts.missing.is_some();
        let attempts = if again { self.lease.work.attempts + 1 } else { 1 };
        let c4s_fault = store::is_c4s_fault(&mut tx, &domain).await?;
        let after = domain.clone().unknown_to_c4(now, c4s_fault)?;
        let mut due_at = Retry::Unknown.due(attempts, now);
        if !after.facts.unknown_to_c4 {
            due_at = due_at.or_else(|| now.checked_add(Retry::ASK_MISSING_EVERY).ok());
        }
        let told = again && domain.facts.unknown_to_c4 == after.facts.unknown_to_c4;
        let message = Reason::UnknownToC4.message(&domain.name);
        let entry = (!told).then(|| Entry::new(HistoryKind::UnknownToC4, ACTOR, message));
        tx.apply(Some(&domain), &after, entry).await?;
        let next = Work { attempts, ..self.next(Cause::Retry, due_at) };
        tx.finish(self.lease, Some(&next)).await?;
        tx.commit().await?;
        metrics::counter!("ssl_manager_uploads_total", "result" => "unknown").increment(1);
        Ok(())
    }

    /// A comparison got no answer: nothing is known, so nothing changes.
    pub(crate) async fn not_compared(&self, retry_after: Option<Duration>) -> Result<(), JobError> {
        let Some((mut tx, _)) = self.open("upload_not_compared").await? else {
            return Ok(());
        };
        let attempts = self.lease.work.attempts + 1;
        let due_at = self.not_before(Retry::CouldNotAsk, attempts, retry_after);
        let next = Work { attempts, ..self.next(Cause::Compare, due_at) };
        tx.finish(self.lease, Some(&next)).await?;
        Ok(tx.commit().await?)
    }

    /// C4 did not take it, and the quick attempts are used up.
    pub(crate) async fn failed(&self, task: &Task, failure: Failure) -> Result<(), JobError> {
        let reason = Reason::UploadFailed { detail: failure.detail };
        self.emergency(task, reason, failure.retry_after).await
    }

    async fn emergency(
        &self,
        task: &Task,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Result<(), JobError> {
        let Some((mut tx, domain)) = self.open("upload_failed").await? else {
            return Ok(());
        };
        let attempts = if domain.facts.upload_failing.is_some() { self.lease.work.attempts + 1 } else { 1 };
        let entry = (domain.facts.upload_failing.as_ref() != Some(&reason)).then(|| Entry {
            kind: HistoryKind::UploadFailed,
            actor: ACTOR,
            message: reason.message(&domain.name),
            certificate_sha256: Some(task.sha256().to_owned()),
        });
        let after = domain.clone().upload_failed(reason)?;
        tx.apply(Some(&domain), &after, entry).await?;
        let due_at = self.not_before(Retry::Upload, attempts, retry_after);
        let next = Work { attempts, ..self.next(Cause::Retry, due_at) };
        tx.finish(self.lease, Some(&next)).await?;
        self.publish(&mut tx, EventKind::UploadFailed { certificate: task.certificate.id() });
        tx.commit().await?;
        metrics::counter!("ssl_manager_uploads_total", "result" => "failed").increment(1);
        tracing::error!(attempts, next_attempt_at = due_at.map(|at| at.to_string()), "upload failed");
        Ok(())
    }

    /// Opens a step: a transaction that holds the lease, and the domain's row. None if the work is of no use any
    /// more, and then the lease is ended.
    async fn open(&self, step: &'static str) -> Result<Option<(Tx, Domain)>, JobError> {
        let mut tx = self.context.store.begin(step).await?;
        match tx.fence(self.lease).await {
            Ok(domain) if domain.deleted_at.is_none() => Ok(Some((tx, domain))),
            // Work of a past revision, or of a name that was deleted.
            Ok(_) | Err(StoreError::LeaseLost { .. }) => self.give_up(tx).await.map(|()| None),
            Err(error) => Err(error.into()),
        }
    }

    async fn give_up(&self, mut tx: Tx) -> Result<(), JobError> {
        tracing::info!("dropped: the upload is of no use any more");
        tx.finish(self.lease, None).await?;
        Ok(tx.commit().await?)
    }

    /// A certificate that ended, or that is to be revoked, is of no use. If C4 never took it, the next one is ordered, or the customer must paste one,
    /// and what is live goes on being compared.
    async fn ended(&self, mut tx: Tx, domain: &Domain, certificate: &Certificate) -> Result<(), JobError> {
        let now = self.context.clock.now();
        if is_live(domain, certificate.id()) {
            return self.give_up(tx).await;
        }
        match certificate.summary.source {
            Source::C4 if tx.work(&domain.name, WorkKind::Issue).await?.is_none() => {
                tx.schedule(&issue(domain, now)).await?;
            }
            Source::C4 => {}
            Source::Text => {
                let at = certificate.summary.not_after;
                let after = domain.clone().upload_given_up(Reason::PastedEnded { at })?;
                tx.apply(Some(domain), &after, None).await?;
            }
        }
        let live = domain.facts.live.filter(|live| now < live.not_after);
        let compare = live.map(|live| Work {
            certificate: Some(live.certificate),
            attempts: 0,
            ..self.next(Cause::Compare, Some(now))
        });
        tx.finish(self.lease, compare.as_ref()).await?;
        Ok(tx.commit().await?)
    }

    fn next(&self, cause: Cause, due_at: Option<Timestamp>) -> Work {
        Work { cause, due_at, ..self.lease.work.clone() }
    }

    /// When the schedule says, or when C4 asked to be asked again, whichever is later.
    fn not_before(&self, retry: Retry, attempts: u32, retry_after: Option<Duration>) -> Option<Timestamp> {
        let now = self.context.clock.now();
        let asked = retry_after.and_then(|wait| now.checked_add(wait).ok());
        retry.due(attempts, now).map(|due_at| asked.map_or(due_at, |asked| due_at.max(asked)))
    }

    fn publish(&self, tx: &mut Tx, kind: EventKind) {
        let work = &self.lease.work;
        tx.publish(kind, &work.name, work.revision);
    }
}

fn is_live(domain: &Domain, certificate: CertificateId) -> bool {
    domain.facts.live.is_some_and(|live| live.certificate == certificate)
}

/// Whether a comparison without a difference has nothing to put right.
fn is_settled(domain: &Domain) -> bool {
    domain.facts.missing.is_none()
        && domain.facts.upload_failing.is_none()
        && !matches!(domain.activity, Activity::Uploading | Activity::VerifyingEdges)
}

fn raised(domain: &Domain) -> Domain {
    Domain { upload_revision: domain.upload_revision + 1, ..domain.clone() }
}

fn issue(domain: &Domain, due_at: Timestamp) -> Work {
    Work {
        name: domain.name.clone(),
        kind: WorkKind::Issue,
        revision: domain.revision,
        cause: Cause::Renewal,
        attempts: 0,
        due_at: Some(due_at),
        certificate: None,
    }
}
