//! Keys that are destroyed, and rows that are forgotten.
//!
//! Whoever does it (the scheduler) may read neither a sealed key nor a session's hash: the statements get along without.
//! What somebody else has locked is left to the next time.

use domain::DomainName;
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use store::{Columns, Past, Result};

use crate::db::{failed, time};

pub(crate) async fn keys_to_destroy(
    db: impl PgExecutor<'_>,
    deleted_by: Timestamp,
    limit: u32,
) -> Result<Vec<DomainName>> {
    let mut names: Vec<String> = sqlx::query_scalar(
        "-- keys_to_destroy
        SELECT name FROM domains
        WHERE deleted_at <= $1 AND deleted_at IS NOT NULL
            AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at)
        ORDER BY deleted_at LIMIT $2",
    )
    .bind(time(deleted_by))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("keys_to_destroy"))?;
    names.sort();
    let parse = |id: &String| {
        let columns = Columns { table: "domains", id };
        columns.name(id)
    };
    names.iter().map(parse).collect()
}

pub(crate) async fn destroy_keys(
    db: &mut PgConnection,
    name: &DomainName,
    deleted_by: Timestamp,
    now: Timestamp,
) -> Result<Option<u64>> {
    let noted = sqlx::query(
        "-- note_keys_destroyed
        UPDATE domains SET keys_destroyed_at = greatest($3, deleted_at)
        WHERE name = $1 AND deleted_at <= $2 AND (keys_destroyed_at IS NULL OR keys_destroyed_at < deleted_at)",
    )
    .bind(name.as_str())
    .bind(time(deleted_by))
    .bind(time(now))
    .execute(&mut *db)
    .await
    .map_err(failed("note_keys_destroyed"))?;
    if noted.rows_affected() == 0 {
        return Ok(None);
    }
    let destroyed = sqlx::query(
        "-- destroy_keys
        UPDATE certificates SET sealed_key = NULL, key_destroyed_at = $2
        WHERE name = $1 AND key_destroyed_at IS NULL",
    )
    .bind(name.as_str())
    .bind(time(now))
    .execute(db)
    .await
    .map_err(failed("destroy_keys"))?;
    Ok(Some(destroyed.rows_affected()))
}

pub(crate) async fn forget(db: &mut PgConnection, past: Past, limit: u32) -> Result<u64> {
    let mut forgotten = 0;
    for (statement, by) in [
        (
            "-- forget_sessions
            DELETE FROM sessions WHERE expires_at <= (
                SELECT max(expires_at) FROM (
                    SELECT expires_at FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2) AS s)",
            past.sessions,
        ),
        (
            "-- forget_buckets
            DELETE FROM buckets WHERE key IN (
                SELECT key FROM buckets WHERE at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
            past.buckets,
        ),
    ] {
        let deleted = sqlx::query(statement)
            .bind(time(by))
            .bind(i64::from(limit))
            .execute(&mut *db)
            .await
            .map_err(failed("forget"))?;
        forgotten += deleted.rows_affected();
    }
    for statement in [
        "-- forget_days
        DELETE FROM rechecked_days WHERE day IN (SELECT day FROM rechecked_days WHERE day < $1 LIMIT $2)",
        "-- forget_tallies
        DELETE FROM tallies WHERE (what, key) IN (
            SELECT what, key FROM tallies
            WHERE (what IN ('issued', 'failed', 'rechecked') AND key < $1) OR amount = 0
            LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ] {
        let deleted = sqlx::query(statement)
            .bind(past.days.to_string())
            .bind(i64::from(limit))
            .execute(&mut *db)
            .await
            .map_err(failed("forget"))?;
        forgotten += deleted.rows_affected();
    }
    Ok(forgotten)
}
