//! SQLite passes the contract of every store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use store::Store;
use store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn setup() -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_and_migrate(&folder.path().join("contract.db")).await.unwrap();
    (Arc::new(store), folder)
}

store::store_contract!(setup);
