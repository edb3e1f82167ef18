//! Three nodes of RabbitMQ, of which the one dies that leads the queues. It takes minutes on one machine, so only `make faults`
//! runs it.

use std::net::SocketAddr;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Postgres, Proxy, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const REQUESTS: &str = "ssl-manager.issuer.certificate-requested";

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
        manager.add_pointed(&world, &added[..10]).await;
        nodes[dies].kill_9();
        manager.add_pointed(&world, &added[10..]).await;
        let survivor = &nodes[(dies + 1) % 3];
        wait_for("another leader", LIMIT, || async {
            let now = survivor.leader(&vhost, REQUESTS).await?;
            if now == leader { Err(now) } else { Ok(()) }
        })
        .await;
        names.extend(added);
        manager.all_succeed(&world, &names, LIMIT).await;
        nodes[dies].run().await;
        manager.ready().await;
    }
}
