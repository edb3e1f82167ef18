//! `domain list`: page after page.

use domain::Clock;
use proto::{to_timestamp, v1};
use runtime::SystemClock;
use tonic::Request;

use super::connect::Client;
use super::{PAGE, answer};
use crate::cli::{ListArgs, Output, When};
use crate::dispatch::Failure;
use crate::output::{domain_json, print_many};

const COLUMNS: [&str; 6] = ["name", "status", "activity", "next_attempt_at", "expires_at", "reason"];

pub(super) async fn run(client: &mut Client, args: &ListArgs, output: Output) -> Result<(), Failure> {
    let mut request = request(args)?;
    let mut left = args.limit.unwrap_or(u32::MAX);
    let mut rows = Vec::new();
    loop {
        request.page_size = i32::try_from(left).map_or(PAGE, |left| left.min(PAGE));
        let page = answer(client.list_domains(Request::new(request.clone())).await)?;
        rows.extend(page.domains.iter().map(domain_json));
        left = left.saturating_sub(u32::try_from(page.domains.len()).unwrap_or(u32::MAX));
        if page.next_page_token.is_empty() || left == 0 {
            break;
        }
        request.page_token = page.next_page_token;
    }
    print_many(output, &rows, &COLUMNS)
}

fn request(args: &ListArgs) -> Result<v1::ListDomainsRequest, Failure> {
    let mut statuses = Vec::new();
    for word in &args.status {
        let known = "Success, Pending, Failure, Discard, Expired or Emergency";
        let unknown = || Failure::usage(format!("{word:?} is no status: use {known}"));
        statuses.push(proto::status_from_word(word).ok_or_else(unknown)?.into());
    }
    let now = SystemClock.now();
    let instant = |when: Option<When>| match when.map(|when| when.at(now)) {
        None => Ok(None),
        Some(Some(at)) => Ok(Some(to_timestamp(at))),
        Some(None) => Err(Failure::usage("a time in so many days cannot be told: use fewer")),
    };
    Ok(v1::ListDomainsRequest {
        search: args.search.clone(),
        statuses,
        order: v1::ListOrder::from(args.order).into(),
        descending: args.descending,
        source: args.source.map_or(v1::Source::Unspecified, v1::Source::from).into(),
        expires_from: instant(args.expires_from)?,
        expires_before: instant(args.expires_before)?,
        renewal_blocked: args.renewal_blocked,
        who: args.who.map_or("", |who| who.as_str()).to_owned(),
        ..v1::ListDomainsRequest::default()
    })
}
