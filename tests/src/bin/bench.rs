//! Figures, printed and never asserted: `make bench`.
//!
//! Absolute times say as much about the machine as about the program; what counts is the ratio to the bare client in
//! the same run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where something fails"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, Pebble, SslManager, Surroundings};
use tokio::sync::Semaphore;

const LIMIT: Duration = Duration::from_mins(2);
const SINGLES: usize = 20;
const MANY: usize = 1000;
const IN_FLIGHT: u16 = 64;

#[tokio::main]
async fn main() {
    singles_against_pebble().await;
    let ours = many_with_ssl_manager().await;
    let bare = many_with_a_bare_client().await;
    println!("{MANY} certificates from the sandbox CA, {IN_FLIGHT} in flight:");
    println!("  ssl-manager (SQLite, uploads included)   {ours:8.1} certificates/s");
    println!("  bare instant-acme loop                   {bare:8.1} certificates/s");
    println!("  ratio                                    {:8.2}", ours / bare);
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
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or("unknown");
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
        world
            .ca
            .control()
            .validation_result(&name, ValidationResult::Valid);
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
    tests::wait_for("all uploads", LIMIT, || {
        let done = names
            .iter()
            .filter(|name| world.c4.control().certificate(name).is_some())
            .count();
        std::future::ready(if done == MANY {
            Ok(())
        } else {
            Err(format!("{done} of {MANY}"))
        })
    })
    .await;
    MANY as f64 / started.elapsed().as_secs_f64()
}

/// The same from instant-acme alone: no store, no journal, no sealing, no upload.
async fn many_with_a_bare_client() -> f64 {
    let world = fresh_world().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, world.ca.api_root_pem()).unwrap();
    let new = NewAccount {
        contact: &[],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_root(&root).unwrap();
    let (account, _) = builder
        .create(&new, world.ca.directory_url(), None)
        .await
        .unwrap();
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
            authorization
                .challenge(ChallengeType::Http01)
                .unwrap()
                .set_ready()
                .await
                .unwrap();
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
    order
        .finalize_csr(params.serialize_request(&key).unwrap().der())
        .await
        .unwrap();
    while order.certificate().await.unwrap().is_none() {
        tokio::time::sleep(pause).await;
    }
}
