//! The daily recheck of domains in Failure, Pending or Expired: at `scheduler.recheck_at` in `scheduler.time_zone`,
//! each domain exactly once per day.
//!
//! The day is recorded with the work, in one transaction, so two schedulers, a crash or a second run repeat nothing;
//! and the check compares days, not instants, so a midnight that was missed while the machine slept is made up on
//! waking. The work is spread by name over `scheduler.recheck_spread_minutes`. Preflight comes first, as before every
//! order, so a domain that still fails costs the CA nothing. One that rests after invalid challenges gets one order: a
//! single failure per day never makes a CA pause a name.

use std::hash::{DefaultHasher, Hash, Hasher};

use domain::{Activity, Cause, Domain, DomainName, Work, WorkKind};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runtime::{Context, RoleError};
use store::{StoreError, Tx};

use crate::BATCH;

/// When the daily recheck is due. Remembers the last day that is known to be complete, to spare the store.
pub(crate) struct DailyRecheck {
    at: Time,
    zone: TimeZone,
    spread: SignedDuration,
    complete: Option<Date>,
}

impl DailyRecheck {
    pub(crate) fn new(context: &Context) -> Result<Self, RoleError> {
        let settings = &context.config.scheduler;
        let at = settings
            .recheck_at
            .parse()
            .map_err(|_| RoleError::setting("scheduler.recheck_at", "not a time of day"))?;
        let zone = TimeZone::get(&settings.time_zone)
            .map_err(|error| RoleError::setting("scheduler.time_zone", error.to_string()))?;
        Ok(Self {
            at,
            zone,
            spread: SignedDuration::from_mins(settings.recheck_spread_minutes.into()),
            complete: None,
        })
    }

    /// Takes what belongs to the present day's recheck and was not taken yet.
    pub(crate) async fn sweep(&mut self, context: &Context) -> Result<(), StoreError> {
        let (day, begins) = self.day(context.clock.now());
        if self.complete == Some(day) {
            return Ok(());
        }
        if !context.store.is_rechecked(day).await? {
            while self.take(context, day, begins).await? > 0 {}
        }
        self.complete = Some(day);
        Ok(())
    }

    /// The day whose recheck began last, and when it began. A time of day that a change of clocks leaves out or repeats is
    /// taken as the zone's rules take it.
    fn day(&self, now: Timestamp) -> (Date, Timestamp) {
        let today = now.to_zoned(self.zone.clone()).date();
        let day = if self.begins(today) <= now { today } else { today.yesterday().unwrap_or(today) };
        (day, self.begins(day))
    }

    /// When a day's recheck begins.
    pub(crate) fn begins(&self, day: Date) -> Timestamp {
        let zoned = day.to_datetime(self.at).to_zoned(self.zone.clone());
        zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
    }

    async fn take(&self, context: &Context, day: Date, begins: Timestamp) -> Result<usize, StoreError> {
        let now = context.clock.now();
        let mut tx = context.store.begin("recheck").await?;
        let names = tx.take_recheck(day, begins, BATCH).await?;
        let domains = tx.domains(&names).await?;
        tx.ask_at_midnight(day, &domains).await?;
        for domain in &domains {
            self.plan(&mut tx, domain, now).await?;
        }
        if names.is_empty() {
            tx.set_rechecked(day).await?;
        }
        tx.commit().await?;
        if !names.is_empty() {
            tracing::info!(domains = names.len(), day = %day, "daily recheck planned");
            metrics::counter!("ssl_manager_daily_rechecks_total").increment(names.len() as u64);
        }
        Ok(names.len())
    }

    async fn plan(&self, tx: &mut Tx, domain: &Domain, now: Timestamp) -> Result<(), StoreError> {
        let is_leased = tx.is_leased(&domain.name, WorkKind::Issue).await?;
        let planned = tx.work(&domain.name, WorkKind::Issue).await?;
        match self.rechecked(domain, planned.as_ref(), is_leased, now) {
            Some(work) => tx.schedule(&work).await,
            None => Ok(()),
        }
    }

    /// A domain's recheck, due within the spread. None if an attempt is under way, which counts as done. A retry that is
    /// due sooner keeps its time and becomes the recheck; an attempt that was asked for stays what it is.
    fn rechecked(
        &self,
        domain: &Domain,
        planned: Option<&Work>,
        is_leased: bool,
        now: Timestamp,
    ) -> Option<Work> {
        if is_under_way(domain.activity) || is_leased {
            return None;
        }
        let mut due_at = now + self.slot(&domain.name);
        if let Some((work, sooner)) = planned.and_then(|work| Some((work, work.due_at?)))
            && sooner <= due_at
        {
            if work.cause != Cause::Retry {
                return None;
            }
            due_at = sooner;
        }
        let attempts = planned.map_or(0, |work| work.attempts);
        Some(Work { attempts, ..Work::due(domain, WorkKind::Issue, Cause::DailyRecheck, due_at) })
    }

    /// The same place in the spread every day.
    fn slot(&self, name: &DomainName) -> SignedDuration {
        let mut hasher = DefaultHasher::new();
        name.as_str().hash(&mut hasher);
        let seconds = u64::try_from(self.spread.as_secs()).unwrap_or(0);
        let slot = hasher.finish().checked_rem(seconds).unwrap_or(0);
        SignedDuration::from_secs(slot as i64)
    }
}

/// Whether the CA, C4 or the edges are at it already.
fn is_under_way(activity: Activity) -> bool {
    match activity {
        Activity::WaitingForBudget
        | Activity::WaitingForCa
        | Activity::Validating
        | Activity::Issued
        | Activity::Uploading
        | Activity::VerifyingEdges => true,
        Activity::Idle | Activity::Preflight | Activity::Retrying => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn recheck(time: &str, zone: &str) -> DailyRecheck {
        DailyRecheck {
            at: time.parse().unwrap(),
            zone: TimeZone::get(zone).unwrap(),
            spread: SignedDuration::from_mins(60),
            complete: None,
        }
    }

    #[test]
    fn the_day_begins_at_midnight_in_singapore() {
        let recheck = recheck("00:00", "Asia/Singapore");
        for (now, day) in [
            ("2026-11-23T15:59:59Z", "2026-11-23"),
            ("2026-11-23T16:00:00Z", "2026-11-24"),
            ("2026-11-24T15:59:59Z", "2026-11-24"),
        ] {
            assert_eq!(recheck.day(at(now)).0.to_string(), day, "{now}");
        }
        assert_eq!(recheck.day(at("2026-11-24T03:00:00Z")).1, at("2026-11-23T16:00:00Z"));
    }

    #[test]
    fn clocks_that_change_leave_no_day_out_and_double_none() {
        let recheck = recheck("02:30", "Europe/Berlin");
        let mut days: Vec<Date> = Vec::new();
        let mut now = at("2026-03-27T00:00:00Z");
        while now < at("2026-04-01T00:00:00Z") {
            days.push(recheck.day(now).0);
            now += SignedDuration::from_mins(10);
        }
        assert!(days.is_sorted(), "a day came back");
        days.dedup();
        let written: Vec<String> = days.iter().map(ToString::to_string).collect();
        assert_eq!(
            written,
            ["2026-03-26", "2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31"]
        );
    }

    #[test]
    fn a_slot_lies_within_the_spread() {
        let mut recheck = recheck("00:00", "Asia/Singapore");
        let slots: Vec<SignedDuration> = (0..500)
            .map(|index| recheck.slot(&DomainName::parse(&format!("d{index}.example.com")).unwrap()))
            .collect();
        let early = slots.iter().filter(|slot| slot.as_mins() < 30).count();
        assert!(slots.iter().all(|slot| slot.as_mins() < 60) && (150..350).contains(&early));
        recheck.spread = SignedDuration::ZERO;
        let name = DomainName::parse("shop.example.com").unwrap();
        assert_eq!(recheck.slot(&name), SignedDuration::ZERO);
    }

    #[test]
    fn an_attempt_that_is_sooner_or_under_way_is_the_recheck() {
        let recheck = recheck("00:00", "Asia/Singapore");
        let now = at("2026-11-23T16:00:00Z");
        let domain = Domain::added(DomainName::parse("shop.example.com").unwrap(), now);
        let waiting = domain.clone().doing(Activity::Retrying, None).unwrap();
        let planned = recheck.rechecked(&waiting, None, false, now).unwrap();
        assert_eq!(
            (planned.cause, planned.due_at),
            (Cause::DailyRecheck, Some(now + recheck.slot(&domain.name)))
        );
        let second = SignedDuration::from_secs(1);
        let retry = Work { cause: Cause::Retry, attempts: 4, due_at: Some(now + second), ..planned.clone() };
        let sooner = recheck.rechecked(&waiting, Some(&retry), false, now).unwrap();
        assert_eq!((sooner.cause, sooner.attempts, sooner.due_at), (Cause::DailyRecheck, 4, retry.due_at));
        let asked = Work { cause: Cause::OperatorRecheck, ..retry.clone() };
        assert_eq!(recheck.rechecked(&waiting, Some(&asked), false, now), None);
        let later = Work { due_at: Some(now + SignedDuration::from_hours(9)), ..retry };
        assert_eq!(recheck.rechecked(&waiting, Some(&later), false, now).unwrap().due_at, planned.due_at);
        assert_eq!(recheck.rechecked(&waiting, None, true, now), None, "a worker is at it");
        let validating = domain.doing(Activity::Validating, None).unwrap();
        assert_eq!(recheck.rechecked(&validating, None, false, now), None);
    }
}
