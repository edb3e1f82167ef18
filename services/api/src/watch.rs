//! The stream of changes. A domain's latest change is its row's position, so a client that was away gets each domain
//! once, in its present state, and misses nothing.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use domain::{DomainName, Event};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use proto::v1;
use runtime::Context;
use store::{AtRisk, Change, DomainView};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::error::{error, from_store, invalid};
use crate::labels::{wanted_customer, wanted_labels};
use crate::lasts::StreamRights;

/// The stream that a client gets.
pub(crate) type ChangeStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchDomainsResponse, Status>> + Send + 'static>>;

/// How often changes are polled without a hint.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A client that has read nothing for this time is disconnected; it can resume.
const TIMEOUT: Duration = Duration::from_secs(30);
const BATCH: u32 = 500;
const BUFFER: usize = 64;

/// Which domains are watched.
#[derive(Default)]
pub(crate) struct WatchFilter {
    customer_ref: Option<String>,
    labels: Vec<(String, String)>,
    at_risk: bool,
}

impl WatchFilter {
    pub(crate) fn new(asked: &v1::WatchDomainsRequest) -> Result<Self, Status> {
        Ok(Self {
            customer_ref: wanted_customer(&asked.customer_ref)?,
            labels: wanted_labels(&asked.labels)?,
            at_risk: asked.at_risk,
        })
    }

    fn fits(&self, view: &DomainView, now: Timestamp) -> bool {
        let has = |(key, value): &(String, String)| view.labels.get(key) == Some(value);
        self.customer_ref.as_ref().is_none_or(|wanted| *wanted == view.domain.customer_ref)
            && self.labels.iter().all(has)
            && (!self.at_risk || AtRisk::at(now).includes(view))
    }
}

pub(crate) struct Watcher {
    context: Context,
    filter: WatchFilter,
    /// Names that were sent as fitting.
    fitting: HashSet<DomainName>,
    /// Names that do not fit, and were told as such; on a stream that was resumed any may have been sent before.
    told: HashSet<DomainName>,
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
        filter: WatchFilter,
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
        let (fitting, told) = (HashSet::new(), HashSet::new());
        Ok(Self { context: context.clone(), filter, fitting, told, position: after, start, only })
    }

    pub(crate) fn stream(self, lasts: StreamRights) -> ChangeStream {
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
                let Some(message) = self.told(&change, now) else { continue };
                match tokio::time::timeout(TIMEOUT, sender.send(Ok(message))).await {
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
                    () = tokio::time::sleep(POLL_INTERVAL) => {}
                    () = sender.closed() => return None,
                }
            }
        }
    }
}

impl Watcher {
    /// What is sent of a change; none for a domain that does not fit, and did not before.
    fn told(&mut self, change: &Change, now: Timestamp) -> Option<v1::WatchDomainsResponse> {
        let name = &change.view.domain.name;
        let is_filtered =
            self.filter.customer_ref.is_some() || !self.filter.labels.is_empty() || self.filter.at_risk;
        if !is_filtered || change.view.domain.deleted_at.is_some() {
            return Some(message(change, now));
        }
        if self.filter.fits(&change.view, now) {
            self.told.remove(name);
            self.fitting.insert(name.clone());
            return Some(message(change, now));
        }
        let is_resumed = self.start == 0;
        let is_news = self.fitting.remove(name) || (is_resumed && !self.told.contains(name));
        is_news.then(|| {
            self.told.insert(name.clone());
            v1::WatchDomainsResponse {
                domain: Some(named(change)),
                no_longer_fits: true,
                ..message(change, now)
            }
        })
    }
}

/// Takes all hints that wait: one look answers them, where a look for each would go on long after many domains changed.
fn hear_out(hints: &mut broadcast::Receiver<Event>) {
    while matches!(hints.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
}

fn message(change: &Change, now: Timestamp) -> v1::WatchDomainsResponse {
    let domain = &change.view.domain;
    let deleted = domain.deleted_at.is_some();
    let domain = if deleted { named(change) } else { crate::message::of_domain(&change.view, now) };
    v1::WatchDomainsResponse {
        position: change.position,
        domain: Some(domain),
        deleted,
        at: Some(proto::to_timestamp(change.at)),
        no_longer_fits: false,
    }
}

fn named(change: &Change) -> v1::Domain {
    let domain = &change.view.domain;
    v1::Domain { name: domain.name.to_string(), revision: domain.revision, ..v1::Domain::default() }
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
