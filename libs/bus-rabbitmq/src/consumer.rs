//! A work queue's consumer. A message is acknowledged once it is handled, given back at the stop, and set aside with
//! its reason if it can never be handled. A message that must wait stays unacknowledged: the broker delays nothing.

use std::sync::Arc;

use bus::{BusError, Handler, Outcome, Queue};
use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions,
    BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::link::{Attempts, Link, LinkError, answer};
use crate::message::{dead, trace_parent};
use crate::topology::{DEAD, declare, queue_name};

pub(crate) async fn consume(
    link: &Link,
    queue: Queue,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let name = queue_name(queue.role, queue.kind);
    // What is in hand outlives the connection it came by; only the end of the consumer itself ends it.
    let mut in_hand = JoinSet::new();
    let mut attempts = link.attempts(&name, &stop);
    while attempts.go_on() {
        let session = async {
            let hand = Hand {
                queue: name.clone(),
                channel: channel(link, queue.prefetch).await?,
                handler: handler.clone(),
                stop: stop.clone(),
            };
            deliver(&mut attempts, &Arc::new(hand), &mut in_hand).await
        };
        if let Err(error) = session.await {
            attempts.failed(error).await?;
        }
    }
    while in_hand.join_next().await.is_some() {}
    Ok(())
}

async fn channel(link: &Link, prefetch: u16) -> Result<Channel, LinkError> {
    let channel = link.channel().await?;
    answer(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    declare(&channel).await?;
    answer(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    Ok(channel)
}

async fn deliver(
    attempts: &mut Attempts<'_>,
    hand: &Arc<Hand>,
    in_hand: &mut JoinSet<()>,
) -> Result<(), LinkError> {
    let mut deliveries = answer(hand.channel.basic_consume(
        hand.queue.as_str().into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    ))
    .await?;
    attempts.works();
    loop {
        tokio::select! {
            delivery = deliveries.next() => match delivery {
                Some(Ok(delivery)) => {
                    in_hand.spawn(hand.clone().take(delivery));
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err(LinkError::Other("the queue or the connection is gone".to_owned())),
            },
            Some(_) = in_hand.join_next() => {}
            () = hand.stop.cancelled() => {
                let tag = deliveries.tag();
                // What came meanwhile goes back with the channel.
                let _ = answer(hand.channel.basic_cancel(tag, BasicCancelOptions::default())).await;
                return Ok(());
            }
        }
    }
}

struct Hand {
    queue: String,
    channel: Channel,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
}

/// What the broker is told about a delivery.
enum Answer {
    Handled,
    GivenBack,
}

impl Hand {
    async fn take(self: Arc<Self>, delivery: Delivery) {
        let told = match self.handle(&delivery).await {
            Answer::Handled => answer(delivery.ack(BasicAckOptions::default())).await,
            Answer::GivenBack => {
                let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                answer(delivery.nack(requeue)).await
            }
        };
        if let Err(error) = told {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "a message was not answered, it comes again");
        }
    }

    async fn handle(&self, delivery: &Delivery) -> Answer {
        let event = match proto::decode_event(&delivery.data) {
            Ok(event) => event,
            Err(error) => return self.set_aside(delivery, &error.to_string()).await,
        };
        let span = bus::span(&event, trace_parent(&delivery.properties).as_deref());
        loop {
            match self.handler.handle(&event).instrument(span.clone()).await {
                Outcome::Done => return Answer::Handled,
                Outcome::Dead { reason } => return self.set_aside(delivery, &reason).await,
                Outcome::Retry { after } => {
                    let again = tokio::time::sleep(after);
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return Answer::GivenBack,
                        () = again => {}
                    }
                }
            }
        }
    }

    /// Publishes a copy with the reason; only then is the message itself answered.
    async fn set_aside(&self, delivery: &Delivery, reason: &str) -> Answer {
        tracing::error!(queue = self.queue, reason, "message set aside");
        metrics::counter!("ssl_manager_messages_dead_total").increment(1);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published = async {
            let confirm = answer(self.channel.basic_publish(
                DEAD.into(),
                self.queue.as_str().into(),
                options,
                &delivery.data,
                dead(&delivery.properties, &self.queue, reason),
            ))
            .await?;
            answer(confirm).await
        };
        match published.await {
            Ok(Confirmation::Ack(None)) => Answer::Handled,
            Ok(_) | Err(_) => Answer::GivenBack,
        }
    }
}
