//! SQLite: one file, for one process or a few on one machine.
//!
//! One connection writes, a few read. Concurrent transactions are committed together (`writer.rs`). Commits are
//! durable (`synchronous = FULL`), because an order that the CA accepted, or a key that it certified, must survive a
//! power cut. Numbers come from the table `counters`: a statement that needs the next number reads it, and triggers
//! increment the counter in the same statement.

mod list;
mod open;
mod writer;

use domain::WorkKind;

use crate::domains::DomainRow;
use crate::list::reversed;
use crate::messages::MessageRow;
use crate::record::Record;
use crate::sql::placeholders;
use crate::{Result, Store, Tx};

pub(super) use list::{count, page};
pub(crate) use open::OpenedFile;
pub(crate) use writer::{Member, Writer};

/// Each row of a claim gets its own token. A claim that finds nothing, which happens for every second hint, costs no
/// durable write.
pub(super) const CLAIM: &str = "UPDATE work SET lease_until = $3, paused_for = '',
        lease_token = (SELECT value FROM counters WHERE counters.name = 'lease_token') + free.place
    FROM (
        SELECT name, row_number() OVER (ORDER BY name) AS place FROM work
        WHERE name {in 1} AND kind = $2
            AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)) AS free
    WHERE work.name = free.name AND work.kind = $2";

pub(super) const TAKE: &str = "UPDATE messages SET lease_until = $3, lease_token = {next_token}
    WHERE sequence IN (
        SELECT sequence FROM messages
        WHERE kind {in 1} AND dead_reason IS NULL
            AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)
        ORDER BY sequence LIMIT $2)";

pub(super) const ARE_TAKEN: &str =
    "(sequence, lease_token) IN (SELECT value, json_extract($2, fullkey) FROM json_each($1))";

pub(super) const ADD_TALLY: &str = "INSERT INTO tallies (what, key, amount) VALUES ($1, $2, $3)
    ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount";

pub(super) fn fence() -> String {
    format!(
        "SELECT {} FROM work w JOIN domains d ON d.name = w.name AND d.revision = w.revision
        WHERE w.name = $1 AND w.kind = $2 AND w.lease_token = $3 AND w.revision = $4",
        DomainRow::selected("d")
    )
}

/// SQLite cannot reverse a string, so reversed names are passed in.
pub(super) async fn insert_domains(tx: &mut Tx, rows: &[DomainRow]) -> Result<()> {
    let stored = DomainRow::stored();
    let text = format!(
        "INSERT INTO domains ({}, reversed, position) VALUES ({}, {{next_position}})",
        stored.join(", "),
        placeholders(stored.len() + 1)
    );
    for row in rows {
        let write = tx.write("insert_domain", "", &text).await?;
        write.bind_record(row).bind(&reversed(row.name.as_str())).keep();
    }
    Ok(())
}

pub(super) async fn publish(tx: &mut Tx, messages: &[MessageRow], hints: &[Option<WorkKind>]) -> Result<()> {
    tx.insert("publish", "", messages, &[], "").await?;
    let text = "UPDATE work SET hinted_at = $1 WHERE name = $2 AND kind = $3";
    for (message, kind) in messages.iter().zip(hints) {
        if let Some(kind) = kind {
            let write = tx.write("hint", "", text).await?;
            write.bind(&message.created_at).bind(&message.name).bind(kind).keep();
        }
    }
    Ok(())
}

/// A check without a write, for empty queues.
pub(super) async fn may_take(store: &Store, kinds: &[&'static str]) -> Result<bool> {
    let text = "SELECT EXISTS (
            SELECT 1 FROM messages
            WHERE kind {in 1} AND dead_reason IS NULL
                AND due_at <= $2 AND (lease_until IS NULL OR lease_until <= $2))";
    let mut reader = store.reader().await?;
    reader.db().query("any_waiting", text).bind_set(kinds).bind(&store.now()).scalar().await
}
