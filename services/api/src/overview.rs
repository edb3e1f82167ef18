//! The overview for a person on duty.
//!
//! The answer is cached for a few seconds and computed by one caller at a time, so that many open pages cost the
//! database no more than one; see [`store::Overview`] for why computing it is cheap, too. An error is cached for a
//! second, so that waiting callers do not all retry one after the other.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use acme::budget;
use domain::{Action, who_must_act};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proto::{to_timestamp, v1};
use runtime::Context;
use runtime::config::Scheduler;
use store::{Overview, StoreError};
use tokio::sync::Mutex;
use tonic::{Request, Status};

use crate::error::from_store;
use crate::service::DomainsService;
use crate::summary;

const ANSWER_TTL: SignedDuration = SignedDuration::from_secs(5);
const ERROR_TTL: SignedDuration = SignedDuration::from_secs(1);
/// Work is usually taken within a second of its time; a shorter threshold would count work that is about to be taken.
const OVERDUE_THRESHOLD: SignedDuration = SignedDuration::from_mins(1);
/// All that end later are one entry.
const MAX_DAYS_LEFT: i64 = 90;
const MAX_END_HOURS: i64 = 120 * 24;
const DAYS_OF_ISSUANCE: i64 = 30;

/// The last answer, and when it was made. The holder of the lock makes the next one.
#[derive(Default)]
pub(crate) struct OverviewCache(Mutex<Option<(Timestamp, Result<v1::GetOverviewResponse, Status>)>>);

impl DomainsService {
    pub(crate) async fn overview(
        &self,
        request: Request<v1::GetOverviewRequest>,
    ) -> Result<v1::GetOverviewResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let mut last = self.overview.0.lock().await;
        if let Some((made_at, answer)) = &*last {
            let lives = if answer.is_ok() { ANSWER_TTL } else { ERROR_TTL };
            let age = self.context.clock.now().duration_since(*made_at);
            if SignedDuration::ZERO <= age && age < lives {
                return answer.clone();
            }
        }
        let answer = read(&self.context).await;
        let answer = answer.map_err(|problem| from_store(&problem));
        *last = Some((self.context.clock.now(), answer.clone()));
        answer
    }
}

async fn read(context: &Context) -> Result<v1::GetOverviewResponse, StoreError> {
    let now = context.clock.now();
    let figures = summary::read(context).await?;
    let overview = context.store.overview(now - OVERDUE_THRESHOLD).await?;
    Ok(v1::GetOverviewResponse {
        statuses: figures.statuses,
        reasons: reasons(&overview),
        days_left: days_left(&overview, now),
        end_hours: end_hours(&overview, now),
        issuance: issuance(&overview, now),
        budget: buckets(context, now).await?,
        overdue: overview.overdue,
        oldest_due_at: overview.oldest_due_at.map(to_timestamp),
        waiting_for_budget: figures.waiting_for_budget,
        queue_through_at: figures.queue_through_at,
        last_midnight: last_midnight(context, &overview),
        renewal_blocked: figures.renewal_blocked,
        pauses: figures.pauses,
    })
}

/// Most first; the same number in the order of the codes.
fn reasons(overview: &Overview) -> Vec<v1::ReasonCount> {
    let mut reasons: Vec<_> = overview
        .reasons
        .iter()
        .map(|(code, domains)| v1::ReasonCount {
            code: code.clone(),
            who: who_must_act(code).map_or("", domain::Who::as_str).to_owned(),
            domains: *domains,
        })
        .collect();
    reasons.sort_by(|one, other| {
        let order = |count: &v1::ReasonCount| (Reverse(count.domains), count.code.clone());
        order(one).cmp(&order(other))
    });
    reasons
}

fn days_left(overview: &Overview, now: Timestamp) -> Vec<v1::DayCount> {
    let this_hour = now.as_second().div_euclid(3600);
    let mut domains = BTreeMap::new();
    for (hour, ending) in &overview.end_hours {
        // What ended is not live, though its status may not say so yet.
        if let hours @ 0.. = hour - this_hour {
            *domains.entry((hours / 24).min(MAX_DAYS_LEFT)).or_insert(0) += ending;
        }
    }
    (0..=MAX_DAYS_LEFT)
        .map(|days| v1::DayCount { days: days as u32, domains: domains.get(&days).copied().unwrap_or(0) })
        .collect()
}

fn end_hours(overview: &Overview, now: Timestamp) -> Vec<v1::HourCount> {
    let this_hour = now.as_second().div_euclid(3600);
    let mut hours: Vec<(i64, u64)> = overview
        .end_hours
        .iter()
        .copied()
        .filter(|(hour, _)| (0..MAX_END_HOURS).contains(&(hour - this_hour)))
        .collect();
    hours.sort_unstable();
    let count = |(hour, domains): (i64, u64)| v1::HourCount {
        hour: Some(prost_types::Timestamp { seconds: hour * 3600, nanos: 0 }),
        domains,
    };
    hours.into_iter().map(count).collect()
}

fn issuance(overview: &Overview, now: Timestamp) -> Vec<v1::IssuanceDay> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let of = |counts: &[(Date, u64)], day| {
        let counted = counts.iter().find(|(counted, _)| *counted == day);
        counted.map_or(0, |(_, amount)| *amount)
    };
    (0..DAYS_OF_ISSUANCE)
        .rev()
        .map(|ago| today.saturating_sub(ago.days()))
        .map(|day| v1::IssuanceDay {
            day: day.to_string(),
            issued: of(&overview.issued, day),
            failed: of(&overview.failed, day),
        })
        .collect()
}

/// In the order of the configuration.
async fn buckets(context: &Context, now: Timestamp) -> Result<Vec<v1::BudgetBucket>, StoreError> {
    let mut buckets = Vec::new();
    for issuer in &context.config.acme.issuers {
        let left = budget::left(&context.store, &issuer.name, &issuer.ca_limits(), now).await?;
        buckets.extend(left.into_iter().map(|left| v1::BudgetBucket {
            issuer: issuer.name.clone(),
            limit: left.what.to_owned(),
            capacity: left.capacity,
            left: left.orders,
            free_at: left.free_at.map(to_timestamp),
        }));
    }
    Ok(buckets)
}

/// The day that was begun last: complete with nothing due, or with domains that were taken.
fn last_midnight(context: &Context, overview: &Overview) -> Option<v1::Midnight> {
    let taken = overview.rechecked.iter().max_by_key(|(day, _)| *day).copied();
    let (day, domains) = taken.max(overview.last_complete.map(|day| (day, 0)))?;
    Some(v1::Midnight {
        day: day.to_string(),
        domains,
        waiting: overview.rechecks_waiting.min(domains),
        at: begins(&context.config.scheduler, day).map(to_timestamp),
    })
}

/// When a day's recheck begins.
pub(crate) fn begins(settings: &Scheduler, day: Date) -> Option<Timestamp> {
    let time: Time = settings.recheck_at.parse().ok()?;
    let zone = TimeZone::get(&settings.time_zone).ok()?;
    Some(day.to_datetime(time).to_zoned(zone).ok()?.timestamp())
}
