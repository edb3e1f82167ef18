//! Every domain that fits a filter, page by page.
//!
//! Ordered by name, whatever the list's order is: names do not change, so none is returned twice or missed while
//! domains change.

use proto::v1;

use crate::filter::{Filter, Order};
use crate::page::Frame;
use crate::problem::Problem;

const PAGE_SIZE: i32 = 1000;

/// Where a walk has come to.
pub(crate) struct Walk {
    domains: crate::api::Domains,
    /// None once the last page was read.
    next: Option<v1::ListDomainsRequest>,
}

impl Walk {
    /// As the signed-in person. Days are counted from this moment on all pages.
    pub(crate) fn new(frame: &Frame, filter: &Filter) -> Self {
        let filter = filter.with(|filter| {
            filter.order = Order::Name;
            filter.descending = false;
        });
        let request =
            v1::ListDomainsRequest { page_size: PAGE_SIZE, ..filter.request(&frame.zone, frame.now) };
        Self { domains: frame.domains(), next: Some(request) }
    }

    /// The next page; none after the last. Errors are not retried: the caller can do that.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<v1::Domain>>, Problem> {
        let Some(request) = self.next.take() else {
            return Ok(None);
        };
        let page = self.domains.list_domains(request.clone()).await?.into_inner();
        if !page.next_page_token.is_empty() {
            self.next = Some(v1::ListDomainsRequest { page_token: page.next_page_token, ..request });
        }
        Ok(Some(page.domains))
    }
}
