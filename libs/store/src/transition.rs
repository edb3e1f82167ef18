//! The one way in which a domain's row changes: row, history and hint in the caller's transaction.

use domain::{Clock, Domain, Entropy, Event, EventId, EventKind, HistoryEntry, HistoryKind};

use crate::{Result, Tx};

/// The history's line about a transition.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What happened.
    pub kind: HistoryKind,
    /// Who did it.
    pub actor: &'a str,
    /// A sentence for people.
    pub message: String,
    /// The certificate it is about.
    pub certificate_sha256: Option<String>,
}

impl<'a> Entry<'a> {
    /// A line that is about no certificate.
    pub fn new(kind: HistoryKind, actor: &'a str, message: impl Into<String>) -> Self {
        Self { kind, actor, message: message.into(), certificate_sha256: None }
    }
}

/// Stores `after` in place of `before` (none: a name that was never here), adds `entry` to the history if there is
/// one, and publishes `status-changed` if the status did.
pub async fn apply(
    tx: &mut dyn Tx,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    before: Option<&Domain>,
    after: &Domain,
    entry: Option<Entry<'_>>,
) -> Result<()> {
    let now = clock.now();
    match before {
        None => tx.insert_domain(after, now).await?,
        Some(_) => tx.update_domain(after, now).await?,
    }
    record(tx, clock, entropy, before, after, entry).await
}

/// What [`apply`] does beside storing the row.
pub async fn record(
    tx: &mut dyn Tx,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    before: Option<&Domain>,
    after: &Domain,
    entry: Option<Entry<'_>>,
) -> Result<()> {
    let now = clock.now();
    // A deleted name has no status any more: its next life begins with a first entry.
    let status_from = before.filter(|domain| domain.deleted_at.is_none()).map(|domain| domain.recorded);
    let status_to = after.status(now);
    if let Some(entry) = entry {
        tx.append_history(&HistoryEntry {
            name: after.name.clone(),
            at: now,
            kind: entry.kind,
            actor: entry.actor.to_owned(),
            status_from,
            status_to,
            message: entry.message,
            certificate_sha256: entry.certificate_sha256,
        })
        .await?;
    }
    if status_from != Some(status_to) || after.deleted_at.is_some() {
        let event = Event {
            id: EventId::new(clock, entropy),
            kind: EventKind::StatusChanged,
            name: after.name.clone(),
            revision: after.revision,
        };
        tx.publish(&event, now).await?;
    }
    Ok(())
}
