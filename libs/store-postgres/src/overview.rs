//! What the overview counts. Reasons and ends are tallied by a trigger, see the migration.
//!
//! A tally is what its row says and all rows of changes together; so a transaction that changes one inserts a row and
//! waits for nobody, and a reader sees exactly what has committed, whether it is folded or not.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{PgConnection, PgExecutor, PgPool};
use store::{Columns, Counted, MOST_OVERDUE, Overview, Result};

use crate::db::{failed, maybe_jiff, time};

pub(crate) async fn read(db: &PgPool, overdue_since: Timestamp, now: Timestamp) -> Result<Overview> {
    let tallies = sqlx::query_as(
        "-- tallies
        SELECT what, key, sum(amount)::bigint FROM (
            SELECT what, key, amount FROM tallies UNION ALL SELECT what, key, amount FROM tally_changes) AS t
        WHERE what <> 'domains' GROUP BY what, key ORDER BY what, key",
    )
    .fetch_all(db)
    .await
    .map_err(failed("tallies"))?;
    let (overdue, oldest_due_at): (i64, Option<jiff_sqlx::Timestamp>) = sqlx::query_as(
        "-- overdue_work
        SELECT count(DISTINCT name), min(due_at) FROM (
            SELECT name, due_at FROM work
            WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $2) ORDER BY due_at LIMIT $3) AS w",
    )
    .bind(time(overdue_since))
    .bind(time(now))
    .bind(i64::from(MOST_OVERDUE))
    .fetch_one(db)
    .await
    .map_err(failed("overdue_work"))?;
    Ok(Overview {
        overdue: overdue as u64,
        oldest_due_at: maybe_jiff(oldest_due_at),
        last_complete: last_complete(db).await?,
        rechecks_waiting: rechecks_waiting(db).await?,
        ..Overview::from_tallies(tallies)?
    })
}

async fn last_complete(db: impl PgExecutor<'_>) -> Result<Option<Date>> {
    let day: Option<String> = sqlx::query_scalar("-- last_rechecked\nSELECT max(day) FROM rechecked_days")
        .fetch_one(db)
        .await
        .map_err(failed("last_rechecked"))?;
    let Some(day) = day else { return Ok(None) };
    let columns = Columns { table: "rechecked_days", id: &day };
    day.parse().map(Some).map_err(|_| columns.bad("day"))
}

async fn rechecks_waiting(db: impl PgExecutor<'_>) -> Result<u64> {
    let waiting: i64 =
        sqlx::query_scalar("-- rechecks_waiting\nSELECT count(due_at) FROM work WHERE cause = 'midnight'")
            .fetch_one(db)
            .await
            .map_err(failed("rechecks_waiting"))?;
    Ok(waiting as u64)
}

/// Raises what is counted per day by one each.
pub(crate) async fn count(db: &mut PgConnection, counted: &[(Counted, Timestamp)]) -> Result<()> {
    for (what, at) in counted {
        let day = at.to_zoned(TimeZone::UTC).date();
        add(db, what.as_str(), day, 1).await?;
    }
    Ok(())
}

/// Raises what is counted per day.
pub(crate) async fn add(db: &mut PgConnection, what: &'static str, day: Date, amount: usize) -> Result<()> {
    sqlx::query("-- tally\nINSERT INTO tally_changes (what, key, amount) VALUES ($1, $2, $3)")
        .bind(what)
        .bind(day.to_string())
        .bind(amount as i64)
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("tally"))
}

/// One statement, so that no reader sees a change twice or not at all. Who folds at the same time takes other changes or
/// waits, and locks the tallies in the same order.
pub(crate) async fn fold(db: impl PgExecutor<'_>, limit: u32) -> Result<u64> {
    let folded: i64 = sqlx::query_scalar(
        "-- fold_tallies
        WITH taken AS (
            DELETE FROM tally_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM tally_changes LIMIT $1))
            RETURNING what, key, amount),
        folded AS (
            INSERT INTO tallies (what, key, amount)
            SELECT what, key, sum(amount) FROM taken GROUP BY what, key ORDER BY what, key
            ON CONFLICT (what, key) DO UPDATE SET amount = tallies.amount + excluded.amount)
        SELECT count(*) FROM taken",
    )
    .bind(i64::from(limit))
    .fetch_one(db)
    .await
    .map_err(failed("fold_tallies"))?;
    Ok(folded as u64)
}
