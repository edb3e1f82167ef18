//! Expired certificates: the status becomes Expired, and a renewal is due at once if the certificate was generated
//! here. Pasted ones are not renewed, so their customers are asked for a new one before the end.

use domain::sentence::NamedZone;
use domain::{Cause, DomainName, HistoryKind, HttpsSwitch, Reason, Source, Status, Work, WorkKind};
use jiff::SignedDuration;
use runtime::Context;
use store::{Entry, StoreError};

use crate::BATCH;

const ACTOR: &str = "scheduler";
/// How long before the end of a pasted certificate its customer must act.
const REMINDER_LEAD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Asks for another certificate in place of each pasted one that ends soon.
pub(crate) async fn remind(context: &Context) -> Result<(), StoreError> {
    loop {
        let ending = context.store.pasted_ending(context.clock.now() + REMINDER_LEAD, BATCH).await?;
        for name in &ending {
            remind_one(context, name).await?;
        }
        if ending.len() < BATCH as usize {
            return Ok(());
        }
    }
}

async fn remind_one(context: &Context, name: &DomainName) -> Result<(), StoreError> {
    let mut tx = context.store.begin("remind").await?;
    let Some(domain) = tx.domain(name).await? else {
        return Ok(());
    };
    // Replaced, deleted or reminded of by another scheduler in the meantime.
    let still = domain.deleted_at.is_none()
        && domain.recorded == Status::Success
        && domain.source == Source::Text
        && domain.waiting.is_none();
    let before = context.clock.now() + REMINDER_LEAD;
    let Some(live) = domain.facts.live.filter(|live| still && live.not_after <= before) else {
        return Ok(());
    };
    let reason = Reason::PastedEnds { at: live.not_after };
    let entry = Entry::new(HistoryKind::Ending, ACTOR, reason.message(name));
    let activity = domain.activity;
    let Ok(after) = domain.clone().doing(activity, Some(reason)) else {
        return Ok(());
    };
    tx.apply(Some(&domain), &after, Some(entry)).await?;
    tx.commit().await
}

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
    let ended = NamedZone::utc().time(live.not_after);
    let effect = match domain.facts.https {
        HttpsSwitch::Off => "HTTPS is switched off, so nobody sees that.",
        HttpsSwitch::On | HttpsSwitch::Unknown => "Browsers show a warning now.",
    };
    let message = format!("The certificate ended on {ended}. {effect}");
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
