//! Events on their way. A taken message is its taker's by a token; answering with an older one changes nothing, nor
//! does answering twice (token 0 is nobody's).

use domain::{Event, EventKind, WorkKind};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Columns, Message, Result, StoreError};

use crate::db::{failed, micros};

#[derive(FromRow)]
struct MessageRow {
    sequence: i64,
    id: String,
    kind: String,
    subject: String,
    name: String,
    revision: i64,
    attempts: u32,
    lease_token: i64,
    trace_parent: Option<String>,
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self> {
        let columns = Columns { table: "messages", id: &row.id };
        Ok(Self {
            sequence: row.sequence,
            event: Event {
                id: columns.parse("id", &row.id)?,
                kind: EventKind::from_parts(&row.kind, &row.subject).ok_or_else(|| columns.bad("kind"))?,
                name: columns.name(&row.name)?,
                revision: row.revision,
            },
            attempts: row.attempts,
            token: row.lease_token,
            trace_parent: row.trace_parent,
        })
    }
}

pub(crate) async fn publish(db: &mut SqliteConnection, event: &Event, now: Timestamp) -> Result<()> {
    // What two statements in one say is one way to the thread that has the file.
    let statement = "-- publish
        INSERT INTO messages (id, kind, subject, name, revision, created_at, due_at, trace_parent)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7);
        UPDATE work SET hinted_at = $6 WHERE name = $4 AND kind = $8";
    sqlx::query(statement)
        .bind(event.id.to_string())
        .bind(event.kind.as_str())
        .bind(event.kind.subject())
        .bind(event.name.as_str())
        .bind(event.revision)
        .bind(micros(now))
        .bind(store::trace_parent())
        .bind(event.kind.work().map(WorkKind::as_str))
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("publish"))
}

pub(crate) async fn take(
    db: &mut SqliteConnection,
    kinds: &[&'static str],
    limit: u32,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Message>> {
    let mut rows: Vec<MessageRow> = sqlx::query_as(
        "-- take_messages
        UPDATE messages SET lease_until = $1,
            lease_token = (SELECT value + 1 FROM counters WHERE counters.name = 'lease_token')
        WHERE sequence IN (
            SELECT sequence FROM messages
            WHERE kind IN (SELECT value FROM json_each($2)) AND dead_reason IS NULL
                AND due_at <= $3 AND (lease_until IS NULL OR lease_until <= $3)
            ORDER BY sequence LIMIT $4)
        RETURNING sequence, id, kind, subject, name, revision, attempts, lease_token, trace_parent",
    )
    .bind(micros(until))
    .bind(serde_json::Value::from(kinds).to_string())
    .bind(micros(now))
    .bind(limit)
    .fetch_all(db)
    .await
    .map_err(failed("take_messages"))?;
    // RETURNING promises no order.
    rows.sort_by_key(|row| row.sequence);
    rows.into_iter().map(Message::try_from).collect()
}

/// Whether there is anything to take: a look that costs no write, for queues at rest.
pub(crate) async fn any_waiting(
    db: impl SqliteExecutor<'_>,
    kinds: &[&'static str],
    now: Timestamp,
) -> Result<bool> {
    sqlx::query_scalar(
        "-- any_waiting
        SELECT EXISTS (
            SELECT 1 FROM messages
            WHERE kind IN (SELECT value FROM json_each($1)) AND dead_reason IS NULL
                AND due_at <= $2 AND (lease_until IS NULL OR lease_until <= $2))",
    )
    .bind(serde_json::Value::from(kinds).to_string())
    .bind(micros(now))
    .fetch_one(db)
    .await
    .map_err(failed("any_waiting"))
}

/// The messages as JSON `[[sequence, token], …]`, for one statement over all of them.
fn taken(messages: &[Message]) -> String {
    let pairs: Vec<serde_json::Value> =
        messages.iter().map(|message| serde_json::Value::from([message.sequence, message.token])).collect();
    serde_json::Value::from(pairs).to_string()
}

pub(crate) async fn keep(db: &mut SqliteConnection, messages: &[Message], until: Timestamp) -> Result<()> {
    sqlx::query(
        "-- keep_messages
        UPDATE messages SET lease_until = $2 WHERE (sequence, lease_token) IN (
            SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($1))",
    )
    .bind(taken(messages))
    .bind(micros(until))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("keep_messages"))
}

pub(crate) async fn delete(db: &mut SqliteConnection, messages: &[Message]) -> Result<()> {
    sqlx::query(
        "-- delete_messages
        DELETE FROM messages WHERE (sequence, lease_token) IN (
            SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($1))",
    )
    .bind(taken(messages))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("delete_messages"))
}

pub(crate) async fn delay(db: &mut SqliteConnection, message: &Message, due_at: Timestamp) -> Result<()> {
    sqlx::query(
        "-- delay_message
        UPDATE messages SET due_at = $3, attempts = attempts + 1, lease_token = 0, lease_until = NULL
        WHERE sequence = $1 AND lease_token = $2",
    )
    .bind(message.sequence)
    .bind(message.token)
    .bind(micros(due_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("delay_message"))
}

pub(crate) async fn bury(db: &mut SqliteConnection, message: &Message, why: &str) -> Result<()> {
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

pub(crate) async fn counts(db: impl SqliteExecutor<'_>) -> Result<(u64, u64)> {
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
