//! The overview for a person on duty. Every bar has its number beside it, and links to its list.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use jiff::Timestamp;
use proto::v1;
use tonic::Code;

use crate::chart::{height, short};
use crate::filter::{Filter, Order, WHO};
use crate::page::Frame;
use crate::pages::job::room;
use crate::problem::{Problem, html, sentence};
use crate::row::Badge;
use crate::words::{self, instant};
use crate::zone::Zone;

/// Days that have a bar of their own, on a scale of their own.
const SINGLE_DAYS: u32 = 14;
/// From here on all is one bar.
const BEYOND: u32 = 98;

/// Something counted, and the list of it.
struct Counted {
    label: &'static str,
    count: String,
    address: String,
}

/// A figure of the first row.
struct Figure {
    label: &'static str,
    /// The class of the style sheet.
    class: &'static str,
    count: String,
    /// The earlier value, in words.
    before: String,
    address: String,
}

/// A part of the whole, and how it is.
struct Part {
    label: &'static str,
    is_well: bool,
    words: String,
}

/// A reason, and how many it blocks.
struct Why {
    reason: String,
    who: &'static str,
    count: String,
    address: String,
}

/// How many end in these days.
struct Ends {
    bar: u64,
    span: String,
    count_short: String,
    address: String,
    /// In words.
    label: String,
}

/// One day's orders.
struct Day {
    issued: u64,
    failed: u64,
    date: String,
    tick: String,
    issued_count: String,
    failed_count: String,
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
    first: Vec<Figure>,
    health: Vec<Part>,
    whos: Vec<Counted>,
    reasons: Vec<Why>,
    soon: Vec<Ends>,
    later: Vec<Ends>,
    days: Vec<Day>,
    issuance: String,
    limits: Vec<Limit>,
    room: String,
    waiting: String,
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
    let queue = instant(overview.queue_through_at.as_ref()).map(|at| frame.zone.soon(at, frame.now));
    let left = DaysLeft::new(overview, &frame.zone, frame.now);
    let days: Vec<(u32, u32)> = (0..SINGLE_DAYS).map(|day| (day, day + 1)).collect();
    let weeks = (SINGLE_DAYS..BEYOND).step_by(7).map(|from| (from, from + 7));
    let weeks: Vec<(u32, u32)> = weeks.chain([(BEYOND, u32::MAX)]).collect();
    Figures {
        first: first_row(overview, &left),
        health: health(frame, overview),
        whos: whos(&overview.reasons),
        reasons: reasons(&overview.reasons),
        soon: ends(&left, &days),
        later: ends(&left, &weeks),
        days: issued_and_failed(&overview.issuance),
        issuance: words::issuance(&overview.issuance),
        limits: overview.budget.iter().map(|bucket| limit(frame, bucket)).collect(),
        room: words::room(room(&overview.budget)),
        waiting: words::waiting(overview.waiting_for_budget, queue.as_deref()),
    }
}

fn only(change: impl FnOnce(&mut Filter)) -> String {
    Filter::default().with(change).address()
}

/// The most important figures, with yesterday's value where it is known.
fn first_row(overview: &v1::GetOverviewResponse, left: &DaysLeft) -> Vec<Figure> {
    let of = |status: v1::Status| {
        let counts = overview.statuses.iter().filter(|count| count.status() == status);
        let badge = Badge(status);
        Figure {
            label: badge.word(),
            class: badge.class(),
            count: words::number(counts.map(|count| count.domains).sum()),
            before: String::new(),
            address: only(|filter| filter.statuses = vec![status]),
        }
    };
    let plain = |label, count, before, address| Figure {
        label,
        class: "",
        count: words::number(count),
        before,
        address,
    };
    let mut newest = overview.issuance.iter().rev();
    let (today, yesterday) = (newest.next(), newest.next());
    let of_day = |count: fn(&v1::IssuanceDay) -> u64| {
        let before = yesterday.map_or_else(String::new, |day| words::yesterday(count(day)));
        (today.map_or(0, count), before)
    };
    let (issued, issued_before) = of_day(|day| day.issued);
    let (failed, failed_before) = of_day(|day| day.failed);
    let week = only(|filter| {
        (filter.days_from, filter.days_to, filter.order) = (Some(0), Some(7), Order::Expires);
    });
    vec![
        of(v1::Status::Emergency),
        of(v1::Status::Expired),
        of(v1::Status::Failure),
        plain(
            "Renewal blocked",
            overview.renewal_blocked,
            String::new(),
            only(|filter| filter.blocked = true),
        ),
        plain("End within 7 days", left.between(0, 7), String::new(), week),
        plain("Issued today", issued, issued_before, String::new()),
        plain("Orders failed today", failed, failed_before, String::new()),
    ]
}

/// The parts of the whole, as far as the figures tell of them.
fn health(frame: &Frame, overview: &v1::GetOverviewResponse) -> Vec<Part> {
    let domains_of = |codes: &[&str]| -> u64 {
        let counts = overview.reasons.iter().filter(|count| codes.contains(&count.code.as_str()));
        counts.map(|count| count.domains).sum()
    };
    let by_domains = |label, codes: &[&str], trouble: &str| {
        let domains = domains_of(codes);
        Part { label, is_well: domains == 0, words: words::health(domains, trouble) }
    };
    let oldest = instant(overview.oldest_due_at.as_ref()).map(|at| words::age(frame.now.duration_since(at)));
    vec![
        by_domains("CA", &["ca_down", "issuer_refuses_us"], "Does not answer, or refuses us"),
        by_domains("C4", &["upload_failed"], "Upload failed"),
        by_domains("Edges", &["not_served"], "Not served everywhere"),
        Part {
            label: "Queue",
            is_well: overview.overdue == 0,
            words: words::queue(overview.overdue, oldest.as_deref()),
        },
        Part {
            label: "Last midnight",
            is_well: overview.last_midnight.as_ref().is_none_or(|midnight| midnight.waiting == 0),
            words: words::midnight(overview.last_midnight.as_ref(), &frame.zone),
        },
        Part { label: "Version", is_well: true, words: env!("CARGO_PKG_VERSION").to_owned() },
    ]
}

/// The number of domains that wait for each party, without zeros.
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

/// The reasons that block most, each sentence once: several codes may read the same.
fn reasons(counts: &[v1::ReasonCount]) -> Vec<Why> {
    let mut domains = BTreeMap::<(String, &str), (u64, Vec<&str>)>::new();
    for count in counts {
        let reason = sentence(words::reason(&count.code)).trim_end_matches('.').to_owned();
        let (of_all, codes) = domains.entry((reason, &count.who)).or_default();
        *of_all += count.domains;
        codes.push(&count.code);
    }
    let mut domains: Vec<_> = domains.into_iter().collect();
    domains.sort_by_key(|(_, (domains, _))| Reverse(*domains));
    let why = |((reason, who), (domains, codes)): ((String, &str), (u64, Vec<&str>))| Why {
        reason,
        who: words::who(who),
        count: words::number(domains),
        address: only(|filter| match codes[..] {
            [code] => code.clone_into(&mut filter.reason),
            _ => filter.who = WHO.into_iter().find(|word| *word == who),
        }),
    };
    domains.into_iter().take(10).map(why).collect()
}

/// Live certificates by the days that are left to them in the reader's calendar.
struct DaysLeft {
    days: BTreeMap<u32, u64>,
    all: u64,
}

impl DaysLeft {
    fn new(overview: &v1::GetOverviewResponse, zone: &Zone, now: Timestamp) -> Self {
        let mut days = BTreeMap::new();
        for ending in &overview.end_hours {
            // The hour that runs has begun in the past; its day is today all the same.
            let hour = instant(ending.hour.as_ref()).map_or(now, |hour| hour.max(now));
            let left = u32::try_from(zone.days_left(hour, now)).unwrap_or(0);
            *days.entry(left).or_default() += ending.domains;
        }
        Self { days, all: overview.days_left.iter().map(|count| count.domains).sum() }
    }

    /// How many end from `from` days on and before `to`.
    fn between(&self, from: u32, to: u32) -> u64 {
        if to == u32::MAX {
            return self.all.saturating_sub(self.between(0, from));
        }
        self.days.range(from..to).map(|(_, domains)| domains).sum()
    }
}

fn ends(left: &DaysLeft, spans: &[(u32, u32)]) -> Vec<Ends> {
    let counts: Vec<u64> = spans.iter().map(|(from, to)| left.between(*from, *to)).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    let end = |(&(from, to), count): (&(u32, u32), u64)| Ends {
        bar: height(count, most),
        span: words::span(from, to),
        count_short: short(count),
        label: words::ends(from, to, count),
        address: only(|filter| {
            filter.days_from = u16::try_from(from).ok();
            filter.days_to = u16::try_from(to).ok();
            filter.order = Order::Expires;
        }),
    };
    spans.iter().zip(counts).map(end).collect()
}

/// Failures have a scale of their own: a few of them matter among many that are issued.
fn issued_and_failed(issuance: &[v1::IssuanceDay]) -> Vec<Day> {
    let most = |count: fn(&v1::IssuanceDay) -> u64| issuance.iter().map(count).max().unwrap_or_default();
    let (most_issued, most_failed) = (most(|day| day.issued), most(|day| day.failed));
    let day = |(index, day): (usize, &v1::IssuanceDay)| Day {
        issued: height(day.issued, most_issued),
        failed: height(day.failed, most_failed),
        tick: if (issuance.len() - 1 - index).is_multiple_of(7) {
            words::day(&day.day)
        } else {
            String::new()
        },
        date: words::day(&day.day),
        issued_count: words::number(day.issued),
        failed_count: words::number(day.failed),
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
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_bar_counts_what_its_list_shows() {
        let zone = Zone::of(&HeaderMap::new());
        // 01:30 in Singapore.
        let now: Timestamp = "2026-11-12T17:30:00Z".parse().unwrap();
        let hour = |text: &str, domains| v1::HourCount {
            hour: Some(proto::to_timestamp(text.parse().unwrap())),
            domains,
        };
        let overview = v1::GetOverviewResponse {
            end_hours: vec![
                hour("2026-11-12T17:00:00Z", 1),
                hour("2026-11-13T15:00:00Z", 2),
                hour("2026-11-13T16:00:00Z", 4),
                hour("2026-11-20T16:00:00Z", 8),
            ],
            days_left: vec![v1::DayCount { days: 90, domains: 31 }],
            ..v1::GetOverviewResponse::default()
        };
        let left = DaysLeft::new(&overview, &zone, now);
        assert_eq!(
            [left.between(0, 1), left.between(1, 2), left.between(2, 8), left.between(8, 9)],
            [3, 4, 0, 8]
        );
        assert_eq!(left.between(BEYOND, u32::MAX), 16, "those that end later");
        let shown = ends(&left, &[(0, 1), (14, 21), (BEYOND, u32::MAX)]);
        let shown: Vec<_> = shown.iter().map(|ends| (ends.span.as_str(), ends.address.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("0", "/?from=0&days=1&order=expires"),
                ("14–20", "/?from=14&days=21&order=expires"),
                ("98+", "/?from=98&order=expires")
            ]
        );
    }

    #[test]
    fn reasons_that_read_the_same_are_one_line() {
        let count = |code: &str, domains| v1::ReasonCount {
            code: code.to_owned(),
            who: "customer".to_owned(),
            domains,
        };
        let counts =
            [count("challenge_invalid", 2), count("not_pointed", 3), count("challenge_unreachable", 2)];
        let shown: Vec<_> =
            reasons(&counts).into_iter().map(|why| (why.reason, why.count, why.address)).collect();
        let expected = [
            ("The challenge path does not reach us", "4", "/?who=customer"),
            ("DNS does not point to the CDN", "3", "/?reason=not_pointed"),
        ];
        let expected =
            expected.map(|(reason, count, to)| (reason.to_owned(), count.to_owned(), to.to_owned()));
        assert_eq!(shown, expected);
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
