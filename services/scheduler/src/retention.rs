//! Deletes data that is not kept for ever: the keys of deleted domains, and outdated rows.
//!
//! `retention.deleted_keys_days` after a delete the sealed keys of all certificates of that name are destroyed; the
//! certificates stay, and a name that is added again later gets a new one. A name that is added again before that keeps
//! them: the transaction that destroys checks whether the name is still deleted. Orders need no such sweep: an order
//! that ends deletes its key at once, and a delete ends it.

use domain::{DomainName, HistoryEntry, HistoryKind};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use runtime::Context;
use store::{Past, StoreError};

const ACTOR: &str = "scheduler";
/// Names per transaction.
const NAMES: u32 = 100;
/// Rows per statement.
const ROWS: u32 = 5_000;
/// A bucket whose time has come is full again. It stays a while longer, because clocks differ.
const BUCKETS_STAY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Longer than any CA takes to give one of a limit back.
const RESERVATIONS_STAY: SignedDuration = SignedDuration::from_hours(366 * 24);
/// A notice that was told is of use for who looks into a webhook that went wrong.
const NOTICES_STAY: SignedDuration = SignedDuration::from_hours(24);
/// Longer than from the first reminder (30 days) to the end of a certificate.
const MARKS_STAY: SignedDuration = SignedDuration::from_hours(45 * 24);
const DAYS_STAY: i64 = 366;
const MIDNIGHTS_STAY: i64 = 30;
/// After their end.
const JOBS_STAY: SignedDuration = SignedDuration::from_hours(30 * 24);
const DRAFTS_STAY: SignedDuration = SignedDuration::from_hours(24);

/// Destroys the keys of all domains that were deleted long enough ago.
pub(crate) async fn destroy_keys(context: &Context) -> Result<(), StoreError> {
    loop {
        let now = context.clock.now();
        let days = context.config.retention.deleted_keys_days;
        let deleted_by = now - SignedDuration::from_hours(24 * i64::from(days));
        let names = context.store.keys_to_destroy(deleted_by, NAMES).await?;
        if !names.is_empty() {
            destroy_keys_of(context, &names, deleted_by, now).await?;
        }
        if names.len() < NAMES as usize {
            return Ok(());
        }
    }
}

async fn destroy_keys_of(
    context: &Context,
    names: &[DomainName],
    deleted_by: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut destroyed = 0;
    let mut tx = context.store.begin("destroy_keys").await?;
    for name in names {
        let Some(domain) = tx.domain(name).await? else {
            continue;
        };
        let Some(keys @ 1..) = tx.destroy_keys(name, deleted_by).await? else {
            continue;
        };
        tx.append_history(HistoryEntry {
            name: name.clone(),
            at: now,
            kind: HistoryKind::KeysDestroyed,
            actor: ACTOR.to_owned(),
            status_from: Some(domain.recorded),
            status_to: domain.recorded,
            message: format!("Deleted long enough: its private keys were destroyed ({keys})."),
            certificate_sha256: None,
        });
        destroyed += keys;
    }
    tx.commit().await?;
    if destroyed > 0 {
        tracing::info!(keys = destroyed, "private keys of deleted domains destroyed");
        metrics::counter!("ssl_manager_keys_destroyed_total").increment(destroyed);
    }
    Ok(())
}

/// Adds up what changed of the figures of list and overview.
pub(crate) async fn fold_tallies(context: &Context) -> Result<(), StoreError> {
    while context.store.fold_tallies(ROWS).await? >= u64::from(ROWS) {}
    Ok(())
}

/// Forgets notices that were told, and marks of certificates that ended.
pub(crate) async fn forget_notices(context: &Context) -> Result<(), StoreError> {
    let now = context.clock.now();
    let (taken_by, made_by) = (now - NOTICES_STAY, now - MARKS_STAY);
    while context.store.forget_notices(taken_by, made_by, ROWS).await? >= u64::from(ROWS) {}
    Ok(())
}

/// Forgets sessions that ended, buckets of CAs' limits that have long been full again, days over a year ago, and midnight reports over
/// 30 days ago; and jobs over 30 days after their end.
pub(crate) async fn forget(context: &Context) -> Result<(), StoreError> {
    loop {
        let now = context.clock.now();
        let today = now.to_zoned(TimeZone::UTC).date();
        let past = Past {
            sessions: now,
            buckets: now - BUCKETS_STAY,
            reservations: now - RESERVATIONS_STAY,
            days: today.saturating_sub(DAYS_STAY.days()),
            midnights: today.saturating_sub(MIDNIGHTS_STAY.days()),
        };
        let mut tx = context.store.begin("forget").await?;
        let forgotten = tx.forget(past, ROWS).await?;
        let of_jobs = tx.forget_jobs(now - JOBS_STAY, now - DRAFTS_STAY, ROWS).await?;
        tx.commit().await?;
        if forgotten.max(of_jobs) < u64::from(ROWS) {
            return Ok(());
        }
    }
}
