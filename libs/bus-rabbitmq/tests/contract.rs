//! RabbitMQ passes the contract of every bus.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kit;

use std::sync::Arc;

use bus::Bus;
use bus::contract::Rig;
use store::Store;

async fn setup() -> (Arc<Store>, Arc<dyn Bus>, Arc<dyn Rig>) {
    let rabbitmq = tests::RabbitMq::shared().await;
    let vhost = rabbitmq.vhost().await;
    let behind = kit::Behind::new(rabbitmq, vhost).await;
    let bus = behind.bus(&behind.vhost.url, None);
    (behind.store.clone(), bus, Arc::new(behind))
}

bus::bus_contract!(setup);
