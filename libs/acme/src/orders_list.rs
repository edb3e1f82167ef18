//! The account's list of orders (RFC 8555 section 7.1.2.1), to find an order whose URL we never received.
//!
//! A new-order whose answer was lost may have placed an order. If the CA has a list (Let's Encrypt has none), that
//! order is found there and continued, instead of placing a second one. The effort is bounded: a list may have
//! thousands of orders on many pages. An order of another row is left to that row.

use std::collections::VecDeque;

use domain::DomainName;
use http::HeaderMap;
use http::header::LINK;
use serde_json::Value;

use crate::account::post_signed;
use crate::ca::Ca;
use crate::lenient::resolve;
use crate::{AccountKey, AcmeError};

/// Orders that are looked at, from the end of the list, where CAs put the newest.
const MAX_LOOKS: usize = 10;
/// Pages that are read, each of which leads to the next.
const MAX_PAGES: usize = 3;

impl Ca {
    /// The URL of an order for exactly that name that was not finalized yet and is not among `known`; none where the CA has
    /// none, or no list.
    pub async fn find_order(
        &self,
        account: &AccountKey,
        name: &DomainName,
        known: &[String],
    ) -> Result<Option<String>, AcmeError> {
        let account_object = self.look(account, &account.url).await?.map(|(object, _)| object);
        let list = account_object.as_ref().and_then(|object| object["orders"].as_str());
        let Some(list) = list.and_then(|list| resolve(&account.url, list)) else {
            return Ok(None);
        };
        for url in self.newest_orders(account, list).await? {
            if known.contains(&url) {
                continue;
            }
            let order = self.look(account, &url).await?;
            if order.is_some_and(|(order, _)| can_go_on(&order, name)) {
                return Ok(Some(url));
            }
        }
        Ok(None)
    }

    /// The last orders of a list, the newest first.
    async fn newest_orders(&self, account: &AccountKey, list: String) -> Result<Vec<String>, AcmeError> {
        let mut newest = VecDeque::new();
        let mut page = Some(list);
        for _ in 0..MAX_PAGES {
            let Some(url) = page else { break };
            let Some((listed, headers)) = self.look(account, &url).await? else { break };
            let orders = listed["orders"].as_array().map_or(&[][..], Vec::as_slice);
            newest.extend(orders.iter().filter_map(Value::as_str).filter_map(|order| resolve(&url, order)));
            newest.drain(..newest.len().saturating_sub(MAX_LOOKS));
            page = next_page(&url, &headers);
        }
        Ok(newest.into_iter().rev().collect())
    }

    /// The object at a URL, with the answer's headers; none if the CA does not show it.
    async fn look(&self, account: &AccountKey, url: &str) -> Result<Option<(Value, HeaderMap)>, AcmeError> {
        let key = account.signing_key()?;
        match post_signed(self, url, |nonce| key.sign_look(&account.url, url, nonce)).await {
            Ok(answer) => {
                Ok(serde_json::from_slice(&answer.body).ok().map(|object| (object, answer.headers)))
            }
            Err(error) if error.is_gone() || (error.is_refusal() && !error.may_be_the_accounts_key()) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Where a page of a list says that it goes on: a `Link` with the relation `next` (RFC 8288).
fn next_page(page: &str, headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    let mut links = links.flat_map(|link| link.split(',')).filter_map(|link| {
        let (reference, parameters) = link.split_once('<')?.1.split_once('>')?;
        let relation = parameters.split_once("rel=")?.1.split(';').next()?;
        let is_next = relation.trim().trim_matches('"').split_whitespace().any(|word| word == "next");
        is_next.then_some(reference)
    });
    resolve(page, links.next()?).filter(|next| next != page)
}

fn can_go_on(order: &Value, name: &DomainName) -> bool {
    let names = order["identifiers"].as_array().map_or(&[][..], Vec::as_slice);
    let is_ours = matches!(names, [only] if
        only["value"].as_str().is_some_and(|value| value.eq_ignore_ascii_case(name.as_str())));
    is_ours && matches!(order["status"].as_str(), Some("pending" | "ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one() {
        let page = "https://ca.example/acme/orders/7";
        let second = "https://ca.example/acme/orders/7?cursor=2";
        for (links, next) in [
            (&["<https://ca.example/directory>;rel=\"index\"", "<?cursor=2>;rel=\"next\""][..], Some(second)),
            (&["</acme/orders/7?cursor=2>; title=x; rel=next"], Some(second)),
            (&["<https://ca.example/directory>;rel=\"index\", <?cursor=2>;rel=\"last next\""], Some(second)),
            (&["</acme/orders/7>;rel=\"next\""], None),
            (&["<?cursor=2>;rel=\"prev\"", "next", "<", ""], None),
            (&[], None),
        ] {
            let headers = links.iter().map(|link| (LINK, link.parse().unwrap())).collect();
            assert_eq!(next_page(page, &headers).as_deref(), next, "{links:?}");
        }
    }
}
