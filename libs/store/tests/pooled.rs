//! A pooler before PostgreSQL, and a server that takes no writes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use domain::{Domain, DomainName};
use jiff::Timestamp;
use runtime::{SystemClock, SystemEntropy};
use store::{Store, StoreError};
use tests::{PgBouncer, Postgres};

fn open(url: &str) -> Store {
    Store::open_server(url, 4, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap()
}

async fn add(store: &Store, name: &str) -> store::Result<()> {
    let name = DomainName::parse(name).unwrap();
    let mut tx = store.begin("add").await?;
    tx.insert_domain(&Domain::added(name, Timestamp::UNIX_EPOCH)).await?;
    tx.commit().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_keeps_sessions_apart_is_like_a_server() {
    let postgres = Postgres::shared().await;
    let pooler = PgBouncer::start(postgres, "session").await;
    let store = open(&pooler.url(&postgres.database()));
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    for index in 0..20 {
        add(&store, &format!("shop{index}.example.com")).await.unwrap();
    }
    store.check_writes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_refused_with_a_sentence() {
    let postgres = Postgres::shared().await;
    let database = postgres.database();
    open(&postgres.superuser_url(&database)).migrate().await.unwrap();
    for pool_mode in ["transaction", "statement"] {
        let pooler = PgBouncer::start(postgres, pool_mode).await;
        for _ in 0..3 {
            let refused = open(&pooler.url(&database)).check_schema().await.unwrap_err();
            assert!(matches!(refused, StoreError::SharedSessions), "{pool_mode}: {refused:?}");
            assert!(refused.to_string().contains("set pool_mode = session"), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_unavailable() {
    let postgres = Postgres::shared().await;
    let database = postgres.database();
    let store = open(&postgres.superuser_url(&database));
    store.migrate().await.unwrap();
    store.check_writes().await.unwrap();
    add(&store, "before.example.com").await.unwrap();
    // As a standby is, and a server that an operator has stopped from writing.
    let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    postgres.psql("postgres", &read_only).unwrap();
    let store = open(&postgres.superuser_url(&database));
    store.clock().await.unwrap();
    let refused = store.check_writes().await.unwrap_err();
    assert!(refused.is_unavailable(), "{refused:?}");
    assert!(
        refused.to_string().starts_with("the database takes no writes: the server is read-only"),
        "{refused}"
    );
    let refused = add(&store, "after.example.com").await.unwrap_err();
    assert!(refused.is_unavailable(), "{refused:?}");
}
