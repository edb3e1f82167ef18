//! Domains are added all the time while something fails every few seconds: nothing is lost, and no order is placed twice but
//! where the CA's answer to new-order was lost with a process that was killed.
//!
//! `make soak` lets it run for ten minutes and writes `docs/reports/soak.md`; `SOAK_SECONDS` and `SOAK_RATE` (domains per
//! second, half of what a debug build does on two cores) make it another time and rate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are worth seeing")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sandbox::{World, WorldOptions};
use tests::{Deserved, Line, Postgres, Proxy, RabbitMq, SslManager, Surroundings, wait_for};

const FAULT_INTERVAL: Duration = Duration::from_secs(20);
const FAULT_LASTS: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_mins(3);

/// What fails, in this order, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    DatabaseCut,
    CaDown,
    IssuerKilled,
    DatabaseHangs,
    C4Cut,
    BrokerHangs,
    UploaderKilled,
}

const FAULTS: [Fault; 7] = [
    Fault::DatabaseCut,
    Fault::CaDown,
    Fault::IssuerKilled,
    Fault::DatabaseHangs,
    Fault::C4Cut,
    Fault::BrokerHangs,
    Fault::UploaderKilled,
];

fn wish(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |wish| wish.parse().unwrap())
}

struct Soak {
    world: World,
    manager: SslManager,
    rabbitmq: RabbitMq,
    postgres: Postgres,
    database_line: Proxy,
    c4_line: Proxy,
    happened: BTreeMap<Fault, u32>,
}

impl Soak {
    async fn start() -> Self {
        let (postgres, rabbitmq) = tokio::join!(Postgres::start(true), RabbitMq::start());
        let world = World::start(WorldOptions::default()).await.unwrap();
        let c4 = world.c4.base_url().trim_start_matches("http://").parse().unwrap();
        let c4_line = Proxy::before(c4).await;
        let mut surroundings = Surroundings::sandbox(&world);
        surroundings.c4_url = format!("http://{}", c4_line.address());
        let mut manager = SslManager::on(&surroundings, &postgres, &rabbitmq, 2).await;
        let database_line = Proxy::before(([127, 0, 0, 1], postgres.port()).into()).await;
        manager.reach_database_through(postgres.port(), &database_line);
        world.edge.control().set_challenge_upstream(manager.responder());
        manager.start().await;
        Self { world, manager, rabbitmq, postgres, database_line, c4_line, happened: BTreeMap::new() }
    }

    async fn happens(&mut self, fault: Fault) {
        *self.happened.entry(fault).or_default() += 1;
        match fault {
            Fault::DatabaseCut => self.database_line.set(Line::Cut),
            Fault::DatabaseHangs => self.database_line.set(Line::Hangs),
            Fault::C4Cut => self.c4_line.set(Line::Cut),
            Fault::CaDown => self.world.ca.control().down(true),
            Fault::BrokerHangs => self.rabbitmq.freeze(true),
            Fault::IssuerKilled => self.manager.kill_role("issuer"),
            Fault::UploaderKilled => self.manager.kill_role("c4-uploader"),
        }
        tokio::time::sleep(FAULT_LASTS).await;
        match fault {
            Fault::DatabaseCut | Fault::DatabaseHangs => self.database_line.set(Line::Fine),
            Fault::C4Cut => self.c4_line.set(Line::Fine),
            Fault::CaDown => self.world.ca.control().down(false),
            Fault::BrokerHangs => self.rabbitmq.freeze(false),
            Fault::IssuerKilled => self.manager.start_again("issuer"),
            Fault::UploaderKilled => self.manager.start_again("c4-uploader"),
        }
    }

    /// The names that may have been ordered twice: an issuer was killed before it had stored the CA's answer.
    fn unanswered(&self) -> Vec<String> {
        let database = &self.manager.backends().database;
        let names = self.postgres.psql(database, "SELECT name FROM orders WHERE state = 'created'");
        names.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_something_fails_every_few_seconds() {
    let lasts = Duration::from_secs(wish("SOAK_SECONDS", 45));
    let rate = wish("SOAK_RATE", 2);
    let mut soak = Soak::start().await;
    let client = soak.manager.client().await;
    let (mut names, mut doubtful) = (Vec::new(), Vec::new());
    let (began, mut faults, mut next_fault) = (Instant::now(), FAULTS.iter().cycle(), FAULT_INTERVAL / 2);
    let memory = soak.manager.resident();
    while began.elapsed() < lasts {
        for _ in 0..rate {
            let name = format!("soak{}.example.com", names.len());
            soak.world.point_at_cdn(&name);
            client.add(&name).await;
            names.push(name);
        }
        if began.elapsed() >= next_fault {
            next_fault += FAULT_INTERVAL;
            let fault = *faults.next().unwrap();
            if fault == Fault::IssuerKilled {
                soak.manager.kill_role("issuer");
                doubtful.extend(soak.unanswered());
            }
            soak.happens(fault).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let c4 = soak.world.c4.control();
    let since = Instant::now();
    wait_for("every certificate at C4", LIMIT, || {
        let missing = names.iter().filter(|name| c4.certificate(name).is_none()).count();
        std::future::ready(if missing == 0 { Ok(()) } else { Err(format!("{missing} of {}", names.len())) })
    })
    .await;
    let settled = since.elapsed();
    soak.manager.ready().await;
    let mut deserved = Vec::new();
    for name in &names {
        soak.manager.status(name, "Success", LIMIT).await;
        let orders = if doubtful.contains(name) { 1..=2 } else { 1..=1 };
        deserved.push(Deserved::success(name, orders));
    }
    soak.manager.assert_in_order(&soak.world, &deserved).await;
    report(&soak, names.len(), doubtful.len(), settled, memory);
}

fn report(soak: &Soak, domains: usize, doubtful: usize, settled: Duration, memory: u64) {
    let orders = soak.world.ca.control().orders_placed();
    let faults: Vec<String> =
        soak.happened.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
    let text = format!(
        "# Soak\n\nWritten by `make soak`.\n\n| | |\n|---|---|\n| domains added | {domains} |\n| certificates at C4 | {domains} |\n\
         | orders | {orders} |\n| orders whose answer a killed issuer took with it, at most | {doubtful} |\n\
         | faults | {} |\n| all at C4 after the last addition | {:.1} s |\n| memory of the api at the start and the end | {memory} MiB, {} MiB |\n",
        faults.join(", "),
        settled.as_secs_f64(),
        soak.manager.resident(),
    );
    println!("{text}");
    if let Ok(file) = std::env::var("SOAK_REPORT") {
        std::fs::write(file, text).unwrap();
    }
}
