//! Expired certificates: the status becomes Expired, and a renewal is due at once if the certificate was generated
//! here. Pasted ones are not renewed, so their customers are asked for a new one before the end.

use domain::sentence::NamedZone;
use domain::{Cause, Domain, DomainName, HistoryKind, HttpsSwitch, Reason, Source, Status, Work, WorkKind};
use jiff::{SignedDuration, Timestamp};
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
    if let Some((after, entry)) = reminder(&domain, context.clock.now()) {
        tx.apply(Some(&domain), &after, Some(entry)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The domain once its customer is asked for another certificate. None if it is too early, or if the certificate was
/// replaced, deleted or reminded of by another scheduler in the meantime.
fn reminder(domain: &Domain, now: Timestamp) -> Option<(Domain, Entry<'static>)> {
    let is_pasted = domain.recorded == Status::Success && domain.source == Source::Text;
    let live = domain.live().filter(|live| is_pasted && live.not_after <= now + REMINDER_LEAD)?;
    if domain.waiting.is_some() {
        return None;
    }
    let reason = Reason::PastedEnds { at: live.not_after };
    let entry = Entry::new(HistoryKind::Ending, ACTOR, reason.message(&domain.name));
    let after = domain.clone().doing(domain.activity, Some(reason)).ok()?;
    Some((after, entry))
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
    let Some(entry) = ended(&domain, now) else {
        return Ok(());
    };
    tx.apply(Some(&domain), &domain, Some(entry)).await?;
    let planned = tx.work(name, WorkKind::Issue).await?;
    let is_leased = tx.is_leased(name, WorkKind::Issue).await?;
    if let Some(work) = late_renewal(&domain, planned.as_ref(), is_leased, now) {
        tx.schedule(&work).await?;
        tx.hint(&work);
    }
    tx.commit().await
}

/// The history entry of a certificate that ended. None if it was renewed, deleted or recorded by another scheduler in the
/// meantime.
fn ended(domain: &Domain, now: Timestamp) -> Option<Entry<'static>> {
    let live = domain.live().filter(|live| live.not_after <= now)?;
    if domain.deleted_at.is_some() || domain.recorded != Status::Success {
        return None;
    }
    let ended = NamedZone::utc().time(live.not_after);
    let effect = match domain.https() {
        HttpsSwitch::Off => "HTTPS is switched off, so nobody sees that.",
        HttpsSwitch::On | HttpsSwitch::Unknown => "Browsers show a warning now.",
    };
    let message = format!("The certificate ended on {ended}. {effect}");
    Some(Entry::new(HistoryKind::Expired, ACTOR, message))
}

/// The renewal that is due now because the certificate ended. None for a pasted one, and if an attempt is under way or due.
fn late_renewal(domain: &Domain, planned: Option<&Work>, is_leased: bool, now: Timestamp) -> Option<Work> {
    let waits_longer = |work: &Work| work.due_at.is_none_or(|due_at| due_at > now);
    let is_free = !is_leased && planned.is_none_or(waits_longer);
    (domain.source == Source::C4 && is_free).then(|| Work::due(domain, WorkKind::Issue, Cause::Renewal, now))
}

#[cfg(test)]
mod tests {
    use domain::{CertificateId, Live};

    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// A domain whose certificate ends that long from now.
    fn ending(left: SignedDuration, source: Source) -> Domain {
        let live = Live { certificate: CertificateId::from(uuid::Uuid::nil()), not_after: now() + left };
        let added = Domain::added(DomainName::parse("shop.example.com").unwrap(), now());
        let mut domain = added.uploaded(live).unwrap();
        domain.source = source;
        domain.as_stored(now() - DAY * 90)
    }

    #[test]
    fn the_customer_is_reminded_once_and_only_of_what_was_pasted() {
        let (after, entry) = reminder(&ending(DAY * 30, Source::Text), now()).unwrap();
        assert_eq!(
            (after.waiting.as_ref().map(Reason::code), entry.kind),
            (Some("pasted_ends"), HistoryKind::Ending)
        );
        assert_eq!(reminder(&after, now()), None, "told");
        assert_eq!(reminder(&ending(DAY * 31, Source::Text), now()), None, "too early");
        assert_eq!(reminder(&ending(DAY, Source::C4), now()), None, "it renews by itself");
        let deleted = ending(DAY, Source::Text).delete(now()).unwrap();
        assert_eq!(reminder(&deleted, now()), None);
        let ended = ending(-DAY, Source::Text).as_stored(now());
        assert_eq!(reminder(&ended, now()), None, "that is told already");
    }

    #[test]
    fn an_end_is_recorded_once() {
        let entry = ended(&ending(SignedDuration::ZERO, Source::C4), now()).unwrap();
        assert!(entry.message.ends_with("Browsers show a warning now."), "{}", entry.message);
        let off = ending(-DAY, Source::C4).https_off().unwrap();
        assert!(ended(&off, now()).unwrap().message.ends_with("nobody sees that."));
        assert_eq!(ended(&ending(DAY, Source::C4), now()), None, "it was renewed");
        assert_eq!(ended(&ending(-DAY, Source::C4).as_stored(now()), now()), None, "it is recorded");
        assert_eq!(ended(&ending(-DAY, Source::C4).delete(now()).unwrap(), now()), None);
    }

    #[test]
    fn what_ended_is_renewed_unless_an_attempt_is_at_it() {
        let domain = ending(-DAY, Source::C4);
        let due = late_renewal(&domain, None, false, now()).unwrap();
        assert_eq!((due.due_at, due.cause), (Some(now()), Cause::Renewal));
        let planned_in = |wait| Work { due_at: Some(now() + wait), attempts: 3, ..due.clone() };
        assert!(late_renewal(&domain, Some(&planned_in(DAY)), false, now()).is_some(), "sooner than planned");
        assert!(late_renewal(&domain, Some(&planned_in(-DAY)), false, now()).is_none(), "it is due");
        assert!(late_renewal(&domain, None, true, now()).is_none(), "a worker is at it");
        assert!(late_renewal(&ending(-DAY, Source::Text), None, false, now()).is_none());
    }
}
