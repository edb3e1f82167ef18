//! Broadcasts: an exclusive queue of this process, deleted with its connection. Missed broadcasts do no harm, because
//! they are hints.

use bus::BusError;
use domain::{Delivery, Event, EventKind};
use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::link::{Attempts, Link, LinkError, answer};
use crate::topology::{BROADCAST, EVENTS, bind};

const PART: &str = "listener";
/// Broadcasts that a process which does not read may leave at the broker.
const MAX_WAITING: i32 = 10_000;

/// Listens once this process has a listener. `bound` is cancelled once the queue exists.
pub(crate) async fn run(
    link: &Link,
    broadcasts: &broadcast::Sender<Event>,
    mut wanted: watch::Receiver<bool>,
    bound: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), BusError> {
    tokio::select! {
        _ = wanted.wait_for(|wanted| *wanted) => {}
        () = stop.cancelled() => return Ok(()),
    }
    let mut attempts = link.attempts(PART, stop);
    while attempts.go_on() {
        if let Err(error) = hear(link, &mut attempts, broadcasts, bound, stop).await {
            attempts.failed(error).await?;
        }
    }
    Ok(())
}

async fn hear(
    link: &Link,
    attempts: &mut Attempts<'_>,
    broadcasts: &broadcast::Sender<Event>,
    bound: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), LinkError> {
    let channel = link.channel().await?;
    let queue = declare(&channel).await?;
    let no_ack = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let mut deliveries =
        answer(channel.basic_consume(queue.into(), "".into(), no_ack, FieldTable::default())).await?;
    attempts.works();
    bound.cancel();
    loop {
        let delivery = tokio::select! {
            delivery = deliveries.next() => delivery,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(delivery) = delivery else {
            return Err(LinkError::Other("the queue or the connection is gone".to_owned()));
        };
        match proto::decode_event(&delivery?.data) {
            // No listener is fine.
            Ok(event) => drop(broadcasts.send(event)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "a broadcast cannot be read");
            }
        }
    }
}

/// A queue of our own, bound to every broadcast; its name.
async fn declare(channel: &Channel) -> Result<String, LinkError> {
    // Publishers declare the exchange; before that there are no messages.
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    answer(channel.exchange_declare(EVENTS.into(), ExchangeKind::Topic, passive, FieldTable::default()))
        .await?;
    let queue = format!("{BROADCAST}{}", Uuid::new_v4().simple());
    let exclusive =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(MAX_WAITING));
    answer(channel.queue_declare(queue.as_str().into(), exclusive, arguments)).await?;
    for kind in EventKind::words(Delivery::Broadcast) {
        bind(channel, &queue, EVENTS, kind).await?;
    }
    Ok(queue)
}
