//! The list: what needs a person first, by default.

use askama::Template;
use axum::response::Response;
use proto::{status_word, v1};

use crate::filter::{Filter, Order, WHO, source_word};
use crate::live::Cursor;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::{Badge, Controls, Row};
use crate::words::{self, instant};

/// A status above the list, with how many have it.
struct Tab {
    badge: Badge,
    domains: u64,
    address: String,
    is_on: bool,
}

impl Tab {
    fn count(&self) -> String {
        words::number(self.domains)
    }
}

/// A filter that is on, and the address without it.
struct Token {
    label: String,
    without: String,
}

/// A column's head.
struct Head {
    label: &'static str,
    address: String,
    /// The value of `aria-sort`; empty where the list is not ordered by it.
    sort: &'static str,
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    /// From where on the page listens.
    cursor: Cursor,
    filter: Filter,
    tabs: Vec<Tab>,
    emergencies: u64,
    emergency_address: String,
    paused: Vec<String>,
    whos: [(&'static str, &'static str); 4],
    tokens: Vec<Token>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    /// In words, with how many there are.
    matching: String,
    count: u32,
    queue: Option<String>,
    first: Option<String>,
    previous: Option<String>,
    next: Option<String>,
    last: Option<String>,
}

impl ListPage {
    fn emergency_count(&self) -> String {
        words::number(self.emergencies)
    }

    fn is_source(&self, word: &str) -> bool {
        self.filter.source.map(source_word) == Some(word)
    }

    fn is_who(&self, word: &str) -> bool {
        self.filter.who == Some(word)
    }

    fn days(&self) -> String {
        self.filter.days_to.map(|days| days.to_string()).unwrap_or_default()
    }

    /// The parameters that a form of the filter keeps.
    fn kept(&self) -> Vec<(&'static str, String)> {
        let mut kept: Vec<(&'static str, String)> = Vec::new();
        let statuses = self.filter.statuses.iter();
        kept.extend(statuses.map(|status| ("status", status_word(*status).to_owned())));
        if self.filter.order != Order::default() {
            kept.push(("order", self.filter.order.word().to_owned()));
        }
        if self.filter.descending {
            kept.push(("dir", "desc".to_owned()));
        }
        kept
    }
}

/// Answers `/`.
pub(crate) async fn show(frame: Frame) -> Result<Response, Problem> {
    // Before anything is read: what changes after that is told.
    let cursor = frame.app.hub.cursor(&frame.person.token).await;
    let query = frame.here.split_once('?').map(|(_, query)| query.to_owned());
    let mut filter = Filter::parse(query.as_deref());
    let (listed, summary) = tokio::join!(read(&frame, &mut filter), async {
        frame.domains().get_summary(v1::GetSummaryRequest {}).await
    });
    let (listed, summary) = (listed?, summary?.into_inner());
    let controls = if frame.may_operate() { Controls::Operate } else { Controls::Look };
    let rows = listed.domains.iter();
    let rows = rows.map(|domain| Row::new(domain, &frame.zone, frame.now, controls)).collect();
    let queue = instant(summary.queue_through_at.as_ref()).map(|at| frame.zone.soon(at, frame.now));
    let page = ListPage {
        cursor,
        tabs: tabs(&filter, &summary),
        emergencies: domains_of(&summary, v1::Status::Emergency),
        emergency_address: Filter::default()
            .with(|only| only.statuses = vec![v1::Status::Emergency])
            .address(),
        paused: words::paused(&summary.pauses, &frame.zone),
        whos: WHO.map(|who| (who, words::who(who))),
        tokens: tokens(&filter),
        heads: heads(&filter),
        matching: matching(&listed),
        count: listed.matching,
        rows,
        queue,
        first: (!listed.previous_page_token.is_empty()).then(|| filter.with(|_| {}).address()),
        previous: other_page(&filter, &listed.previous_page_token),
        next: other_page(&filter, &listed.next_page_token),
        last: (!listed.next_page_token.is_empty()).then(|| filter.with(|last| last.last = true).address()),
        filter,
        frame,
    };
    Ok(html(&page))
}

/// Reads the page. A token of another list, or one that is old, leads to the first page.
async fn read(frame: &Frame, filter: &mut Filter) -> Result<v1::ListDomainsResponse, Problem> {
    let answer = frame.domains().list_domains(filter.request(frame.now)).await;
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => {
            let problem = Problem::from(status);
            if problem.reason != "PAGE_TOKEN_INVALID" {
                return Err(problem);
            }
            *filter = filter.with(|_| {});
            let request = filter.request(frame.now);
            Ok(frame.domains().list_domains(request).await?.into_inner())
        }
    }
}

fn domains_of(summary: &v1::GetSummaryResponse, status: v1::Status) -> u64 {
    let counted = summary.statuses.iter().find(|count| count.status() == status);
    counted.map_or(0, |count| count.domains)
}

fn other_page(filter: &Filter, token: &str) -> Option<String> {
    (!token.is_empty()).then(|| filter.with(|page| token.clone_into(&mut page.page)).address())
}

fn tabs(filter: &Filter, summary: &v1::GetSummaryResponse) -> Vec<Tab> {
    // What needs a person first, as in the list.
    let order = [
        v1::Status::Emergency,
        v1::Status::Expired,
        v1::Status::Failure,
        v1::Status::Discard,
        v1::Status::Pending,
        v1::Status::Success,
    ];
    let tab = |status: v1::Status| {
        let is_on = filter.statuses.contains(&status);
        let address = filter.with(|filter| {
            if is_on {
                filter.statuses.retain(|other| *other != status);
            } else {
                filter.statuses.push(status);
            }
        });
        Tab { badge: Badge(status), domains: domains_of(summary, status), address: address.address(), is_on }
    };
    order.into_iter().map(tab).collect()
}

fn tokens(filter: &Filter) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut put = |label: String, change: &dyn Fn(&mut Filter)| {
        tokens.push(Token { label, without: filter.with(|filter| change(filter)).address() });
    };
    if !filter.search.is_empty() {
        put(format!("“{}”", filter.search), &|filter| {
            filter.search.clear();
        });
    }
    for status in &filter.statuses {
        put(format!("Status {}", status_word(*status)), &|filter| {
            filter.statuses.retain(|other| other != status);
        });
    }
    if let Some(source) = filter.source {
        let word = if source == v1::Source::Text { "pasted" } else { "generated" };
        put(format!("Source {word}"), &|filter| filter.source = None);
    }
    if let Some(who) = filter.who {
        put(format!("{} must act", words::who(who)), &|filter| {
            filter.who = None;
        });
    }
    match (filter.days_from, filter.days_to) {
        (None, None) => {}
        (from, to) => put(days(from, to), &|filter| {
            (filter.days_from, filter.days_to) = (None, None);
        }),
    }
    if filter.blocked {
        put("Renewal blocked".to_owned(), &|filter| filter.blocked = false);
    }
    tokens
}

fn days(from: Option<u16>, to: Option<u16>) -> String {
    match (from, to) {
        (Some(from), Some(to)) if to == from.saturating_add(1) => format!("Ends in {from} days"),
        (Some(from), Some(to)) => format!("Ends in {from} to {to} days"),
        (Some(from), None) => format!("Ends in {from} days or later"),
        (None, to) => format!("Ends within {} days", to.unwrap_or_default()),
    }
}

fn heads(filter: &Filter) -> Vec<Head> {
    let head = |label, order| Head {
        label,
        address: filter.ordered(order).address(),
        sort: match (filter.order == order, filter.descending) {
            (true, false) => "ascending",
            (true, true) => "descending",
            (false, _) => "",
        },
    };
    vec![
        head("Domain", Order::Name),
        head("Status", Order::Attention),
        head("Created", Order::Created),
        head("Expires", Order::Expires),
    ]
}

fn matching(listed: &v1::ListDomainsResponse) -> String {
    let number = words::number(listed.matching.into());
    match (listed.matching, listed.matching_more) {
        (_, true) => format!("More than {number} domains"),
        (1, false) => "1 domain".to_owned(),
        _ => format!("{number} domains"),
    }
}
