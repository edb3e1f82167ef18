//! The list in figures.

use domain::Status;
use jiff::Timestamp;
use sqlx::PgPool;
use store::{Columns, Result, Summary};

use crate::db::{failed, time};

pub(crate) async fn summary(db: &PgPool, ends_before: Timestamp) -> Result<Summary> {
    let counted: Vec<(String, i64)> = sqlx::query_as(
        "-- count_statuses
        SELECT status, count(*) FROM domains WHERE deleted_at IS NULL GROUP BY status",
    )
    .fetch_all(db)
    .await
    .map_err(failed("count_statuses"))?;
    let mut statuses: Vec<(Status, u64)> = Vec::new();
    for (status, domains) in counted {
        let columns = Columns {
            table: "domains",
            id: &status,
        };
        statuses.push((columns.parse("status", &status)?, domains as u64));
    }
    let (renewal_blocked, expiring, waiting): (i64, i64, i64) = sqlx::query_as(
        "-- count_troubles
        SELECT
            (SELECT count(*) FROM domains
                WHERE deleted_at IS NULL AND status = 'Success' AND block IS NOT NULL),
            (SELECT count(*) FROM domains
                WHERE deleted_at IS NULL AND status = 'Success' AND live_not_after < $1),
            (SELECT count(*) FROM domains
                WHERE deleted_at IS NULL AND activity = 'waiting_for_budget')",
    )
    .bind(time(ends_before))
    .fetch_one(db)
    .await
    .map_err(failed("count_troubles"))?;
    Ok(Summary {
        statuses,
        renewal_blocked: renewal_blocked as u64,
        expiring: expiring as u64,
        waiting_for_budget: waiting as u64,
    })
}
