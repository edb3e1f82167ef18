//! The embedded bus passes the contract of every bus.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use bus::Bus;
use bus::contract::Rig;
use bus_embedded::EmbeddedBus;
use runtime::SystemClock;
use store::Store;
use store_sqlite::SqliteStore;
use tempfile::TempDir;

struct Behind {
    store: Arc<dyn Store>,
    _folder: TempDir,
}

#[async_trait]
impl Rig for Behind {
    async fn counts(&self) -> (u64, u64) {
        self.store.message_counts().await.unwrap()
    }

    async fn consumer_died(&self) {
        self.store.free_all_leases().await.unwrap();
    }
}

async fn setup() -> (Arc<dyn Store>, Arc<dyn Bus>, Arc<dyn Rig>) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open_and_migrate(&folder.path().join("bus.db")).await.unwrap());
    let bus = Arc::new(EmbeddedBus::new(store.clone(), Arc::new(SystemClock)));
    let behind = Behind { store: store.clone(), _folder: folder };
    (store, bus, Arc::new(behind))
}

bus::bus_contract!(setup);
