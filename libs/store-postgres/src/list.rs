//! The list: pages and counts.
//!
//! Each statement is put together for what is asked and planned for these very words: a plan that suits every search
//! suits none. What is searched by a part of the name is looked for among the next rows of the order first, and by its own
//! index only if those do not fill the page, because no statistics tell how often a word occurs.

use domain::{Source, Status, Who};
use sqlx::{PgPool, Postgres, QueryBuilder};
use store::{
    Change, DomainView, LOOK_THROUGH, ListFilter, ListOrder, ListQuery, Part, Place, Result, Search,
    after_all, attention, reversed,
};

use crate::db::{failed, time};
use crate::domains::{ViewRow, select_views};

type Query = QueryBuilder<Postgres>;

/// Among how many rows a count is taken, before what is searched for is looked up.
const COUNT_AMONG: u32 = 50_000;

/// What a search finds so often is cheaper to come across than to put in order.
const MANY: u32 = 20_000;

/// How a page is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Along the order, whatever is filtered.
    Along,
    /// Among the next rows of the order: a page that is not full may lack some.
    Nearby,
    /// All that the search finds by its index, then ordered.
    Found,
    /// All that fits the rest of the filter, then searched and ordered.
    Small,
}

pub(crate) async fn page(pool: &PgPool, query: &ListQuery) -> Result<Vec<DomainView>> {
    let filter = &query.filter;
    if filter.search.as_ref().is_some_and(|search| !search.can_match()) || query.parts().is_empty() {
        return Ok(Vec::new());
    }
    let way = match &filter.search {
        None => Way::Along,
        Some(Search::Prefix(_)) if query.order == ListOrder::Name => Way::Along,
        Some(search) if search.is_exact() => Way::Found,
        Some(_) => Way::Nearby,
    };
    let mut rows = read(pool, query, way).await?;
    if way == Way::Nearby && rows.len() < query.limit as usize {
        let way = if are_fewer(pool, filter, LOOK_THROUGH).await? {
            Way::Small
        } else if count_names(pool, filter, MANY).await? == u64::from(MANY) {
            Way::Along
        } else {
            Way::Found
        };
        rows = read(pool, query, way).await?;
    }
    let views: Result<Vec<_>> =
        rows.into_iter().map(|row| Change::try_from(row).map(|change| change.view)).collect();
    let mut views = views?;
    query.arrange(&mut views);
    Ok(views)
}

async fn read(pool: &PgPool, query: &ListQuery, way: Way) -> Result<Vec<ViewRow>> {
    let mut sql = Query::new(select_views!("domain_list", "WHERE d.name IN ("));
    match way {
        Way::Along | Way::Nearby => {
            sql.push("SELECT name FROM (");
            for (number, part) in query.parts().iter().enumerate() {
                sql.push(if number == 0 { "(" } else { " UNION ALL (" });
                push_part(&mut sql, query, part, way);
                sql.push(")");
            }
            sql.push(") d");
        }
        Way::Found | Way::Small => {
            sql.push("WITH found AS MATERIALIZED (SELECT d.name, d.created_at, d.ends_at, d.attention FROM domains d");
            push_filter(&mut sql, &query.filter);
            push_statuses(&mut sql, &query.filter);
            push_search(&mut sql, query.filter.search.as_ref(), way == Way::Found);
            sql.push(") SELECT name FROM found d WHERE true");
            push_beyond(&mut sql, query, query.beyond(), query.columns());
        }
    }
    push_order(&mut sql, query, query.limit);
    sql.push(")");
    sql.build_query_as().persistent(false).fetch_all(pool).await.map_err(failed("domain_list"))
}

fn push_part(sql: &mut Query, query: &ListQuery, part: &Part<'_>, way: Way) {
    let columns = query.columns();
    if way == Way::Nearby {
        sql.push("SELECT * FROM (");
    }
    sql.push("SELECT d.").push(columns.join(", d.")).push(" FROM domains d");
    push_filter(sql, &query.filter);
    if way == Way::Along {
        push_search(sql, query.filter.search.as_ref(), false);
    }
    // Of one status the attention is one, too, and the index is by that where expiry counts.
    let columns = match (part.status, query.order) {
        (None, _) => columns,
        (Some(status), ListOrder::Name | ListOrder::Creation) => {
            sql.push(format_args!(" AND d.status = '{status}'"));
            columns
        }
        (Some(status), ListOrder::Expiry | ListOrder::Attention) => {
            sql.push(format_args!(" AND d.attention = {}", attention(status)));
            &["ends_at", "name"]
        }
    };
    push_beyond(sql, query, part.beyond, columns);
    if way == Way::Nearby {
        push_order(sql, query, LOOK_THROUGH);
        sql.push(") d WHERE true");
        push_search(sql, query.filter.search.as_ref(), false);
    }
    push_order(sql, query, query.limit);
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
        match (*column, place.at) {
            ("attention", _) => sql.push_bind(place.attention),
            ("name", _) => sql.push_bind(place.name.clone()),
            (_, Some(at)) => sql.push_bind(time(at)),
            (_, None) => sql.push("'infinity'::timestamptz"),
        };
    }
    sql.push(")");
}

/// `WHERE …`, without statuses and search.
fn push_filter(sql: &mut Query, filter: &ListFilter) {
    sql.push(" WHERE d.deleted_at IS NULL");
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
        sql.push(" AND d.ends_at >= ").push_bind(time(from));
    }
    match (filter.expires_from, filter.expires_before) {
        (_, Some(before)) => {
            sql.push(" AND d.ends_at < ").push_bind(time(before));
        }
        (Some(_), None) => {
            sql.push(" AND d.ends_at < 'infinity'");
        }
        (None, None) => {}
    }
}

fn push_statuses(sql: &mut Query, filter: &ListFilter) {
    if let Some(statuses) = filter.some_statuses() {
        let words: Vec<&str> = statuses.into_iter().map(Status::as_str).collect();
        sql.push(format_args!(" AND d.status IN ('{}')", words.join("', '")));
    }
}

/// What words say of a name among all names, for its indexes.
fn push_names(sql: &mut Query, search: &Search) {
    let (what, start) = match search {
        Search::Part(part) => {
            sql.push("n.name LIKE ").push_bind(format!("%{part}%"));
            return;
        }
        Search::Suffix(end) => ("reverse(n.name)", reversed(end)),
        Search::Prefix(start) => ("n.name", start.clone()),
        Search::Names(_) | Search::Sha256(_) | Search::Serial(_) => return,
    };
    sql.push(format_args!("{what} >= "));
    sql.push_bind(start.clone());
    sql.push(format_args!(" AND {what} < "));
    sql.push_bind(after_all(&start));
}

/// What the words of a search say, of `d.name`: for the index that serves it, or for rows that are at hand.
fn push_search(sql: &mut Query, search: Option<&Search>, by_index: bool) {
    let Some(search) = search else { return };
    match search {
        Search::Names(names) => {
            sql.push(" AND d.name = ANY(").push_bind(names.clone()).push(")");
        }
        Search::Sha256(sha256) => {
            sql.push(" AND d.name IN (SELECT c.name FROM certificates c WHERE c.sha256 = ")
                .push_bind(sha256.clone())
                .push(")");
        }
        Search::Serial(serial) => {
            sql.push(
                " AND d.name IN (SELECT l.name FROM certificates c JOIN domains l ON l.name = c.name
                    AND l.live_certificate_id = c.id WHERE c.serial = ANY(",
            )
            .push_bind(vec![serial.clone(), format!("00{serial}")])
            .push("))");
        }
        Search::Prefix(start) => {
            sql.push(" AND d.name >= ").push_bind(start.clone());
            sql.push(" AND d.name < ").push_bind(after_all(start));
        }
        Search::Suffix(_) | Search::Part(_) if by_index => {
            sql.push(" AND d.name IN (SELECT n.name FROM domain_names n WHERE ");
            push_names(sql, search);
            sql.push(")");
        }
        Search::Suffix(end) => {
            sql.push(" AND d.name LIKE ").push_bind(format!("%{end}"));
        }
        Search::Part(part) => {
            sql.push(" AND d.name LIKE ").push_bind(format!("%{part}%"));
        }
    }
}

pub(crate) async fn count(pool: &PgPool, filter: &ListFilter, most: u32) -> Result<u64> {
    let search = match &filter.search {
        Some(search) if !search.can_match() => return Ok(0),
        None if filter.is_by_status_alone() => return count_of_statuses(pool, filter).await,
        Some(search) if filter.is_by_search_alone() && !search.is_exact() => {
            return count_names(pool, filter, most).await;
        }
        search => search.as_ref(),
    };
    if search.is_some_and(|search| !search.is_exact()) {
        // Where much fits, the first rows show as much.
        let mut sql = fitting(filter);
        sql.push(format_args!(" LIMIT {COUNT_AMONG}) d WHERE true"));
        push_search(&mut sql, search, false);
        let found = counted(pool, sql, most).await?;
        if found == u64::from(most) || are_fewer(pool, filter, COUNT_AMONG).await? {
            return Ok(found);
        }
    }
    let mut sql = fitting(filter);
    push_search(&mut sql, search, true);
    sql.push(") d");
    counted(pool, sql, most).await
}

/// How many names fit a search, whatever else is asked for.
async fn count_names(pool: &PgPool, filter: &ListFilter, most: u32) -> Result<u64> {
    let Some(search) = &filter.search else {
        return Ok(0);
    };
    let mut sql = Query::new("-- count_names\nSELECT count(*) FROM (SELECT 1 FROM domain_names n WHERE ");
    push_names(&mut sql, search);
    counted(pool, sql, most).await
}

/// Whether fewer than so many fit all but the search.
async fn are_fewer(pool: &PgPool, filter: &ListFilter, than: u32) -> Result<bool> {
    let mut sql = fitting(filter);
    sql.push(") d");
    Ok(counted(pool, sql, than).await? < u64::from(than))
}

/// The beginning of a count of what fits all but the search.
fn fitting(filter: &ListFilter) -> Query {
    let mut sql =
        Query::new("-- count_list\nSELECT count(*) FROM (SELECT 1 FROM (SELECT d.name FROM domains d");
    push_filter(&mut sql, filter);
    push_statuses(&mut sql, filter);
    sql
}

async fn counted(pool: &PgPool, mut sql: Query, most: u32) -> Result<u64> {
    sql.push(format_args!(" LIMIT {most}) c"));
    let counted: i64 =
        sql.build_query_scalar().persistent(false).fetch_one(pool).await.map_err(failed("count_list"))?;
    Ok(counted as u64)
}

async fn count_of_statuses(pool: &PgPool, filter: &ListFilter) -> Result<u64> {
    let statuses = filter.some_statuses().unwrap_or(Status::ALL.to_vec());
    let words: Vec<&str> = statuses.into_iter().map(Status::as_str).collect();
    let counted: i64 = sqlx::query_scalar(
        "-- count_of_statuses
        SELECT coalesce(sum(amount), 0)::bigint FROM (
            SELECT what, key, amount FROM tallies UNION ALL SELECT what, key, amount FROM tally_changes) AS t
        WHERE what = 'domains' AND key = ANY($1)",
    )
    .bind(words)
    .fetch_one(pool)
    .await
    .map_err(failed("count_of_statuses"))?;
    Ok(counted as u64)
}
