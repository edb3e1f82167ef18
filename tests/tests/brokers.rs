//! What happens within RabbitMQ: it blocks its publishers because it is short of memory, and of three nodes the one dies that
//! leads the queues.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Deserved, Postgres, Proxy, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const REQUESTS: &str = "ssl-manager.issuer.certificate-requested";
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

/// Twice, so that the node that led first follows meanwhile. Clients reach whichever node is there, as through a load balancer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "three brokers on one machine take minutes: `make faults` runs it"]
async fn three_brokers_of_which_the_leader_dies_lose_nothing() {
    let (postgres, mut nodes) = tokio::join!(Postgres::shared(), RabbitMq::cluster(3));
    let servers: Vec<SocketAddr> =
        nodes.iter().map(|node| ([127, 0, 0, 1], node.tls_port()).into()).collect();
    let way = Proxy::before_any(&servers).await;
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), postgres, &nodes[0], 1).await;
    manager.reach_broker_through(nodes[0].tls_port(), &way);
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    world.ca.control().delay(Duration::from_millis(500));
    let vhost = manager.backends().vhost.clone();
    let mut names: Vec<String> = Vec::new();
    for round in 0..2 {
        let leader = wait_for("a leader", LIMIT, || nodes[0].leader(&vhost, REQUESTS)).await;
        let dies = nodes.iter().position(|node| node.name() == leader).unwrap();
        let added: Vec<String> = (0..20).map(|number| format!("d{round}-{number}.example.com")).collect();
        add(&world, &manager, &added[..10]).await;
        nodes[dies].kill_9();
        add(&world, &manager, &added[10..]).await;
        let survivor = &nodes[(dies + 1) % 3];
        wait_for("another leader", LIMIT, || async {
            let now = survivor.leader(&vhost, REQUESTS).await?;
            if now == leader { Err(now) } else { Ok(()) }
        })
        .await;
        names.extend(added);
        in_order(&world, &mut manager, &names).await;
        nodes[dies].run().await;
        manager.ready().await;
    }
}
