//! The one stream, and the last changes.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1;
use tokio::sync::{Notify, broadcast, watch};
use tonic::Code;

use crate::api::{Api, Token};
use crate::live::Change;

/// Changes that are kept for late viewers.
const MAX_KEPT: usize = 4096;
/// Changes that a viewer may be behind.
const MAX_BEHIND: usize = 2048;
/// Tokens to go on with when one ends.
const TOKENS: usize = 32;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Without a viewer the stream ends after this time, and the viewers' tokens are dropped with it.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a page waits for the stream, so that changes after its rendering are not missed.
const READY_TIMEOUT: Duration = Duration::from_millis(500);

/// The position of a viewer: the stream, and how far it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    stream: u64,
    pub(crate) position: i64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stream, self.position)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stream, position) = text.split_once('.').ok_or(())?;
        Ok(Self { stream: stream.parse().map_err(drop)?, position: position.parse().map_err(drop)? })
    }
}

/// A viewer's subscription.
pub(crate) struct Subscription {
    /// The missed changes; none if there were too many.
    pub(crate) missed: Option<Vec<Arc<Change>>>,
    pub(crate) changes: broadcast::Receiver<Arc<Change>>,
    /// Whether the API answers.
    pub(crate) is_there: watch::Receiver<bool>,
}

#[derive(Default)]
struct State {
    /// Raised whenever what is kept begins anew.
    stream: u64,
    kept: VecDeque<Arc<Change>>,
    /// Of the last change that was kept and then forgotten.
    forgotten: i64,
    position: i64,
    tokens: VecDeque<Token>,
}

/// The one stream, shared.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changes: broadcast::Sender<Arc<Change>>,
    is_there: watch::Sender<bool>,
    wanted: Notify,
}

impl Hub {
    /// `first` tells this process's streams from those of the one before it.
    pub(crate) fn new(first: u64) -> Self {
        let state = State { stream: first, ..State::default() };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changes: broadcast::Sender::new(MAX_BEHIND),
            is_there: watch::Sender::new(false),
            wanted: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token to open the stream with.
    fn offer(&self, token: &Token) {
        let mut state = self.state();
        state.tokens.retain(|known| known.expose() != token.expose());
        state.tokens.push_front(token.clone());
        state.tokens.truncate(TOKENS);
        drop(state);
        self.0.wanted.notify_one();
    }

    /// Where a page that is made now begins to listen. Asked before the page reads anything.
    pub(crate) async fn cursor(&self, token: &Token) -> Cursor {
        self.offer(token);
        let mut is_there = self.0.is_there.subscribe();
        // A page does not wait for an API that is away.
        let _ = tokio::time::timeout(READY_TIMEOUT, is_there.wait_for(|is_there| *is_there)).await;
        let state = self.state();
        Cursor { stream: state.stream, position: state.position }
    }

    /// Listens from a cursor on.
    pub(crate) fn listen(&self, token: &Token, from: Option<Cursor>) -> Subscription {
        self.offer(token);
        let state = self.state();
        let missed =
            from.filter(|from| from.stream == state.stream && from.position >= state.forgotten).map(|from| {
                let kept = state.kept.iter().filter(|change| change.position > from.position);
                kept.cloned().collect()
            });
        Subscription { missed, changes: self.0.changes.subscribe(), is_there: self.0.is_there.subscribe() }
    }

    /// The cursor after a change.
    pub(crate) fn after(&self, change: &Change) -> Cursor {
        Cursor { stream: self.state().stream, position: change.position }
    }

    /// Where the stream stands.
    pub(crate) fn now(&self) -> Cursor {
        let state = self.state();
        Cursor { stream: state.stream, position: state.position }
    }

    /// Keeps the stream open as long as there is a viewer; never ends.
    pub(crate) async fn run(&self, api: &Api) {
        loop {
            let token = self.state().tokens.front().cloned();
            let Some(token) = token else {
                self.0.wanted.notified().await;
                continue;
            };
            self.follow(api, &token).await;
        }
    }

    /// Follows the API's stream with one token until the token ends or no viewer is left.
    async fn follow(&self, api: &Api, token: &Token) {
        let position = self.state().position;
        let request = v1::WatchDomainsRequest {
            after_position: (position > 0).then_some(position),
            only_new: position == 0,
            ..v1::WatchDomainsRequest::default()
        };
        let opened = api.domains_in_the_background(token).watch_domains(request).await;
        let ended = match opened {
            Ok(answer) => {
                self.0.is_there.send_replace(true);
                self.read(answer.into_inner()).await
            }
            Err(status) => Some(status),
        };
        let Some(status) = ended else {
            self.forget();
            return;
        };
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                let mut state = self.state();
                state.tokens.retain(|known| known.expose() != token.expose());
            }
            // Too far behind, or a position that a restored database does not know: begin anew.
            Code::InvalidArgument => self.begin_anew(),
            _ => {
                // Told once, and not at every try.
                self.0.is_there.send_if_modified(std::mem::take);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Why the stream ended; none if no viewer is left.
    async fn read(&self, mut stream: tonic::Streaming<v1::WatchDomainsResponse>) -> Option<tonic::Status> {
        loop {
            match tokio::time::timeout(IDLE_TIMEOUT, stream.message()).await {
                Ok(Ok(Some(message))) => self.keep(message),
                Ok(Ok(None)) => return Some(tonic::Status::unavailable("the stream ended")),
                Ok(Err(status)) => return Some(status),
                Err(_) if self.0.changes.receiver_count() == 0 => return None,
                Err(_) => {}
            }
        }
    }

    fn keep(&self, message: v1::WatchDomainsResponse) {
        let Some(domain) = message.domain else { return };
        let change = Arc::new(Change::new(message.position, domain, message.deleted));
        let mut state = self.state();
        state.position = change.position;
        state.kept.push_back(change.clone());
        if state.kept.len() > MAX_KEPT {
            state.forgotten = state.kept.pop_front().map_or(0, |oldest| oldest.position);
        }
        // Sent under the lock: a later subscriber finds the change among the kept ones.
        let _ = self.0.changes.send(change);
    }

    /// What is kept of one stream says nothing about the next.
    fn begin_anew(&self) {
        let mut state = self.state();
        state.stream = state.stream.wrapping_add(1);
        state.kept.clear();
        (state.forgotten, state.position) = (0, 0);
    }

    fn forget(&self) {
        self.0.is_there.send_replace(false);
        self.begin_anew();
        self.state().tokens.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(position: i64) -> v1::WatchDomainsResponse {
        v1::WatchDomainsResponse {
            position,
            domain: Some(v1::Domain::default()),
            ..v1::WatchDomainsResponse::default()
        }
    }

    fn token() -> Token {
        Token::new("sls_test".to_owned())
    }

    fn positions(heard: &Subscription) -> Option<Vec<i64>> {
        let missed = heard.missed.as_ref()?;
        Some(missed.iter().map(|change| change.position).collect())
    }

    #[tokio::test]
    async fn who_comes_late_hears_what_was_missed() {
        let hub = Hub::new(7);
        for position in 1..=3 {
            hub.keep(message(position));
        }
        let from = |text: &str| text.parse().ok();
        assert_eq!(positions(&hub.listen(&token(), from("7.1"))), Some(vec![2, 3]));
        assert_eq!(positions(&hub.listen(&token(), from("7.3"))), Some(vec![]));
        for unknown in ["6.1", "", "x", "7", "7.x"] {
            assert_eq!(positions(&hub.listen(&token(), from(unknown))), None, "{unknown}");
        }
    }

    #[tokio::test]
    async fn who_missed_too_much_is_told() {
        let hub = Hub::new(7);
        for position in 1..=(MAX_KEPT as i64 + 10) {
            hub.keep(message(position));
        }
        assert_eq!(positions(&hub.listen(&token(), "7.9".parse().ok())), None);
        let heard = hub.listen(&token(), "7.10".parse().ok());
        assert_eq!(positions(&heard).map(|missed| missed.len()), Some(MAX_KEPT));
        hub.begin_anew();
        assert_eq!(positions(&hub.listen(&token(), "7.10".parse().ok())), None);
    }

    #[tokio::test]
    async fn what_comes_after_is_heard_once() {
        let hub = Hub::new(7);
        hub.keep(message(1));
        let mut heard = hub.listen(&token(), "7.0".parse().ok());
        hub.keep(message(2));
        assert_eq!(positions(&heard), Some(vec![1]));
        assert_eq!(heard.changes.recv().await.unwrap().position, 2);
    }
}
