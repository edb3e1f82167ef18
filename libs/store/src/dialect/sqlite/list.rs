//! The list: pages and counts.
//!
//! SQLite does not know how common a filter's value is. So a query with more than status filters looks among the next
//! rows of the order first, and uses an index for the filter only if those do not fill the page: then matches are
//! rare.

use domain::Source;
use sqlx::SqlitePool;

use crate::domains::select_changes;
use crate::list::{
    Group, LOOK_THROUGH, Part, after_all, push_beyond, push_filter, push_group, push_order, push_statuses,
    reversed,
};
use crate::sql::{Db, Query, failed};
use crate::{Change, ListFilter, ListOrder, ListQuery, Result, Search};

/// With more matches than this, reading along the order is cheaper than sorting.
const MANY: u32 = 20_000;

/// The search strategy for a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// Along the order.
    Along,
    /// Among the next rows of the order only: an incomplete page may lack some rows.
    Nearby,
    /// All matches, then sorted.
    Found,
    /// All matches of the other filters, then searched and sorted.
    Small,
}

/// Whether the matches are contiguous in the index of the order.
fn is_along(query: &ListQuery) -> bool {
    let ListFilter { search, source, expires_from, expires_before, renewal_blocked, who, reason, .. } =
        &query.filter;
    let ListFilter { at_risk, attention_from, .. } = query.filter;
    let by_end = query.is_by_end();
    let by_search = match search {
        None => true,
        Some(Search::Prefix(_)) => query.order == ListOrder::Name,
        Some(_) => false,
    };
    let expires = expires_from.is_some() || expires_before.is_some();
    let by_expiry = query.order == ListOrder::Expiry || !expires;
    by_search
        && !query.filter.is_owned()
        && (at_risk.is_none() || by_end)
        && by_expiry
        && source.is_none()
        && reason.is_none()
        && attention_from.is_none()
        && !renewal_blocked
        && (who.is_none() || by_end)
}

/// Returns a page, unordered. Both reads see the same state.
pub(crate) async fn page(readers: &SqlitePool, query: &ListQuery) -> Result<Vec<Change>> {
    let mut tx = readers.begin().await.map_err(failed("domain_list"))?;
    let mut db = Db::Sqlite(&mut tx);
    let way = match &query.filter.search {
        Some(search) if search.is_exact() => Strategy::Found,
        _ if is_along(query) => Strategy::Along,
        None if query.filter.is_owned() => by_index(&mut db, &query.filter).await?,
        _ => Strategy::Nearby,
    };
    let mut changes = read(&mut db, query, way).await?;
    if way == Strategy::Nearby && changes.len() < query.limit as usize {
        let way = if is_small(&mut db, &query.filter).await? {
            Strategy::Small
        } else {
            by_index(&mut db, &query.filter).await?
        };
        changes = read(&mut db, query, way).await?;
    }
    tx.commit().await.map_err(failed("domain_list"))?;
    Ok(changes)
}

/// All matches by index, or along the order if there are so many that this is cheaper.
async fn by_index(db: &mut Db<'_>, filter: &ListFilter) -> Result<Strategy> {
    let is_common = count(db, filter, MANY).await? == u64::from(MANY);
    Ok(if is_common { Strategy::Along } else { Strategy::Found })
}

async fn read(db: &mut Db<'_>, query: &ListQuery, way: Strategy) -> Result<Vec<Change>> {
    let mut sql = select_changes(db, "domain_list", "WHERE d.name IN (SELECT name FROM (");
    if way == Strategy::Found || way == Strategy::Small {
        let columns = query.columns();
        let selected = format!("d.{}", columns.join(", d."));
        if way == Strategy::Small {
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
    // There is one statement per combination of filters: too many to cache.
    sql.once().all().await
}

fn push_part(sql: &mut Query<'_>, query: &ListQuery, part: &Part<'_>, way: Strategy) {
    let filter = &query.filter;
    let columns = query.columns();
    // All domains of one rank have the same attention.
    let (index, within) = match (query.order, part.group) {
        (_, Group::Rank(_)) => ("by_attention", &["ends_at", "name"][..]),
        (ListOrder::Name, Group::Status(_)) => ("by_status", columns),
        (_, Group::Status(_)) => ("by_status_and_creation", columns),
        (ListOrder::Name, Group::All) => ("listed", columns),
        (ListOrder::Creation, Group::All) => ("by_creation", columns),
        (ListOrder::Expiry, Group::All) => ("by_expiry", columns),
        (ListOrder::Attention, Group::All) => ("by_attention", columns),
    };
    // Also for a filter by who must act.
    let index = match index {
        "by_attention" if way == Strategy::Along && filter.who.is_some() => "by_who",
        index => index,
    };
    let mut selected = columns.to_vec();
    if way == Strategy::Nearby {
        sql.push("SELECT * FROM (");
        selected.extend(filtered_by(filter));
        selected.sort_unstable();
        selected.dedup();
    }
    sql.push("SELECT d.").push(selected.join(", d."));
    sql.push(format!(" FROM domains d INDEXED BY domains_{index} WHERE d.deleted_at IS NULL"));
    push_group(sql, part.group, filter);
    push_beyond(sql, query, part.beyond, within);
    if way == Strategy::Nearby {
        push_order(sql, query, LOOK_THROUGH);
        sql.push(") d WHERE true");
    }
    push_filter(sql, filter);
    push_search(sql, filter.search.as_ref());
    push_order(sql, query, query.limit);
}

/// The columns that a filter uses.
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
    if filter.reason.is_some() {
        columns.push("reason_code");
    }
    if filter.attention_from.is_some() {
        columns.extend(["attention", "attention_since"]);
    }
    if filter.customer_ref.is_some() {
        columns.push("customer_ref");
    }
    if !filter.labels.is_empty() {
        columns.push("name");
    }
    if filter.at_risk.is_some() {
        columns.extend(["attention", "ends_at"]);
    }
    if filter.expires_from.is_some() || filter.expires_before.is_some() {
        columns.push("ends_at");
    }
    columns
}

/// Adds the search's condition on a name that is already read.
fn push_search(sql: &mut Query<'_>, search: Option<&Search>) {
    match search {
        Some(Search::Prefix(start)) => {
            sql.push(" AND d.name >= ").push_bind(start);
            sql.push(" AND d.name < ").push_bind(&after_all(start));
        }
        Some(Search::Part(part)) => {
            sql.push(" AND instr(d.name, ").push_bind(part).push(") > 0");
        }
        Some(Search::Suffix(end)) => {
            sql.push(format!(" AND substr(d.name, -{}) = ", end.len())).push_bind(end);
        }
        Some(Search::Names(_) | Search::Sha256(_) | Search::Serial(_)) | None => {}
    }
}

/// `SELECT … FROM … WHERE …` for all matches of a filter, by the index of its probably most selective part.
fn push_found(sql: &mut Query<'_>, filter: &ListFilter, selected: &str) {
    sql.push(format!("SELECT {selected} FROM "));
    match &filter.search {
        Some(Search::Names(names)) => {
            sql.push("domains d WHERE d.name").push_in(names);
        }
        Some(Search::Sha256(sha256)) => {
            sql.push("domains d WHERE d.name IN (SELECT c.name FROM certificates c WHERE c.sha256 = ")
                .push_bind(sha256)
                .push(")");
        }
        Some(Search::Serial(serial)) => {
            sql.push("certificates c CROSS JOIN domains d ON d.name = c.name AND d.live_certificate_id = c.id WHERE c.serial IN (")
                .push_bind(serial)
                .push(", ")
                .push_bind(&format!("00{serial}"))
                .push(")");
        }
        Some(Search::Part(part)) => {
            sql.push("domain_names n CROSS JOIN domains d ON d.name = n.name WHERE n.name LIKE ")
                .push_bind(&format!("%{part}%"));
        }
        Some(Search::Suffix(end)) => {
            let start = reversed(end);
            sql.push("domains d INDEXED BY domains_by_end WHERE d.reversed >= ")
                .push_bind(&start)
                .push(" AND d.reversed < ")
                .push_bind(&after_all(&start));
        }
        Some(search @ Search::Prefix(_)) => {
            sql.push("domains d INDEXED BY domains_listed WHERE true");
            push_search(sql, Some(search));
        }
        None if filter.customer_ref.is_none() && !filter.labels.is_empty() => {
            let (key, value) = &filter.labels[0];
            sql.push("domain_labels f CROSS JOIN domains d ON d.name = f.name WHERE f.key = ").push_bind(key);
            sql.push(" AND f.value = ").push_bind(value);
        }
        None => {
            let index = match filter {
                ListFilter { customer_ref: Some(_), .. } => "by_customer",
                ListFilter { attention_from: Some(_), .. } => "by_attention_since",
                ListFilter { reason: Some(_), .. } => "by_reason",
                ListFilter { at_risk: Some(_), .. } => "by_attention",
                ListFilter { renewal_blocked: true, .. } => "renewal_blocked",
                ListFilter { source: Some(Source::Text), .. } => "by_text",
                ListFilter { who: Some(_), .. } => "by_who",
                ListFilter { expires_from: None, expires_before: None, .. } => match filter.some_statuses() {
                    Some(_) => "by_status",
                    None => "listed",
                },
                _ => "by_expiry",
            };
            sql.push(format!("domains d INDEXED BY domains_{index} WHERE true"));
        }
    }
    sql.push(" AND d.deleted_at IS NULL");
    push_statuses(sql, filter);
    push_filter(sql, filter);
}

/// The filter without its search.
fn rest_of(filter: &ListFilter) -> ListFilter {
    ListFilter { search: None, ..filter.clone() }
}

/// Whether so few rows match all filters except the search that each can be checked.
async fn is_small(db: &mut Db<'_>, filter: &ListFilter) -> Result<bool> {
    let Some(search) = &filter.search else {
        return Ok(false);
    };
    if search.is_exact() || filter.is_by_search_alone() {
        return Ok(false);
    }
    let rest = Box::pin(count(db, &rest_of(filter), LOOK_THROUGH)).await?;
    Ok(rest < u64::from(LOOK_THROUGH))
}

/// Returns the number of domains that match a filter, counted up to `most`.
pub(crate) async fn count(db: &mut Db<'_>, filter: &ListFilter, most: u32) -> Result<u64> {
    let is_small = is_small(db, filter).await?;
    let mut sql = db.query("count_list", "SELECT count(*) FROM (");
    if is_small {
        push_found(&mut sql, &rest_of(filter), "1");
        push_search(&mut sql, filter.search.as_ref());
    } else {
        push_found(&mut sql, filter, "1");
    }
    sql.push(format!(" LIMIT {most})"));
    sql.once().count().await
}
