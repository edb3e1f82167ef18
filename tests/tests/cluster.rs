//! Three nodes of RabbitMQ, of which the one dies that leads the queues. It takes minutes on one machine, so only `make faults`
//! runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Deserved, Postgres, Proxy, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const REQUESTS: &str = "ssl-manager.issuer.certificate-requested";

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

/// Twice, so that the node that led first follows meanwhile. Clients reach whichever node is there, as through a load balancer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
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
