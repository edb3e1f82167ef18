//! Steps that PostgreSQL commits in groups.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{Activity, Cause, Clock as _, Domain, DomainName, HistoryKind, Lease, Work, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::{SystemClock, SystemEntropy};
use store::{Entry, Refusal, Step, Store, StoreError};
use tests::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A thousand in `make faults`.
const ROUNDS: &str = "ROUNDS";
const NAMES: usize = 8;

struct Server {
    postgres: &'static Postgres,
    database: String,
}

impl Server {
    async fn start() -> (Self, Arc<Store>) {
        let postgres = Postgres::shared().await;
        let this = Self { postgres, database: postgres.database() };
        let store = this.open();
        store.migrate().await.unwrap();
        (this, store)
    }

    fn open(&self) -> Arc<Store> {
        let url = self.postgres.superuser_url(&self.database);
        Arc::new(Store::open_server(&url, 10, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap())
    }

    fn number(&self, sql: &str) -> usize {
        self.postgres.psql(&self.database, sql).unwrap().parse().unwrap()
    }
}

/// Adds names, each with work of that kind, and leases it.
async fn leased(store: &Store, prefix: &str, many: usize, kinds: &[WorkKind]) -> Vec<DomainName> {
    let now = SystemClock.now();
    let mut tx = store.begin("add").await.unwrap();
    let names: Vec<DomainName> = (0..many)
        .map(|number| DomainName::parse(&format!("{prefix}{number}.example.com")).unwrap())
        .collect();
    for name in &names {
        tx.insert_domain(&Domain::added(name.clone(), now)).await.unwrap();
        for kind in kinds {
            tx.schedule(&work(name, *kind, now)).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    names
}

fn work(name: &DomainName, kind: WorkKind, now: Timestamp) -> Work {
    let (cause, due_at) = (Cause::Requested, Some(now));
    Work { name: name.clone(), kind, revision: 1, cause, attempts: 0, due_at, certificate: None }
}

async fn claim(store: &Store, kind: WorkKind, names: &[DomainName]) -> Vec<Lease> {
    let until = SystemClock.now() + SignedDuration::from_mins(5);
    store.claim_batch(kind, names, until).await.unwrap()
}

async fn read(store: &Store, name: &DomainName) -> Domain {
    store.domain(name).await.unwrap().unwrap().domain
}

fn toggled(domain: &Domain) -> Activity {
    match domain.activity {
        Activity::Preflight => Activity::WaitingForCa,
        _ => Activity::Preflight,
    }
}

fn step(lease: &Lease, domain: &Domain) -> Step {
    let after = domain.clone().doing(toggled(domain), None).unwrap();
    let entry = Entry::new(HistoryKind::Generated, "issuer", format!("step of {}", lease.work.kind.as_str()));
    Step::new("toggled", lease, domain).becomes(after).told(Some(entry))
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_at_the_same_time_share_a_commit() {
    const MANY: usize = 60;
    let (server, store) = Server::start().await;
    let names = leased(&store, "d", MANY, &[WorkKind::Issue]).await;
    let mut all = Vec::new();
    for lease in claim(&store, WorkKind::Issue, &names).await {
        let domain = read(&store, &lease.work.name).await;
        all.push(step(&lease, &domain));
    }
    let mut steps = JoinSet::new();
    for step in all {
        let store = store.clone();
        steps.spawn(async move { store.commit(&step).await.unwrap() });
    }
    assert_eq!(steps.join_all().await.len(), MANY);
    let changed = server.number("SELECT count(*) FROM domains WHERE version = 2");
    let told = server.number("SELECT count(DISTINCT name) FROM history");
    assert_eq!((changed, told), (MANY, MANY));
    let commits = server.number("SELECT count(DISTINCT xmin::text) FROM domains");
    assert!(commits <= MANY / 4, "{commits} commits for {MANY} steps");
}

/// A row that somebody holds does not hold up the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_delays_its_own_step_only() {
    let (_server, store) = Server::start().await;
    let names = leased(&store, "d", NAMES, &[WorkKind::Issue]).await;
    let leases = claim(&store, WorkKind::Issue, &names).await;
    let mut holder = store.begin("holder").await.unwrap();
    holder.domain(&names[3]).await.unwrap();
    let mut steps = JoinSet::new();
    for lease in leases {
        let domain = read(&store, &lease.work.name).await;
        let store = store.clone();
        steps.spawn(async move { (lease.work.name.clone(), store.commit(&step(&lease, &domain)).await) });
    }
    for _ in 1..NAMES {
        let (name, committed) = steps.join_next().await.unwrap().unwrap();
        committed.unwrap();
        assert_ne!(name, names[3]);
    }
    assert!(steps.try_join_next().is_none(), "it waits for the holder");
    drop(holder);
    steps.join_next().await.unwrap().unwrap().1.unwrap();
}

/// What fails at the COMMIT is told to every step of the group, and nothing is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_told_to_all() {
    let (server, store) = Server::start().await;
    let names = leased(&store, "d", NAMES, &[WorkKind::Issue]).await;
    let refuse = "CREATE SEQUENCE tries;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'no room on the disk'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON domains DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse()";
    server.postgres.psql(&server.database, refuse).unwrap();
    let mut steps = JoinSet::new();
    for lease in claim(&store, WorkKind::Issue, &names).await {
        let domain = read(&store, &lease.work.name).await;
        let store = store.clone();
        steps.spawn(async move { store.commit(&step(&lease, &domain)).await });
    }
    for answer in steps.join_all().await {
        assert!(matches!(answer, Err(Refusal::Store(StoreError::Database { .. }))), "{answer:?}");
    }
    assert_eq!(server.number("SELECT count(*) FROM domains WHERE version > 1"), 0);
    assert!(server.number("SELECT last_value FROM tries") <= NAMES, "each commit is tried once");
}

/// A way to the server on which the answer to a COMMIT gets lost, as if the machine died right after it: the connection ends
/// instead.
struct LossyWay {
    port: u16,
    loses: Arc<AtomicBool>,
}

impl LossyWay {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loses = Arc::new(AtomicBool::new(false));
        let of_way = loses.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, of_way.clone()));
            }
        });
        Self { port, loses }
    }
}

async fn carry(client: TcpStream, server: TcpStream, loses: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut bytes = vec![0; 65_536];
    while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
        let is_commit = bytes[..read].windows(6).any(|word| word == b"COMMIT");
        let is_lost = is_commit && loses.load(Ordering::Relaxed);
        if is_lost {
            answers.abort();
        }
        if to_server.write_all(&bytes[..read]).await.is_err() || is_lost {
            return;
        }
    }
}

/// The group is committed, but nobody learns that: each caller is told that the outcome is unknown, nothing is repeated, and the
/// rows decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_commit_repeats_nothing() {
    let (server, direct) = Server::start().await;
    let names = leased(&direct, "d", NAMES, &[WorkKind::Issue]).await;
    let leases = claim(&direct, WorkKind::Issue, &names).await;
    let way = LossyWay::to(server.postgres.port()).await;
    let url = server.postgres.superuser_url(&server.database);
    let url = url.replace(&format!(":{}/", server.postgres.port()), &format!(":{}/", way.port));
    let url = format!("{url}?sslmode=disable");
    let store = Store::open_server(&url, 10, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
    let store = Arc::new(store);
    let mut steps = JoinSet::new();
    way.loses.store(true, Ordering::Relaxed);
    for lease in leases.clone() {
        let domain = read(&store, &lease.work.name).await;
        let store = store.clone();
        steps.spawn(async move { store.commit(&step(&lease, &domain)).await });
    }
    for answer in steps.join_all().await {
        let Err(Refusal::Store(error)) = answer else { panic!("it cannot be known: {answer:?}") };
        assert!(error.is_unavailable(), "{error:?}");
    }
    way.loses.store(false, Ordering::Relaxed);
    tests::wait_for("the commits", Duration::from_secs(20), || {
        let changed = server.number("SELECT count(*) FROM domains WHERE version = 2");
        std::future::ready(if changed == NAMES { Ok(()) } else { Err(changed.to_string()) })
    })
    .await;
    assert_eq!(server.number("SELECT count(*) FROM history"), NAMES);
    for lease in &leases {
        let domain = read(&store, &lease.work.name).await;
        store.commit(&step(lease, &domain)).await.unwrap();
    }
    assert_eq!(server.number("SELECT count(*) FROM history"), 2 * NAMES, "the leases are still held");
}

/// Two processes commit steps of the same names at the same time, in opposite order: nobody sees a deadlock, and no step
/// is lost.
#[tokio::test(flavor = "multi_thread")]
async fn groups_that_overlap_never_wait_for_each_other() {
    let rounds = std::env::var(ROUNDS).map_or(60, |rounds| rounds.parse().unwrap());
    let (server, one) = Server::start().await;
    let other = server.open();
    let names = leased(&one, "d", NAMES, &[WorkKind::Issue, WorkKind::Upload]).await;
    let issues = claim(&one, WorkKind::Issue, &names).await;
    let mut uploads = claim(&other, WorkKind::Upload, &names).await;
    uploads.reverse();
    for _ in 0..rounds {
        let mut steps = JoinSet::new();
        for (store, leases) in [(&one, &issues), (&other, &uploads)] {
            for lease in leases {
                let (store, lease) = (store.clone(), lease.clone());
                steps.spawn(async move {
                    let domain = read(&store, &lease.work.name).await;
                    store.decide::<_, StoreError>(domain, |domain| Ok(step(&lease, domain))).await.unwrap()
                });
            }
        }
        steps.join_all().await;
    }
    let history = server.number("SELECT count(*) FROM history");
    assert_eq!(history, rounds * 2 * NAMES);
    let versions = server.number("SELECT sum(version) - count(*) FROM domains");
    assert_eq!(versions, history, "one version per step");
}

/// A caller that goes away at any time leaves all of its step or nothing, and the others have their answers.
#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_take_no_answer_with_them() {
    const MANY: usize = 40;
    let (server, store) = Server::start().await;
    let names = leased(&store, "d", MANY, &[WorkKind::Issue]).await;
    let mut steps = JoinSet::new();
    for (number, lease) in claim(&store, WorkKind::Issue, &names).await.into_iter().enumerate() {
        let domain = read(&store, &lease.work.name).await;
        let store = store.clone();
        steps.spawn(async move {
            let step = step(&lease, &domain);
            if number % 2 == 0 {
                let patience = Duration::from_micros(200 * number as u64);
                let _ = tokio::time::timeout(patience, store.commit(&step)).await;
            } else {
                store.commit(&step).await.unwrap();
            }
        });
    }
    steps.join_all().await;
    // Commits of those that went away may still run.
    let told = "SELECT count(*) FROM history";
    tests::wait_for("the last commits", Duration::from_secs(20), || {
        let changed = server.number("SELECT count(*) FROM domains WHERE version = 2");
        std::future::ready(if changed >= MANY / 2 && changed == server.number(told) {
            Ok(())
        } else {
            Err(format!("{changed} changed"))
        })
    })
    .await;
}
