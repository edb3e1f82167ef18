//! The audit log.

use store::{AuditEntry, AuditLink, Store};

use crate::kit::{Case, at, attempt, is_conflict, write};

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

async fn append(store: &Store, lines: &[AuditEntry]) {
    write(store, async |tx| {
        for line in lines {
            tx.append_audit(line.clone());
        }
        Ok(())
    })
    .await;
}

fn seal(sequence: i64) -> AuditLink {
    AuditLink { sequence, hash: [sequence as u8; 32] }
}

/// A line comes back as it was, newest first, and a subject's lines by themselves.
pub async fn lines_of_the_audit_log_come_back(store: Case) {
    let lines = [line("a", 1), line("b", 2), line("a", 3)];
    append(&store, &lines).await;
    let newest = store.audit(None, 2).await.unwrap();
    assert_eq!(newest, [lines[2].clone(), lines[1].clone()]);
    let of_a = store.audit(Some("a"), 10).await.unwrap();
    assert_eq!(of_a, [lines[2].clone(), lines[0].clone()]);
    assert!(store.audit(Some("A"), 10).await.unwrap().is_empty());
    attempt(&store, async |tx| tx.append_audit(line("c", 4))).await;
    assert!(store.audit(Some("c"), 10).await.unwrap().is_empty(), "not committed");
}

/// A line has one seal for ever; the head is the last one given.
pub async fn a_line_is_sealed_once(store: Case) {
    append(&store, &[line("a", 1), line("b", 2), line("c", 3)]).await;
    assert_eq!(store.unchained_audit().await.unwrap(), 3);
    let first = write(&store, async |tx| {
        assert_eq!(tx.lock_audit_head().await?, seal(0), "before the first line");
        let lines = tx.unchained_audit(2).await?;
        tx.chain_audit(&[(lines[0].id, seal(1)), (lines[1].id, seal(2))]).await?;
        assert_eq!(tx.lock_audit_head().await?, seal(2));
        Ok(lines)
    })
    .await;
    assert_eq!(store.audit_head().await.unwrap(), seal(2));
    assert_eq!(store.unchained_audit().await.unwrap(), 1);
    let sealed = store.chained_audit(0, 10).await.unwrap();
    assert_eq!(sealed, [(seal(1), line("a", 1)), (seal(2), line("b", 2))]);
    assert_eq!(store.chained_audit(1, 10).await.unwrap(), sealed[1..]);
    assert_eq!(store.chained_audit(0, 1).await.unwrap(), sealed[..1]);

    let rest = write(&store, async |tx| tx.unchained_audit(10).await).await;
    assert_eq!(rest.iter().map(|line| line.entry.subject.as_str()).collect::<Vec<_>>(), ["c"]);
    for (id, number, why) in [(first[0].id, 3, "it has a seal"), (rest[0].id, 2, "the number is taken")] {
        attempt(&store, async |tx| {
            assert!(is_conflict(tx.chain_audit(&[(id, seal(number))]).await), "{why}");
        })
        .await;
    }
    assert_eq!(store.audit_head().await.unwrap(), seal(2));
    write(&store, async |tx| tx.chain_audit(&[]).await).await;
    assert_eq!(store.audit_head().await.unwrap(), seal(2));
}

/// Sealers at once give every line one number, without a gap.
pub async fn sealers_at_once_leave_no_gap(store: Case) {
    let lines: Vec<AuditEntry> = (0..40).map(|index| line("s", index)).collect();
    append(&store, &lines).await;
    let sealers = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let mut tx = store.begin("seal").await.unwrap();
                let head = tx.lock_audit_head().await.unwrap();
                let lines = tx.unchained_audit(3).await.unwrap();
                let seals: Vec<_> = lines
                    .iter()
                    .zip(head.sequence + 1..)
                    .map(|(line, sequence)| (line.id, seal(sequence)))
                    .collect();
                tx.chain_audit(&seals).await.expect("the head is locked");
                tx.commit().await.unwrap();
                if lines.is_empty() {
                    return;
                }
            }
        })
    });
    for sealer in sealers.collect::<Vec<_>>() {
        sealer.await.unwrap();
    }
    let sealed = store.chained_audit(0, 100).await.unwrap();
    let numbers: Vec<i64> = sealed.iter().map(|(seal, _)| seal.sequence).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<i64>>());
    assert_eq!(store.audit_head().await.unwrap().sequence, 40);
}
