//! A fault of the database while domains are under way costs no order, but where the CA's answer to new-order is lost, too;
//! and what a fault held up goes on within seconds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Deserved, Line, Postgres, Proxy, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const MANY: usize = 20;
/// From the end of a database's fault to the last certificate: over 55 s where work waits for the end of its lease.
const AFTER_THE_DATABASE: Duration = Duration::from_secs(45);
/// From the end of a CA's outage of 3 s to the last certificate: over 120 s without a short first pause.
const AFTER_THE_CA: Duration = Duration::from_secs(100);

/// A system whose processes reach PostgreSQL through a proxy, at a CA that takes half a second for each answer.
struct Faulty {
    world: World,
    line: Proxy,
    manager: SslManager,
    names: Vec<String>,
}

impl Faulty {
    async fn start(label: &str) -> Self {
        let (postgres, rabbitmq) = tokio::join!(Postgres::shared(), RabbitMq::shared());
        let world = World::start(WorldOptions::default()).await.unwrap();
        let mut manager = SslManager::on(&Surroundings::sandbox(&world), postgres, rabbitmq, 2).await;
        let port = postgres.port();
        let line = Proxy::before(([127, 0, 0, 1], port).into()).await;
        manager.reach_database_through(port, &line);
        world.edge.control().set_challenge_upstream(manager.responder());
        let names: Vec<String> = (0..MANY).map(|number| format!("{label}{number}.example.com")).collect();
        for name in &names {
            world.point_at_cdn(name);
        }
        // A CA that looks at a challenge while no responder can read it ends the order: that is not what this is about.
        world.ca.control().validation_default(ValidationResult::Valid);
        manager.start().await;
        world.ca.control().delay(Duration::from_millis(500));
        Self { world, line, manager, names }
    }

    fn orders(&self) -> u64 {
        self.world.ca.control().orders_placed()
    }

    fn at_c4(&self) -> usize {
        let c4 = self.world.c4.control();
        self.names.iter().filter(|name| c4.certificate(name).is_some()).count()
    }

    /// Waits until the CA has taken so many orders.
    async fn ordered(&self, at_least: u64) {
        wait_for(&format!("{at_least} orders"), LIMIT, || {
            let orders = self.orders();
            std::future::ready(if orders >= at_least { Ok(()) } else { Err(orders.to_string()) })
        })
        .await;
    }

    /// Every domain gets its certificate within that, of one order each.
    async fn recovers(mut self, limit: Duration) {
        let since = Instant::now();
        wait_for("all at C4", LIMIT, || {
            let done = self.at_c4();
            std::future::ready(if done == MANY {
                Ok(())
            } else {
                Err(format!("{done}: {}", self.manager.log()))
            })
        })
        .await;
        let took = since.elapsed();
        assert!(took <= limit, "took {took:?}\n{}", self.manager.log());
        for name in &self.names {
            self.manager.status(name, "Success", LIMIT).await;
        }
        let deserved: Vec<_> = self.names.iter().map(|name| Deserved::success(name, 1..=1)).collect();
        self.manager.assert_in_order(&self.world, &deserved).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_cut_costs_no_order() {
    let faulty = Faulty::start("cut").await;
    faulty.manager.add_all(&faulty.names).await;
    faulty.ordered(3).await;
    faulty.line.set(Line::Cut);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(faulty.at_c4() < MANY, "the fault came while domains were under way");
    faulty.line.set(Line::Fine);
    faulty.recovers(AFTER_THE_DATABASE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_costs_no_order() {
    let faulty = Faulty::start("hang").await;
    faulty.manager.add_all(&faulty.names).await;
    faulty.ordered(3).await;
    faulty.line.set(Line::Hangs);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(faulty.at_c4() < MANY, "the fault came while domains were under way");
    faulty.line.set(Line::Fine);
    faulty.recovers(AFTER_THE_DATABASE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_of_the_ca_is_short_for_all_domains() {
    let faulty = Faulty::start("ca").await;
    faulty.world.ca.control().down(true);
    faulty.manager.add_all(&faulty.names).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    faulty.world.ca.control().down(false);
    faulty.recovers(AFTER_THE_CA).await;
}
