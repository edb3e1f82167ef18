//! What happens within RabbitMQ: it blocks its publishers because it is short of memory. What needs three nodes is in
//! `cluster.rs`.

use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Postgres, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const RELAYS: [&str; 4] = ["api", "issuer", "scheduler", "c4-uploader"];

/// `/readyz` of a process that publishes says why it cannot, calls are answered, and what they stored is done afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_is_short_of_memory_loses_nothing_and_is_named() {
    let (postgres, rabbitmq) = tokio::join!(Postgres::shared(), RabbitMq::start());
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), postgres, &rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let names = ["before", "meanwhile", "after"].map(|label| format!("{label}.example.com"));
    manager.add_pointed(&world, &names[..1]).await;
    manager.status(&names[0], "Success", LIMIT).await;

    rabbitmq.control(&["set_vm_memory_high_watermark", "0"]);
    manager.add_pointed(&world, &names[1..2]).await;
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
    manager.add_pointed(&world, &names[2..]).await;
    manager.all_succeed(&world, &names, LIMIT).await;
}
