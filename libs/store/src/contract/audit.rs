//! The audit log.

use std::sync::Arc;

use super::{at, is_conflict, write};
use crate::{AuditEntry, AuditSeal, Store};

fn line(subject: &str, second: i64) -> AuditEntry {
    AuditEntry {
        at: at(second),
        actor: "token:dashboard".to_owned(),
        peer: "192.0.2.1:4711".to_owned(),
        call: "AddDomain".to_owned(),
        subject: subject.to_owned(),
        outcome: "OK".to_owned(),
        detail: "a \"detail\" of ünicode".to_owned(),
        request_id: "r-1".to_owned(),
    }
}

async fn append(store: &dyn Store, lines: &[AuditEntry]) {
    write(store, async |tx| {
        for line in lines {
            tx.append_audit(line).await?;
        }
        Ok(())
    })
    .await;
}

fn seal(sequence: i64) -> AuditSeal {
    AuditSeal { sequence, hash: [sequence as u8; 32] }
}

/// A line comes back as it was, newest first, and a subject's lines by themselves.
pub async fn lines_of_the_audit_log_come_back(store: Arc<dyn Store>) {
    let lines = [line("a", 1), line("b", 2), line("a", 3)];
    append(&*store, &lines).await;
    let newest = store.audit(None, 2).await.expect("read");
    assert_eq!(newest, [lines[2].clone(), lines[1].clone()]);
    let of_a = store.audit(Some("a"), 10).await.expect("read");
    assert_eq!(of_a, [lines[2].clone(), lines[0].clone()]);
    assert!(store.audit(Some("A"), 10).await.expect("read").is_empty());
    let mut tx = store.begin("append").await.expect("a transaction");
    tx.append_audit(&line("c", 4)).await.expect("appended");
    drop(tx);
    assert!(store.audit(Some("c"), 10).await.expect("read").is_empty(), "not committed");
}

/// A line has one seal for ever; the head is the last.
pub async fn a_line_is_sealed_once(store: Arc<dyn Store>) {
    append(&*store, &[line("a", 1), line("b", 2), line("c", 3)]).await;
    assert_eq!(store.unsealed_audit().await.expect("counted"), 3);
    let first = write(&*store, async |tx| {
        assert_eq!(tx.lock_audit_head().await?, seal(0), "before the first line");
        let lines = tx.unsealed_audit(2).await?;
        tx.seal_audit(&[(lines[0].id, seal(1)), (lines[1].id, seal(2))]).await?;
        assert_eq!(tx.lock_audit_head().await?, seal(2));
        Ok(lines)
    })
    .await;
    assert_eq!(store.audit_head().await.expect("read"), seal(2));
    assert_eq!(store.unsealed_audit().await.expect("counted"), 1);
    let sealed = store.sealed_audit(0, 10).await.expect("read");
    assert_eq!(sealed, [(seal(1), line("a", 1)), (seal(2), line("b", 2))]);
    assert_eq!(store.sealed_audit(1, 10).await.expect("read"), sealed[1..]);
    assert_eq!(store.sealed_audit(0, 1).await.expect("read"), sealed[..1]);

    let mut tx = store.begin("again").await.expect("a transaction");
    let rest = tx.unsealed_audit(10).await.expect("read");
    assert_eq!(rest.iter().map(|line| line.entry.subject.as_str()).collect::<Vec<_>>(), ["c"]);
    assert!(is_conflict(tx.seal_audit(&[(first[0].id, seal(3))]).await), "it has a seal");
    drop(tx);
    let mut tx = store.begin("twice").await.expect("a transaction");
    assert!(is_conflict(tx.seal_audit(&[(rest[0].id, seal(2))]).await), "the number is taken");
    drop(tx);
    assert_eq!(store.audit_head().await.expect("read"), seal(2));
    write(&*store, async |tx| tx.seal_audit(&[]).await).await;
    assert_eq!(store.audit_head().await.expect("read"), seal(2));
}

/// Sealers at once give every line one number, without a gap.
pub async fn sealers_at_once_leave_no_gap(store: Arc<dyn Store>) {
    let lines: Vec<AuditEntry> = (0..40).map(|index| line("s", index)).collect();
    append(&*store, &lines).await;
    let sealers = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let mut tx = store.begin("seal").await.expect("a transaction");
                let head = tx.lock_audit_head().await.expect("locked");
                let lines = tx.unsealed_audit(3).await.expect("read");
                let seals: Vec<_> = lines
                    .iter()
                    .zip(head.sequence + 1..)
                    .map(|(line, sequence)| (line.id, seal(sequence)))
                    .collect();
                tx.seal_audit(&seals).await.expect("nobody else seals");
                tx.commit().await.expect("committed");
                if lines.is_empty() {
                    return;
                }
            }
        })
    });
    for sealer in sealers.collect::<Vec<_>>() {
        sealer.await.expect("sealed");
    }
    let sealed = store.sealed_audit(0, 100).await.expect("read");
    let numbers: Vec<i64> = sealed.iter().map(|(seal, _)| seal.sequence).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<i64>>());
    assert_eq!(store.audit_head().await.expect("read").sequence, 40);
}
