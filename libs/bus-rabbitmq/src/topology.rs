//! Exchanges and queues, declared with the same arguments by all their users.

use bus::QUEUES;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::link::{LinkError, answer};

/// The topic exchange of all events; the routing key is the event's kind.
pub const EVENTS: &str = "ssl-manager.events";
/// The exchange and the queue of messages that could not be handled.
pub const DEAD: &str = "ssl-manager.dead";
/// Prefix of the name of each listener's queue.
pub(crate) const BROADCAST: &str = "ssl-manager.broadcast.";

/// How often a message may come back from consumers that died with it. RabbitMQ 4's default; 3.10 has none.
const DELIVERY_LIMIT: i32 = 20;
/// Inspecting a dead message and putting it back counts as a delivery, too, and must not lose it.
const DEAD_LETTER_DELIVERY_LIMIT: i32 = 1_000_000;

/// The name of a work queue.
pub(crate) fn queue_name(role: &str, kind: &str) -> String {
    format!("ssl-manager.{role}.{kind}")
}

fn arguments<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert(key.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Declares everything but the listeners' queues. Publishers and consumers both do: neither has to wait for the other.
pub(crate) async fn declare(channel: &Channel) -> Result<(), LinkError> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for (exchange, kind) in [(EVENTS, ExchangeKind::Topic), (DEAD, ExchangeKind::Fanout)] {
        answer(channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default())).await?;
    }
    let dead = arguments([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(DEAD_LETTER_DELIVERY_LIMIT)),
    ]);
    answer(channel.queue_declare(DEAD.into(), QueueDeclareOptions::durable(), dead)).await?;
    bind(channel, DEAD, DEAD, "").await?;
    for (role, kind) in QUEUES {
        let name = queue_name(role, kind);
        let work = arguments([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text(DEAD)),
        ]);
        answer(channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), work)).await?;
        bind(channel, &name, EVENTS, kind).await?;
    }
    Ok(())
}

pub(crate) async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    routing_key: &str,
) -> Result<(), LinkError> {
    answer(channel.queue_bind(
        queue.into(),
        exchange.into(),
        routing_key.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    ))
    .await
}
