//! The account's list of orders (RFC 8555 section 7.1.2.1), for an order whose URL we never got.
//!
//! A new-order whose answer was lost may have placed an order. Where the CA has a list (Let's Encrypt has none), that order
//! is found there and gone on with, instead of a second one. The effort is bounded: a list may have thousands.

use domain::DomainName;
use serde_json::Value;

use crate::account::post_signed;
use crate::ca::Ca;
use crate::lenient::resolve;
use crate::{AccountKey, AcmeError};

/// Orders that are looked at, from the end of the list, where CAs put the newest.
const MAX_LOOKS: usize = 10;

impl Ca {
    /// The URL of an order for exactly that name that was not finalized yet; none where the CA has none, or no list.
    pub async fn find_order(
        &self,
        account: &AccountKey,
        name: &DomainName,
    ) -> Result<Option<String>, AcmeError> {
        let Some(list) = self.look(account, &account.url).await?.and_then(|account_object| {
            account_object["orders"].as_str().and_then(|orders| resolve(&account.url, orders))
        }) else {
            return Ok(None);
        };
        let Some(listed) = self.look(account, &list).await? else {
            return Ok(None);
        };
        let orders = listed["orders"].as_array().map_or(&[][..], Vec::as_slice).iter().rev();
        let urls = orders.filter_map(Value::as_str).filter_map(|order| resolve(&list, order));
        for url in urls.take(MAX_LOOKS) {
            if self.look(account, &url).await?.is_some_and(|order| can_go_on(&order, name)) {
                return Ok(Some(url));
            }
        }
        Ok(None)
    }

    /// The object at a URL; none if the CA does not show it.
    async fn look(&self, account: &AccountKey, url: &str) -> Result<Option<Value>, AcmeError> {
        let key = account.signing_key()?;
        match post_signed(self, url, |nonce| key.sign_look(&account.url, url, nonce)).await {
            Ok(answer) => Ok(serde_json::from_slice(&answer.body).ok()),
            Err(error) if error.is_gone() || (error.is_refusal() && !error.may_be_the_accounts_key()) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn can_go_on(order: &Value, name: &DomainName) -> bool {
    let names = order["identifiers"].as_array().map_or(&[][..], Vec::as_slice);
    let is_ours = matches!(names, [only] if
        only["value"].as_str().is_some_and(|value| value.eq_ignore_ascii_case(name.as_str())));
    is_ours && matches!(order["status"].as_str(), Some("pending" | "ready"))
}
