//! What is particular to a server: its schema, its roles, TLS, late commits, and a server that does not answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use domain::{Domain, DomainName};
use jiff::Timestamp;
use runtime::{SystemClock, SystemEntropy};
use store::{Result, Rights, Store, StoreError, Tx};
use tests::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

fn open(url: &str, max_connections: u32) -> Store {
    Store::open_server(url, max_connections, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap()
}

async fn fresh() -> (&'static Postgres, String, Store) {
    let postgres = Postgres::shared().await;
    let database = postgres.database();
    let store = open(&postgres.superuser_url(&database), 10);
    (postgres, database, store)
}

fn error_of<T>(result: Result<T>) -> StoreError {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

async fn add(store: &Store, label: &str) -> DomainName {
    let name = DomainName::parse(&format!("{label}.example.com")).unwrap();
    let mut tx = store.begin("add").await.unwrap();
    tx.insert_domain(&Domain::added(name.clone(), Timestamp::UNIX_EPOCH)).await.unwrap();
    tx.commit().await.unwrap();
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_start_together_may_all_migrate() {
    let (postgres, database, _) = fresh().await;
    let url = postgres.superuser_url(&database);
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let store = open(&url, 2);
        starts.spawn(async move {
            store.migrate().await.unwrap();
            store.check_schema().await.unwrap();
            store.close().await;
        });
    }
    starts.join_all().await;
}

/// An empty database, one of a newer program, and one from before the first release: there, migration 1 was another.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_ours_is_refused_with_what_to_do() {
    let (postgres, database, store) = fresh().await;
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

    let meddle = |statement: &str| postgres.psql(&database, statement).unwrap();
    meddle("INSERT INTO _sqlx_migrations VALUES (14, 'of the future', now(), true, '', 0)");
    store.check_schema().await.expect("it says that programs of schema 1 may work on it");
    store.migrate().await.unwrap();
    meddle("UPDATE schema_compatibility SET compatible_from = 2");
    refused(14, "install the ssl-manager that wrote it, or a newer one").await;
    meddle("UPDATE _sqlx_migrations SET checksum = ''");
    refused(14, "it is from before the first release: start with a new database").await;
    meddle("DELETE FROM _sqlx_migrations WHERE version > 1");
    refused(1, "it is from before the first release: start with a new database").await;
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
    assert_eq!((table, column.as_str(), id.as_str()), ("domains", "waiting", name.as_str()));
}

/// Two transactions that wait for each other: the server ends one, which may be tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_a_conflict() {
    let (_, _, store) = fresh().await;
    store.migrate().await.unwrap();
    let [a, b] = [add(&store, "a").await, add(&store, "b").await];
    let (mut first, mut second) = (store.begin("first").await.unwrap(), store.begin("second").await.unwrap());
    first.domain(&a).await.unwrap();
    second.domain(&b).await.unwrap();
    let cross = async |mut tx: Tx, name: &DomainName| tx.domain(name).await.err();
    let (one, other) = tokio::join!(cross(first, &b), cross(second, &a));
    let errors: Vec<StoreError> = [one, other].into_iter().flatten().collect();
    assert!(matches!(errors[..], [StoreError::Conflict { .. }]), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let (postgres, database, _) = fresh().await;
    let url = postgres.superuser_url(&database);
    let strict = format!("{url}?sslmode=verify-full");
    let trusting = format!("{strict}&sslrootcert={}", postgres.root_file().display());
    open(&trusting, 1).migrate().await.unwrap();
    let error = error_of(open(&strict, 1).check_schema().await);
    assert!(matches!(error, StoreError::Database { .. }), "an unknown root: {error:?}");
    let elsewhere = trusting.replace("@localhost:", "@127.0.0.1:");
    let error = error_of(open(&elsewhere, 1).check_schema().await);
    assert!(matches!(error, StoreError::Database { .. }), "another name: {error:?}");
}

/// As after a restart of the server: no caller gets a connection that is closed, whatever it wants to do with it.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_the_server_ended_are_replaced() {
    let (postgres, database, store) = fresh().await;
    store.migrate().await.unwrap();
    let name = add(&store, "kept").await;
    let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let (store, name) = (&store, &name);
    for round in 0..5 {
        // Several sessions, all idle for a moment only.
        let reads = (0..10).map(|_| async move { store.domain(name).await.unwrap() });
        futures::future::join_all(reads).await;
        assert!(store.connections().idle > 1, "there is something to end");
        postgres.psql(&database, end).unwrap();
        store.domain(name).await.unwrap();
        add(store, &format!("new{round}")).await;
        store.check_writes().await.unwrap();
    }
}

/// An owner of the tables who may create no roles gives the rights to roles that are there; nobody else gives any, and
/// what is there stays. Several at once do not disturb each other.
#[tokio::test(flavor = "multi_thread")]
async fn rights_are_given_with_the_schema_where_the_owner_may() {
    let (postgres, _, store) = fresh().await;
    store.migrate().await.unwrap();
    assert_eq!(store.give_rights().await.unwrap(), Rights::Given, "a superuser makes the roles, too");

    let database = postgres.database();
    let owner = format!("owner_of_{database}");
    let take = format!("CREATE ROLE {owner} LOGIN; ALTER DATABASE {database} OWNER TO {owner}");
    postgres.psql("postgres", &take).unwrap();
    postgres.psql(&database, &format!("ALTER SCHEMA public OWNER TO {owner}")).unwrap();
    let url = postgres.tls_url(&owner, &postgres.role_password(&owner), &database);
    let stores = [open(&url, 1), open(&url, 1), open(&url, 1)];
    let give = async |store: &Store| {
        store.migrate().await.unwrap();
        assert_eq!(store.give_rights().await.unwrap(), Rights::Given);
    };
    tokio::join!(give(&stores[0]), give(&stores[1]), give(&stores[2]));
    let may_read = || {
        let ask = "SELECT has_table_privilege('ssl_manager_responder', 'challenges', 'SELECT')";
        postgres.psql(&database, ask).unwrap()
    };
    assert_eq!(may_read(), "t");

    let url = postgres.tls_url("ssl_manager_api", &postgres.role_password("ssl_manager_api"), &database);
    let other = open(&url, 1);
    let Rights::Refused(why) = other.give_rights().await.unwrap() else { panic!("it is not the owner") };
    assert!(why.starts_with("permission denied"), "{why}");
    assert_eq!(may_read(), "t");
    other.check_schema().await.expect("the connection that failed was not kept");
}

/// The end-to-end tests show that each role may do what it must; here, that it may do no more.
#[expect(clippy::too_many_lines, reason = "a table")]
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
            (
                "ssl_manager_responder",
                ["challenges", "probes", "_sqlx_migrations", "schema_compatibility"].as_slice(),
            ),
            (
                "ssl_manager_scheduler",
                &[
                    "_sqlx_migrations",
                    "audit",
                    "audit_head",
                    "buckets",
                    "domains",
                    "messages",
                    "midnights",
                    "notices",
                    "pauses",
                    "rechecked_days",
                    "reservations",
                    "schema_compatibility",
                    "tallies",
                    "tally_changes",
                    "work",
                ],
            ),
            (
                "ssl_manager_notifier",
                &[
                    "_sqlx_migrations",
                    "deliveries",
                    "delivery_events",
                    "domain_labels",
                    "domains",
                    "endpoints",
                    "midnights",
                    "notices",
                    "rechecked_days",
                    "schema_compatibility",
                    "tallies",
                    "tally_changes",
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
    let ask = "SELECT has_table_privilege('ssl_manager_scheduler', 'audit_mark', 'INSERT,UPDATE,DELETE')";
    assert_eq!(postgres.psql(&database, ask).unwrap(), "f", "the scheduler signs nothing");
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
    for column in ["hash", "roles", "expires_at", "mac"] {
        let ask = format!("SELECT has_column_privilege('ssl_manager_api', 'tokens', '{column}', 'UPDATE')");
        let may = postgres.psql(&database, &ask).unwrap();
        assert_eq!(may, "f", "the API changes {column} of no token");
    }
    let ask = "SELECT has_table_privilege('ssl_manager_api', 'tokens', 'DELETE')";
    assert_eq!(postgres.psql(&database, ask).unwrap(), "f", "the API deletes no tokens");
    for role in ["api", "issuer", "scheduler", "uploader", "responder", "notifier"] {
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

/// A watcher sees a change that committed late after one that began later.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_commits_late_is_not_missed() {
    let (_, _, store) = fresh().await;
    store.migrate().await.unwrap();
    let slow = add(&store, "slow").await;
    let quick = add(&store, "quick").await;
    let start = store.position().await.unwrap();

    let mut late = store.begin("late").await.unwrap();
    let row = late.domain(&slow).await.unwrap().unwrap();
    late.update_domain(&row).await.unwrap();
    let mut early = store.begin("early").await.unwrap();
    let row = early.domain(&quick).await.unwrap().unwrap();
    early.update_domain(&row).await.unwrap();
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

/// A network that can drop all data without closing a connection.
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
    let store = open(&url, 2);
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
