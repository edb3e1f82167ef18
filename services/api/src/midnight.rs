//! The midnight report: the domains that the daily recheck checked, and their outcomes.

use domain::{Action, MidnightOutcome, Status as DomainStatus};
use jiff::civil::Date;
use proto::{midnight_outcome, to_timestamp, v1};
use store::{MidnightFigures, MidnightQuery, MidnightRow, StoreError};
use tonic::{Request, Status};

use crate::error::{from_store, invalid};
use crate::overview::begins;
use crate::page;
use crate::service::{DomainsService, page_size};

const DEFAULT_PAGE: u32 = 100;

/// The outcome of a filter; none for all.
fn outcome(number: i32) -> Result<Option<MidnightOutcome>, Status> {
    let message = v1::MidnightOutcome::try_from(number)
        .map_err(|_| invalid("OUTCOME_INVALID", "an unknown outcome in the filter"))?;
    Ok(midnight_outcome(message))
}

fn entry(row: &MidnightRow) -> v1::MidnightEntry {
    let status = |status: Option<DomainStatus>| status.map_or(v1::Status::Unspecified, v1::Status::from);
    v1::MidnightEntry {
        name: row.name.to_string(),
        outcome: v1::MidnightOutcome::from(row.outcome).into(),
        status_before: status(Some(row.status_before)).into(),
        reason_before: row.reason_before.clone(),
        status_after: status(row.status_after).into(),
        reason_after: row.reason_after.clone(),
        decided_at: row.decided_at.map(to_timestamp),
    }
}

fn counts(of_day: &MidnightFigures, before: &MidnightFigures) -> Vec<v1::MidnightCount> {
    let count = |figures: &MidnightFigures, outcome| {
        let found = figures.outcomes.iter().find(|(counted, _)| *counted == outcome);
        found.map_or(0, |(_, domains)| *domains)
    };
    let counted = |outcome| v1::MidnightCount {
        outcome: v1::MidnightOutcome::from(outcome).into(),
        domains: count(of_day, outcome),
        day_before: count(before, outcome),
    };
    MidnightOutcome::ALL.into_iter().map(counted).collect()
}

impl DomainsService {
    pub(crate) async fn midnight(
        &self,
        request: Request<v1::GetMidnightReportRequest>,
    ) -> Result<v1::GetMidnightReportResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        let outcome = outcome(asked.outcome)?;
        let last = self.context.store.last_midnight().await.map_err(|problem| from_store(&problem))?;
        let Some(last) = last else {
            return Ok(v1::GetMidnightReportResponse::default());
        };
        let day = self.asked_day(&asked.day, last)?;
        let bound_to = format!("midnight {day} {outcome:?} {}", asked.only_new);
        let after = after(&bound_to, &asked.page_token)?;
        let query = MidnightQuery { day, outcome, only_new: asked.only_new, after, limit: limit + 1 };
        let report = self.report(&query, limit, last, &bound_to).await;
        report.map_err(|problem| from_store(&problem))
    }

    fn asked_day(&self, text: &str, last: Date) -> Result<Date, Status> {
        if text.is_empty() {
            return Ok(last);
        }
        let day: Option<Date> = text.parse().ok().filter(|day: &Date| day.to_string() == text);
        let begun = day.filter(|day| {
            let begins = begins(&self.context.config.scheduler, *day);
            begins.is_none_or(|begins| begins <= self.context.clock.now())
        });
        let sentence = "send a day such as 2026-11-30 whose midnight has come, or none for the last one";
        begun.ok_or_else(|| invalid("DAY_INVALID", sentence))
    }

    async fn report(
        &self,
        query: &MidnightQuery,
        limit: u32,
        last: Date,
        bound_to: &str,
    ) -> Result<v1::GetMidnightReportResponse, StoreError> {
        let store = &self.context.store;
        let settings = &self.context.config.scheduler;
        let day = query.day;
        let figures = store.midnight_figures(day).await?;
        let before = store.midnight_figures(day.yesterday().unwrap_or(day)).await?;
        let mut rows = store.midnight_page(query).await?;
        let goes_on = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next =
            rows.last().filter(|_| goes_on).map(|row| page::bind(bound_to, row.name.as_str().as_bytes()));
        Ok(v1::GetMidnightReportResponse {
            day: day.to_string(),
            at: begins(settings, day).map(to_timestamp),
            time_zone: settings.time_zone.clone(),
            counts: counts(&figures, &before),
            new_since: figures.new,
            gone_since: figures.gone,
            entries: rows.iter().map(entry).collect(),
            next_page_token: next.unwrap_or_default(),
            last_day: last.to_string(),
        })
    }
}

/// The name after which the page begins.
fn after(bound_to: &str, token: &str) -> Result<String, Status> {
    if token.is_empty() {
        return Ok(String::new());
    }
    let place = page::unbind(bound_to, token).and_then(|place| String::from_utf8(place).ok());
    let sentence = "send a next_page_token of the same day and filter, or none for the first page";
    place.filter(|place| !place.contains('\0')).ok_or_else(|| invalid("PAGE_TOKEN_INVALID", sentence))
}
