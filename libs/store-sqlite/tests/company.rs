//! A file in company: its sidecars, what others wrote into it, and several processes at once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use domain::{Domain, DomainName, Role};
use jiff::Timestamp;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use store::{Result, Store, StoreError, TokenRecord};
use store_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::task::JoinSet;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Changes the file behind the store's back.
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
    let folder = folder();
    let path = folder.path().join("new.db");
    let store = SqliteStore::open_and_migrate(&path).await.unwrap();
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
async fn what_cannot_be_a_file_of_ours_is_left_as_it_is() {
    let folder = folder();
    let nowhere = folder.path().join("missing").join("new.db");
    for path in [nowhere.as_path(), folder.path()] {
        let error = error_of(SqliteStore::open(path).await);
        assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    }
    assert!(!nowhere.parent().unwrap().exists(), "no folder is made");
    let text = folder.path().join("notes.txt");
    let written = "This is no database. ".repeat(500);
    std::fs::write(&text, &written).unwrap();
    error_of(SqliteStore::open(&text).await);
    assert_eq!(std::fs::read_to_string(&text).unwrap(), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_start_together_may_all_migrate() {
    let folder = folder();
    let path = folder.path().join("new.db");
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let path = path.clone();
        starts.spawn(async move {
            let store = SqliteStore::open_and_migrate(&path).await.unwrap();
            store.check_schema().await.unwrap();
            store.close().await;
        });
    }
    starts.join_all().await;
}

/// One connection each: what one process reads, no other may change before it writes.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_two_programs_never_fail() {
    const EACH: i64 = 60;
    let folder = folder();
    let path = folder.path().join("new.db");
    let first = SqliteStore::open_and_migrate(&path).await.unwrap();
    let shop = DomainName::parse("shop.example.com").unwrap();
    let mut tx = first.begin("test").await.unwrap();
    tx.insert_domain(&Domain::added(shop.clone(), at(0)), at(0)).await.unwrap();
    tx.commit().await.unwrap();
    let second = SqliteStore::open(&path).await.unwrap();
    let mut programs = JoinSet::new();
    for store in [first, second] {
        let shop = shop.clone();
        programs.spawn(async move {
            for _ in 0..EACH {
                let mut tx = store.begin("count").await.unwrap();
                let mut row = tx.domain(&shop).await.unwrap().unwrap();
                row.upload_revision += 1;
                tx.update_domain(&row, at(1)).await.unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    programs.join_all().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let row = store.domain(&shop).await.unwrap().unwrap().domain;
    assert_eq!(row.upload_revision, 2 * EACH);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let folder = folder();
    let path = folder.path().join("new.db");
    let store = SqliteStore::open_and_migrate(&path).await.unwrap();
    let shop = DomainName::parse("shop.example.com").unwrap();
    let mut tx = store.begin("test").await.unwrap();
    tx.insert_domain(&Domain::added(shop.clone(), at(0)), at(0)).await.unwrap();
    tx.commit().await.unwrap();
    for (column, statement) in [
        ("activity", "UPDATE domains SET activity = 'dancing'"),
        ("waiting", "UPDATE domains SET activity = 'idle', waiting = '{\"code\":\"boredom\"}'"),
        ("created_at", "UPDATE domains SET waiting = NULL, created_at = 9223372036854775807"),
    ] {
        meddle(&path, statement).await;
        let error = error_of(store.domain(&shop).await);
        let StoreError::Inconsistency { table, column: found, id } = error else {
            panic!("another error: {error:?}")
        };
        assert_eq!((table, found, id.as_str()), ("domains", column, "shop.example.com"));
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_closing() {
    let folder = folder();
    let path = folder.path().join("new.db");
    let store = SqliteStore::open_and_migrate(&path).await.unwrap();
    insert_token(&store, "kept").await;
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.tokens().await.unwrap().len(), 1);
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

async fn insert_token(store: &SqliteStore, name: &str) {
    let mut hash = [0; 32];
    hash[..name.len()].copy_from_slice(name.as_bytes());
    let token = TokenRecord {
        name: name.to_owned(),
        hash,
        role: Role::Viewer,
        created_at: at(0),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = store.begin("insert_token").await.unwrap();
    tx.insert_token(&token).await.unwrap();
    tx.commit().await.unwrap();
}

const TOKENS_EACH: usize = 50;
/// Where the other process finds the file; without it the test of that name is nothing.
const PATH_VARIABLE: &str = "STORE_SQLITE_TEST_FILE";

/// The other process of [`two_processes_may_work_on_one_file`].
#[tokio::test]
async fn other_process() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else {
        return;
    };
    let store = SqliteStore::open(Path::new(&path)).await.unwrap();
    store.check_schema().await.unwrap();
    for number in 0..TOKENS_EACH {
        insert_token(&store, &format!("other-{number}")).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_may_work_on_one_file() {
    let folder = folder();
    let path = folder.path().join("new.db");
    let store = SqliteStore::open_and_migrate(&path).await.unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process"])
        .env(PATH_VARIABLE, &path)
        .spawn()
        .unwrap();
    for number in 0..TOKENS_EACH {
        insert_token(&store, &format!("this-{number}")).await;
    }
    let ended = tokio::task::spawn_blocking(move || other.wait()).await.unwrap().unwrap();
    assert!(ended.success());
    assert_eq!(store.tokens().await.unwrap().len(), 2 * TOKENS_EACH);
}
