//! The embedded bus passes the contract of every bus.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bus::Bus;
use bus_embedded::EmbeddedBus;
use runtime::SystemClock;
use store::Store;
use store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn setup() -> (Arc<dyn Store>, Arc<dyn Bus>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(
        SqliteStore::open_and_migrate(&folder.path().join("bus.db"))
            .await
            .unwrap(),
    );
    let bus = Arc::new(EmbeddedBus::new(store.clone(), Arc::new(SystemClock)));
    (store, bus, folder)
}

bus::bus_contract!(setup);
