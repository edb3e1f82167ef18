//! What is particular to a file: its mode, its schema, and what is no database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use domain::{Cause, Domain, DomainName, Work, WorkKind};
use jiff::Timestamp;
use runtime::testing::open_store;
use runtime::{SystemClock, SystemEntropy};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use store::{Result, Store, StoreError};

async fn open(path: &Path) -> Result<Store> {
    Store::open_file(path, Arc::new(SystemClock), Arc::new(SystemEntropy)).await
}

/// Changes the file without the store.
async fn meddle(path: &Path, statement: &'static str) {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

fn error_of<T>(result: Result<T>) -> StoreError {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn all_files_of_the_database_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(&folder.path().join("new.db"), Arc::new(SystemClock)).await.unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
        files += 1;
    }
    assert!(files > 1, "the write-ahead log is a file, too");
    store.close().await;
}

#[tokio::test]
async fn what_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("missing").join("new.db");
    let text = folder.path().join("notes.txt");
    let written = "This is no database. ".repeat(500);
    std::fs::write(&text, &written).unwrap();
    for path in [nowhere.as_path(), folder.path(), &text] {
        let error = error_of(open(path).await);
        let StoreError::Open { url, .. } = &error else { panic!("another error: {error:?}") };
        assert_eq!(*url, format!("sqlite://{}", path.display()));
    }
    assert!(!nowhere.parent().unwrap().exists(), "no folder is made");
    assert_eq!(std::fs::read_to_string(&text).unwrap(), written);
}

/// An empty database, one of a newer program, and one from before the first release: there, migration 1 was another.
#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.db");
    let store = open(&path).await.unwrap();
    let refused = async |found: i64, advice: &str| {
        for result in [store.check_schema().await, store.migrate().await] {
            let text = error_of(result).to_string();
            let expected = format!("the database has schema {found}, this program knows 1: {advice}");
            assert_eq!(text, expected);
        }
    };
    let empty = error_of(store.check_schema().await).to_string();
    assert!(empty.ends_with("run `ssl-manager db migrate`"), "{empty}");
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();

    meddle(&path, "INSERT INTO _sqlx_migrations VALUES (14, 'of the future', 0, 1, x'00', 0)").await;
    store.check_schema().await.expect("it says that programs of schema 1 may work on it");
    store.migrate().await.unwrap();
    meddle(&path, "UPDATE schema_compatibility SET compatible_from = 2").await;
    refused(14, "install the ssl-manager that wrote it, or a newer one").await;
    meddle(&path, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    refused(14, "it is from before the first release: start with a new database").await;
    meddle(&path, "DELETE FROM _sqlx_migrations WHERE version > 1").await;
    refused(1, "it is from before the first release: start with a new database").await;
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let store = open_store(&path, Arc::new(SystemClock)).await.unwrap();
    let shop = DomainName::parse("shop.example.com").unwrap();
    let mut tx = store.begin("test").await.unwrap();
    tx.insert_domain(&Domain::added(shop.clone(), Timestamp::UNIX_EPOCH)).await.unwrap();
    tx.commit().await.unwrap();
    for (wrong, statement) in [
        ("activity", "UPDATE domains SET activity = 'dancing'"),
        ("waiting", "UPDATE domains SET activity = 'idle', waiting = '{\"code\":\"boredom\"}'"),
        ("created_at", "UPDATE domains SET waiting = NULL, created_at = 9223372036854775807"),
    ] {
        meddle(&path, statement).await;
        let error = error_of(store.domain(&shop).await);
        let StoreError::Inconsistency { table, column, id } = error else {
            panic!("another error: {error:?}")
        };
        assert_eq!((table, column.as_str(), id.as_str()), ("domains", wrong, "shop.example.com"));
    }
}

/// A row of work that makes no sense is not claimed, and the others of the batch are.
#[tokio::test]
async fn a_wrong_row_does_not_stop_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let store = open_store(&path, Arc::new(SystemClock)).await.unwrap();
    let names = ["a", "b", "c"].map(|label| DomainName::parse(&format!("{label}.example.com")).unwrap());
    let due = names.clone().map(|name| Work {
        name,
        kind: WorkKind::Issue,
        revision: 1,
        cause: Cause::Requested,
        attempts: 0,
        due_at: Some(Timestamp::UNIX_EPOCH),
        certificate: None,
    });
    let mut tx = store.begin("test").await.unwrap();
    let rows = names.clone().map(|name| Domain::added(name, Timestamp::UNIX_EPOCH));
    tx.insert_domains(&rows).await.unwrap();
    tx.schedule_all(&due).await.unwrap();
    tx.commit().await.unwrap();
    meddle(&path, "UPDATE work SET cause = 'boredom' WHERE name = 'b.example.com'").await;
    let leases = store.claim_batch(WorkKind::Issue, &names, Timestamp::MAX).await.unwrap();
    let mut claimed: Vec<_> = leases.into_iter().map(|lease| lease.work.name).collect();
    claimed.sort();
    assert_eq!(claimed, [names[0].clone(), names[2].clone()]);
    assert!(matches!(store.work(&names[1]).await, Err(StoreError::Inconsistency { table: "work", .. })));
}

/// A backup that was put in its place under a running process, or a file that was deleted: what is written would be lost.
#[tokio::test]
async fn a_file_that_was_replaced_under_the_process_takes_no_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("used.db");
    let store = open_store(&path, Arc::new(SystemClock)).await.unwrap();
    store.check_writes().await.unwrap();
    let backup = folder.path().join("backup.db");
    std::fs::copy(&path, &backup).unwrap();
    std::fs::rename(&backup, &path).unwrap();
    let is_told = |error: StoreError| {
        let told = runtime::chain(&error);
        assert!(told.contains("was replaced or removed") && told.contains("restart the process"), "{told}");
    };
    is_told(store.check_writes().await.unwrap_err());
    is_told(error_of(store.begin("test").await));
    std::fs::remove_file(&path).unwrap();
    is_told(store.check_writes().await.unwrap_err());
    store.close().await;
}
