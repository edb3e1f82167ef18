//! What happens within RabbitMQ: it blocks its publishers because it is short of memory. What needs three nodes is in
//! `cluster.rs`.

use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Deserved, Postgres, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const RELAYS: [&str; 4] = ["api", "issuer", "scheduler", "c4-uploader"];

async fn add(world: &World, manager: &SslManager, names: &[String]) {
    for name in names {
        world.point_at_cdn(name);
    }
    manager.add_all(names).await;
}

async fn in_order(world: &World, manager: &mut SslManager, names: &[String]) {
    for name in names {
        manager.status(name, "Success", LIMIT).await;
    }
    let deserved: Vec<_> = names.iter().map(|name| Deserved::success(name, 1..=1)).collect();
    manager.assert_in_order(world, &deserved).await;
}

/// `/readyz` of a process that publishes says why it cannot, calls are answered, and what they stored is done afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_is_short_of_memory_loses_nothing_and_is_named() {
    let (postgres, rabbitmq) = tokio::join!(Postgres::shared(), RabbitMq::start());
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), postgres, &rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let names = ["before", "meanwhile", "after"].map(|label| format!("{label}.example.com"));
    add(&world, &manager, &names[..1]).await;
    manager.status(&names[0], "Success", LIMIT).await;

    rabbitmq.control(&["set_vm_memory_high_watermark", "0"]);
    add(&world, &manager, &names[1..2]).await;
    wait_for("the reason", LIMIT, || async {
        let mut all = Vec::new();
        for role in RELAYS {
            all.extend(manager.readiness(role).await);
        }
        let is_told = |(code, text): &(u16, String)| {
            *code == 503
                && text.contains("bus: the broker takes no messages because it is short of memory or disk")
        };
        if all.iter().any(is_told) { Ok(()) } else { Err(format!("{all:?}")) }
    })
    .await;
    assert_eq!(manager.ready_without("api", "bus").await, 200, "the API serves");
    assert_eq!(manager.domain(&["show", &names[1]]).json["status"], "Pending");

    rabbitmq.control(&["set_vm_memory_high_watermark", "0.4"]);
    manager.ready().await;
    add(&world, &manager, &names[2..]).await;
    in_order(&world, &mut manager, &names).await;
}
