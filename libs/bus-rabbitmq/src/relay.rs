//! The relay: takes events out of the outbox by a lease, publishes them with confirms, then deletes them.
//!
//! If it dies in between, the lease ends and another relay publishes them again; consumers tolerate duplicates.

use std::time::Duration;

use domain::{Clock, Delivery, EventKind};
use jiff::SignedDuration;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use store::{Message, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::link::{Attempts, Link, LinkError, answer};
use crate::message::properties;
use crate::topology::{EVENTS, declare};

const PART: &str = "relay";
/// Messages published before their confirms are waited for.
const BATCH: u32 = 256;
/// Longer than a batch may take; what a dead relay had taken waits as long.
const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// How often the outbox is looked at without a wake-up, for what others left.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Publishes once `bound`, so that earlier listeners receive everything that this process publishes.
pub(crate) async fn run(
    link: &Link,
    store: &Store,
    clock: &dyn Clock,
    bound: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), bus::BusError> {
    let mut attempts = link.attempts(PART, stop);
    while attempts.go_on() {
        if let Err(error) = relay(link, &mut attempts, store, clock, bound, stop).await {
            attempts.failed(error).await?;
        }
    }
    Ok(())
}

async fn relay(
    link: &Link,
    attempts: &mut Attempts<'_>,
    store: &Store,
    clock: &dyn Clock,
    bound: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), LinkError> {
    let channel = link.channel().await?;
    answer(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    declare(&channel).await?;
    attempts.works();
    tokio::select! {
        () = bound.cancelled() => {}
        () = stop.cancelled() => {}
    }
    let mut published = store.published();
    while !stop.is_cancelled() {
        published.mark_unchanged();
        let now = clock.now();
        let messages =
            store.take_messages(&EventKind::WORDS, BATCH, now + LEASE).await.unwrap_or_else(|error| {
                say(&error, "the outbox is not read, it is looked at again");
                Vec::new()
            });
        if messages.is_empty() {
            tokio::select! {
                _ = published.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = stop.cancelled() => {}
            }
            if !channel.status().connected() {
                return Err(LinkError::Other("the connection is lost".to_owned()));
            }
            continue;
        }
        let (sent, unsent, failure) = publish(&channel, messages).await;
        if !sent.is_empty() {
            metrics::counter!("ssl_manager_messages_published_total").increment(sent.len() as u64);
            if let Err(error) = store.delete_messages(&sent).await {
                say(&error, "published messages not deleted, they will be published again");
            }
        }
        for message in &unsent {
            if let Err(error) = store.delay_message(message, now).await {
                say(&error, "messages not given back, their lease will end");
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(())
}

/// Publishes a batch: what was confirmed, what was not, and why not. A broker that was silent once is not waited for
/// again, or a batch could take longer than its lease.
async fn publish(
    channel: &Channel,
    messages: Vec<Message>,
) -> (Vec<Message>, Vec<Message>, Option<LinkError>) {
    let (mut sent, mut unsent, mut failure) = (Vec::new(), Vec::new(), None);
    let mut pending = Vec::with_capacity(messages.len());
    for message in messages {
        if failure.is_some() {
            unsent.push(message);
            continue;
        }
        match send(channel, &message).await {
            Ok(confirm) => pending.push((message, confirm)),
            Err(error) => {
                failure = Some(error);
                unsent.push(message);
            }
        }
    }
    for (message, confirm) in pending {
        if matches!(failure, Some(LinkError::Silent)) {
            unsent.push(message);
            continue;
        }
        let confirmed = match answer(confirm).await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_))) => {
                Err(LinkError::Other(format!("no queue takes {}", message.event.kind.as_str())))
            }
            Ok(_) => Err(LinkError::Other("the broker did not take a message".to_owned())),
            Err(error) => Err(error),
        };
        match confirmed {
            Ok(()) => sent.push(message),
            Err(error) => {
                failure = Some(error);
                unsent.push(message);
            }
        }
    }
    (sent, unsent, failure)
}

async fn send(channel: &Channel, message: &Message) -> Result<lapin::PublisherConfirm, LinkError> {
    let event = &message.event;
    let options = BasicPublishOptions {
        // A broadcast concerns only present listeners, if any.
        mandatory: event.kind.delivery() == Delivery::Work,
        ..BasicPublishOptions::default()
    };
    let body = proto::encode_event(event);
    let properties = properties(&event.id.to_string(), event.kind.as_str(), message.trace_parent.as_deref());
    answer(channel.basic_publish(EVENTS.into(), event.kind.as_str().into(), options, &body, properties)).await
}

fn say(error: &StoreError, what: &'static str) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "{what}");
}
