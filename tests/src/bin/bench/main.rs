//! Figures, printed and never asserted: `make bench`.
//!
//! Absolute times say as much about the machine as about the program; what counts is the ratio to the bare client in
//! the same run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where something fails"
)]

mod fill;
mod list;
mod midnight;
mod page;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, Pebble, Postgres, RabbitMq, SslManager, Surroundings};
use tokio::sync::Semaphore;

const LIMIT: Duration = Duration::from_mins(2);
const SINGLES: usize = 20;
const MANY: usize = 1000;
const IN_FLIGHT: u16 = 64;
const SUSTAINED: usize = 2000;
const STEADY: usize = 300;

/// All of it, or the part that is named: `singles`, `many`, `midnight`, `list` or `scaled`.
#[tokio::main]
async fn main() {
    let wish = std::env::args().nth(1);
    let wished = |part| wish.as_deref().is_none_or(|wish| wish == part);
    if wished("singles") {
        singles_against_pebble().await;
    }
    if wished("many") {
        many().await;
    }
    if wished("midnight") {
        midnight::beside_a_new_customer().await;
    }
    if wished("list") {
        list::at_a_million().await;
    }
    if wished("scaled") {
        scaled_out().await;
    }
}

async fn many() {
    let ours = many_with_ssl_manager().await;
    let bare = many_with_a_bare_client().await;
    println!("{MANY} certificates from the sandbox CA, {IN_FLIGHT} in flight:");
    println!("  ssl-manager (SQLite, uploads included)   {ours:8.1} certificates/s");
    println!("  bare instant-acme loop                   {bare:8.1} certificates/s");
    println!("  ratio                                    {:8.2}", ours / bare);
}

/// PostgreSQL, RabbitMQ, one process per role, CA and C4, all on this machine.
async fn scaled_out() {
    let (postgres, rabbitmq) = tokio::join!(Postgres::start(true), RabbitMq::start());
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.max_in_flight = IN_FLIGHT;
    let mut manager = SslManager::on(&surroundings, &postgres, &rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let database = manager.backends().database.clone();
    let ask = |sql: &str| postgres.psql(&database, sql).unwrap();
    ask("CREATE EXTENSION pg_stat_statements");
    warm_up(&world, &manager).await;

    let names: Vec<String> = (0..SUSTAINED).map(|number| format!("s{number}.example.com")).collect();
    point_all(&world, &names);
    ask("SELECT pg_stat_statements_reset()");
    let started = Instant::now();
    manager.add_all(&names).await;
    all_uploaded(&world, &names).await;
    let rate = SUSTAINED as f64 / started.elapsed().as_secs_f64();
    println!("{SUSTAINED} domains on PostgreSQL and RabbitMQ, a process per role, {IN_FLIGHT} in flight:");
    println!("  certificates                             {rate:8.1} per second");
    let of_ours =
        "FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()";
    let per_domain = |sql: &str| ask(sql).parse::<f64>().unwrap() / SUSTAINED as f64;
    let published =
        per_domain(&format!("SELECT coalesce(sum(calls), 0) {of_ours} AND query LIKE '-- publish%'"));
    println!("  messages per issuance                    {published:8.1}");
    let statements = per_domain(&format!("SELECT sum(calls) {of_ours}"));
    let brackets = "AND (query ILIKE 'BEGIN%' OR query ILIKE 'COMMIT%' OR query ILIKE 'ROLLBACK%')";
    let bracketing = per_domain(&format!("SELECT coalesce(sum(calls), 0) {of_ours} {brackets}"));
    println!(
        "  SQL statements per issuance              {statements:8.1} ({bracketing:.1} of them BEGIN and COMMIT)"
    );
    println!("  the most frequent, calls per issuance and milliseconds each:");
    let top = format!(
        "SELECT '    ' || round(calls::numeric / {SUSTAINED}, 2) || '  ' || round(mean_exec_time::numeric, 3) || '  ' \
         || left(split_part(query, chr(10), 1), 60) {of_ours} ORDER BY calls DESC LIMIT 30"
    );
    println!("{}", ask(&top));
    times_at_a_steady_rate(&world, &manager).await;
}

/// The account, the connections, the caches.
async fn warm_up(world: &World, manager: &SslManager) {
    let names: Vec<String> = (0..IN_FLIGHT).map(|number| format!("w{number}.example.com")).collect();
    point_all(world, &names);
    manager.add_all(&names).await;
    all_uploaded(world, &names).await;
}

async fn all_uploaded(world: &World, names: &[String]) {
    tests::wait_for("all uploads", LIMIT, || {
        let held = |name: &&String| world.c4.control().certificate(name).is_some();
        let done = names.iter().filter(held).count();
        std::future::ready(if done == names.len() {
            Ok(())
        } else {
            Err(format!("{done} of {}", names.len()))
        })
    })
    .await;
}

/// From add to Success, as a client that watches sees it, at ten domains per second.
async fn times_at_a_steady_rate(world: &World, manager: &SslManager) {
    let client = manager.client().await;
    let mut changes = client.watch().await;
    let names: Vec<String> = (0..STEADY).map(|number| format!("t{number}.example.com")).collect();
    point_all(world, &names);
    let adding = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        let mut added = HashMap::new();
        for name in names {
            beat.tick().await;
            added.insert(name.clone(), Instant::now());
            client.add(&name).await;
        }
        added
    });
    let mut succeeded = HashMap::new();
    while succeeded.len() < STEADY {
        let change = changes.message().await.unwrap().unwrap();
        let domain = change.domain.unwrap();
        if domain.name.starts_with('t') && domain.status() == proto::v1::Status::Success {
            succeeded.entry(domain.name).or_insert_with(Instant::now);
        }
    }
    let mut times: Vec<Duration> =
        adding.await.unwrap().iter().map(|(name, added)| succeeded[name].duration_since(*added)).collect();
    times.sort();
    println!(
        "  add to Success at 10 per second          {:8.3} s p50, {:.3} s p99",
        times[STEADY / 2].as_secs_f64(),
        times[STEADY * 99 / 100].as_secs_f64()
    );
}

/// From `domain add` to Success, one at a time, and what a process at rest costs.
async fn singles_against_pebble() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path(), world.edge.http_addr().port()).await;
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::pebble(&pebble, &world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let started = Instant::now();
    manager.start().await;
    println!(
        "start to /readyz                           {:8.3} s (looked at every 50 ms)",
        started.elapsed().as_secs_f64()
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", manager.process().id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown");
    println!("resident memory of `all` at rest           {}", resident.trim());

    let mut times = Vec::new();
    for number in 0..SINGLES {
        let name = format!("single{number}.example.com");
        world.point_at_cdn(&name);
        pebble.set_cname(&name, world.cdn_target()).await;
        let started = Instant::now();
        assert_eq!(manager.domain(&["add", &name]).code, 0);
        manager.status(&name, "Success", LIMIT).await;
        times.push(started.elapsed());
    }
    times.sort();
    println!(
        "`domain add` to Success against Pebble     {:8.3} s median of {SINGLES}, {:.3} to {:.3} (looked at every 50 ms)",
        times[SINGLES / 2].as_secs_f64(),
        times[0].as_secs_f64(),
        times[SINGLES - 1].as_secs_f64()
    );
}

fn names() -> Vec<String> {
    (0..MANY).map(|number| format!("d{number}.example.com")).collect()
}

async fn fresh_world() -> World {
    let world = World::start(WorldOptions::default()).await.unwrap();
    for name in names() {
        world.point_at_cdn(&name);
        // The same for both: no fetch, so that the clients are compared and not the edge.
        world.ca.control().validation_result(&name, ValidationResult::Valid);
    }
    world
}

/// Certificates per second from the first add to the last upload.
async fn many_with_ssl_manager() -> f64 {
    let world = fresh_world().await;
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.max_in_flight = IN_FLIGHT;
    let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let names = names();
    let started = Instant::now();
    manager.add_all(&names).await;
    all_uploaded(&world, &names).await;
    MANY as f64 / started.elapsed().as_secs_f64()
}

/// The same from instant-acme alone: no store, no journal, no sealing, no upload.
async fn many_with_a_bare_client() -> f64 {
    let world = fresh_world().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, world.ca.api_root_pem()).unwrap();
    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_root(&root).unwrap();
    let (account, _) = builder.create(&new, world.ca.directory_url(), None).await.unwrap();
    let permits = Arc::new(Semaphore::new(usize::from(IN_FLIGHT)));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for name in names() {
        let (account, permit) = (account.clone(), permits.clone().acquire_owned().await.unwrap());
        tasks.push(tokio::spawn(async move {
            issue(&account, name).await;
            drop(permit);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    MANY as f64 / started.elapsed().as_secs_f64()
}

async fn issue(account: &Account, name: String) {
    let identifiers = [Identifier::Dns(name.clone())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.unwrap();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        if authorization.status == AuthorizationStatus::Pending {
            authorization.challenge(ChallengeType::Http01).unwrap().set_ready().await.unwrap();
        }
    }
    let mut pause = Duration::from_millis(50);
    while order.refresh().await.unwrap().status == OrderStatus::Pending {
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key).unwrap().der()).await.unwrap();
    while order.certificate().await.unwrap().is_none() {
        tokio::time::sleep(pause).await;
    }
}

fn point_all(world: &World, names: &[String]) {
    for name in names {
        world.point_at_cdn(name);
    }
}
