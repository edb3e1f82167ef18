//! The list: pages and counts.
//!
//! Each statement is built for its query and planned for its actual search words: a plan for all searches fits none
//! of them. A search by a part of the name looks among the next rows of the order first, and uses its own index only
//! if those do not fill the page, because no statistics tell how often a word occurs.

use crate::domains::select_changes;
use crate::list::{
    Group, LOOK_THROUGH, Part, after_all, push_beyond, push_filter, push_group, push_order, push_statuses,
    reversed,
};
use crate::sql::{Db, Query};
use crate::{Change, ListFilter, ListOrder, ListQuery, Result, Search};

/// Number of rows that a count reads before it uses the search's own index.
const COUNT_AMONG: u32 = 50_000;

/// With more matches than this, reading along the order is cheaper than sorting.
const MANY: u32 = 20_000;

/// The search strategy for a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// Along the order, with the filter applied.
    Along,
    /// Among the next rows of the order only: an incomplete page may lack some rows.
    Nearby,
    /// All matches of the search by its index, then sorted.
    Found,
    /// All matches of the other filters, then searched and sorted.
    Small,
}

/// Returns a page, unordered.
pub(crate) async fn page(db: &mut Db<'_>, query: &ListQuery) -> Result<Vec<Change>> {
    let filter = &query.filter;
    let way = match &filter.search {
        None => Strategy::Along,
        Some(Search::Prefix(_)) if query.order == ListOrder::Name => Strategy::Along,
        Some(search) if search.is_exact() => Strategy::Found,
        Some(_) => Strategy::Nearby,
    };
    let changes = read(db, query, way).await?;
    if way != Strategy::Nearby || changes.len() == query.limit as usize {
        return Ok(changes);
    }
    let way = if are_fewer(db, filter, LOOK_THROUGH).await? {
        Strategy::Small
    } else if count_names(db, filter, MANY).await? == u64::from(MANY) {
        Strategy::Along
    } else {
        Strategy::Found
    };
    read(db, query, way).await
}

async fn read(db: &mut Db<'_>, query: &ListQuery, way: Strategy) -> Result<Vec<Change>> {
    let mut sql = select_changes(db, "domain_list", "WHERE d.name IN (");
    match way {
        Strategy::Along | Strategy::Nearby => {
            sql.push("SELECT name FROM (");
            for (number, part) in query.parts().iter().enumerate() {
                sql.push(if number == 0 { "(" } else { " UNION ALL (" });
                push_part(&mut sql, query, part, way);
                sql.push(")");
            }
            sql.push(") d");
        }
        Strategy::Found | Strategy::Small => {
            sql.push("WITH found AS MATERIALIZED (SELECT d.name, d.created_at, d.ends_at, d.attention FROM domains d WHERE d.deleted_at IS NULL");
            push_filter(&mut sql, &query.filter);
            push_statuses(&mut sql, &query.filter);
            push_search(&mut sql, query.filter.search.as_ref(), way == Strategy::Found);
            sql.push(") SELECT name FROM found d WHERE true");
            push_beyond(&mut sql, query, query.beyond(), query.columns());
        }
    }
    push_order(&mut sql, query, query.limit);
    sql.push(")");
    sql.once().all().await
}

fn push_part(sql: &mut Query<'_>, query: &ListQuery, part: &Part<'_>, way: Strategy) {
    let columns = query.columns();
    if way == Strategy::Nearby {
        sql.push("SELECT * FROM (");
    }
    sql.push("SELECT d.").push(columns.join(", d.")).push(" FROM domains d WHERE d.deleted_at IS NULL");
    push_filter(sql, &query.filter);
    if way == Strategy::Along {
        push_search(sql, query.filter.search.as_ref(), false);
    }
    push_group(sql, part.group, &query.filter);
    // All domains of one rank have the same attention.
    let columns = if matches!(part.group, Group::Rank(_)) { &["ends_at", "name"] } else { columns };
    push_beyond(sql, query, part.beyond, columns);
    if way == Strategy::Nearby {
        push_order(sql, query, LOOK_THROUGH);
        sql.push(") d WHERE true");
        push_search(sql, query.filter.search.as_ref(), false);
    }
    push_order(sql, query, query.limit);
}

/// Adds the search's condition on all names, for the name indexes.
fn push_names(sql: &mut Query<'_>, search: &Search) {
    let (what, start) = match search {
        Search::Part(part) => {
            sql.push("n.name LIKE ").push_bind(&format!("%{part}%"));
            return;
        }
        Search::Suffix(end) => ("reverse(n.name)", reversed(end)),
        Search::Prefix(start) => ("n.name", start.clone()),
        Search::Names(_) | Search::Sha256(_) | Search::Serial(_) => return,
    };
    sql.push(format!("{what} >= "));
    sql.push_bind(&start);
    sql.push(format!(" AND {what} < "));
    sql.push_bind(&after_all(&start));
}

/// Adds the search's condition on `d.name`: for its index, or for rows that are already read.
fn push_search(sql: &mut Query<'_>, search: Option<&Search>, by_index: bool) {
    let Some(search) = search else { return };
    match search {
        Search::Names(names) => {
            sql.push(" AND d.name").push_in(names);
        }
        Search::Sha256(sha256) => {
            sql.push(" AND d.name IN (SELECT c.name FROM certificates c WHERE c.sha256 = ")
                .push_bind(sha256)
                .push(")");
        }
        Search::Serial(serial) => {
            sql.push(
                " AND d.name IN (SELECT l.name FROM certificates c JOIN domains l ON l.name = c.name
                    AND l.live_certificate_id = c.id WHERE c.serial",
            )
            .push_in(&[serial.clone(), format!("00{serial}")])
            .push(")");
        }
        Search::Prefix(start) => {
            sql.push(" AND d.name >= ").push_bind(start);
            sql.push(" AND d.name < ").push_bind(&after_all(start));
        }
        Search::Suffix(_) | Search::Part(_) if by_index => {
            sql.push(" AND d.name IN (SELECT n.name FROM domain_names n WHERE ");
            push_names(sql, search);
            sql.push(")");
        }
        Search::Suffix(end) => {
            sql.push(" AND d.name LIKE ").push_bind(&format!("%{end}"));
        }
        Search::Part(part) => {
            sql.push(" AND d.name LIKE ").push_bind(&format!("%{part}%"));
        }
    }
}

/// Returns the number of domains that match a filter, counted up to `most`.
pub(crate) async fn count(db: &mut Db<'_>, filter: &ListFilter, most: u32) -> Result<u64> {
    let search = filter.search.as_ref();
    let is_exact = search.is_none_or(Search::is_exact);
    if filter.is_by_search_alone() && !is_exact {
        return count_names(db, filter, most).await;
    }
    if !is_exact {
        // If many rows match, the first ones are enough to reach `most`.
        let mut sql = fitting(db, filter);
        sql.push(format!(" LIMIT {COUNT_AMONG}) d WHERE true"));
        push_search(&mut sql, search, false);
        let found = counted(sql, most).await?;
        if found == u64::from(most) || are_fewer(db, filter, COUNT_AMONG).await? {
            return Ok(found);
        }
    }
    let mut sql = fitting(db, filter);
    push_search(&mut sql, search, true);
    sql.push(") d");
    counted(sql, most).await
}

/// Returns the number of names that match a search, without other filters.
async fn count_names(db: &mut Db<'_>, filter: &ListFilter, most: u32) -> Result<u64> {
    let Some(search) = &filter.search else {
        return Ok(0);
    };
    let mut sql = db.query("count_names", "SELECT count(*) FROM (SELECT 1 FROM domain_names n WHERE ");
    push_names(&mut sql, search);
    counted(sql, most).await
}

/// Whether fewer than this number match all filters except the search.
async fn are_fewer(db: &mut Db<'_>, filter: &ListFilter, than: u32) -> Result<bool> {
    let mut sql = fitting(db, filter);
    sql.push(") d");
    Ok(counted(sql, than).await? < u64::from(than))
}

/// Starts a count of the matches of all filters except the search.
fn fitting<'c>(db: &'c mut Db<'_>, filter: &ListFilter) -> Query<'c> {
    let text = "SELECT count(*) FROM (SELECT 1 FROM (SELECT d.name FROM domains d WHERE d.deleted_at IS NULL";
    let mut sql = db.query("count_list", text);
    push_filter(&mut sql, filter);
    push_statuses(&mut sql, filter);
    sql
}

async fn counted(mut sql: Query<'_>, most: u32) -> Result<u64> {
    sql.push(format!(" LIMIT {most}) c"));
    sql.once().count().await
}
