//! Answers HTTP-01 challenges (RFC 8555 section 8.3) and nothing else: the one role that faces the internet.
//!
//! Rules. It answers exact (host, token) pairs that were stored for that host; there is no stateless answer from a
//! token and a thumbprint, and no input is ever sent back. It holds no key, and can read only challenges in the store.
//! Every resource that a client can use up is bounded: connections (`runtime::Listener`), header bytes, time, queries
//! to the store.
//!
//! `challenge-ready` fills the memory before the CA's request. The store is the truth: entries older than a minute are
//! read again, and a miss reads the store, so a lost hint costs a few milliseconds and no validation.

mod answers;
mod memory;
mod request;
mod server;

use std::error::Error;
use std::sync::Arc;

use domain::{Event, EventKind};
use runtime::{Context, Listen, Listener, RoleError};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::request::Hosts;
use crate::server::{Limits, Server};

/// Runs the responder until the hard stop: what other roles have in hand at the soft stop may still need its answers.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("challenge-responder");
    let listener = Listener::new(&context.process(), Listen::ChallengeResponder, None)?;
    let events = context.bus.listen();
    let answers = Arc::new(Answers::new(Arc::new(context.store.clone()), context.clock.clone()));
    let hosts = Hosts::new(context.config.challenge_responder.trusted_proxies.clone());
    let server = Arc::new(Server::new(answers.clone(), hosts, Limits::default()));
    let stop = context.stop.hard().clone();
    context.health.ok("challenge-responder");
    tokio::join!(server.serve(listener, stop.clone()), follow(events, &answers, stop));
    Ok(())
}

/// Keeps the memory up with what happens. Every event is a hint: one that is missed is made up for by a read.
async fn follow(mut events: Receiver<Event>, answers: &Answers, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = stop.cancelled() => return,
        };
        match event {
            Ok(event) => take_hint(answers, &event).await,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "hints missed, the store is read instead");
            }
            // The bus is gone, and with it the process soon.
            Err(RecvError::Closed) => return,
        }
    }
}

async fn take_hint(answers: &Answers, event: &Event) {
    match event.kind {
        EventKind::ChallengeReady => {
            if let Err(error) = answers.warm(&event.name).await {
                let error: &dyn Error = &error;
                tracing::warn!(error, domain = %event.name, "memory not warmed, the store is read when asked");
            }
        }
        // The order is over, and with it its challenges.
        EventKind::IssueFailed | EventKind::CertUploaded { .. } => answers.forget(&event.name),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use jiff::Timestamp;
    use runtime::testing::ManualClock;

    use super::*;
    use crate::answers::Answer;
    use crate::answers::tests::{FakeStore, TOKEN};

    #[tokio::test]
    async fn hints_warm_the_memory_and_clear_it() {
        let store = FakeStore::new();
        let answers = Answers::new(store.clone(), Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)));
        let name = domain::DomainName::parse("shop.example.com").unwrap();
        let expected = store.put(name.as_str(), TOKEN);
        let event = |kind| Event { id: uuid::Uuid::nil().into(), kind, name: name.clone(), revision: 1 };
        let certificate = uuid::Uuid::nil().into();
        for over in [EventKind::IssueFailed, EventKind::CertUploaded { certificate }] {
            take_hint(&answers, &event(EventKind::ChallengeReady)).await;
            let asked = store.questions.load(Ordering::SeqCst);
            take_hint(&answers, &event(EventKind::StatusChanged)).await;
            assert_eq!(answers.find(&name, TOKEN).await, Answer::Found(expected.clone()));
            assert_eq!(store.questions.load(Ordering::SeqCst), asked, "answered from memory");
            take_hint(&answers, &event(over)).await;
            answers.find(&name, TOKEN).await;
            assert_eq!(store.questions.load(Ordering::SeqCst), asked + 1, "looked up");
        }
    }
}
