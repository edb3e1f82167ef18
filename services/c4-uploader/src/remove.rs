//! Has C4 hold no certificate for a name that was deleted.

use c4::C4Error;
use domain::{Cause, Domain, HistoryKind, Lease, Retry, Work};
use runtime::{JobError, checkpoint};
use store::{Entry, StoreError, Tx};

use crate::{ACTOR, Uploader};

pub(crate) struct Removal<'a> {
    uploader: &'a Uploader,
    lease: &'a Lease,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(uploader: &'a Uploader, lease: &'a Lease) -> Self {
        Self { uploader, lease }
    }

    pub(crate) async fn run(&self) -> Result<(), JobError> {
        let Some(revision) = self.intent().await? else {
            return Ok(());
        };
        checkpoint("remove-intent").await;
        let mut removed = self.delete(revision).await;
        if removed == Err(C4Error::Stale) {
            let Some(fresh) = self.intent().await? else {
                return Ok(());
            };
            removed = self.delete(fresh).await;
        }
        checkpoint("remove-sent").await;
        let told = match removed {
            Ok(()) => "Removed from C4; the edges serve it no more.",
            Err(C4Error::UnknownDomain) => "C4 does not know the domain any more.",
            Err(error) => return self.failed(&error).await,
        };
        self.removed(told).await?;
        checkpoint("remove-stored").await;
        Ok(())
    }

    async fn delete(&self, revision: i64) -> Result<(), C4Error> {
        self.uploader.c4.delete_certificate(&self.lease.work.name, revision).await
    }

    /// That a removal is about to be sent; returns its revision. None if the name is back on the list, because then
    /// its certificate must stay.
    async fn intent(&self) -> Result<Option<i64>, JobError> {
        let Some((mut tx, domain)) = self.open("remove_intent").await? else {
            return Ok(None);
        };
        let after = Domain { upload_revision: domain.upload_revision + 1, ..domain.clone() };
        tx.apply(Some(&domain), &after, None).await?;
        tx.commit().await?;
        Ok(Some(after.upload_revision))
    }

    async fn removed(&self, message: &str) -> Result<(), JobError> {
        let Some((mut tx, domain)) = self.open("removed").await? else {
            return Ok(());
        };
        let entry = Entry::new(HistoryKind::CertificateRemoved, ACTOR, message);
        tx.apply(Some(&domain), &domain, Some(entry)).await?;
        tx.finish(self.lease, None).await?;
        tx.commit().await?;
        metrics::counter!("ssl_manager_removals_total", "result" => "removed").increment(1);
        Ok(())
    }

    async fn failed(&self, error: &C4Error) -> Result<(), JobError> {
        let Some((mut tx, _)) = self.open("remove_failed").await? else {
            return Ok(());
        };
        let now = self.uploader.context.clock.now();
        let attempts = self.lease.work.attempts + 1;
        let asked = error.retry_after().and_then(|wait| now.checked_add(wait).ok());
        let due_at = Retry::Upload.due(attempts, now).max(asked);
        let next = Work { cause: Cause::Retry, attempts, due_at, ..self.lease.work.clone() };
        tx.finish(self.lease, Some(&next)).await?;
        tx.commit().await?;
        metrics::counter!("ssl_manager_removals_total", "result" => "failed").increment(1);
        tracing::warn!(error = error as &dyn std::error::Error, attempts, "certificate not removed from C4");
        Ok(())
    }

    /// Opens a step: a transaction that holds the lease, and the deleted domain's row. None if the removal is of no
    /// use any more, and then the lease is ended.
    async fn open(&self, step: &'static str) -> Result<Option<(Tx, Domain)>, JobError> {
        let mut tx = self.uploader.context.store.begin(step).await?;
        match tx.fence(self.lease).await {
            Ok(domain) if domain.deleted_at.is_some() => return Ok(Some((tx, domain))),
            // Work of a past revision, or of a name that lives again.
            Ok(_) | Err(StoreError::LeaseLost { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!("dropped: the removal is of no use any more");
        tx.finish(self.lease, None).await?;
        tx.commit().await?;
        Ok(None)
    }
}
