//! The embedded bus passes the contract of every bus.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use bus::Bus;
use bus::contract::Rig;
use bus_embedded::EmbeddedBus;
use runtime::SystemClock;
use runtime::testing::open_store;
use store::Store;
use tempfile::TempDir;

struct Behind {
    store: Arc<Store>,
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

async fn setup() -> (Arc<Store>, Arc<dyn Bus>, Arc<dyn Rig>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(&folder.path().join("bus.db"), Arc::new(SystemClock)).await.unwrap();
    let bus = Arc::new(EmbeddedBus::new(store.clone(), Arc::new(SystemClock)));
    let behind = Behind { store: store.clone(), _folder: folder };
    (store, bus, Arc::new(behind))
}

bus::bus_contract!(setup);
