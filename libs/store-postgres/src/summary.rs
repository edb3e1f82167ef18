//! The list in figures.

use domain::Status;
use jiff::Timestamp;
use sqlx::PgPool;
use store::{Result, Summary};

use crate::db::{failed, time};

/// Changes of the figures that are folded in one go.
const BATCH: i64 = 100_000;

pub(crate) async fn summary(db: &PgPool, ends_before: Timestamp) -> Result<Summary> {
    let counted: Vec<(String, i64)> = sqlx::query_as(
        "-- summary
        SELECT what, sum(domains)::bigint FROM (
            SELECT what, domains FROM domain_counts UNION ALL SELECT what, domains FROM domain_count_changes) AS c
        GROUP BY what",
    )
    .fetch_all(db)
    .await
    .map_err(failed("summary"))?;
    let expiring: i64 = sqlx::query_scalar(
        "-- count_expiring
        SELECT count(*) FROM domains WHERE deleted_at IS NULL AND status = 'Success' AND live_not_after < $1",
    )
    .bind(time(ends_before))
    .fetch_one(db)
    .await
    .map_err(failed("count_expiring"))?;
    let count = |what: &str| {
        let found = counted.iter().find(|(counted, _)| counted == what);
        found.map_or(0, |(_, domains)| *domains as u64)
    };
    Ok(Summary {
        statuses: Status::ALL
            .map(|status| (status, count(status.as_str())))
            .into_iter()
            .filter(|(_, domains)| *domains > 0)
            .collect(),
        renewal_blocked: count("renewal_blocked"),
        expiring: expiring as u64,
        waiting_for_budget: count("waiting_for_budget"),
    })
}

/// Folds some of the changes; whether there may be more. Several at once take distinct ones or wait for each other.
pub(crate) async fn fold(db: &PgPool) -> Result<bool> {
    // As many as were taken, not as many as figures they make.
    let taken: i64 = sqlx::query_scalar(
        "-- fold_counts
        WITH taken AS (
            DELETE FROM domain_count_changes
            WHERE ctid = ANY(ARRAY(SELECT ctid FROM domain_count_changes LIMIT $1)) RETURNING what, domains),
        folded AS (
            INSERT INTO domain_counts AS c (what, domains)
            SELECT what, sum(domains) FROM taken GROUP BY what ORDER BY what
            ON CONFLICT (what) DO UPDATE SET domains = c.domains + excluded.domains)
        SELECT count(*) FROM taken",
    )
    .bind(BATCH)
    .fetch_one(db)
    .await
    .map_err(failed("fold_counts"))?;
    Ok(taken == BATCH)
}
