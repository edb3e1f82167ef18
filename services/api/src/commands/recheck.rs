//! Recheck: brings whatever is next to now.

use audit::Caller;
use domain::{Cause, CertificateId, Domain, DomainName, HistoryKind, Source, Status, WorkKind};
use store::{DomainView, Entry, Tx};

use super::{CommandError, Commands};

/// The next step of a domain.
struct Next {
    kind: WorkKind,
    cause: Cause,
    certificate: Option<CertificateId>,
}

impl Commands {
    /// Rechecks a domain; work that is under way goes on as it is.
    pub async fn recheck(&self, name: &DomainName, by: &Caller) -> Result<DomainView, CommandError> {
        let mut step = self.open("recheck_domain", name, by).await?;
        let listed = step.before.clone().filter(|domain| domain.deleted_at.is_none());
        let listed = listed.ok_or_else(|| CommandError::NotFound(name.clone()))?;
        if let Some(next) = self.next(&mut step.tx, &listed).await?
            && !step.tx.is_leased(name, next.kind).await?
        {
            let entry = Entry::new(HistoryKind::Rechecked, &by.actor, "The next step was asked for now.");
            step.apply(&listed, entry).await?;
            self.start_now(&mut step.tx, &listed, next.kind, next.cause, next.certificate).await?;
        }
        step.commit().await?;
        self.result(name).await
    }

    /// Nothing is, where the customer has to paste another certificate.
    async fn next(&self, tx: &mut Tx, listed: &Domain) -> Result<Option<Next>, CommandError> {
        // An upload that waits is next in any status; a comparison waits all the time and is not.
        if let Some(upload) = tx.work(&listed.name, WorkKind::Upload).await?
            && upload.cause != Cause::Compare
        {
            return Ok(Some(Next {
                kind: WorkKind::Upload,
                cause: Cause::OperatorRecheck,
                certificate: upload.certificate,
            }));
        }
        // What was pasted is never renewed, whatever became of it.
        let orders = listed.source == Source::C4 && listed.status(self.clock.now()) != Status::Success;
        if orders {
            return Ok(Some(Next {
                kind: WorkKind::Issue,
                cause: Cause::OperatorRecheck,
                certificate: None,
            }));
        }
        Ok(listed.live().map(|live| Next {
            kind: WorkKind::Upload,
            cause: Cause::Compare,
            certificate: Some(live.certificate),
        }))
    }
}
