//! Stored events. A token identifies the taker of a message; an answer with an older token, or a second answer,
//! changes nothing (nobody has token 0).

use std::collections::BTreeMap;

use domain::{DomainName, Event, EventId, EventKind};
use jiff::Timestamp;

use crate::record::{FromRow, Reader, Record, columns};
use crate::sql::Query;
use crate::{Result, Store, StoreError, Tx, dialect};

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Increases with every message.
    pub sequence: i64,
    /// The event.
    pub event: Event,
    /// Number of failed attempts.
    pub attempts: u32,
    /// Fencing token of the taker.
    pub token: i64,
    /// The trace it belongs to (W3C `traceparent`), if its publisher was traced.
    pub trace_parent: Option<String>,
}

/// The number of commits of this process that published an event, per kind.
#[derive(Clone, Debug, Default)]
pub struct Published(BTreeMap<&'static str, u64>);

impl Published {
    /// The number of commits with an event of that kind.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, kinds: impl Iterator<Item = &'static str>) {
        for kind in kinds {
            *self.0.entry(kind).or_default() += 1;
        }
    }
}

/// An event, when it was published, and the trace that it belongs to.
pub(crate) struct Sent {
    pub(crate) event: Event,
    pub(crate) at: Timestamp,
    pub(crate) trace_parent: Option<String>,
}

/// A row of `messages` as it is published.
pub(crate) struct MessageRow {
    id: EventId,
    kind: String,
    subject: String,
    pub(crate) name: DomainName,
    revision: i64,
    pub(crate) created_at: Timestamp,
    due_at: Timestamp,
    trace_parent: Option<String>,
}

columns!(MessageRow in "messages": id, kind, subject, name, revision, created_at, due_at, trace_parent);

impl From<&Sent> for MessageRow {
    fn from(sent: &Sent) -> Self {
        let event = &sent.event;
        Self {
            id: event.id,
            kind: event.kind.as_str().to_owned(),
            subject: event.kind.subject(),
            name: event.name.clone(),
            revision: event.revision,
            created_at: sent.at,
            due_at: sent.at,
            trace_parent: sent.trace_parent.clone(),
        }
    }
}

impl FromRow for Message {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let row = MessageRow::read(reader)?;
        let kind = EventKind::from_parts(&row.kind, &row.subject).ok_or_else(|| {
            let (table, column) = (MessageRow::TABLE, "kind".to_owned());
            StoreError::Inconsistency { table, column, id: row.id.to_string() }
        })?;
        Ok(Self {
            event: Event { id: row.id, kind, name: row.name, revision: row.revision },
            trace_parent: row.trace_parent,
            sequence: reader.value()?,
            attempts: reader.value()?,
            token: reader.value()?,
        })
    }
}

/// Stores events, and marks the work rows that they are about as hinted, so that the sweep does not hint again at
/// once.
pub(crate) async fn publish(tx: &mut Tx, sent: &[Sent]) -> Result<()> {
    let messages: Vec<MessageRow> = sent.iter().map(MessageRow::from).collect();
    let hints = sent.iter().map(|sent| sent.event.kind.work()).collect::<Vec<_>>();
    dialect::publish(tx, &messages, &hints).await
}

impl Store {
    /// Takes up to `limit` messages of these kinds that are due and free, oldest first, with a lease until `until`.
    /// Kinds are words of [`domain::EventKind::WORDS`].
    pub async fn take_messages(
        &self,
        kinds: &[&'static str],
        limit: u32,
        until: Timestamp,
    ) -> Result<Vec<Message>> {
        if !dialect::may_take(self, kinds).await? {
            return Ok(Vec::new());
        }
        let mut writer = self.writer("take_messages").await?;
        let mut db = writer.db();
        let text = format!(
            "{} RETURNING {}, messages.sequence, messages.attempts, messages.lease_token",
            dialect::take(&db),
            MessageRow::selected("messages")
        );
        let query = db.query("take_messages", &text).bind_set(kinds).limit(limit).bind(&until);
        let mut taken: Vec<Message> = query.bind(&self.now()).all().await?;
        // RETURNING guarantees no order.
        taken.sort_by_key(|message| message.sequence);
        writer.done(taken).await
    }

    /// Extends the lease of taken messages to `until`.
    pub async fn keep_messages(&self, messages: &[Message], until: Timestamp) -> Result<()> {
        let mut writer = self.writer("keep_messages").await?;
        let mut db = writer.db();
        let text = format!("UPDATE messages SET lease_until = $3 WHERE {}", dialect::are_taken(&db));
        bind_taken(db.query("keep_messages", &text), messages).bind(&until).execute().await?;
        writer.done(()).await
    }

    /// Deletes messages that were handled.
    pub async fn delete_messages(&self, messages: &[Message]) -> Result<()> {
        let mut writer = self.writer("delete_messages").await?;
        let mut db = writer.db();
        let text = format!("DELETE FROM messages WHERE {}", dialect::are_taken(&db));
        bind_taken(db.query("delete_messages", &text), messages).execute().await?;
        writer.done(()).await
    }

    /// Returns a message to the queue, due at `due_at`, and counts the attempt. Like the other answers, does nothing
    /// if the lease on the message was lost.
    pub async fn delay_message(&self, message: &Message, due_at: Timestamp) -> Result<()> {
        let mut writer = self.writer("delay_message").await?;
        let text =
            "UPDATE messages SET due_at = $3, attempts = attempts + 1, lease_token = 0, lease_until = NULL
            WHERE sequence = $1 AND lease_token = $2";
        let mut db = writer.db();
        let query = db.query("delay_message", text).bind(&message.sequence).bind(&message.token);
        query.bind(&due_at).execute().await?;
        writer.done(()).await
    }

    /// Sets a message aside for inspection.
    pub async fn bury_message(&self, message: &Message, why: &str) -> Result<()> {
        let mut writer = self.writer("bury_message").await?;
        let text = "UPDATE messages SET dead_reason = $3, lease_token = 0, lease_until = NULL
            WHERE sequence = $1 AND lease_token = $2";
        let mut db = writer.db();
        let query = db.query("bury_message", text).bind(&message.sequence).bind(&message.token);
        query.bind(why).execute().await?;
        writer.done(()).await
    }

    /// Returns the number of messages that wait (taken ones included), and of those that were set aside.
    pub async fn message_counts(&self) -> Result<(u64, u64)> {
        let text = "SELECT count(*) FILTER (WHERE dead_reason IS NULL), count(*) FILTER (WHERE dead_reason IS NOT NULL)
            FROM messages";
        let mut reader = self.reader().await?;
        let (waiting, dead): (i64, i64) = reader.db().query("message_counts", text).one().await?;
        Ok((waiting.unsigned_abs(), dead.unsigned_abs()))
    }
}

/// Binds numbers and tokens, as two sets in the same order.
fn bind_taken<'c>(query: Query<'c>, messages: &[Message]) -> Query<'c> {
    let numbers: Vec<i64> = messages.iter().map(|message| message.sequence).collect();
    let tokens: Vec<i64> = messages.iter().map(|message| message.token).collect();
    query.bind_set(&numbers).bind_set(&tokens)
}
