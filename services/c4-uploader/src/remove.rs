//! Removes the certificate of a deleted name from C4.

use c4::C4Error;
use domain::{Cause, Closed, Domain, HistoryKind, Lease, Outbound, Pause, Retry, Work};
use jiff::Timestamp;
use runtime::{JobError, checkpoint};
use store::{Entry, Finished, StoreError, Tx};

use crate::decide::GUARDED_DELAY;
use crate::journal::Taken;
use crate::upload::described;
use crate::{ACTOR, Uploader};

pub(crate) struct Removal<'a> {
    uploader: &'a Uploader,
    lease: &'a Lease,
}

/// What C4 holds for a name whose certificate is to be removed.
enum Holding {
    Nothing,
    /// A certificate that is stored here, or that was known to be there when the removal was requested.
    Known,
    /// Another one: its SHA-256.
    Unknown(String),
}

impl<'a> Removal<'a> {
    pub(crate) fn new(uploader: &'a Uploader, lease: &'a Lease) -> Self {
        Self { uploader, lease }
    }

    pub(crate) async fn run(&self) -> Result<Finished, JobError> {
        if !self.uploader.guard.may_send().await? {
            return self.guarded().await;
        }
        let domain = match self.intent(Domain::uploading).await? {
            Taken::Yes(domain) => domain,
            Taken::Needless(finished) => return Ok(finished),
        };
        checkpoint("remove-intent").await;
        let mut removed = self.delete(domain.upload_revision).await;
        if removed == Err(C4Error::Stale) {
            removed = match self.held(&domain).await? {
                Ok(Holding::Nothing) => Ok(()),
                Ok(Holding::Unknown(sha256)) => return self.left(&sha256).await,
                Ok(Holding::Known) => match self.intent(|domain| domain.uploading_over(self.now())).await? {
                    Taken::Yes(higher) => self.delete(higher.upload_revision).await,
                    Taken::Needless(finished) => return Ok(finished),
                },
                Err(error) => Err(error),
            };
        }
        checkpoint("remove-sent").await;
        let told = match removed {
            Ok(()) => "Removed from C4; the edges serve it no more.",
            Err(C4Error::UnknownDomain) => "C4 does not know the domain any more.",
            Err(C4Error::NotSent(Closed::Paused(_))) => return self.paused().await,
            Err(C4Error::NotSent(Closed::Unknown(why))) => return Err(StoreError::away(why).into()),
            Err(error) => return self.failed(&error).await,
        };
        let finished = self.removed(told).await?;
        checkpoint("remove-stored").await;
        Ok(finished)
    }

    /// Nothing is sent at present, because the database is older than C4.
    async fn guarded(&self) -> Result<Finished, JobError> {
        let tx = match self.open("remove_guarded").await? {
            Taken::Yes((tx, _)) => tx,
            Taken::Needless(finished) => return Ok(finished),
        };
        let next = Work { due_at: Some(self.now() + GUARDED_DELAY), ..self.lease.work.clone() };
        tracing::info!("kept back: the guard after a restore is up");
        Ok(tx.end(self.lease, Some(&next)).await?)
    }

    /// What C4 holds after it has seen a higher revision than any stored here.
    async fn held(&self, domain: &Domain) -> Result<Result<Holding, C4Error>, JobError> {
        let name = &self.lease.work.name;
        let shown = match self.uploader.c4.domain(name).await {
            Ok(Some(shown)) => shown.certificate,
            Ok(None) => return Ok(Err(C4Error::UnknownDomain)),
            Err(error) => return Ok(Err(error)),
        };
        let Some(shown) = shown else {
            return Ok(Ok(Holding::Nothing));
        };
        let is_ours = self.uploader.context.store.certificate_by_sha256(name, &shown.sha256).await?.is_some();
        let known = domain.known_ahead(Some(&shown.sha256));
        let is_asked_for = known.is_some_and(|known| domain.revision > known.revision);
        Ok(Ok(if is_ours || is_asked_for { Holding::Known } else { Holding::Unknown(shown.sha256) }))
    }

    async fn delete(&self, revision: i64) -> Result<(), C4Error> {
        self.uploader.c4.delete_certificate(&self.lease.work.name, revision).await
    }

    /// Stores that a removal is about to be sent; returns the domain with its revision. Obsolete if the name is back
    /// on the list, because then its certificate must stay.
    async fn intent(&self, numbered: impl Fn(&Domain) -> Domain) -> Result<Taken<Domain>, JobError> {
        let (mut tx, domain) = match self.open("remove_intent").await? {
            Taken::Yes(open) => open,
            Taken::Needless(finished) => return Ok(Taken::Needless(finished)),
        };
        let after = numbered(&domain);
        tx.apply(Some(&domain), &after, None).await?;
        tx.commit().await?;
        Ok(Taken::Yes(after))
    }

    async fn removed(&self, message: &str) -> Result<Finished, JobError> {
        let (mut tx, domain) = match self.open("removed").await? {
            Taken::Yes(open) => open,
            Taken::Needless(finished) => return Ok(finished),
        };
        let entry = Entry::new(HistoryKind::CertificateRemoved, ACTOR, message);
        tx.apply(Some(&domain), &domain, Some(entry)).await?;
        let finished = tx.end(self.lease, None).await?;
        metrics::counter!("ssl_manager_removals_total", "result" => "removed").increment(1);
        Ok(finished)
    }

    /// C4 is ahead of this database by a certificate that is not stored here. It was uploaded after the last change
    /// known here, so it stays.
    async fn left(&self, sha256: &str) -> Result<Finished, JobError> {
        let (mut tx, domain) = match self.open("remove_left").await? {
            Taken::Yes(open) => open,
            Taken::Needless(finished) => return Ok(finished),
        };
        let holds = described(Some(sha256));
        let message = format!(
            "C4 has had an upload that is not stored here, and holds {holds}. It is not removed; to have it removed, add \
             the name and delete it again."
        );
        let ahead = Some(domain.note_ahead(Some(sha256), self.now()));
        let after = Domain { ahead_at_c4: ahead, ..domain.clone() };
        tx.apply(Some(&domain), &after, Some(Entry::new(HistoryKind::AheadAtC4, ACTOR, message))).await?;
        let finished = tx.end(self.lease, None).await?;
        metrics::counter!("ssl_manager_removals_total", "result" => "withheld").increment(1);
        tracing::warn!("certificate left at C4");
        Ok(finished)
    }

    fn now(&self) -> Timestamp {
        self.uploader.context.clock.now()
    }

    /// An operator has paused requests to C4: this does not count as an attempt.
    async fn paused(&self) -> Result<Finished, JobError> {
        let tx = match self.open("remove_paused").await? {
            Taken::Yes((tx, _)) => tx,
            Taken::Needless(finished) => return Ok(finished),
        };
        let next = Work { due_at: Some(self.now() + Pause::LOOK_AGAIN), ..self.lease.work.clone() };
        Ok(tx.end_paused(self.lease, Some(&next), Some(Outbound::C4)).await?)
    }

    async fn failed(&self, error: &C4Error) -> Result<Finished, JobError> {
        let tx = match self.open("remove_failed").await? {
            Taken::Yes((tx, _)) => tx,
            Taken::Needless(finished) => return Ok(finished),
        };
        let now = self.now();
        let attempts = self.lease.work.attempts + 1;
        let asked = error.retry_after().and_then(|wait| now.checked_add(wait).ok());
        let due_at = Retry::Upload.due(attempts, now).max(asked);
        let next = Work { cause: Cause::Retry, attempts, due_at, ..self.lease.work.clone() };
        let finished = tx.end(self.lease, Some(&next)).await?;
        metrics::counter!("ssl_manager_removals_total", "result" => "failed").increment(1);
        tracing::warn!(error = error as &dyn std::error::Error, attempts, "certificate not removed from C4");
        Ok(finished)
    }

    /// Opens a transaction that checks the lease and locks the deleted domain's row.
    async fn open(&self, step: &'static str) -> Result<Taken<(Tx, Domain)>, JobError> {
        let mut tx = self.uploader.context.store.begin(step).await?;
        match tx.fence(self.lease).await {
            Ok(domain) if domain.deleted_at.is_some() => return Ok(Taken::Yes((tx, domain))),
            // Work of a past revision, or of a name that was added again.
            Ok(_) | Err(StoreError::LeaseLost { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!("dropped: the removal is of no use any more");
        Ok(Taken::Needless(tx.end(self.lease, None).await?))
    }
}
