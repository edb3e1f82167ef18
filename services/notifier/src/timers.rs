//! Notices that depend on time alone: approaching ends, and the midnight report.
//!
//! Each is made once, by whichever copy finds it first: its mark contains the certificate and the days, or the date,
//! and the store keeps one row per mark. The queries use indexes and run in batches.

use std::time::Duration;

use domain::{EventId, NoticeKind, Status};
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use store::{Ending, Notice, StoreError};

use crate::BATCH;

/// Maximum number of consecutive batches for one number of days; the rest is found the next time.
const MAX_BATCHES: u32 = 20;
/// A report is sent up to this long after its recheck was complete.
const REPORTED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Maximum duration of a recheck's attempts; domains without a result by then are reported as waiting.
const ATTEMPTS_TAKE: SignedDuration = SignedDuration::from_mins(30);

pub(crate) async fn sweep(context: &Context) -> Result<(), StoreError> {
    for kind in [NoticeKind::ExpiringBlocked, NoticeKind::PastedEnding] {
        let days = kind.days_before_end();
        for (index, mark) in days.iter().enumerate() {
            let next = days.get(index + 1).copied().unwrap_or(0);
            notice_ends(context, kind, *mark, next).await?;
        }
    }
    report_midnights(context).await
}

/// Stores a notice for each domain whose certificate ends in `next` to `mark` days, if it has none of `mark` days.
async fn notice_ends(context: &Context, kind: NoticeKind, mark: i16, next: i16) -> Result<(), StoreError> {
    let in_days = |days: i16| SignedDuration::from_hours(24 * i64::from(days));
    for _ in 0..MAX_BATCHES {
        let now = context.clock.now();
        let within = (now + in_days(next), now + in_days(mark));
        let ending = context.store.ending_unnoticed(kind, mark, within, BATCH).await?;
        if ending.is_empty() {
            return Ok(());
        }
        let mut tx = context.store.begin("notice_ends").await?;
        for domain in &ending {
            tx.append_notice(of_end(context, kind, mark, domain, now));
        }
        tx.commit().await?;
        if ending.len() < BATCH as usize {
            return Ok(());
        }
    }
    Ok(())
}

fn of_end(context: &Context, kind: NoticeKind, mark: i16, domain: &Ending, now: Timestamp) -> Notice {
    Notice {
        id: EventId::new(&*context.clock, &*context.entropy),
        kind,
        subject: domain.name.to_string(),
        mark: format!("{mark}/{}", domain.certificate),
        customer_ref: domain.customer_ref.clone(),
        at: now,
        due_at: now,
        status: Some(Status::Success),
        reason: domain.reason.clone().filter(|_| kind == NoticeKind::ExpiringBlocked),
        days: u32::try_from(mark).ok(),
        ends_at: Some(domain.ends_at),
    }
}

async fn report_midnights(context: &Context) -> Result<(), StoreError> {
    let now = context.clock.now();
    let spread = Duration::from_secs(60 * u64::from(context.config.scheduler.recheck_spread_minutes));
    let spread = SignedDuration::try_from(spread).unwrap_or_default();
    for (day, completed_at, is_open) in context.store.unreported_midnights(now - REPORTED_FOR).await? {
        if is_open && now < completed_at + spread + ATTEMPTS_TAKE {
            continue;
        }
        let mut tx = context.store.begin("notice_midnight").await?;
        tx.append_notice(Notice {
            id: EventId::new(&*context.clock, &*context.entropy),
            kind: NoticeKind::MidnightReport,
            subject: day.to_string(),
            mark: day.to_string(),
            customer_ref: String::new(),
            at: now,
            due_at: now,
            status: None,
            reason: None,
            days: None,
            ends_at: None,
        });
        tx.commit().await?;
    }
    Ok(())
}
