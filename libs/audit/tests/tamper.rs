//! Whatever is done to the stored log after it was sealed is found, by somebody who has the file and its SQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use audit::{Broken, Caller, Report, link, seal, verify};
use jiff::{SignedDuration, Timestamp};
use runtime::SystemClock;
use runtime::testing::open_store;
use sqlx::{Connection, SqliteConnection};
use store::{AuditSeal, Store};
use tempfile::TempDir;

struct Log {
    store: Arc<Store>,
    folder: TempDir,
}

impl Log {
    /// Five lines, sealed.
    async fn sealed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(&folder.path().join("audit.db"), Arc::new(SystemClock)).await.unwrap();
        let log = Self { store, folder };
        for index in 1..=5 {
            log.append(index).await;
            // One at a time and several at once make the same chain.
            if index % 2 == 0 {
                seal(&log.store).await.unwrap();
            }
        }
        seal(&log.store).await.unwrap();
        log
    }

    async fn append(&self, index: i64) {
        let caller = Caller {
            actor: "token:dashboard".to_owned(),
            peer: "192.0.2.1:4711".to_owned(),
            call: "AddDomain",
            request_id: format!("r-{index}"),
        };
        let at = Timestamp::from_second(1_800_000_000 + index).unwrap() + SignedDuration::from_nanos(1_234);
        let line = caller.line(at, &format!("d{index}.example.com"), audit::OK, "");
        let mut tx = self.store.begin("append").await.unwrap();
        tx.append_audit(line);
        tx.commit().await.unwrap();
    }

    async fn tamper(&self, statements: &'static str) {
        let url = format!("sqlite://{}", self.folder.path().join("audit.db").display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn verify(&self, head: Option<AuditSeal>) -> Report {
        verify(&self.store, head).await.unwrap()
    }

    async fn broken_by(statements: &'static str) -> Vec<Broken> {
        let log = Self::sealed().await;
        log.tamper(statements).await;
        log.verify(None).await.broken
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    let log = Log::sealed().await;
    let report = log.verify(None).await;
    assert_eq!((report.lines, report.unsealed, &report.broken[..]), (5, 0, &[][..]));
    assert_eq!(report.head, log.store.audit_head().await.unwrap());
    let logged = report.head;
    for index in 6..=7 {
        log.append(index).await;
    }
    let report = log.verify(Some(logged)).await;
    assert_eq!((report.lines, report.unsealed, &report.broken[..]), (5, 2, &[][..]));
    seal(&log.store).await.unwrap();
    let report = log.verify(Some(logged)).await;
    assert_eq!((report.lines, report.unsealed, &report.broken[..]), (7, 0, &[][..]));
}

#[tokio::test]
async fn a_changed_line_is_found_in_every_column() {
    for statement in [
        "UPDATE audit SET at = at + 1 WHERE sequence = 3",
        "UPDATE audit SET actor = 'token:else' WHERE sequence = 3",
        "UPDATE audit SET peer = '' WHERE sequence = 3",
        "UPDATE audit SET call = 'DeleteDomain' WHERE sequence = 3",
        "UPDATE audit SET subject = 'x' WHERE sequence = 3",
        "UPDATE audit SET outcome = 'INTERNAL' WHERE sequence = 3",
        "UPDATE audit SET detail = 'x' WHERE sequence = 3",
        "UPDATE audit SET request_id = '' WHERE sequence = 3",
        // What moves from one text into the next is the same bytes, but not the same line.
        "UPDATE audit SET detail = 'r-', request_id = '3' WHERE sequence = 3",
    ] {
        assert_eq!(Log::broken_by(statement).await, [Broken::Changed(3)], "{statement}");
    }
    let seal = "UPDATE audit SET hash = zeroblob(32) WHERE sequence = 3";
    assert_eq!(
        Log::broken_by(seal).await,
        [Broken::Changed(3), Broken::Changed(4)],
        "a seal that was changed fits neither side"
    );
    let swapped =
        "UPDATE audit SET subject = CASE sequence WHEN 2 THEN 'd3.example.com' ELSE 'd2.example.com' END
        WHERE sequence IN (2, 3)";
    assert_eq!(Log::broken_by(swapped).await, [Broken::Changed(2), Broken::Changed(3)]);
}

#[tokio::test]
async fn a_removed_line_is_found() {
    let cases: [(&str, Broken); 6] = [
        ("DELETE FROM audit WHERE sequence = 1", Broken::Removed { from: 1, to: 1 }),
        ("DELETE FROM audit WHERE sequence IN (2, 3)", Broken::Removed { from: 2, to: 3 }),
        ("DELETE FROM audit WHERE sequence = 5", Broken::Removed { from: 5, to: 5 }),
        ("DELETE FROM audit", Broken::Removed { from: 1, to: 5 }),
        (
            "UPDATE audit SET sequence = NULL, hash = NULL WHERE sequence = 4",
            Broken::Removed { from: 4, to: 4 },
        ),
        (
            "UPDATE audit_head SET sequence = 4, hash = (SELECT hash FROM audit WHERE sequence = 4)",
            Broken::HeadMoved { head: 4, last: 5 },
        ),
    ];
    for (statement, expected) in cases {
        assert_eq!(Log::broken_by(statement).await, [expected], "{statement}");
    }
}

#[tokio::test]
async fn a_chain_that_was_cut_off_with_its_head_is_found_by_a_head_from_the_log() {
    let log = Log::sealed().await;
    let logged = log.store.audit_head().await.unwrap();
    log.tamper(
        "DELETE FROM audit WHERE sequence > 3;
        UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)",
    )
    .await;
    assert_eq!(log.verify(None).await.broken, [], "whole in itself");
    let cut = [Broken::Removed { from: 4, to: 5 }];
    assert_eq!(log.verify(Some(logged)).await.broken, cut);
    // And it grows again over what was cut off.
    for index in 6..=9 {
        log.append(index).await;
    }
    seal(&log.store).await.unwrap();
    assert_eq!(log.verify(None).await.broken, []);
    assert_eq!(log.verify(Some(logged)).await.broken, [Broken::NotTheHead(5)]);
}

#[tokio::test]
async fn a_seal_depends_on_its_place() {
    let log = Log::sealed().await;
    let lines = log.store.sealed_audit(0, 10).await.unwrap();
    let (first, entry) = &lines[0];
    assert_eq!(link(&audit::FIRST, entry), *first);
    let elsewhere = AuditSeal { sequence: 7, hash: audit::FIRST.hash };
    assert_ne!(link(&elsewhere, entry).hash, first.hash);
}
