//! Events on their way. A taken message is its taker's by a token; answering with an older one changes nothing, nor
//! does answering twice (token 0 is nobody's).

use domain::{Event, EventKind, WorkKind};
use jiff::Timestamp;
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Columns, Message, Result, StoreError};
use uuid::Uuid;

use crate::appended::Sent;
use crate::db::{failed, time};

#[derive(FromRow)]
struct MessageRow {
    sequence: i64,
    id: Uuid,
    kind: String,
    subject: String,
    name: String,
    revision: i64,
    attempts: i32,
    lease_token: i64,
    trace_parent: Option<String>,
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self> {
        let id = row.id.to_string();
        let columns = Columns { table: "messages", id: &id };
        Ok(Self {
            sequence: row.sequence,
            event: Event {
                id: row.id.into(),
                kind: EventKind::from_parts(&row.kind, &row.subject).ok_or_else(|| columns.bad("kind"))?,
                name: columns.name(&row.name)?,
                revision: row.revision,
            },
            attempts: u32::try_from(row.attempts).map_err(|_| columns.bad("attempts"))?,
            token: row.lease_token,
            trace_parent: row.trace_parent,
        })
    }
}

/// Stores events, and notes on the work rows that they are about that somebody was told, so that the sweep does not tell
/// again at once.
pub(crate) async fn publish(db: &mut PgConnection, sent: &[Sent]) -> Result<()> {
    let column = |of: fn(&Sent) -> Option<&str>| sent.iter().map(of).collect::<Vec<_>>();
    let subjects: Vec<String> = sent.iter().map(|sent| sent.event.kind.subject()).collect();
    sqlx::query(
        "-- publish
        WITH sent AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[],
                $7::text[], $8::text[]) AS s (id, kind, subject, name, revision, at, trace_parent, work)),
        hinted AS (
            UPDATE work w SET hinted_at = sent.at FROM sent WHERE w.name = sent.name AND w.kind = sent.work)
        INSERT INTO messages (id, kind, subject, name, revision, created_at, due_at, trace_parent)
        SELECT id, kind, subject, name, revision, at, at, trace_parent FROM sent",
    )
    .bind(sent.iter().map(|sent| sent.event.id.as_uuid()).collect::<Vec<_>>())
    .bind(column(|sent| Some(sent.event.kind.as_str())))
    .bind(subjects)
    .bind(column(|sent| Some(sent.event.name.as_str())))
    .bind(sent.iter().map(|sent| sent.event.revision).collect::<Vec<_>>())
    .bind(sent.iter().map(|sent| time(sent.at)).collect::<Vec<_>>())
    .bind(column(|sent| sent.trace_parent.as_deref()))
    .bind(column(|sent| sent.event.kind.work().map(WorkKind::as_str)))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("publish"))
}

pub(crate) async fn take(
    db: impl PgExecutor<'_>,
    kinds: &[&'static str],
    limit: u32,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Message>> {
    let mut rows: Vec<MessageRow> = sqlx::query_as(
        "-- take_messages
        WITH taken AS MATERIALIZED (
            SELECT sequence FROM messages
            WHERE kind = ANY($3) AND dead_reason IS NULL
                AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)
            ORDER BY sequence LIMIT $2 FOR UPDATE SKIP LOCKED),
        token AS MATERIALIZED (SELECT nextval('lease_token') AS value WHERE EXISTS (SELECT 1 FROM taken))
        UPDATE messages m SET lease_token = token.value, lease_until = $1
        FROM taken, token WHERE m.sequence = taken.sequence
        RETURNING m.sequence, m.id, m.kind, m.subject, m.name, m.revision, m.attempts, m.lease_token,
            m.trace_parent",
    )
    .bind(time(until))
    .bind(i64::from(limit))
    .bind(kinds)
    .bind(time(now))
    .fetch_all(db)
    .await
    .map_err(failed("take_messages"))?;
    // RETURNING promises no order.
    rows.sort_by_key(|row| row.sequence);
    rows.into_iter().map(Message::try_from).collect()
}

/// The messages as two arrays, for one statement over all of them.
fn taken(messages: &[Message]) -> (Vec<i64>, Vec<i64>) {
    messages.iter().map(|message| (message.sequence, message.token)).unzip()
}

pub(crate) async fn keep(db: impl PgExecutor<'_>, messages: &[Message], until: Timestamp) -> Result<()> {
    let (sequences, tokens) = taken(messages);
    sqlx::query(
        "-- keep_messages
        UPDATE messages SET lease_until = $3
        WHERE (sequence, lease_token) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))",
    )
    .bind(sequences)
    .bind(tokens)
    .bind(time(until))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("keep_messages"))
}

pub(crate) async fn delete(db: impl PgExecutor<'_>, messages: &[Message]) -> Result<()> {
    let (sequences, tokens) = taken(messages);
    sqlx::query(
        "-- delete_messages
        DELETE FROM messages
        WHERE (sequence, lease_token) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))",
    )
    .bind(sequences)
    .bind(tokens)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("delete_messages"))
}

pub(crate) async fn delay(db: impl PgExecutor<'_>, message: &Message, due_at: Timestamp) -> Result<()> {
    sqlx::query(
        "-- delay_message
        UPDATE messages SET due_at = $3, attempts = attempts + 1, lease_token = 0, lease_until = NULL
        WHERE sequence = $1 AND lease_token = $2",
    )
    .bind(message.sequence)
    .bind(message.token)
    .bind(time(due_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("delay_message"))
}

pub(crate) async fn bury(db: impl PgExecutor<'_>, message: &Message, why: &str) -> Result<()> {
    sqlx::query(
        "-- bury_message
        UPDATE messages SET dead_reason = $3, lease_token = 0, lease_until = NULL
        WHERE sequence = $1 AND lease_token = $2",
    )
    .bind(message.sequence)
    .bind(message.token)
    .bind(why)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("bury_message"))
}

pub(crate) async fn counts(db: impl PgExecutor<'_>) -> Result<(u64, u64)> {
    let (waiting, dead): (i64, i64) = sqlx::query_as(
        "-- message_counts
        SELECT count(*) FILTER (WHERE dead_reason IS NULL), count(*) FILTER (WHERE dead_reason IS NOT NULL)
        FROM messages",
    )
    .fetch_one(db)
    .await
    .map_err(failed("message_counts"))?;
    Ok((waiting.unsigned_abs(), dead.unsigned_abs()))
}

pub(crate) async fn free_all(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query(
        "-- free_messages
        UPDATE messages SET lease_token = 0, lease_until = NULL WHERE lease_until IS NOT NULL",
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("free_messages"))
}
