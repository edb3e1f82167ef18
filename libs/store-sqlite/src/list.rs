//! The list: pages and counts.
//!
//! SQLite does not know how common a filter's value is. So what is filtered by more than statuses is looked for among the
//! next rows of the order first, and by its own index only if those do not fill the page: then it is rare.

use domain::{Source, Status, Who};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};
use store::{
    Change, DomainView, LOOK_THROUGH, ListFilter, ListOrder, ListQuery, Part, Place, Result, Search,
    after_all, attention, reversed,
};

use crate::db::{failed, micros};
use crate::domains::{ViewRow, select_views};

type Query = QueryBuilder<Sqlite>;

/// What is found so often is cheaper to come across than to put in order.
const MANY: u32 = 20_000;

/// How a page is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Along the order.
    Along,
    /// Among the next rows of the order: a page that is not full may lack some.
    Nearby,
    /// All that fits, then ordered.
    Found,
    /// All that fits the rest of the filter, then searched and ordered.
    Small,
}

pub(crate) async fn page(readers: &SqlitePool, query: &ListQuery) -> Result<Vec<DomainView>> {
    let filter = &query.filter;
    if filter.search.as_ref().is_some_and(|search| !search.can_match()) || query.parts().is_empty() {
        return Ok(Vec::new());
    }
    // Both looks see the same.
    let mut tx = readers.begin().await.map_err(failed("domain_list"))?;
    let way = match &filter.search {
        Some(search) if search.is_exact() => Way::Found,
        _ if is_along(query) => Way::Along,
        _ => Way::Nearby,
    };
    let mut rows = read(&mut tx, query, way).await?;
    if way == Way::Nearby && rows.len() < query.limit as usize {
        let way = if is_small(&mut tx, filter).await? {
            Way::Small
        } else if count_found(&mut tx, filter, MANY).await? == u64::from(MANY) {
            Way::Along
        } else {
            Way::Found
        };
        rows = read(&mut tx, query, way).await?;
    }
    tx.commit().await.map_err(failed("domain_list"))?;
    let views: Result<Vec<_>> =
        rows.into_iter().map(|row| Change::try_from(row).map(|change| change.view)).collect();
    let mut views = views?;
    query.arrange(&mut views);
    Ok(views)
}

/// Whether what is filtered lies together in the index of the order.
fn is_along(query: &ListQuery) -> bool {
    let ListFilter { search, source, expires_from, expires_before, renewal_blocked, who, .. } = &query.filter;
    let by_end = matches!(query.order, ListOrder::Expiry | ListOrder::Attention);
    let by_search = match search {
        None => true,
        Some(Search::Prefix(_)) => query.order == ListOrder::Name,
        Some(_) => false,
    };
    let expires = expires_from.is_some() || expires_before.is_some();
    let by_expiry = query.order == ListOrder::Expiry || !expires;
    by_search && by_expiry && source.is_none() && !renewal_blocked && (who.is_none() || by_end)
}

async fn read(db: &mut SqliteConnection, query: &ListQuery, way: Way) -> Result<Vec<ViewRow>> {
    let mut sql = Query::new(select_views!("domain_list", "WHERE d.name IN (SELECT name FROM ("));
    if way == Way::Found || way == Way::Small {
        let columns = query.columns();
        let selected = format!("d.{}", columns.join(", d."));
        if way == Way::Small {
            push_found(&mut sql, &rest_of(&query.filter), &selected);
            push_search(&mut sql, query.filter.search.as_ref());
        } else {
            push_found(&mut sql, &query.filter, &selected);
        }
        push_beyond(&mut sql, query, query.beyond(), columns);
    } else {
        for (number, part) in query.parts().iter().enumerate() {
            sql.push(if number == 0 { "" } else { " UNION ALL " });
            sql.push("SELECT * FROM (");
            push_part(&mut sql, query, part, way);
            sql.push(")");
        }
    }
    sql.push(") d");
    push_order(&mut sql, query, query.limit);
    sql.push(")");
    // There are as many statements as combinations of what is asked: too many to keep.
    sql.build_query_as().persistent(false).fetch_all(db).await.map_err(failed("domain_list"))
}

fn push_part(sql: &mut Query, query: &ListQuery, part: &Part<'_>, way: Way) {
    let filter = &query.filter;
    let columns = query.columns();
    // Of one status the attention is one, too, and the index is by that where expiry counts.
    let (index, within) = match (query.order, part.status) {
        (ListOrder::Name, None) => ("listed", columns),
        (ListOrder::Creation, None) => ("by_creation", columns),
        (ListOrder::Expiry, None) => ("by_expiry", columns),
        (ListOrder::Name, Some(_)) => ("by_status", columns),
        (ListOrder::Creation, Some(_)) => ("by_status_and_creation", columns),
        (ListOrder::Attention, None) => ("by_attention", columns),
        (ListOrder::Expiry | ListOrder::Attention, Some(_)) => ("by_attention", &["ends_at", "name"][..]),
    };
    // Of somebody who must act, too.
    let index = match index {
        "by_attention" if way == Way::Along && filter.who.is_some() => "by_who",
        index => index,
    };
    let mut selected = columns.to_vec();
    if way == Way::Nearby {
        sql.push("SELECT * FROM (");
        selected.extend(filtered_by(filter));
        selected.sort_unstable();
        selected.dedup();
    }
    sql.push("SELECT d.").push(selected.join(", d."));
    sql.push(format_args!(" FROM domains d INDEXED BY domains_{index} WHERE d.deleted_at IS NULL"));
    match part.status {
        Some(status) if index == "by_attention" || index == "by_who" => {
            sql.push(format_args!(" AND d.attention = {}", attention(status)));
        }
        Some(status) => {
            sql.push(format_args!(" AND d.status = '{status}'"));
        }
        None => {}
    }
    push_beyond(sql, query, part.beyond, within);
    if way == Way::Nearby {
        push_order(sql, query, LOOK_THROUGH);
        sql.push(") d WHERE true");
    }
    push_filter(sql, filter);
    push_search(sql, filter.search.as_ref());
    push_order(sql, query, query.limit);
}

/// The columns that a filter looks at.
fn filtered_by(filter: &ListFilter) -> Vec<&'static str> {
    let mut columns = Vec::new();
    if filter.source.is_some() {
        columns.push("source");
    }
    if filter.who.is_some() {
        columns.push("who");
    }
    if filter.renewal_blocked {
        columns.extend(["status", "block"]);
    }
    if filter.expires_from.is_some() || filter.expires_before.is_some() {
        columns.push("ends_at");
    }
    columns
}

fn push_order(sql: &mut Query, query: &ListQuery, limit: u32) {
    let direction = if query.reads_upwards() { "" } else { " DESC" };
    let order = query.columns().join(&format!("{direction}, d."));
    sql.push(format_args!(" ORDER BY d.{order}{direction} LIMIT {limit}"));
}

fn push_beyond(sql: &mut Query, query: &ListQuery, beyond: Option<&Place>, columns: &[&'static str]) {
    let Some(place) = beyond else { return };
    let direction = if query.reads_upwards() { ">" } else { "<" };
    sql.push(format_args!(" AND (d.{}) {direction} (", columns.join(", d.")));
    for (number, column) in columns.iter().enumerate() {
        sql.push(if number == 0 { "" } else { ", " });
        match *column {
            "attention" => sql.push_bind(place.attention),
            "name" => sql.push_bind(place.name.clone()),
            _ => sql.push_bind(place.at.map_or(i64::MAX, micros)),
        };
    }
    sql.push(")");
}

/// What is filtered beside statuses and search, of rows `d`.
fn push_filter(sql: &mut Query, filter: &ListFilter) {
    if let Some(source) = filter.source {
        sql.push(format_args!(" AND d.source = '{}'", Source::as_str(source)));
    }
    if let Some(who) = filter.who {
        sql.push(format_args!(" AND d.who = '{}'", Who::as_str(who)));
    }
    if filter.renewal_blocked {
        sql.push(" AND d.status = 'Success' AND d.block IS NOT NULL");
    }
    if let Some(from) = filter.expires_from {
        sql.push(" AND d.ends_at >= ").push_bind(micros(from));
    }
    match (filter.expires_from, filter.expires_before) {
        (_, Some(before)) => {
            sql.push(" AND d.ends_at < ").push_bind(micros(before));
        }
        (Some(_), None) => {
            sql.push(" AND d.ends_at < ").push_bind(i64::MAX);
        }
        (None, None) => {}
    }
}

/// What the words of a search say, of a name that is at hand.
fn push_search(sql: &mut Query, search: Option<&Search>) {
    match search {
        Some(Search::Prefix(start)) => {
            sql.push(" AND d.name >= ").push_bind(start.clone());
            sql.push(" AND d.name < ").push_bind(after_all(start));
        }
        Some(Search::Part(part)) => {
            sql.push(" AND instr(d.name, ").push_bind(part.clone()).push(") > 0");
        }
        Some(Search::Suffix(end)) => {
            sql.push(format_args!(" AND substr(d.name, -{}) = ", end.len())).push_bind(end.clone());
        }
        Some(Search::Names(_) | Search::Sha256(_) | Search::Serial(_)) | None => {}
    }
}

/// `SELECT … FROM … WHERE …` for all that fits a filter, by the index of what is likely to be rarest in it.
fn push_found(sql: &mut Query, filter: &ListFilter, selected: &str) {
    sql.push(format_args!("SELECT {selected} FROM "));
    match &filter.search {
        Some(Search::Names(names)) => {
            let names = serde_json::Value::from(names.clone()).to_string();
            sql.push("domains d WHERE d.name IN (SELECT value FROM json_each(").push_bind(names).push("))");
        }
        Some(Search::Sha256(sha256)) => {
            sql.push("domains d WHERE d.name IN (SELECT c.name FROM certificates c WHERE c.sha256 = ")
                .push_bind(sha256.clone())
                .push(")");
        }
        Some(Search::Serial(serial)) => {
            sql.push("certificates c CROSS JOIN domains d ON d.name = c.name AND d.live_certificate_id = c.id WHERE c.serial IN (")
                .push_bind(serial.clone())
                .push(", ")
                .push_bind(format!("00{serial}"))
                .push(")");
        }
        Some(Search::Part(part)) => {
            sql.push("domain_names n CROSS JOIN domains d ON d.name = n.name WHERE n.name LIKE ")
                .push_bind(format!("%{part}%"));
        }
        Some(Search::Suffix(end)) => {
            let start = reversed(end);
            sql.push("domains d INDEXED BY domains_by_end WHERE d.reversed >= ")
                .push_bind(start.clone())
                .push(" AND d.reversed < ")
                .push_bind(after_all(&start));
        }
        Some(search @ Search::Prefix(_)) => {
            sql.push("domains d INDEXED BY domains_listed WHERE true");
            push_search(sql, Some(search));
        }
        None => {
            let index = match filter {
                ListFilter { renewal_blocked: true, .. } => "renewal_blocked",
                ListFilter { source: Some(Source::Text), .. } => "by_text",
                ListFilter { who: Some(_), .. } => "by_who",
                ListFilter { expires_from: None, expires_before: None, .. } => match filter.some_statuses() {
                    Some(_) => "by_status",
                    None => "listed",
                },
                _ => "by_expiry",
            };
            sql.push(format_args!("domains d INDEXED BY domains_{index} WHERE true"));
        }
    }
    sql.push(" AND d.deleted_at IS NULL");
    if let Some(statuses) = filter.some_statuses() {
        sql.push(format_args!(" AND d.status IN ('{}')", words(&statuses)));
    }
    push_filter(sql, filter);
}

fn words(statuses: &[Status]) -> String {
    let words: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    words.join("', '")
}

/// What is filtered by beside the search.
fn rest_of(filter: &ListFilter) -> ListFilter {
    ListFilter { search: None, ..filter.clone() }
}

/// Whether so few fit all but the search that each can be looked at.
async fn is_small(db: &mut SqliteConnection, filter: &ListFilter) -> Result<bool> {
    let Some(search) = &filter.search else {
        return Ok(false);
    };
    if search.is_exact() || filter.is_by_search_alone() {
        return Ok(false);
    }
    let rest = count_found(db, &rest_of(filter), LOOK_THROUGH).await?;
    Ok(rest < u64::from(LOOK_THROUGH))
}

pub(crate) async fn count(readers: &SqlitePool, filter: &ListFilter, most: u32) -> Result<u64> {
    if filter.search.as_ref().is_some_and(|search| !search.can_match()) {
        return Ok(0);
    }
    let mut db = readers.acquire().await.map_err(failed("count_list"))?;
    if !filter.is_by_status_alone() {
        return count_found(&mut db, filter, most).await;
    }
    let statuses = filter.some_statuses().unwrap_or(Status::ALL.to_vec());
    let mut sql = Query::new(
        "-- count_of_statuses\nSELECT coalesce(sum(amount), 0) FROM tallies WHERE what = 'domains' AND key IN ",
    );
    sql.push(format_args!("('{}')", words(&statuses)));
    fetch(&mut db, sql).await
}

async fn count_found(db: &mut SqliteConnection, filter: &ListFilter, most: u32) -> Result<u64> {
    let mut sql = Query::new("-- count_list\nSELECT count(*) FROM (");
    if Box::pin(is_small(db, filter)).await? {
        push_found(&mut sql, &rest_of(filter), "1");
        push_search(&mut sql, filter.search.as_ref());
    } else {
        push_found(&mut sql, filter, "1");
    }
    sql.push(format_args!(" LIMIT {most})"));
    fetch(db, sql).await
}

async fn fetch(db: &mut SqliteConnection, mut sql: Query) -> Result<u64> {
    let counted: i64 =
        sql.build_query_scalar().persistent(false).fetch_one(db).await.map_err(failed("count_list"))?;
    Ok(counted as u64)
}
