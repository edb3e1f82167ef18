//! A change of a domain, and its row, which is rendered once for all viewers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use jiff::Timestamp;
use proto::v1;

use crate::row::{Controls, Row};
use crate::zone::Zone;

/// A row tells the time that is left, so it is rendered again after this long.
const ROW_LIFETIME: Duration = Duration::from_secs(30);
/// Zones whose rows are kept; the first gives way to a new one.
const MAX_ZONES: usize = 8;

/// One change of one domain.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) position: i64,
    pub(crate) domain: v1::Domain,
    pub(crate) deleted: bool,
    rows: Mutex<Vec<RenderedRow>>,
}

#[derive(Debug)]
struct RenderedRow {
    zone: Zone,
    at: Timestamp,
    html: Arc<str>,
}

impl Change {
    pub(crate) fn new(position: i64, domain: v1::Domain, deleted: bool) -> Self {
        Self { position, domain, deleted, rows: Mutex::default() }
    }

    /// The row as HTML, in the viewer's zone; empty if the domain is deleted.
    pub(crate) fn row(&self, zone: &Zone, now: Timestamp) -> Arc<str> {
        if self.deleted {
            return Arc::default();
        }
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|row| now.duration_since(row.at).unsigned_abs() < ROW_LIFETIME);
        if let Some(row) = rows.iter().find(|row| row.zone.reads_like(zone)) {
            return row.html.clone();
        }
        let row = Row::new(&self.domain, zone, now, Controls::None);
        let html: Arc<str> = row.render().unwrap_or_default().into();
        if rows.len() == MAX_ZONES {
            rows.remove(0);
        }
        rows.push(RenderedRow { zone: zone.clone(), at: now, html: html.clone() });
        html
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn zone(cookie: &'static str) -> Zone {
        let headers = [(http::header::COOKIE, http::HeaderValue::from_static(cookie))];
        Zone::of(&headers.into_iter().collect::<HeaderMap>())
    }

    #[test]
    fn a_row_is_rendered_once_for_all_viewers_of_a_zone() {
        let domain = v1::Domain { name: "shop.example.com".to_owned(), ..v1::Domain::default() };
        let change = Change::new(1, domain, false);
        let now = Timestamp::UNIX_EPOCH;
        let first = change.row(&zone("clock=utc"), now);
        assert!(first.contains("shop.example.com"));
        assert!(Arc::ptr_eq(&first, &change.row(&zone("clock=utc; zone=Europe/Berlin"), now)));
        assert!(!Arc::ptr_eq(&first, &change.row(&zone("clock=singapore"), now)));
        let later = now + ROW_LIFETIME;
        assert!(!Arc::ptr_eq(&first, &change.row(&zone("clock=utc"), later)));
    }
}
