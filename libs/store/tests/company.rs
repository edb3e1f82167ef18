//! A file that several programs use at the same time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use domain::{Domain, DomainName, Role};
use jiff::Timestamp;
use runtime::testing::open_store;
use runtime::{SystemClock, SystemEntropy};
use store::{Store, TokenRecord};
use tokio::task::JoinSet;

async fn open(path: &Path) -> Store {
    Store::open_file(path, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap()
}

async fn new(path: &Path) -> Arc<Store> {
    open_store(path, Arc::new(SystemClock)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_start_together_may_all_migrate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let path = path.clone();
        starts.spawn(async move {
            let store = new(&path).await;
            store.check_schema().await.unwrap();
            store.close().await;
        });
    }
    starts.join_all().await;
}

/// One connection each: no other program changes a row between the read and the write of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_two_programs_never_fail() {
    const EACH: i64 = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let first = new(&path).await;
    let shop = DomainName::parse("shop.example.com").unwrap();
    let mut tx = first.begin("test").await.unwrap();
    tx.insert_domain(&Domain::added(shop.clone(), Timestamp::UNIX_EPOCH)).await.unwrap();
    tx.commit().await.unwrap();
    let second = Arc::new(open(&path).await);
    let mut programs = JoinSet::new();
    for store in [first, second] {
        let shop = shop.clone();
        programs.spawn(async move {
            for _ in 0..EACH {
                let mut tx = store.begin("count").await.unwrap();
                let mut row = tx.domain(&shop).await.unwrap().unwrap();
                row.upload_revision += 1;
                tx.update_domain(&row).await.unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    programs.join_all().await;
    let row = open(&path).await.domain(&shop).await.unwrap().unwrap().domain;
    assert_eq!(row.upload_revision, 2 * EACH);
}

#[tokio::test]
async fn what_was_committed_is_there_after_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let store = new(&path).await;
    insert_token(&store, "kept").await;
    store.close().await;
    assert_eq!(open(&path).await.tokens().await.unwrap().len(), 1);
}

async fn insert_token(store: &Store, name: &str) {
    let mut hash = [0; 32];
    hash[..name.len()].copy_from_slice(name.as_bytes());
    let token = TokenRecord {
        name: name.to_owned(),
        hash,
        roles: Role::Viewer.into(),
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        mac: vec![1],
    };
    let mut tx = store.begin("insert_token").await.unwrap();
    tx.insert_token(&token).await.unwrap();
    tx.commit().await.unwrap();
}

const TOKENS_EACH: usize = 50;
/// Tells the other process the file; without it the test of that name does nothing.
const PATH_VARIABLE: &str = "STORE_TEST_FILE";

/// The other process of [`two_processes_may_work_on_one_file`].
#[tokio::test]
async fn other_process() {
    let Some(path) = std::env::var_os(PATH_VARIABLE) else {
        return;
    };
    let store = open(Path::new(&path)).await;
    store.check_schema().await.unwrap();
    for number in 0..TOKENS_EACH {
        insert_token(&store, &format!("other-{number}")).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_may_work_on_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let store = new(&path).await;
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
