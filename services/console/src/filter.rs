//! Filter and order of the list. The address contains all of it, so that a copied address shows the same list.

use domain::sentence::short_of;
use domain::{MAX_LABELS, customer_ref_of, parse_label};
use jiff::Timestamp;
use proto::{status_from_word, status_word, to_timestamp, v1};
use url::form_urlencoded;

use crate::words::instant;
use crate::zone::Zone;

pub(crate) const PAGE_SIZE: i32 = 50;
/// Who may have to act, in the words of the API.
pub(crate) const WHO: [&str; 4] = ["customer", "cdn_operator", "ca", "us"];

/// By what the list is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// By urgency, then expiry.
    #[default]
    Attention,
    Name,
    Created,
    Expires,
}

impl Order {
    const ALL: [Self; 4] = [Self::Attention, Self::Name, Self::Created, Self::Expires];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Name => "name",
            Self::Created => "created",
            Self::Expires => "expires",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }

    fn message(self) -> v1::ListOrder {
        match self {
            Self::Attention => v1::ListOrder::ByAttention,
            Self::Name => v1::ListOrder::ByName,
            Self::Created => v1::ListOrder::ByCreation,
            Self::Expires => v1::ListOrder::ByExpiry,
        }
    }
}

/// The state of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the address")]
pub(crate) struct Filter {
    pub(crate) search: String,
    pub(crate) statuses: Vec<v1::Status>,
    pub(crate) source: Option<v1::Source>,
    pub(crate) who: Option<&'static str>,
    /// Only what ends within so many days: from `days_from`, before `days_to`.
    pub(crate) days_from: Option<u16>,
    pub(crate) days_to: Option<u16>,
    pub(crate) blocked: bool,
    /// Only domains whose reason has this code; empty for all.
    pub(crate) reason: String,
    /// Only domains at risk: visitors will see a warning soon unless a person acts.
    pub(crate) at_risk: bool,
    /// Only domains that have needed a person, in their present status, since the beginning of yesterday.
    pub(crate) is_new: bool,
    /// Only domains of the customer with this reference; empty for all.
    pub(crate) customer: String,
    /// Only domains with all of these labels.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) order: Order,
    pub(crate) descending: bool,
    /// A page token of the API; empty for the first page.
    pub(crate) page: String,
    pub(crate) last: bool,
}

impl Filter {
    /// Reads a query; what makes no sense is left out, for an address is often typed.
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "q" => value.trim().clone_into(&mut filter.search),
                "status" => filter
                    .statuses
                    .extend(status_from_word(&value).filter(|status| !filter.statuses.contains(status))),
                "source" => filter.source = source(&value),
                "who" => filter.who = WHO.into_iter().find(|who| *who == value),
                "from" => filter.days_from = value.parse().ok(),
                "days" => filter.days_to = value.parse().ok(),
                "blocked" => filter.blocked = value == "1",
                "reason" if short_of(&value).is_some() => filter.reason = value.into_owned(),
                "risk" => filter.at_risk = value == "1",
                "new" => filter.is_new = value == "1",
                "customer" => filter.customer = customer_ref_of(&value).unwrap_or_default(),
                "label" => filter.labels.extend(
                    parse_label(&value)
                        .ok()
                        .filter(|label| !filter.labels.contains(label) && filter.labels.len() < MAX_LABELS),
                ),
                "order" => filter.order = Order::of(&value).unwrap_or_default(),
                "dir" => filter.descending = value == "desc",
                "page" => filter.page = value.into_owned(),
                "last" => filter.last = value == "1",
                _ => {}
            }
        }
        filter
    }

    /// The address of this list.
    pub(crate) fn address(&self) -> String {
        match self.query() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }

    pub(crate) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut put = |name: &str, value: &str| {
            query.append_pair(name, value);
        };
        if !self.search.is_empty() {
            put("q", &self.search);
        }
        for status in &self.statuses {
            put("status", status_word(*status));
        }
        if let Some(source) = self.source {
            put("source", source_word(source));
        }
        if let Some(who) = self.who {
            put("who", who);
        }
        if let Some(days) = self.days_from {
            put("from", &days.to_string());
        }
        if let Some(days) = self.days_to {
            put("days", &days.to_string());
        }
        if self.blocked {
            put("blocked", "1");
        }
        if !self.reason.is_empty() {
            put("reason", &self.reason);
        }
        for (name, value) in self.owner() {
            put(name, &value);
        }
        if self.order != Order::default() {
            put("order", self.order.word());
        }
        if self.descending {
            put("dir", "desc");
        }
        if !self.page.is_empty() {
            put("page", &self.page);
        }
        if self.last {
            put("last", "1");
        }
        query.finish()
    }

    /// The parameters that say whose domains are shown, those at risk and new ones.
    pub(crate) fn owner(&self) -> Vec<(&'static str, String)> {
        let mut owner = Vec::new();
        if self.at_risk {
            owner.push(("risk", "1".to_owned()));
        }
        if self.is_new {
            owner.push(("new", "1".to_owned()));
        }
        if !self.customer.is_empty() {
            owner.push(("customer", self.customer.clone()));
        }
        owner.extend(self.labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))));
        owner
    }

    /// What of that is on, in words, each with the list without it.
    pub(crate) fn owner_tokens(&self) -> Vec<(String, Self)> {
        let mut tokens = Vec::new();
        if self.at_risk {
            tokens.push(("At risk".to_owned(), self.with(|filter| filter.at_risk = false)));
        }
        if !self.customer.is_empty() {
            let without = self.with(|filter| filter.customer.clear());
            tokens.push((format!("Customer {}", self.customer), without));
        }
        for label in &self.labels {
            let without = self.with(|filter| filter.labels.retain(|other| other != label));
            tokens.push((format!("Label {}={}", label.0, label.1), without));
        }
        tokens
    }

    /// Whether anything is left out of the list.
    pub(crate) fn is_empty(&self) -> bool {
        let everything = Self {
            order: self.order,
            descending: self.descending,
            page: self.page.clone(),
            last: self.last,
            ..Self::default()
        };
        *self == everything
    }

    /// The same, from its first page on, with a change.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut filter = self.clone();
        filter.page = String::new();
        filter.last = false;
        change(&mut filter);
        filter
    }

    /// The list ordered by that; the other way round if it is already.
    pub(crate) fn ordered(&self, order: Order) -> Self {
        self.with(|filter| {
            filter.descending = filter.order == order && !filter.descending;
            filter.order = order;
        })
    }

    /// Whether a domain belongs on this list. A search is left to the API: a row that was found stays found.
    pub(crate) fn fits(&self, domain: &v1::Domain, zone: &Zone, now: Timestamp) -> bool {
        let day = |days: u16| zone.day_begins(days, now);
        let ends = instant(domain.expires_at.as_ref());
        (self.statuses.is_empty() || self.statuses.contains(&domain.status()))
            && self.source.is_none_or(|source| source == domain.source())
            && self.who.is_none_or(|who| domain.reason.as_ref().is_some_and(|reason| reason.who == who))
            && self.first_day().is_none_or(|days| ends.is_some_and(|ends| ends >= day(days)))
            && self.days_to.is_none_or(|days| ends.is_some_and(|ends| ends < day(days)))
            && (!self.blocked || domain.renewal_blocked)
            && (self.reason.is_empty()
                || domain.reason.as_ref().is_some_and(|reason| reason.code == self.reason))
            && (!self.at_risk || domain.at_risk)
            && (!self.is_new
                || instant(domain.attention_since.as_ref()).is_some_and(|since| since >= zone.yesterday(now)))
            && (self.customer.is_empty() || self.customer == domain.customer_ref)
            && self.labels.iter().all(|(key, value)| {
                domain.labels.iter().any(|label| label.key == *key && label.value == *value)
            })
    }

    /// The first of the days in which a certificate may end: what ends within a week has not ended yet.
    fn first_day(&self) -> Option<u16> {
        self.days_from.or(self.days_to.map(|_| 0))
    }

    /// The request for this page.
    pub(crate) fn request(&self, zone: &Zone, now: Timestamp) -> v1::ListDomainsRequest {
        let day = |days: u16| to_timestamp(zone.day_begins(days, now));
        v1::ListDomainsRequest {
            search: self.search.clone(),
            statuses: self.statuses.iter().map(|status| i32::from(*status)).collect(),
            page_size: PAGE_SIZE,
            page_token: self.page.clone(),
            order: self.order.message().into(),
            descending: self.descending,
            source: self.source.unwrap_or_default().into(),
            expires_from: self.first_day().map(day),
            expires_before: self.days_to.map(day),
            renewal_blocked: self.blocked,
            who: self.who.unwrap_or_default().to_owned(),
            last_page: self.last && self.page.is_empty(),
            customer_ref: self.customer.clone(),
            labels: self
                .labels
                .iter()
                .map(|(key, value)| v1::Label { key: key.clone(), value: value.clone() })
                .collect(),
            at_risk: self.at_risk,
            attention_from: self.is_new.then(|| to_timestamp(zone.yesterday(now))),
            reason: self.reason.clone(),
        }
    }
}

fn source(word: &str) -> Option<v1::Source> {
    match word {
        "c4" => Some(v1::Source::C4),
        "text" => Some(v1::Source::Text),
        _ => None,
    }
}

pub(crate) fn source_word(source: v1::Source) -> &'static str {
    match source {
        v1::Source::C4 => "c4",
        v1::Source::Text => "text",
        v1::Source::Unspecified => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_the_same_list_again() {
        let query = "q=shop&status=Failure&status=Expired&source=text&who=customer&from=3&days=7&blocked=1\
                     &reason=not_pointed&risk=1&new=1&customer=%3Cb%3E%3D1%2B1&label=tier%3Dgold&label=team%3D\
                     &order=expires&dir=desc&page=abc";
        let filter = Filter::parse(Some(query));
        assert_eq!(filter.query(), query);
        assert_eq!(filter.search, "shop");
        assert!(!filter.is_empty());
        let tokens = filter.owner_tokens();
        let words: Vec<&str> = tokens.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["At risk", "Customer <b>=1+1", "Label tier=gold", "Label team="]);
        assert!(tokens[1].1.customer.is_empty() && tokens[2].1.labels.len() == 1);
        assert_eq!(Filter::parse(None).address(), "/");
        assert_eq!(filter.with(|_| {}).page, "", "another list begins on its first page");
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let filter = Filter::parse(Some(
            "status=Fine&source=x&who=me&days=-1&order=x&dir=x&blocked=2&z=1&reason=x&risk=2&new=2&label=x&label==&customer=a%0Ab",
        ));
        assert_eq!(filter, Filter::default());
        assert!(filter.is_empty());
    }

    #[test]
    fn a_row_that_changed_fits_or_does_not() {
        let (now, zone) = (Timestamp::UNIX_EPOCH, Zone::of(&http::HeaderMap::new()));
        let failing = v1::Domain {
            status: v1::Status::Failure.into(),
            source: v1::Source::C4.into(),
            reason: Some(v1::Reason {
                code: "not_pointed".to_owned(),
                who: "customer".to_owned(),
                ..v1::Reason::default()
            }),
            ..v1::Domain::default()
        };
        let live = v1::Domain {
            status: v1::Status::Success.into(),
            source: v1::Source::C4.into(),
            expires_at: Some(to_timestamp(now + jiff::SignedDuration::from_hours(5 * 24))),
            customer_ref: "4711".to_owned(),
            labels: vec![v1::Label { key: "tier".to_owned(), value: "gold".to_owned() }],
            at_risk: true,
            attention_since: Some(to_timestamp(now - jiff::SignedDuration::from_hours(24))),
            ..v1::Domain::default()
        };
        let older = v1::Domain {
            attention_since: Some(to_timestamp(now - jiff::SignedDuration::from_hours(33))),
            ..failing.clone()
        };
        assert!(!Filter::parse(Some("new=1")).fits(&older, &zone, now));
        for (query, fits_failing, fits_live) in [
            ("", true, true),
            ("status=Failure", true, false),
            ("who=customer", true, false),
            ("reason=not_pointed", true, false),
            ("reason=caa_forbids", false, false),
            ("source=text", false, false),
            ("days=6", false, true),
            ("days=5", false, false),
            ("from=5&days=6", false, true),
            ("from=6", false, false),
            ("blocked=1", false, false),
            ("risk=1", false, true),
            ("new=1", false, true),
            ("customer=4711", false, true),
            ("customer=471", false, false),
            ("label=tier%3Dgold", false, true),
            ("label=tier%3Dgold&label=team%3Da", false, false),
        ] {
            let filter = Filter::parse(Some(query));
            assert_eq!(filter.fits(&failing, &zone, now), fits_failing, "{query}");
            assert_eq!(filter.fits(&live, &zone, now), fits_live, "{query}");
        }
    }

    #[test]
    fn ordering_twice_turns_it_round() {
        let once = Filter::default().ordered(Order::Name);
        assert!(!once.descending);
        assert!(once.ordered(Order::Name).descending);
        assert!(!once.ordered(Order::Expires).descending);
    }
}
