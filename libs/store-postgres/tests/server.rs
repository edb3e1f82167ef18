//! What only a server can do to us: be shared, refuse, be of another version.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use domain::{Domain, DomainName};
use jiff::Timestamp;
use store::{Result, Store, StoreError};
use store_postgres::PostgresStore;
use tests::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

async fn fresh() -> (&'static Postgres, String, PostgresStore) {
    let postgres = Postgres::shared().await;
    let database = postgres.database();
    let store = PostgresStore::open(&postgres.superuser_url(&database), 10).unwrap();
    (postgres, database, store)
}

fn error_of<T>(result: Result<T>) -> StoreError {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

async fn add(store: &PostgresStore, label: &str) -> DomainName {
    let name = DomainName::parse(&format!("{label}.example.com")).unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let mut tx = store.begin("add").await.unwrap();
    tx.insert_domain(&Domain::added(name.clone(), now), now).await.unwrap();
    tx.commit().await.unwrap();
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_start_together_may_all_migrate() {
    let (postgres, database, _) = fresh().await;
    let url = postgres.superuser_url(&database);
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let store = PostgresStore::open(&url, 2).unwrap();
        starts.spawn(async move {
            store.migrate().await.unwrap();
            store.check_schema().await.unwrap();
            store.close().await;
        });
    }
    starts.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_ours_is_refused_with_what_to_do() {
    let (postgres, database, store) = fresh().await;
    let empty = error_of(store.check_schema().await).to_string();
    assert!(empty.contains("ssl-manager db migrate"), "{empty}");
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of the future', true, '', 0)";
    postgres.psql(&database, newer).unwrap();
    for refused in [store.check_schema().await, store.migrate().await] {
        let error = error_of(refused);
        assert!(matches!(error, StoreError::Schema { found: 9999, .. }), "{error:?}");
    }
}

/// A release migrates both backends or none.
#[test]
fn migrations_have_the_numbers_of_sqlites() {
    let names = |folder: &str| -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("migrations"), names("../store-sqlite/migrations"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_sense_is_named() {
    let (postgres, database, store) = fresh().await;
    store.migrate().await.unwrap();
    let name = add(&store, "odd").await;
    postgres.psql(&database, "UPDATE domains SET waiting = '{\"code\":\"boredom\"}'").unwrap();
    let error = error_of(store.domain(&name).await);
    let StoreError::Inconsistency { table, column, id } = error else {
        panic!("another error: {error:?}");
    };
    assert_eq!((table, column, id.as_str()), ("domains", "waiting", name.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let (postgres, database, _) = fresh().await;
    let url = postgres.superuser_url(&database);
    let strict = format!("{url}?sslmode=verify-full");
    let trusting = format!("{strict}&sslrootcert={}", postgres.root_file().display());
    PostgresStore::open(&trusting, 1).unwrap().migrate().await.unwrap();
    let error = error_of(PostgresStore::open(&strict, 1).unwrap().check_schema().await);
    assert!(matches!(error, StoreError::Database { .. }), "a root that nobody trusts: {error:?}");
    let elsewhere = trusting.replace("@localhost:", "@127.0.0.1:");
    let error = error_of(PostgresStore::open(&elsewhere, 1).unwrap().check_schema().await);
    assert!(matches!(error, StoreError::Database { .. }), "another name: {error:?}");
}

/// Each role of the file may do what it must (the end-to-end tests run with them); the two that must not see secrets
/// do not.
#[tokio::test(flavor = "multi_thread")]
async fn roles_see_what_they_need_and_nothing_else() {
    let (postgres, database, store) = fresh().await;
    store.migrate().await.unwrap();
    let grants = include_str!("../../../deploy/postgres/roles.sql");
    for _ in 0..2 {
        postgres.psql(&database, grants).unwrap();
    }
    let tables = postgres
        .psql(
            &database,
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )
        .unwrap();
    for table in tables.lines() {
        for (role, may_read) in [
            ("ssl_manager_responder", ["challenges", "probes", "_sqlx_migrations"].as_slice()),
            (
                "ssl_manager_scheduler",
                &[
                    "_sqlx_migrations",
                    "audit",
                    "audit_head",
                    "buckets",
                    "domains",
                    "messages",
                    "rechecked_days",
                    "tallies",
                    "tally_changes",
                    "work",
                ],
            ),
        ] {
            let ask = format!("SELECT has_table_privilege('{role}', '{table}', 'SELECT')");
            let reads = postgres.psql(&database, &ask).unwrap() == "t";
            assert_eq!(reads, may_read.contains(&table), "{role} reads {table}");
        }
        let ask =
            format!("SELECT has_table_privilege('ssl_manager_responder', '{table}', 'INSERT,UPDATE,DELETE')");
        assert_eq!(postgres.psql(&database, &ask).unwrap(), "f", "the responder writes {table}");
    }
    let ask = "SELECT has_table_privilege('ssl_manager_api', 'accounts', 'SELECT')";
    assert_eq!(postgres.psql(&database, ask).unwrap(), "f", "no account key for the API");
    for (table, column) in
        [("certificates", "sealed_key"), ("certificates", "chain_pem"), ("sessions", "hash")]
    {
        let ask =
            format!("SELECT has_column_privilege('ssl_manager_scheduler', '{table}', '{column}', 'SELECT')");
        let may = postgres.psql(&database, &ask).unwrap();
        assert_eq!(may, "f", "the scheduler reads {column} of {table}");
    }
    for column in ["hash", "role", "expires_at", "revoked_at"] {
        let ask =
            format!("SELECT has_column_privilege('ssl_manager_api', 'tokens', '{column}', 'INSERT,UPDATE')");
        let may = postgres.psql(&database, &ask).unwrap();
        assert_eq!(may, "f", "the API makes no token by {column}");
    }
    for role in ["api", "issuer", "scheduler", "uploader", "responder"] {
        for what in ["actor", "outcome", "detail"] {
            let ask =
                format!("SELECT has_column_privilege('ssl_manager_{role}', 'audit', '{what}', 'UPDATE')");
            assert_eq!(postgres.psql(&database, &ask).unwrap(), "f", "{role} changes {what}");
        }
        let ask = format!("SELECT has_table_privilege('ssl_manager_{role}', 'audit', 'DELETE')");
        assert_eq!(postgres.psql(&database, &ask).unwrap(), "f", "{role} removes lines");
        let ask = format!("SELECT has_column_privilege('ssl_manager_{role}', 'audit', 'hash', 'INSERT')");
        assert_eq!(postgres.psql(&database, &ask).unwrap(), "f", "{role} seals what it writes");
    }
}

/// A follower sees a change that committed late, though others that began later were seen before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_commits_late_is_not_missed() {
    let (_, _, store) = fresh().await;
    store.migrate().await.unwrap();
    let slow = add(&store, "slow").await;
    let quick = add(&store, "quick").await;
    let start = store.position().await.unwrap();
    let now = Timestamp::from_second(1_800_000_001).unwrap();

    let mut late = store.begin("late").await.unwrap();
    let row = late.domain(&slow).await.unwrap().unwrap();
    late.update_domain(&row, now).await.unwrap();
    let mut early = store.begin("early").await.unwrap();
    let row = early.domain(&quick).await.unwrap().unwrap();
    early.update_domain(&row, now).await.unwrap();
    early.commit().await.unwrap();

    let seen = store.changes(start, None, 10).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].view.domain.name, quick);
    late.commit().await.unwrap();
    let seen = store.changes(seen[0].position, None, 10).await.unwrap();
    assert_eq!(seen.len(), 1, "the late one comes after it");
    assert_eq!(seen[0].view.domain.name, slow);
    assert_eq!(store.position().await.unwrap(), seen[0].position);
}

/// A network that can swallow everything without closing anything.
struct Network {
    port: u16,
    open: watch::Sender<bool>,
}

impl Network {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, is_open) = watch::channel(true);
        let own = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(carry(from_client, to_server, is_open.clone()));
                tokio::spawn(carry(from_server, to_client, is_open.clone()));
            }
        });
        Self { port: own, open }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_not_waited_for_for_ever() {
    let (postgres, database, direct) = fresh().await;
    direct.migrate().await.unwrap();
    let network = Network::to(postgres.port()).await;
    let url = postgres.superuser_url(&database);
    let url = url.replace(&format!(":{}/", postgres.port()), &format!(":{}/", network.port));
    let store = PostgresStore::open(&url, 2).unwrap();
    let name = add(&store, "before").await;
    let mut held = store.begin("held").await.unwrap();
    network.open.send_replace(false);
    for (what, refused) in [
        ("a statement", store.domain(&name).await.map(drop)),
        ("a transaction", held.domain(&name).await.map(drop)),
    ] {
        let error = error_of(refused);
        assert!(matches!(error, StoreError::Database { .. }), "{what}: {error:?}");
    }
    drop(held);
    network.open.send_replace(true);
    tests::wait_for("the store", Duration::from_mins(1), || async {
        let read = store.domain(&name).await;
        read.map(drop).map_err(|error| error.to_string())
    })
    .await;
}
