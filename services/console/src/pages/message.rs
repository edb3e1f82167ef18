//! One message for a customer about all of their domains that wait for them, or about those of another list.

use askama::Template;
use axum::response::Response;
use proto::v1;

use crate::filter::Filter;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::walk::Walk;
use crate::words;

/// More do not fit into a message that a person reads.
const MAX_DOMAINS: usize = 1000;

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    /// The reference of the customer; empty if the list is not one customer's.
    customer: String,
    domains: usize,
    is_cut: bool,
    text: String,
}

impl MessagePage {
    fn about(&self) -> String {
        words::message_about(self.domains)
    }
}

/// The address of the message about a list.
pub(crate) fn address(filter: &Filter) -> String {
    format!("/message?{}", filter.with(|_| {}).query())
}

/// Answers `/message`; its query is that of a list.
pub(crate) async fn show(frame: Frame) -> Result<Response, Problem> {
    let query = frame.here.split_once('?').map(|(_, query)| query);
    let filter = Filter::parse(query).with(|only| only.who = Some("customer"));
    let mut walk = Walk::new(&frame, &filter);
    let mut domains: Vec<v1::Domain> = Vec::new();
    while domains.len() <= MAX_DOMAINS
        && let Some(page) = walk.next().await?
    {
        domains.extend(page);
    }
    let is_cut = domains.len() > MAX_DOMAINS;
    domains.truncate(MAX_DOMAINS);
    let zone = frame.zone.named_zone();
    let letters = domains.iter().map(|domain| {
        let known = proto::situation(domain).and_then(|situation| situation.letter(&zone, frame.now));
        let text = known.unwrap_or_else(|| {
            domain.reason.as_ref().map_or_else(String::new, |reason| reason.customer_message.clone())
        });
        (domain.name.as_str(), text)
    });
    let text = words::one_message(letters);
    Ok(html(&MessagePage { text, customer: filter.customer, domains: domains.len(), is_cut, frame }))
}
