//! PostgreSQL passes the contract of every store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use store::Store;
use store_postgres::PostgresStore;
use tests::Postgres;

async fn setup() -> (Arc<dyn Store>, ()) {
    let postgres = Postgres::shared().await;
    let store = PostgresStore::open(&postgres.superuser_url(&postgres.database()), 10).unwrap();
    store.migrate().await.unwrap();
    (Arc::new(store), ())
}

store::store_contract!(setup);
