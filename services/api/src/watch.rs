//! The stream of changes. A domain's latest change is its row's position, so a client that was away gets each domain
//! once, as it is now, and misses nothing.

use std::pin::Pin;
use std::time::Duration;

use domain::{DomainName, Event};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use proto::v1;
use runtime::Context;
use store::Change;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::error::{error, from_store, invalid};
use crate::lasts::Lasts;

/// What a client gets.
pub(crate) type ChangeStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDomainsResponse, Status>> + Send + 'static>>;

/// Without a hint, changes are looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A client that has taken nothing for so long is sent away; it can resume.
const PATIENCE: Duration = Duration::from_secs(30);
const BATCH: u32 = 500;
const BUFFER: usize = 64;

pub(crate) struct Watcher {
    context: Context,
    position: i64,
    /// Until here, what was deleted is not news.
    start: i64,
    only: Option<DomainName>,
}

impl Watcher {
    pub(crate) async fn new(
        context: &Context,
        asked: &v1::WatchDomainsRequest,
        only: Option<DomainName>,
    ) -> Result<Self, Status> {
        let present = context.store.position().await.map_err(|problem| from_store(&problem))?;
        let after = match asked.after_position {
            None if asked.only_new => present,
            Some(_) if asked.only_new => {
                let sentence = "send after_position or only_new, not both";
                return Err(invalid("POSITION_INVALID", sentence));
            }
            after => after.unwrap_or(0),
        };
        if after < 0 || after > present {
            let sentence = "after_position must be one that this server sent, or 0 to begin with everything";
            return Err(invalid("POSITION_INVALID", sentence));
        }
        let start = if after == 0 { present } else { 0 };
        Ok(Self { context: context.clone(), position: after, start, only })
    }

    pub(crate) fn stream(self, lasts: Lasts) -> ChangeStream {
        let (sender, receiver) = mpsc::channel(BUFFER);
        // The reason for an early end comes after what is buffered: a slow client's buffer is full.
        let (last_word, end) = oneshot::channel();
        let stop = self.context.stop.clone();
        stop.spawn(async move {
            let soft = self.context.stop.soft().clone();
            tokio::select! {
                problem = self.follow(sender) => {
                    if let Some(problem) = problem {
                        // A client that is gone hears nothing.
                        let _ = last_word.send(Err(problem));
                    }
                }
                problem = lasts.until_it_ends() => {
                    let _ = last_word.send(Err(problem));
                }
                () = soft.cancelled() => {}
            }
        });
        let end = stream::once(end).filter_map(|word| std::future::ready(word.ok()));
        Box::pin(ReceiverStream::new(receiver).chain(end))
    }

    /// Sends changes until the client is gone, or there is a reason to end.
    async fn follow(
        mut self,
        sender: mpsc::Sender<Result<v1::WatchDomainsResponse, Status>>,
    ) -> Option<Status> {
        let mut hints = self.context.bus.listen();
        loop {
            let changes = self.context.store.changes(self.position, self.only.as_ref(), BATCH).await;
            let changes = match changes {
                Ok(changes) => changes,
                Err(problem) => return Some(from_store(&problem)),
            };
            let (more, now) = (changes.len() == BATCH as usize, self.context.clock.now());
            for change in changes {
                self.position = change.position;
                if change.view.domain.deleted_at.is_some() && change.position <= self.start {
                    continue;
                }
                match tokio::time::timeout(PATIENCE, sender.send(Ok(message(&change, now)))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => {
                        let sentence = "the stream is not read fast enough: resume with the last position";
                        return Some(error(Code::ResourceExhausted, "TOO_SLOW", sentence));
                    }
                }
            }
            if !more {
                tokio::select! {
                    // A hint that was missed is as good as one that was heard.
                    _ = hints.recv() => hear_out(&mut hints),
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = sender.closed() => return None,
                }
            }
        }
    }
}

/// Takes all hints that wait: one look answers them, where a look for each would go on long after many domains changed.
fn hear_out(hints: &mut broadcast::Receiver<Event>) {
    while matches!(hints.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
}

fn message(change: &Change, now: Timestamp) -> v1::WatchDomainsResponse {
    let domain = &change.view.domain;
    let deleted = domain.deleted_at.is_some();
    let domain = if deleted {
        v1::Domain { name: domain.name.to_string(), revision: domain.revision, ..v1::Domain::default() }
    } else {
        proto::domain(&change.view, now)
    };
    v1::WatchDomainsResponse {
        position: change.position,
        domain: Some(domain),
        deleted,
        at: Some(proto::to_timestamp(change.at)),
    }
}

#[cfg(test)]
mod tests {
    use domain::{EventId, EventKind};
    use runtime::{SystemClock, SystemEntropy};

    use super::*;

    #[tokio::test]
    async fn hints_that_piled_up_are_heard_at_once_and_the_next_one_is_heard() {
        let (sender, mut hints) = broadcast::channel(4);
        let hint = || Event {
            id: EventId::new(&SystemClock, &SystemEntropy),
            kind: EventKind::StatusChanged,
            name: DomainName::parse("shop.example.com").unwrap(),
            revision: 1,
        };
        for _ in 0..9 {
            sender.send(hint()).unwrap();
        }
        hear_out(&mut hints);
        assert!(matches!(hints.try_recv(), Err(TryRecvError::Empty)));
        sender.send(hint()).unwrap();
        assert!(hints.recv().await.is_ok());
    }
}
