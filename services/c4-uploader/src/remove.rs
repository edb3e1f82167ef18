//! Has C4 hold no certificate for a name that was deleted.

use c4::C4Error;
use domain::{Cause, Domain, HistoryKind, Lease, Retry, Work};
use runtime::{JobError, checkpoint};
use store::{Entry, Finished, StoreError, Tx};

use crate::journal::Taken;
use crate::{ACTOR, Uploader};

pub(crate) struct Removal<'a> {
    uploader: &'a Uploader,
    lease: &'a Lease,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(uploader: &'a Uploader, lease: &'a Lease) -> Self {
        Self { uploader, lease }
    }

    pub(crate) async fn run(&self) -> Result<Finished, JobError> {
        let revision = match self.intent().await? {
            Taken::Yes(revision) => revision,
            Taken::Needless(finished) => return Ok(finished),
        };
        checkpoint("remove-intent").await;
        let mut removed = self.delete(revision).await;
        if removed == Err(C4Error::Stale) {
            removed = match self.intent().await? {
                Taken::Yes(higher) => self.delete(higher).await,
                Taken::Needless(finished) => return Ok(finished),
            };
        }
        checkpoint("remove-sent").await;
        let told = match removed {
            Ok(()) => "Removed from C4; the edges serve it no more.",
            Err(C4Error::UnknownDomain) => "C4 does not know the domain any more.",
            Err(error) => return self.failed(&error).await,
        };
        let finished = self.removed(told).await?;
        checkpoint("remove-stored").await;
        Ok(finished)
    }

    async fn delete(&self, revision: i64) -> Result<(), C4Error> {
        self.uploader.c4.delete_certificate(&self.lease.work.name, revision).await
    }

    /// That a removal is about to be sent; returns its revision. Needless if the name is back on the list, because then
    /// its certificate must stay.
    async fn intent(&self) -> Result<Taken<i64>, JobError> {
        let (mut tx, domain) = match self.open("remove_intent").await? {
            Taken::Yes(open) => open,
            Taken::Needless(finished) => return Ok(Taken::Needless(finished)),
        };
        let after = Domain { upload_revision: domain.upload_revision + 1, ..domain.clone() };
        tx.apply(Some(&domain), &after, None).await?;
        tx.commit().await?;
        Ok(Taken::Yes(after.upload_revision))
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

    async fn failed(&self, error: &C4Error) -> Result<Finished, JobError> {
        let tx = match self.open("remove_failed").await? {
            Taken::Yes((tx, _)) => tx,
            Taken::Needless(finished) => return Ok(finished),
        };
        let now = self.uploader.context.clock.now();
        let attempts = self.lease.work.attempts + 1;
        let asked = error.retry_after().and_then(|wait| now.checked_add(wait).ok());
        let due_at = Retry::Upload.due(attempts, now).max(asked);
        let next = Work { cause: Cause::Retry, attempts, due_at, ..self.lease.work.clone() };
        let finished = tx.end(self.lease, Some(&next)).await?;
        metrics::counter!("ssl_manager_removals_total", "result" => "failed").increment(1);
        tracing::warn!(error = error as &dyn std::error::Error, attempts, "certificate not removed from C4");
        Ok(finished)
    }

    /// Opens a step: a transaction that holds the lease, and the deleted domain's row.
    async fn open(&self, step: &'static str) -> Result<Taken<(Tx, Domain)>, JobError> {
        let mut tx = self.uploader.context.store.begin(step).await?;
        match tx.fence(self.lease).await {
            Ok(domain) if domain.deleted_at.is_some() => return Ok(Taken::Yes((tx, domain))),
            // Work of a past revision, or of a name that lives again.
            Ok(_) | Err(StoreError::LeaseLost { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!("dropped: the removal is of no use any more");
        Ok(Taken::Needless(tx.end(self.lease, None).await?))
    }
}
