//! Queries of the list: filter, order and page.
//!
//! A page begins at a place and never at a row number, so a late page costs no more than the first, and no domain
//! appears on two pages because of insertions or deletions meanwhile.

use std::cmp::Ordering;

use domain::{Source, Status, Who};
use jiff::Timestamp;

use crate::attention::{LAST_NEEDY, RENEWED, UNRENEWED, rank, ranks};
use crate::sql::Query;
use crate::{AtRisk, DomainView, Result, Store, dialect};

/// Number of rows of the order that are searched for a filter outside of the order's index, before the filter's own
/// index is used. If the page is filled within them, matches are common, and need not all be found.
pub(crate) const LOOK_THROUGH: u32 = 5000;

/// The order of the list; ties are ordered by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// The name.
    #[default]
    Name,
    /// When it was put on the list.
    Creation,
    /// The end of the live certificate; domains without one come last.
    Expiry,
    /// By urgency: the less time until visitors see a warning, the earlier.
    Attention,
}

/// The words of a search. All are ASCII and lower case, like names; other characters match nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// Any of these names, exactly.
    Names(Vec<String>),
    /// Names that end with this.
    Suffix(String),
    /// Names that begin with this.
    Prefix(String),
    /// Names that contain this; at least three characters.
    Part(String),
    /// A certificate of the domain has this SHA-256 (hex).
    Sha256(String),
    /// The live certificate has this serial number: hex without leading zeros, of an even length.
    Serial(String),
}

impl Search {
    /// Whether names with these words can exist.
    pub fn can_match(&self) -> bool {
        let of_a_name = |text: &String| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
        };
        match self {
            Self::Names(names) => names.iter().any(of_a_name),
            Self::Suffix(text) | Self::Prefix(text) | Self::Part(text) => of_a_name(text),
            Self::Sha256(_) | Self::Serial(_) => true,
        }
    }

    /// Whether it matches few domains, which an index finds directly.
    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Names(_) | Self::Sha256(_) | Self::Serial(_))
    }
}

/// The first text after all names that begin with `start`.
pub(crate) fn after_all(start: &str) -> String {
    format!("{start}\u{7f}")
}

/// The reversed name.
pub(crate) fn reversed(name: &str) -> String {
    name.chars().rev().collect()
}

/// A filter of domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only matches of this search.
    pub search: Option<Search>,
    /// Only these statuses; empty for all.
    pub statuses: Vec<Status>,
    /// Only domains whose next certificate comes from this source.
    pub source: Option<Source>,
    /// Only those whose live certificate ends at or after this.
    pub expires_from: Option<Timestamp>,
    /// Only those whose live certificate ends before this.
    pub expires_before: Option<Timestamp>,
    /// Only domains that are live but cannot be renewed at present.
    pub renewal_blocked: bool,
    /// Only domains on which this party must act.
    pub who: Option<Who>,
    /// Only domains with this customer reference.
    pub customer_ref: Option<String>,
    /// Only domains with all of these labels, key and value.
    pub labels: Vec<(String, String)>,
    /// Only domains at risk.
    pub at_risk: Option<AtRisk>,
    /// Only domains that have needed a person, in their present status, since this or later.
    pub attention_from: Option<Timestamp>,
    /// Only domains whose reason has this code.
    pub reason: Option<String>,
}

impl ListFilter {
    /// Whether it filters by status only, for which tallies exist.
    pub fn is_by_status_alone(&self) -> bool {
        let statuses = self.statuses.clone();
        *self == Self { statuses, ..Self::default() }
    }

    /// Whether it filters by search only.
    pub fn is_by_search_alone(&self) -> bool {
        let search = self.search.clone();
        *self == Self { search, ..Self::default() }
    }

    /// Whether it filters by customer or labels.
    pub(crate) fn is_owned(&self) -> bool {
        self.customer_ref.is_some() || !self.labels.is_empty()
    }

    /// The statuses without duplicates; none for all.
    pub fn some_statuses(&self) -> Option<Vec<Status>> {
        let asked: Vec<Status> =
            Status::ALL.into_iter().filter(|status| self.statuses.contains(status)).collect();
        (!asked.is_empty() && asked.len() < Status::ALL.len()).then_some(asked)
    }
}

/// A domain's place in an order. Fields that the order does not use are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The rank of attention, from 1; 0 if unused.
    pub attention: i16,
    /// Creation or expiry; none sorts last.
    pub at: Option<Timestamp>,
    /// The name.
    pub name: String,
}

impl Place {
    /// The place of a domain.
    pub fn of(order: ListOrder, view: &DomainView) -> Self {
        let domain = &view.domain;
        let ends_at = domain.live().map(|live| live.not_after);
        let (rank, at) = match order {
            ListOrder::Name => (0, None),
            ListOrder::Creation => (0, Some(domain.created_at)),
            ListOrder::Expiry => (0, ends_at),
            ListOrder::Attention => (rank(domain), ends_at),
        };
        Self { attention: rank, at, name: domain.name.to_string() }
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |place: &Self| (place.attention, place.at.is_none(), place.at);
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }
}

/// A set of domains that is contiguous in an index of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// All domains.
    All,
    /// Domains with a status.
    Status(Status),
    /// Domains with a rank of attention.
    Rank(i16),
}

/// The domains of a group beyond a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// The group.
    pub(crate) group: Group,
    /// See [`ListQuery::beyond`].
    pub(crate) beyond: Option<&'a Place>,
}

/// The position of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The first.
    #[default]
    First,
    /// The page after a place.
    After(Place),
    /// The page before a place.
    Before(Place),
    /// The last.
    Last,
}

/// A page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// The filter.
    pub filter: ListFilter,
    /// The order.
    pub order: ListOrder,
    /// Whether the order is reversed.
    pub descending: bool,
    /// The position of the page.
    pub page: Page,
    /// Maximum number of domains.
    pub limit: u32,
}

impl ListQuery {
    /// Whether places increase in reading direction. The last page, and a page before a place, are read backwards.
    pub(crate) fn reads_upwards(&self) -> bool {
        self.descending == matches!(self.page, Page::Before(_) | Page::Last)
    }

    /// The place beyond which the page begins.
    pub(crate) fn beyond(&self) -> Option<&Place> {
        match &self.page {
            Page::After(place) | Page::Before(place) => Some(place),
            Page::First | Page::Last => None,
        }
    }

    /// Whether the order uses the end of certificates.
    pub(crate) fn is_by_end(&self) -> bool {
        matches!(self.order, ListOrder::Expiry | ListOrder::Attention)
    }

    /// The parts that the page is merged from: one per group if there are few groups, so that a rare one is found by
    /// its index among millions of names, otherwise one of all domains. Parts that lie entirely before the page are
    /// left out.
    pub(crate) fn parts(&self) -> Vec<Part<'_>> {
        let beyond = self.beyond();
        let part = |group| {
            let order = match (group, beyond) {
                (Group::Rank(rank), Some(place)) if self.order == ListOrder::Attention => {
                    rank.cmp(&place.attention)
                }
                _ => Ordering::Equal,
            };
            let is_beyond = if self.reads_upwards() { Ordering::Greater } else { Ordering::Less };
            match order {
                Ordering::Equal => Some(beyond),
                order if order == is_beyond => Some(None),
                _ => None,
            }
            .map(|beyond| Part { group, beyond })
        };
        self.groups().into_iter().filter_map(part).collect()
    }

    fn groups(&self) -> Vec<Group> {
        // The party that must act is indexed by rank.
        let of_all = self.filter.who.is_some() && self.order == ListOrder::Expiry;
        let is_at_risk = self.filter.at_risk.is_some() && self.is_by_end();
        let statuses = self.filter.some_statuses().or((of_all || is_at_risk).then(|| Status::ALL.to_vec()));
        let Some(statuses) = statuses else { return vec![Group::All] };
        if !self.is_by_end() {
            return statuses.into_iter().map(Group::Status).collect();
        }
        let ranks = statuses.into_iter().flat_map(ranks).copied();
        let fits = |rank: &i16| self.filter.at_risk.is_none_or(|risk| risk.before(*rank).is_some());
        ranks.filter(fits).map(Group::Rank).collect()
    }

    /// The columns of the order; the status column may be omitted within one status.
    pub(crate) fn columns(&self) -> &'static [&'static str] {
        match self.order {
            ListOrder::Name => &["name"],
            ListOrder::Creation => &["created_at", "name"],
            ListOrder::Expiry => &["ends_at", "name"],
            ListOrder::Attention => &["attention", "ends_at", "name"],
        }
    }

    /// Sorts domains into the query's order.
    pub(crate) fn arrange(&self, views: &mut [DomainView]) {
        views.sort_by_cached_key(|view| Place::of(self.order, view));
        if self.descending {
            views.reverse();
        }
    }
}

impl Store {
    /// Returns a page of the list, in the query's order.
    pub async fn domains(&self, query: &ListQuery) -> Result<Vec<DomainView>> {
        let search = query.filter.search.as_ref();
        if search.is_some_and(|search| !search.can_match()) || query.parts().is_empty() {
            return Ok(Vec::new());
        }
        let changes = Box::pin(dialect::page(self, query)).await?;
        let mut views: Vec<DomainView> = changes.into_iter().map(|change| change.view).collect();
        query.arrange(&mut views);
        Ok(views)
    }

    /// Returns the number of domains that match a filter, counted up to `most`; for statuses alone from the tallies.
    pub async fn count(&self, filter: &ListFilter, most: u32) -> Result<u64> {
        if filter.search.as_ref().is_some_and(|search| !search.can_match()) {
            return Ok(0);
        }
        if !filter.is_by_status_alone() {
            return Box::pin(dialect::count(self, filter, most)).await;
        }
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = "SELECT coalesce(sum(amount), 0){bigint} FROM {tallies} WHERE what = 'domains' AND key ";
        let mut sql = db.query("count_of_statuses", text);
        sql.push(format!("IN ({})", words(&filter.some_statuses().unwrap_or(Status::ALL.to_vec()))));
        sql.count().await
    }
}

/// Statuses as a list in SQL.
pub(crate) fn words(statuses: &[Status]) -> String {
    let words: Vec<String> = statuses.iter().map(|status| format!("'{status}'")).collect();
    words.join(", ")
}

pub(crate) fn push_order(sql: &mut Query<'_>, query: &ListQuery, limit: u32) {
    let direction = if query.reads_upwards() { "" } else { " DESC" };
    let order = query.columns().join(&format!("{direction}, d."));
    sql.push(format!(" ORDER BY d.{order}{direction} LIMIT {limit}"));
}

pub(crate) fn push_beyond(sql: &mut Query<'_>, query: &ListQuery, beyond: Option<&Place>, columns: &[&str]) {
    let Some(place) = beyond else { return };
    let direction = if query.reads_upwards() { ">" } else { "<" };
    sql.push(format!(" AND (d.{}) {direction} (", columns.join(", d.")));
    for (number, column) in columns.iter().enumerate() {
        sql.push(if number == 0 { "" } else { ", " });
        match (*column, place.at) {
            ("attention", _) => sql.push_bind(&place.attention),
            ("name", _) => sql.push_bind(&place.name),
            (_, Some(at)) => sql.push_bind(&at),
            (_, None) => sql.push("{infinity}"),
        };
    }
    sql.push(")");
}

/// Adds ` AND …` for the group of a part, on rows `d`.
pub(crate) fn push_group(sql: &mut Query<'_>, group: Group, filter: &ListFilter) {
    match group {
        Group::All => {}
        Group::Status(status) => {
            sql.push(format!(" AND d.status = '{status}'"));
        }
        Group::Rank(rank) => {
            sql.push(format!(" AND d.attention = {rank}"));
            if let Some(before) = filter.at_risk.and_then(|risk| risk.before(rank)) {
                sql.push(" AND d.ends_at < ").push_bind(&before);
            }
        }
    }
}

fn push_owner(sql: &mut Query<'_>, filter: &ListFilter) {
    if let Some(customer_ref) = &filter.customer_ref {
        sql.push(" AND d.customer_ref = ").push_bind(customer_ref);
    }
    for (key, value) in &filter.labels {
        sql.push(" AND EXISTS (SELECT 1 FROM domain_labels l WHERE l.name = d.name AND l.key = ")
            .push_bind(key);
        sql.push(" AND l.value = ").push_bind(value).push(")");
    }
}

fn push_at_risk(sql: &mut Query<'_>, risk: AtRisk) {
    sql.push(format!(" AND d.attention IN ({UNRENEWED}, {RENEWED}) AND d.ends_at < "));
    sql.push_bind(&risk.unrenewed_before.max(risk.lagging_before));
    sql.push(format!(" AND (d.attention = {UNRENEWED} AND d.ends_at < ")).push_bind(&risk.unrenewed_before);
    sql.push(format!(" OR d.attention = {RENEWED} AND d.ends_at < ")).push_bind(&risk.lagging_before);
    sql.push(")");
}

/// Adds ` AND …` for all filters except statuses and search, on rows `d`.
pub(crate) fn push_filter(sql: &mut Query<'_>, filter: &ListFilter) {
    push_owner(sql, filter);
    if let Some(risk) = filter.at_risk {
        push_at_risk(sql, risk);
    }
    if let Some(from) = filter.attention_from {
        sql.push(format!(" AND d.attention <= {LAST_NEEDY} AND d.attention_since >= ")).push_bind(&from);
    }
    if let Some(source) = filter.source {
        sql.push(format!(" AND d.source = '{}'", source.as_str()));
    }
    if let Some(who) = filter.who {
        sql.push(format!(" AND d.who = '{}'", who.as_str()));
    }
    if let Some(reason) = &filter.reason {
        sql.push(" AND {reason} = ").push_bind(reason);
    }
    if filter.renewal_blocked {
        sql.push(" AND d.status = 'Success' AND d.block IS NOT NULL");
    }
    if let Some(from) = filter.expires_from {
        sql.push(" AND d.ends_at >= ").push_bind(&from);
    }
    match (filter.expires_from, filter.expires_before) {
        (_, Some(before)) => {
            sql.push(" AND d.ends_at < ").push_bind(&before);
        }
        (Some(_), None) => {
            sql.push(" AND d.ends_at < {infinity}");
        }
        (None, None) => {}
    }
}

pub(crate) fn push_statuses(sql: &mut Query<'_>, filter: &ListFilter) {
    if let Some(statuses) = filter.some_statuses() {
        sql.push(format!(" AND d.status IN ({})", words(&statuses)));
    }
}
