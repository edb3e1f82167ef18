//! What a person on duty looks at first. Every figure is a number in a table too; bars only show them side by side.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use proto::v1;
use tonic::Code;

use crate::chart::{self, Bar, short};
use crate::filter::{Filter, Order, WHO};
use crate::page::Frame;
use crate::pages::batch::room;
use crate::problem::{Problem, html};
use crate::row::Moment;
use crate::words::{self, instant};

/// Days that have a bar of their own; then a bar is a week.
const SINGLE_DAYS: u32 = 7;
/// From here on all is one bar.
const BEYOND: u32 = 90;
const COLUMN: u64 = 44;
/// Between days and weeks.
const GAP: u64 = 24;
const DAY_COLUMN: u64 = 30;
/// So that the date below the last day is not cut off.
const DAY_MARGIN: u64 = 12;

/// Something counted, and the list of it.
struct Counted {
    label: &'static str,
    count: String,
    address: String,
}

/// A reason, and how many it blocks.
struct Why {
    reason: String,
    who: &'static str,
    count: String,
}

/// How many end in these days.
struct Ends {
    bar: Bar,
    span: String,
    count: u64,
    count_short: String,
    address: String,
    /// In words.
    label: String,
}

impl Ends {
    fn column(&self) -> u64 {
        self.bar.x - (COLUMN - self.bar.width) / 2
    }
}

/// One day's orders.
struct Day {
    issued: Bar,
    failed: Bar,
    date: String,
    /// Below the chart; most days have none.
    tick: String,
    issued_count: String,
    failed_count: String,
}

/// How large a chart is.
struct Size {
    width: u64,
    height: u64,
    /// The base line of what stands below its bars.
    tick: u64,
    /// The width of what belongs to one bar.
    column: u64,
}

impl Size {
    fn new(columns: usize, column: u64, gap: u64) -> Self {
        Self { width: columns as u64 * column + gap, height: chart::HEIGHT, tick: chart::FLOOR + 18, column }
    }
}

/// A limit of a CA.
struct Limit {
    label: String,
    capacity: u32,
    low: u32,
    left: u32,
    words: String,
}

/// All figures.
struct Figures {
    emergencies: String,
    has_emergency: bool,
    emergency_address: String,
    paused: Vec<String>,
    whos: Vec<Counted>,
    reasons: Vec<Why>,
    ends: Vec<Ends>,
    ends_size: Size,
    days: Vec<Day>,
    days_size: Size,
    issuance: String,
    limits: Vec<Limit>,
    room: String,
    overdue: String,
    oldest: Option<(String, Moment)>,
    waiting: String,
    blocked: Counted,
    midnight: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    /// None while the API is older than this page.
    figures: Option<Figures>,
}

/// Answers `/overview`.
pub(crate) async fn show(frame: Frame) -> Result<Response, Problem> {
    let answer = frame.domains().get_overview(v1::GetOverviewRequest {}).await;
    let figures = match answer {
        Ok(answer) => Some(figures(&frame, &answer.into_inner())),
        Err(status) if status.code() == Code::Unimplemented => None,
        Err(status) => return Err(status.into()),
    };
    Ok(html(&OverviewPage { frame, figures }))
}

fn figures(frame: &Frame, overview: &v1::GetOverviewResponse) -> Figures {
    let emergencies = overview.statuses.iter();
    let emergencies =
        emergencies.filter(|count| count.status() == v1::Status::Emergency).map(|count| count.domains).sum();
    let only = |change: &dyn Fn(&mut Filter)| Filter::default().with(change).address();
    let oldest = instant(overview.oldest_due_at.as_ref());
    let queue = instant(overview.queue_through_at.as_ref()).map(|at| frame.zone.soon(at, frame.now));
    let (ends, days) = (ends(&overview.days_left), days(&overview.issuance));
    Figures {
        emergencies: words::number(emergencies),
        has_emergency: emergencies > 0,
        emergency_address: only(&|filter| filter.statuses = vec![v1::Status::Emergency]),
        paused: words::paused(&overview.pauses, &frame.zone),
        whos: whos(&overview.reasons),
        reasons: overview.reasons.iter().take(10).map(why).collect(),
        ends_size: Size::new(ends.len(), COLUMN, GAP),
        ends,
        days_size: Size::new(days.len(), DAY_COLUMN, DAY_MARGIN),
        days,
        issuance: words::issuance(&overview.issuance),
        limits: overview.budget.iter().map(|bucket| limit(frame, bucket)).collect(),
        room: words::room(room(&overview.budget)),
        overdue: words::number(overview.overdue),
        oldest: oldest.map(|at| {
            let age = frame.now.duration_since(at);
            (words::age(age), Moment::time(at, &frame.zone))
        }),
        waiting: words::waiting(overview.waiting_for_budget, queue.as_deref()),
        blocked: Counted {
            label: "Renewal blocked",
            count: words::number(overview.renewal_blocked),
            address: only(&|filter| filter.blocked = true),
        },
        midnight: words::midnight(overview.last_midnight.as_ref(), &frame.zone),
    }
}

/// How many wait for each, of those for whom any does.
fn whos(reasons: &[v1::ReasonCount]) -> Vec<Counted> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for reason in reasons {
        *counts.entry(&reason.who).or_default() += reason.domains;
    }
    let counted = |who: &'static str| {
        let domains = *counts.get(who)?;
        (domains > 0).then(|| Counted {
            label: words::who(who),
            count: words::number(domains),
            address: Filter::default().with(|filter| filter.who = Some(who)).address(),
        })
    };
    WHO.into_iter().filter_map(counted).collect()
}

fn why(reason: &v1::ReasonCount) -> Why {
    Why {
        reason: words::reason(&reason.code).to_owned(),
        who: words::who(&reason.who),
        count: words::number(reason.domains),
    }
}

/// Each of the next seven days, then weeks, then all beyond.
fn ends(days_left: &[v1::DayCount]) -> Vec<Ends> {
    let weeks = (SINGLE_DAYS..BEYOND).step_by(7).map(|from| (from, (from + 7).min(BEYOND)));
    let spans: Vec<(u32, u32)> =
        (0..SINGLE_DAYS).map(|day| (day, day + 1)).chain(weeks).chain([(BEYOND, u32::MAX)]).collect();
    let count = |(from, to): &(u32, u32)| -> u64 {
        let within = days_left.iter().filter(|day| (*from..*to).contains(&day.days));
        within.map(|day| day.domains).sum()
    };
    let counts: Vec<u64> = spans.iter().map(count).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    let end = |(index, ((from, to), count)): (usize, ((u32, u32), u64))| {
        let gap = if from < SINGLE_DAYS { 0 } else { GAP };
        let x = index as u64 * COLUMN + gap + 5;
        Ends {
            bar: Bar::new(x, COLUMN - 10, count, most),
            span: words::span(from, to),
            count,
            count_short: short(count),
            label: words::ends(from, to, count),
            address: Filter::default()
                .with(|filter| {
                    filter.days_from = u16::try_from(from).ok();
                    filter.days_to = u16::try_from(to).ok();
                    filter.order = Order::Expires;
                })
                .address(),
        }
    };
    spans.into_iter().zip(counts).enumerate().map(end).collect()
}

fn days(issuance: &[v1::IssuanceDay]) -> Vec<Day> {
    let most = issuance.iter().map(|day| day.issued.max(day.failed)).max();
    let most = most.unwrap_or_default();
    let day = |(index, day): (usize, &v1::IssuanceDay)| {
        let x = index as u64 * DAY_COLUMN;
        let is_ticked = (issuance.len() - 1 - index).is_multiple_of(5);
        Day {
            issued: Bar::new(x + 3, 12, day.issued, most),
            failed: Bar::new(x + 15, 12, day.failed, most),
            tick: if is_ticked { words::day(&day.day) } else { String::new() },
            date: day.day.clone(),
            issued_count: words::number(day.issued),
            failed_count: words::number(day.failed),
        }
    };
    issuance.iter().enumerate().map(day).collect()
}

fn limit(frame: &Frame, bucket: &v1::BudgetBucket) -> Limit {
    let free_at = instant(bucket.free_at.as_ref()).map(|at| frame.zone.soon(at, frame.now));
    Limit {
        label: format!("{}: {}", bucket.issuer, bucket.limit),
        capacity: bucket.capacity,
        low: bucket.capacity / 10,
        left: bucket.left,
        words: words::left(bucket.left, bucket.capacity, free_at.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: u32, domains: u64) -> v1::DayCount {
        v1::DayCount { days, domains }
    }

    #[test]
    fn days_are_counted_once_each_and_lead_to_their_list() {
        let days_left: Vec<v1::DayCount> = (0..=BEYOND).map(|days| day(days, 1)).collect();
        let ends = ends(&days_left);
        assert_eq!(ends.len(), 20);
        assert_eq!(ends.iter().map(|ends| ends.count).sum::<u64>(), 91);
        let shown =
            |index: usize| (ends[index].span.as_str(), ends[index].count, ends[index].address.as_str());
        assert_eq!(shown(0), ("0", 1, "/?from=0&days=1&order=expires"));
        assert_eq!(shown(7), ("7–13", 7, "/?from=7&days=14&order=expires"));
        assert_eq!(shown(18), ("84–89", 6, "/?from=84&days=90&order=expires"));
        assert_eq!(shown(19), ("90+", 1, "/?from=90&order=expires"));
        assert!(ends.windows(2).all(|pair| pair[0].bar.x + pair[0].bar.width < pair[1].bar.x));
    }

    #[test]
    fn who_must_act_adds_up_over_reasons() {
        let reason = |who: &str, domains| v1::ReasonCount {
            code: "not_pointed".to_owned(),
            who: who.to_owned(),
            domains,
        };
        let whos = whos(&[reason("customer", 2), reason("us", 0), reason("customer", 3)]);
        assert_eq!(whos.len(), 1);
        assert_eq!((whos[0].label, whos[0].count.as_str()), ("Customer", "5"));
        assert_eq!(whos[0].address, "/?who=customer");
    }
}
