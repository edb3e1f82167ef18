//! Removes the certificate of a deleted name from C4. Each step is decided in `decide/removal.rs`.

use c4::C4Error;
use domain::{Closed, Domain, Lease};
use runtime::{JobError, checkpoint};
use store::{Finished, StoreError};

use crate::Uploader;
use crate::decide::Holding;
use crate::journal::{Journal, Taken};

pub(crate) struct Removal<'a> {
    uploader: &'a Uploader,
    lease: &'a Lease,
    journal: Journal<'a>,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(uploader: &'a Uploader, lease: &'a Lease) -> Self {
        Self { uploader, lease, journal: Journal::new(&uploader.context, lease) }
    }

    pub(crate) async fn run(&self) -> Result<Finished, JobError> {
        let Some(domain) = self.domain().await? else {
            return self.journal.dropped().await;
        };
        if !self.uploader.guard.may_send().await? {
            tracing::info!("kept back: the guard after a restore is up");
            return self.journal.ended(&domain, |decider, domain| Ok(decider.removal_guarded(domain))).await;
        }
        let mut domain =
            match self.journal.kept(&domain, |decider, domain| Ok(decider.removing(domain))).await? {
                Taken::Yes(domain) => domain,
                Taken::Needless(finished) => return Ok(finished),
            };
        checkpoint("remove-intent").await;
        let mut removed = self.delete(&domain).await;
        if removed == Err(C4Error::Stale) {
            removed = match self.held(&domain).await? {
                Ok(Holding::Nothing) => Ok(()),
                Ok(Holding::Unknown(sha256)) => return self.left(&domain, &sha256).await,
                Ok(Holding::Known) => {
                    let over =
                        self.journal.kept(&domain, |decider, domain| Ok(decider.removing_over(domain)));
                    match over.await? {
                        Taken::Yes(over) => {
                            domain = over;
                            self.delete(&domain).await
                        }
                        Taken::Needless(finished) => return Ok(finished),
                    }
                }
                Err(error) => Err(error),
            };
        }
        checkpoint("remove-sent").await;
        let finished = self.stored(&domain, removed).await?;
        checkpoint("remove-stored").await;
        Ok(finished)
    }

    /// The deleted name; none if it is back on the list, because then its certificate must stay.
    async fn domain(&self) -> Result<Option<Domain>, JobError> {
        let mut tx = self.uploader.context.store.begin("removal").await?;
        match tx.fence(self.lease).await {
            Ok(domain) => Ok(Some(domain).filter(|domain| domain.deleted_at.is_some())),
            Err(StoreError::LeaseLost { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, domain: &Domain) -> Result<(), C4Error> {
        self.uploader.c4.delete_certificate(&domain.name, domain.upload_revision).await
    }

    async fn held(&self, domain: &Domain) -> Result<Result<Holding, C4Error>, JobError> {
        let shown = match self.uploader.c4.domain(&domain.name).await {
            Ok(Some(shown)) => shown.certificate.map(|certificate| certificate.sha256),
            Ok(None) => return Ok(Err(C4Error::UnknownDomain)),
            Err(error) => return Ok(Err(error)),
        };
        let is_stored = match &shown {
            Some(sha256) => {
                let row = self.uploader.context.store.certificate_by_sha256(&domain.name, sha256).await?;
                row.is_some()
            }
            None => false,
        };
        Ok(Ok(Holding::of(domain, shown, is_stored)))
    }

    async fn left(&self, domain: &Domain, sha256: &str) -> Result<Finished, JobError> {
        let finished = self.journal.ended(domain, |decider, domain| Ok(decider.left(domain, sha256))).await?;
        count("withheld");
        tracing::warn!("certificate left at C4");
        Ok(finished)
    }

    /// Stores C4's answer.
    async fn stored(&self, domain: &Domain, removed: Result<(), C4Error>) -> Result<Finished, JobError> {
        let message = match removed {
            Ok(()) => "Removed from C4; the edges serve it no more.",
            Err(C4Error::UnknownDomain) => "C4 does not know the domain any more.",
            Err(C4Error::NotSent(Closed::Paused(_))) => {
                return self
                    .journal
                    .ended(domain, |decider, domain| Ok(decider.removal_paused(domain)))
                    .await;
            }
            Err(C4Error::NotSent(Closed::Unknown(why))) => return Err(StoreError::away(why).into()),
            Err(error) => return self.failed(domain, &error).await,
        };
        let finished =
            self.journal.ended(domain, |decider, domain| Ok(decider.removed(domain, message))).await?;
        count("removed");
        Ok(finished)
    }

    async fn failed(&self, domain: &Domain, error: &C4Error) -> Result<Finished, JobError> {
        let asked = error.retry_after();
        let finished =
            self.journal.ended(domain, |decider, domain| Ok(decider.not_removed(domain, asked))).await?;
        count("failed");
        let attempts = self.lease.work.attempts + 1;
        tracing::warn!(error = error as &dyn std::error::Error, attempts, "certificate not removed from C4");
        Ok(finished)
    }
}

fn count(result: &'static str) {
    metrics::counter!("ssl_manager_removals_total", "result" => result).increment(1);
}
