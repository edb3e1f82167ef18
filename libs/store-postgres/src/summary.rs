//! The list in figures.

use domain::Status;
use jiff::Timestamp;
use sqlx::PgPool;
use store::{Result, Summary};

use crate::db::{failed, time};

pub(crate) async fn summary(db: &PgPool, ends_before: Timestamp) -> Result<Summary> {
    let counted: Vec<(String, i64)> = sqlx::query_as(
        "-- summary
        SELECT key, sum(amount)::bigint FROM (
            SELECT what, key, amount FROM tallies UNION ALL SELECT what, key, amount FROM tally_changes) AS t
        WHERE what = 'domains' GROUP BY key",
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
