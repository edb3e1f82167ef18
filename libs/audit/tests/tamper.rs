//! Whatever is done to the stored log after it was sealed is found, by somebody who has the file and its SQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use audit::{Broken, Caller, End, Report, SignError, Signer, link, seal, verify};
use jiff::{SignedDuration, Timestamp};
use runtime::SystemClock;
use runtime::testing::open_store;
use seal::SealingKeys;
use sqlx::{Connection, SqliteConnection};
use store::{AuditLink, Store};
use tempfile::TempDir;

struct Log {
    store: Arc<Store>,
    keys: SealingKeys,
    folder: TempDir,
}

impl Log {
    /// Five lines, sealed.
    async fn sealed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(&folder.path().join("audit.db"), Arc::new(SystemClock)).await.unwrap();
        let keys = SealingKeys::load_or_create(&folder.path().join("key")).unwrap();
        let log = Self { store, keys, folder };
        // An API signs before it serves.
        assert!(log.sign_once().await.unwrap());
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

    async fn verify(&self, head: Option<AuditLink>) -> Report {
        let heads: Vec<AuditLink> = head.into_iter().collect();
        verify(&self.store, &heads, Ok(&self.keys)).await.unwrap()
    }

    /// What the API does each second.
    async fn sign(&self, signer: &mut Signer, second: i64) -> Result<bool, SignError> {
        let now = Timestamp::from_second(1_800_000_000 + second).unwrap();
        signer.sign(&self.store, &self.keys, now).await
    }

    /// The same by an API that has just started.
    async fn sign_once(&self) -> Result<bool, SignError> {
        self.sign(&mut Signer::default(), 0).await
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
    let lines = log.store.chained_audit(0, 10).await.unwrap();
    let (first, entry) = &lines[0];
    assert_eq!(link(&audit::FIRST, entry), *first);
    let elsewhere = AuditLink { sequence: 7, hash: audit::FIRST.hash };
    assert_ne!(link(&elsewhere, entry).hash, first.hash);
}

const CUT: &str = "DELETE FROM audit WHERE sequence > 3;
    UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)";

fn is_broken(signed: &Result<bool, SignError>, expected: &Broken) {
    assert!(matches!(signed, Err(SignError::Broken(broken)) if broken == expected), "{signed:?}");
}

#[tokio::test]
async fn lines_that_were_deleted_at_the_end_with_the_head_set_back_are_found_by_what_the_api_signed() {
    let log = Log::sealed().await;
    assert!(log.sign_once().await.unwrap());
    let report = log.verify(None).await;
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    assert_eq!((report.end, report.broken), (End::Signed { sequence: 5, at }, vec![]));
    log.tamper(CUT).await;
    let cut = Broken::Removed { from: 4, to: 5 };
    assert_eq!(log.verify(None).await.broken, [cut]);
    // The API does not sign over it, whether it was started before or after, and whatever is appended.
    is_broken(&log.sign_once().await, &Broken::Removed { from: 5, to: 5 });
    for index in 6..=9 {
        log.append(index).await;
    }
    seal(&log.store).await.unwrap();
    is_broken(&log.sign_once().await, &Broken::NotTheHead(5));
    assert_eq!(log.verify(None).await.broken, [Broken::NotTheHead(5)]);
}

/// Who can write the mark has no key for it, and an old mark that was kept aside is one that the API has left behind.
#[tokio::test]
async fn a_mark_that_was_changed_removed_or_put_back_is_found() {
    for (statement, expected) in [
        (
            "UPDATE audit_mark SET sequence = 3, hash = (SELECT hash FROM audit WHERE sequence = 3)",
            Broken::Forged,
        ),
        ("UPDATE audit_mark SET signed_at = signed_at + 1", Broken::Forged),
        ("UPDATE audit_mark SET mac = zeroblob(3)", Broken::Forged),
        (
            "UPDATE audit_mark SET sequence = 0, hash = zeroblob(32), signed_at = 0, mac = zeroblob(0)",
            Broken::Unsigned,
        ),
    ] {
        let log = Log::sealed().await;
        assert!(log.sign_once().await.unwrap());
        log.tamper(statement).await;
        let report = log.verify(None).await;
        assert!(matches!(report.end, End::NotChecked(_)), "{statement}: {:?}", report.end);
        assert_eq!(report.broken, std::slice::from_ref(&expected), "{statement}");
        is_broken(&log.sign_once().await, &expected);
    }
    let log = Log::sealed().await;
    let mut signer = Signer::default();
    assert!(log.sign(&mut signer, 0).await.unwrap());
    log.tamper("CREATE TABLE kept AS SELECT * FROM audit_mark").await;
    log.append(6).await;
    seal(&log.store).await.unwrap();
    assert!(log.sign(&mut signer, 1).await.unwrap());
    log.tamper(
        "DELETE FROM audit WHERE sequence > 5;
        UPDATE audit_head SET sequence = 5, hash = (SELECT hash FROM audit WHERE sequence = 5);
        UPDATE audit_mark SET (sequence, hash, signed_at, mac) = (SELECT sequence, hash, signed_at, mac FROM kept)",
    )
    .await;
    is_broken(&log.sign(&mut signer, 2).await, &Broken::SetBack { from: 6, to: 5 });
}

#[tokio::test]
async fn a_chain_that_was_rewritten_behind_the_mark_is_not_signed() {
    let log = Log::sealed().await;
    assert!(log.sign_once().await.unwrap());
    log.append(6).await;
    seal(&log.store).await.unwrap();
    log.tamper("UPDATE audit SET subject = 'x' WHERE sequence = 6").await;
    is_broken(&log.sign_once().await, &Broken::Changed(6));
    log.tamper("DELETE FROM audit WHERE sequence = 5").await;
    is_broken(&log.sign_once().await, &Broken::Removed { from: 5, to: 5 });
}

#[tokio::test]
async fn the_end_is_signed_as_it_moves_and_each_minute() {
    let log = Log::sealed().await;
    let mut signer = Signer::default();
    assert!(log.sign(&mut signer, 0).await.unwrap());
    assert!(!log.sign(&mut signer, 59).await.unwrap(), "nothing new");
    log.append(6).await;
    assert!(!log.sign(&mut signer, 59).await.unwrap(), "it is not in the chain yet");
    seal(&log.store).await.unwrap();
    assert!(log.sign(&mut signer, 59).await.unwrap());
    assert!(log.sign(&mut signer, 119).await.unwrap(), "the time");
    let at = Timestamp::from_second(1_800_000_119).unwrap();
    assert_eq!(log.verify(None).await.end, End::Signed { sequence: 6, at });
    let without = verify(&log.store, &[], Err("no key here".to_owned())).await.unwrap();
    assert_eq!(without.end.to_string(), "THE END WAS NOT CHECKED: no key here.");
    assert_eq!(without.broken, []);
    let stranger = SealingKeys::load_or_create(&log.folder.path().join("another")).unwrap();
    let told = verify(&log.store, &[], Ok(&stranger)).await.unwrap().end.to_string();
    assert!(told.contains("NOT CHECKED") && told.contains("add its line"), "{told}");
}
