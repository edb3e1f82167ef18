//! Certificates that ended: the status becomes Expired, and a renewal is due at once where the certificate was
//! generated here.

use domain::{Cause, DomainName, HistoryKind, Source, Status, Work, WorkKind};
use runtime::Context;
use store::{Entry, StoreError};

use crate::BATCH;

const ACTOR: &str = "scheduler";

/// Records every certificate that ended since the last look.
pub(crate) async fn sweep(context: &Context) -> Result<(), StoreError> {
    loop {
        let ended = context.store.expired(BATCH).await?;
        for name in &ended {
            expire(context, name).await?;
        }
        if ended.len() < BATCH as usize {
            return Ok(());
        }
    }
}

async fn expire(context: &Context, name: &DomainName) -> Result<(), StoreError> {
    let now = context.clock.now();
    let mut tx = context.store.begin("expire").await?;
    let Some(domain) = tx.domain(name).await? else {
        return Ok(());
    };
    // Renewed, deleted or expired by another scheduler in the meantime.
    let Some(live) = domain.facts.live.filter(|live| live.not_after <= now) else {
        return Ok(());
    };
    if domain.deleted_at.is_some() || domain.recorded != Status::Success {
        return Ok(());
    }
    let message = format!("The certificate ended on {}. Browsers show a warning now.", live.not_after);
    let entry = Entry::new(HistoryKind::Expired, ACTOR, message);
    tx.apply(Some(&domain), &domain, Some(entry)).await?;
    let waits_longer = |work: &Work| work.due_at.is_none_or(|due_at| due_at > now);
    let planned = tx.work(name, WorkKind::Issue).await?;
    if domain.source == Source::C4
        && planned.as_ref().is_none_or(waits_longer)
        && !tx.is_leased(name, WorkKind::Issue).await?
    {
        let work = Work {
            name: name.clone(),
            kind: WorkKind::Issue,
            revision: domain.revision,
            cause: Cause::Renewal,
            attempts: 0,
            due_at: Some(now),
            certificate: None,
        };
        tx.schedule(&work).await?;
        tx.hint(&work);
    }
    tx.commit().await
}
