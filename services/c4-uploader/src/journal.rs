//! Commits the steps of one upload, comparison or removal. Each step is decided in `decide.rs`.
//!
//! Work of an older revision of the name, or of a deleted name, is dropped: its lease is ended, so that the sweep
//! does not find it again.

use std::time::Duration;

use c4::C4Certificate;
use domain::{Domain, EdgesBehind, InvalidTransition, Lease, Pause, RevocationReason, RevocationState};
use runtime::{Context, JobError};
use store::{Certificate, Finished, LastStep, Revocation, Step, StoreError};

use crate::ACTOR;
use crate::decide::{Decider, FIRST_QUESTION_SPREAD, Shown, Task, UploadError, Withheld};

/// The journal of one piece of work.
pub(crate) struct Journal<'a> {
    context: &'a Context,
    lease: &'a Lease,
}

/// The result of a step that may have become obsolete.
pub(crate) enum Taken<T> {
    /// It was committed.
    Yes(T),
    /// The work is obsolete; its lease has ended.
    Needless(Finished),
}

impl<'a> Journal<'a> {
    pub(crate) fn new(context: &'a Context, lease: &'a Lease) -> Self {
        Self { context, lease }
    }

    pub(crate) fn decider(&self) -> Decider<'_> {
        Decider {
            lease: self.lease,
            now: self.context.clock.now(),
            renewal: &self.context.config.renewal,
            random: self.context.entropy.below(FIRST_QUESTION_SPREAD),
            edges: u32::try_from(self.context.config.cdn.edge_addresses.len()).unwrap_or(u32::MAX),
        }
    }

    /// Loads the task of the lease.
    pub(crate) async fn load(&self) -> Result<Taken<Task>, JobError> {
        let (store, work) = (&self.context.store, &self.lease.work);
        let wanted = match work.certificate {
            Some(id) => store.certificate(&work.name, id).await?,
            None => None,
        };
        let usable = wanted.and_then(|certificate| Some((certificate.sealed_key.clone()?, certificate)));
        let Some((sealed_key, certificate)) = usable else {
            tracing::error!("the certificate or its key is gone, nothing can be uploaded");
            return self.dropped().await.map(Taken::Needless);
        };
        let listed = store.domain(&work.name).await?.map(|view| view.domain);
        let Some(domain) = listed.filter(|domain| domain.revision == work.revision) else {
            return self.dropped().await.map(Taken::Needless);
        };
        let is_live = domain.is_live(certificate.id());
        let is_of_no_use = certificate.withdrawn && !is_live;
        if is_of_no_use || certificate.summary.not_after <= self.context.clock.now() {
            return self.of_no_use(&domain, &certificate).await.map(Taken::Needless);
        }
        if !is_live && let Some(later) = self.decider().usable_later(&certificate) {
            tracing::info!(certificate.id = %certificate.id(), "it cannot be used yet");
            return Ok(Taken::Needless(self.end(&later).await?));
        }
        let is_failing = domain.upload_failing().is_some();
        Ok(Taken::Yes(Task { domain, certificate, sealed_key, is_live, is_failing, is_https_on: None }))
    }

    /// The certificate ended, or is revoked or about to be.
    pub(crate) async fn of_no_use(
        &self,
        domain: &Domain,
        certificate: &Certificate,
    ) -> Result<Finished, JobError> {
        let of_no_use = |decider: &Decider<'_>, domain: &Domain| decider.of_no_use(domain, certificate);
        self.ended(domain, of_no_use).await
    }

    /// Stores that the CA has revoked it, which was not known here; it is never rolled back to.
    pub(crate) async fn note_revoked(
        &self,
        task: &mut Task,
        reason: RevocationReason,
    ) -> Result<(), JobError> {
        let (id, now) = (task.certificate.id(), self.context.clock.now());
        let mut tx = self.context.store.begin("upload_revoked").await?;
        if tx.revocation(id).await?.is_none_or(|known| known.state != RevocationState::Revoked) {
            tx.put_revocation(&Revocation {
                certificate: id,
                name: self.lease.work.name.clone(),
                reason,
                state: RevocationState::Asked,
                requested_by: ACTOR.to_owned(),
                requested_at: now,
                waits_until: now,
                waiting_for: String::new(),
            })
            .await?;
            tx.end_revocation(id, RevocationState::Revoked).await?;
        }
        tx.commit().await?;
        task.certificate.withdrawn = true;
        tracing::warn!(certificate.id = %id, reason = %reason, "revoked by its CA, which was not known here");
        Ok(())
    }

    /// Whether its CA has revoked it is not known.
    pub(crate) async fn unvouched(&self, task: &Task, detail: &str) -> Result<Finished, JobError> {
        metrics::counter!("ssl_manager_uploads_total", "result" => "withheld").increment(1);
        tracing::warn!(
            certificate.id = %task.certificate.id(),
            detail,
            "not uploaded yet: its CA's revocation list cannot be had; it is asked for again"
        );
        self.end(&self.decider().unvouched()).await
    }

    /// Stores that an upload is about to be sent; returns its revision.
    pub(crate) async fn intent(
        &self,
        task: &mut Task,
        shown: Option<&str>,
        fallen_back: Option<&EdgesBehind>,
    ) -> Result<Taken<i64>, JobError> {
        let intent =
            |decider: &Decider<'_>, domain: &Domain| decider.intent(domain, task, shown, fallen_back);
        let taken = self.kept(&task.domain, intent).await?;
        Ok(raised(task, taken))
    }

    /// What C4 shows, with the certificate's row here.
    pub(crate) async fn shown(&self, certificate: Option<C4Certificate>) -> Result<Shown, JobError> {
        let row = match &certificate {
            Some(shown) => {
                self.context.store.certificate_by_sha256(&self.lease.work.name, &shown.sha256).await?
            }
            None => None,
        };
        Ok(Shown { certificate, row })
    }

    /// Raises the revision above any that C4 has seen.
    pub(crate) async fn higher_revision(&self, task: &mut Task) -> Result<Taken<i64>, JobError> {
        let higher = |decider: &Decider<'_>, domain: &Domain| Ok(decider.higher_revision(domain));
        let taken = self.kept(&task.domain, higher).await?;
        Ok(raised(task, taken))
    }

    /// C4 shows our certificate.
    pub(crate) async fn live(&self, task: &Task, sent: bool) -> Result<Finished, JobError> {
        let live = |decider: &Decider<'_>, domain: &Domain| decider.live(domain, task, sent);
        let finished = self.ended(&task.domain, live).await?;
        if sent || !task.is_live {
            metrics::counter!("ssl_manager_uploads_total", "result" => "live").increment(1);
            tracing::info!(certificate.id = %task.certificate.id(), "certificate live at C4");
        }
        Ok(finished)
    }

    /// C4 shows our certificate, but these edges do not serve it yet.
    pub(crate) async fn not_served(&self, task: &Task, behind: &EdgesBehind) -> Result<Finished, JobError> {
        let not_served = |decider: &Decider<'_>, domain: &Domain| decider.not_served(domain, task, behind);
        let finished = self.ended(&task.domain, not_served).await?;
        if self.decider().is_overdue(task) {
            tell_of_emergency(&behind.to_string());
        }
        Ok(finished)
    }

    /// Our certificate is not sent, because of what C4 holds or because it is revoked.
    pub(crate) async fn withheld(
        &self,
        task: &Task,
        why: Withheld,
        shown: &Shown,
    ) -> Result<Finished, JobError> {
        let withheld = |decider: &Decider<'_>, domain: &Domain| decider.withheld(domain, task, why, shown);
        let finished = self.ended(&task.domain, withheld).await?;
        metrics::counter!("ssl_manager_uploads_total", "result" => "withheld").increment(1);
        tracing::warn!(certificate.id = %task.certificate.id(), ?why, "not uploaded");
        Ok(finished)
    }

    /// Nothing is sent at present, because the database is older than C4.
    pub(crate) async fn guarded(&self, task: &Task) -> Result<Finished, JobError> {
        tracing::info!("kept back: the guard after a restore is up");
        self.ended(&task.domain, |decider, domain| decider.guarded(domain, task)).await
    }

    /// C4 does not know the domain.
    pub(crate) async fn unknown(&self, task: &Task) -> Result<Finished, JobError> {
        let c4s_fault = self.context.store.is_c4s_fault(&task.domain).await?;
        let unknown = |decider: &Decider<'_>, domain: &Domain| decider.unknown(domain, c4s_fault);
        let finished = self.ended(&task.domain, unknown).await?;
        metrics::counter!("ssl_manager_uploads_total", "result" => "unknown").increment(1);
        Ok(finished)
    }

    /// A comparison got no answer.
    pub(crate) async fn not_compared(
        &self,
        task: &Task,
        retry_after: Option<Duration>,
    ) -> Result<Finished, JobError> {
        let unanswered =
            |decider: &Decider<'_>, domain: &Domain| Ok(decider.not_compared(domain, retry_after));
        self.ended(&task.domain, unanswered).await
    }

    /// An operator has paused requests to C4.
    pub(crate) async fn paused(&self, task: &Task, pause: Pause) -> Result<Finished, JobError> {
        self.ended(&task.domain, |decider, domain| decider.paused(domain, task, pause.clone())).await
    }

    /// C4 did not accept it, and the quick attempts are used up.
    pub(crate) async fn failed(&self, task: &Task, error: &UploadError) -> Result<Finished, JobError> {
        let failed = |decider: &Decider<'_>, domain: &Domain| decider.failed(domain, task, error);
        let finished = self.ended(&task.domain, failed).await?;
        tell_of_emergency(&error.detail);
        Ok(finished)
    }

    /// Commits a step that keeps the lease.
    pub(crate) async fn kept(
        &self,
        domain: &Domain,
        decide: impl Fn(&Decider<'_>, &Domain) -> Result<Step, InvalidTransition>,
    ) -> Result<Taken<Domain>, JobError> {
        let decided = |domain: &Domain| decide(&self.decider(), domain).map_err(JobError::from);
        match self.context.store.decide(domain.clone(), decided).await {
            Ok(stored) => Ok(Taken::Yes(stored)),
            Err(JobError::Store(StoreError::LeaseLost { .. })) => self.dropped().await.map(Taken::Needless),
            Err(error) => Err(error),
        }
    }

    /// Commits a step that ends the lease.
    pub(crate) async fn ended(
        &self,
        domain: &Domain,
        decide: impl Fn(&Decider<'_>, &Domain) -> Result<LastStep, InvalidTransition>,
    ) -> Result<Finished, JobError> {
        let decided = |domain: &Domain| decide(&self.decider(), domain).map_err(JobError::from);
        match self.context.store.decide(domain.clone(), decided).await {
            Err(JobError::Store(StoreError::LeaseLost { .. })) => self.dropped().await,
            done => done,
        }
    }

    /// The work is obsolete; an error if even its row belongs to another worker.
    pub(crate) async fn dropped(&self) -> Result<Finished, JobError> {
        tracing::info!("dropped: the work is of no use any more");
        self.end(&LastStep::dropped(self.lease)).await
    }

    async fn end(&self, last: &LastStep) -> Result<Finished, JobError> {
        Ok(self.context.store.end(last).await.map_err(StoreError::from)?)
    }
}

/// The revision of the upload that is about to be sent.
fn raised(task: &mut Task, taken: Taken<Domain>) -> Taken<i64> {
    match taken {
        Taken::Yes(stored) => {
            task.domain = stored;
            Taken::Yes(task.domain.upload_revision)
        }
        Taken::Needless(finished) => Taken::Needless(finished),
    }
}

fn tell_of_emergency(detail: &str) {
    metrics::counter!("ssl_manager_uploads_total", "result" => "failed").increment(1);
    tracing::error!(detail, "upload failed");
}
