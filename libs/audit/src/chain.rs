//! The chain: a line's hash covers the previous hash and its own content.

use aws_lc_rs::digest::{Context, SHA256};
use store::{AuditEntry, AuditLink, Store, StoreError};

/// Before the first line.
pub const FIRST: AuditLink = AuditLink { sequence: 0, hash: [0; 32] };

/// Named in every hash, so that a later form cannot be taken for this one.
const FORM: &[u8] = b"ssl-manager audit 1";
/// Lines per transaction.
const BATCH: u32 = 1000;

/// The seal of the line after `before`: SHA-256 over the form, the hash before, the number, the time in microseconds
/// since 1970, and each text with its length before it (numbers are big-endian, 8 bytes).
pub fn link(before: &AuditLink, entry: &AuditEntry) -> AuditLink {
    let sequence = before.sequence + 1;
    let mut context = Context::new(&SHA256);
    context.update(FORM);
    context.update(&before.hash);
    context.update(&sequence.to_be_bytes());
    context.update(&entry.at.as_microsecond().to_be_bytes());
    let texts = [
        &entry.actor,
        &entry.peer,
        &entry.call,
        &entry.subject,
        &entry.outcome,
        &entry.detail,
        &entry.request_id,
    ];
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    AuditLink { sequence, hash }
}

/// Seals what was committed and logs the new head. Any number of processes may; one at a time does. Nothing is lost
/// when one dies: what was not sealed waits for the next second.
pub async fn seal(store: &Store) -> Result<(), StoreError> {
    if store.unchained_audit().await? == 0 {
        return Ok(());
    }
    loop {
        let mut tx = store.begin("chain_audit").await?;
        let mut head = tx.lock_audit_head().await?;
        let unsealed = tx.unchained_audit(BATCH).await?;
        let seals: Vec<(i64, AuditLink)> = unsealed
            .iter()
            .map(|line| {
                head = link(&head, &line.entry);
                (line.id, head)
            })
            .collect();
        tx.chain_audit(&seals).await?;
        tx.commit().await?;
        if !seals.is_empty() {
            let hash = hex::encode(head.hash);
            let logged = format!("{}:{hash}", head.sequence);
            tracing::info!(target: "audit", head = logged, "audit log sealed");
        }
        if seals.len() < BATCH as usize {
            return Ok(());
        }
    }
}
