//! Counts of the list and of the work as gauges, for alerts. Every scheduler exports the same numbers.

use domain::{Status, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::{Context, ENDING_WITHIN_DAYS};
use store::{AtRisk, Overview, StoreError, Summary};

use crate::recheck::DailyRecheck;

/// A generated certificate is renewed earlier than this before its end: at half of its lifetime where that is short.
const LATE: SignedDuration = SignedDuration::from_hours(3 * 24);
const SECONDS_PER_HOUR: i64 = 3600;

/// Remembers when the last complete sweep ended.
pub(crate) fn swept(now: Timestamp) {
    metrics::gauge!("ssl_manager_last_sweep_timestamp_seconds").set(now.as_second() as f64);
}

/// Reads the numbers and sets the gauges.
pub(crate) async fn export(context: &Context, daily: &DailyRecheck) -> Result<(), StoreError> {
    let (store, now) = (&context.store, context.clock.now());
    let summary = store.summary(now, AtRisk::at(now)).await?;
    let overview = store.overview(now).await?;
    let oldest = store.oldest_due().await?;
    let late = store.late_renewals(now + LATE).await?;
    show_summary(&summary);
    show_ends(&overview, now);
    for kind in WorkKind::ALL {
        let due_at = oldest.iter().find(|(found, _)| *found == kind).map_or(now, |(_, due_at)| *due_at);
        let seconds = now.duration_since(due_at).as_secs().max(0);
        metrics::gauge!("ssl_manager_oldest_due_seconds", "kind" => kind.as_str()).set(seconds as f64);
    }
    metrics::gauge!("ssl_manager_renewals_late").set(late as f64);
    if let Some(day) = overview.last_complete {
        let began = daily.begins(day).as_second();
        metrics::gauge!("ssl_manager_last_daily_recheck_timestamp_seconds").set(began as f64);
    }
    Ok(())
}

fn show_summary(summary: &Summary) {
    for status in Status::ALL {
        let counted = summary.statuses.iter().find(|(counted, _)| *counted == status);
        let domains = counted.map_or(0, |(_, domains)| *domains);
        metrics::gauge!("ssl_manager_domains", "status" => status.as_str()).set(domains as f64);
    }
    metrics::gauge!("ssl_manager_renewal_blocked").set(summary.renewal_blocked as f64);
    metrics::gauge!("ssl_manager_waiting_for_budget").set(summary.waiting_for_budget as f64);
}

/// To the hour, as the ends are counted.
fn show_ends(overview: &Overview, now: Timestamp) {
    for days in ENDING_WITHIN_DAYS {
        let bound = now.as_second() / SECONDS_PER_HOUR + i64::from(days) * 24;
        let ending = overview.end_hours.iter().filter(|(hour, _)| *hour < bound);
        let certificates: u64 = ending.map(|(_, amount)| amount).sum();
        metrics::gauge!("ssl_manager_certificates_ending", "within_days" => days.to_string())
            .set(certificates as f64);
    }
}
