//! The list, ordered by urgency by default.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use domain::DomainName;
use jiff::Timestamp;
use proto::{status_word, v1};

use crate::filter::{Filter, Order, PAGE_SIZE, WHO, source_word};
use crate::form::query;
use crate::live::Cursor;
use crate::page::{Frame, LIST};
use crate::pages::domain::address;
use crate::pages::help;
use crate::problem::{Problem, html};
use crate::row::{Badge, Controls, Row};
use crate::session::with_cookie;
use crate::words::{self, instant};
use crate::zone::Zone;

/// A query that is longer is not kept for the way back: cookies have little room.
const MAX_LIST_BYTES: usize = 1024;

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

/// A filter that is looked at often, one click away.
struct Preset {
    label: &'static str,
    address: String,
    is_on: bool,
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
    presets: Vec<Preset>,
    /// The seventh of the tabs, which is no status.
    at_risk: Preset,
    whos: [(&'static str, &'static str); 4],
    statuses: [help::Meaning; 6],
    keys: [(&'static str, &'static str); 6],
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
    /// Those that match and are not all on this page.
    fn is_longer(&self) -> bool {
        self.count > PAGE_SIZE as u32
    }

    /// The address of the changes of these rows.
    fn live(&self) -> String {
        let names = self.rows.iter().map(|row| format!("&on={}", row.name.ascii));
        format!("/events?list=1&{}{}", self.filter.with(|_| {}).query(), names.collect::<String>())
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
        if !self.filter.reason.is_empty() {
            kept.push(("reason", self.filter.reason.clone()));
        }
        kept.extend(self.filter.owner());
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
    let text = frame.here.split_once('?').map(|(_, query)| query.to_owned());
    let mut filter = Filter::parse(text.as_deref());
    let listed = read(&frame, &mut filter).await?;
    let is_searched = query(text.as_deref()).contains_key("open") && !filter.search.is_empty();
    if let ([only], true) = (&listed.domains[..], is_searched)
        && let Ok(name) = DomainName::parse(&only.name)
    {
        return Ok(Redirect::to(&address(&name)).into_response());
    }
    let page = ListPage::new(frame, cursor, filter, &listed);
    let kept = page.filter.query();
    let cookie = page.frame.app.cookies.passing(LIST, if kept.len() > MAX_LIST_BYTES { "" } else { &kept });
    Ok(with_cookie(html(&page), cookie))
}

impl ListPage {
    fn new(frame: Frame, cursor: Cursor, filter: Filter, listed: &v1::ListDomainsResponse) -> Self {
        let controls = if frame.may_operate() { Controls::Operate } else { Controls::Look };
        let rows = listed.domains.iter();
        let queue = frame.summary.as_ref().and_then(|summary| instant(summary.queue_through_at.as_ref()));
        Self {
            cursor,
            tabs: tabs(&filter, &frame),
            at_risk: preset(&filter, "At risk", &|only| only.at_risk = true),
            presets: presets(&filter),
            whos: WHO.map(|who| (who, words::who(who))),
            statuses: help::statuses(),
            keys: words::KEYS,
            tokens: tokens(&filter, &frame.zone, frame.now),
            heads: heads(&filter),
            matching: matching(listed),
            count: listed.matching,
            rows: rows.map(|domain| Row::new(domain, &frame.zone, frame.now, controls)).collect(),
            queue: queue.map(|at| words::queue_through(&frame.zone.soon(at, frame.now))),
            first: (!listed.previous_page_token.is_empty()).then(|| filter.with(|_| {}).address()),
            previous: other_page(&filter, &listed.previous_page_token),
            next: other_page(&filter, &listed.next_page_token),
            last: (!listed.next_page_token.is_empty())
                .then(|| filter.with(|last| last.last = true).address()),
            filter,
            frame,
        }
    }
}

/// Reads the page. A token of another list, or one that is old, leads to the first page.
async fn read(frame: &Frame, filter: &mut Filter) -> Result<v1::ListDomainsResponse, Problem> {
    let answer = frame.domains().list_domains(filter.request(&frame.zone, frame.now)).await;
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => {
            let problem = Problem::from(status);
            if problem.reason != "PAGE_TOKEN_INVALID" {
                return Err(problem);
            }
            *filter = filter.with(|_| {});
            let request = filter.request(&frame.zone, frame.now);
            Ok(frame.domains().list_domains(request).await?.into_inner())
        }
    }
}

fn other_page(filter: &Filter, token: &str) -> Option<String> {
    (!token.is_empty()).then(|| filter.with(|page| token.clone_into(&mut page.page)).address())
}

fn tabs(filter: &Filter, frame: &Frame) -> Vec<Tab> {
    let tab = |status: v1::Status| {
        let is_on = filter.statuses.contains(&status);
        let address = filter.with(|filter| {
            if is_on {
                filter.statuses.retain(|other| *other != status);
            } else {
                filter.statuses.push(status);
            }
        });
        Tab { badge: Badge(status), domains: frame.count(status), address: address.address(), is_on }
    };
    // What needs a person first, as in the list.
    help::statuses().map(|(Badge(status), ..)| tab(status)).into()
}

/// Each is a list of its own; what is filtered beside it goes.
fn preset(filter: &Filter, label: &'static str, change: &dyn Fn(&mut Filter)) -> Preset {
    let mut only = Filter::default().with(change);
    let is_on = only == Filter { page: String::new(), last: false, ..filter.clone() };
    if is_on {
        only = Filter::default();
    }
    Preset { label, address: only.address(), is_on }
}

fn presets(filter: &Filter) -> Vec<Preset> {
    let preset = |label, change: &dyn Fn(&mut Filter)| preset(filter, label, change);
    vec![
        preset("New since yesterday", &|only| only.is_new = true),
        preset("Renewal blocked", &|only| only.blocked = true),
        preset("Ends within 7 days", &|only| {
            (only.days_from, only.days_to, only.order) = (Some(0), Some(7), Order::Expires);
        }),
        preset("Customer must act", &|only| only.who = Some("customer")),
        preset("Newest first", &|only| (only.order, only.descending) = (Order::Created, true)),
    ]
}

fn tokens(filter: &Filter, zone: &Zone, now: Timestamp) -> Vec<Token> {
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
        put(format!("Source {}", words::source(source)), &|filter| filter.source = None);
    }
    if let Some(who) = filter.who {
        put(format!("Who must act: {}", words::who(who)), &|filter| {
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
    if !filter.reason.is_empty() {
        put(format!("Reason: {}", words::reason(&filter.reason)), &|filter| filter.reason.clear());
    }
    if filter.is_new {
        put(words::new_since(&zone.time(zone.yesterday(now)), &zone.label), &|filter| filter.is_new = false);
    }
    let owner = filter.owner_tokens().into_iter();
    tokens.extend(owner.map(|(label, without)| Token { label, without: without.address() }));
    tokens
}

fn days(from: Option<u16>, to: Option<u16>) -> String {
    match (from, to) {
        (Some(0), Some(1)) => "Ends today".to_owned(),
        (Some(0), Some(to)) => format!("Ends within {to} days"),
        (Some(from), Some(to)) if to == from.saturating_add(1) => format!("Ends in {from} days"),
        (Some(from), Some(to)) => format!("Ends in {from} to {} days", to.saturating_sub(1)),
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
