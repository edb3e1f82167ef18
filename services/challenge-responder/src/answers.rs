//! Finds the answer to a (host, token) pair: in memory while it is fresh, in the store otherwise.
//!
//! A flood of requests for unknown tokens must not block the CA's requests. So queries to the store are bounded and
//! queue only for a moment; remembered answers are given even if the store is busy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Clock, DomainName};
use store::{Challenge, Store, StoreError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::memory::{Memory, MemoryLookup};

const MAX_QUESTIONS: usize = 32;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The same if there is a remembered answer, used if the store has none: a CA waits about ten seconds.
const REREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// All that this role may see of the store.
#[async_trait]
pub(crate) trait Challenges: Send + Sync + 'static {
    async fn one(&self, host: &DomainName, token: &str) -> Result<Option<String>, StoreError>;
    async fn all(&self, host: &DomainName) -> Result<Vec<Challenge>, StoreError>;
}

#[async_trait]
impl Challenges for Arc<Store> {
    async fn one(&self, host: &DomainName, token: &str) -> Result<Option<String>, StoreError> {
        self.key_authorization(host, token).await
    }

    async fn all(&self, host: &DomainName) -> Result<Vec<Challenge>, StoreError> {
        self.challenges(host).await
    }
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This key authorization.
    Found(String),
    /// Nothing was stored for that host and token.
    Nothing,
    /// The store could not be asked just now.
    Busy,
}

pub(crate) struct Answers {
    store: Arc<dyn Challenges>,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
    questions: Semaphore,
}

impl Answers {
    pub(crate) fn new(store: Arc<dyn Challenges>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, memory: Mutex::default(), questions: Semaphore::new(MAX_QUESTIONS) }
    }

    /// Loads what is stored for a host.
    pub(crate) async fn warm(&self, host: &DomainName) -> Result<(), StoreError> {
        let asked_at = self.clock.now();
        let responses = self.store.all(host).await?;
        let responses = responses.into_iter().map(|response| (response.token, response.key_authorization));
        self.memory().replace(host, responses, asked_at);
        Ok(())
    }

    /// Forgets a host; what is asked next reads the store.
    pub(crate) fn forget(&self, host: &DomainName) {
        self.memory().forget(host);
    }

    /// Returns the answer for exactly this host and token.
    pub(crate) async fn find(&self, host: &DomainName, token: &str) -> Answer {
        let asked_at = self.clock.now();
        let recalled = self.memory().recall(host, token, asked_at);
        if let Some(MemoryLookup::Fresh(key_authorization)) = recalled {
            return Answer::Found(key_authorization);
        }
        let within = if recalled.is_some() { REREAD_TIMEOUT } else { READ_TIMEOUT };
        match self.ask_store(host, token, within).await {
            Some(Some(key_authorization)) => {
                self.memory().remember(host, token.to_owned(), key_authorization.clone(), asked_at);
                Answer::Found(key_authorization)
            }
            Some(None) => {
                self.memory().forget_one(host, token);
                Answer::Nothing
            }
            // It was stored for this host within the hour; better than failing the CA's question.
            None => match recalled {
                Some(MemoryLookup::Fresh(key_authorization) | MemoryLookup::Stale(key_authorization)) => {
                    Answer::Found(key_authorization)
                }
                None => Answer::Busy,
            },
        }
    }

    /// None if the store has no room, no time or no answer.
    async fn ask_store(&self, host: &DomainName, token: &str, within: Duration) -> Option<Option<String>> {
        let permit = timeout(QUEUE_TIMEOUT, self.questions.acquire()).await.ok()?.ok()?;
        let answer = timeout(within, self.store.one(host, token)).await;
        drop(permit);
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "challenge not read");
                None
            }
            Err(_) => {
                tracing::warn!("challenge not read in time");
                None
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use jiff::{SignedDuration, Timestamp};
    use runtime::testing::ManualClock;

    use super::*;

    pub(crate) const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

    /// Challenges in memory, with a gate that holds questions back.
    pub(crate) struct FakeStore {
        stored: Mutex<HashMap<(String, String), String>>,
        pub(crate) questions: AtomicUsize,
        gate: Semaphore,
        fails: AtomicBool,
    }

    impl FakeStore {
        pub(crate) fn new() -> Arc<Self> {
            Arc::new(Self {
                stored: Mutex::default(),
                questions: AtomicUsize::new(0),
                gate: Semaphore::new(Semaphore::MAX_PERMITS),
                fails: AtomicBool::new(false),
            })
        }

        pub(crate) fn put(&self, host: &str, token: &str) -> String {
            let answer = format!("{token}.thumbprint");
            self.stored.lock().unwrap().insert((host.to_owned(), token.to_owned()), answer.clone());
            answer
        }

        fn clear(&self) {
            self.stored.lock().unwrap().clear();
        }

        async fn pass(&self) -> Result<(), StoreError> {
            self.questions.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.gate.add_permits(1);
            if self.fails.load(Ordering::SeqCst) {
                return Err(StoreError::Conflict { operation: "test" });
            }
            Ok(())
        }
    }

    #[async_trait]
    impl Challenges for FakeStore {
        async fn one(&self, host: &DomainName, token: &str) -> Result<Option<String>, StoreError> {
            self.pass().await?;
            let key = (host.as_str().to_owned(), token.to_owned());
            Ok(self.stored.lock().unwrap().get(&key).cloned())
        }

        async fn all(&self, host: &DomainName) -> Result<Vec<Challenge>, StoreError> {
            self.pass().await?;
            let stored = self.stored.lock().unwrap();
            let of_host = stored.iter().filter(|((name, _), _)| name == host.as_str());
            Ok(of_host
                .map(|((_, token), key_authorization)| Challenge {
                    host: host.clone(),
                    token: token.clone(),
                    key_authorization: key_authorization.clone(),
                    order: uuid::Uuid::nil().into(),
                    created_at: Timestamp::UNIX_EPOCH,
                })
                .collect())
        }
    }

    fn setup() -> (Arc<FakeStore>, Arc<ManualClock>, Arc<Answers>, DomainName) {
        let (store, clock) = (FakeStore::new(), Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)));
        let answers = Arc::new(Answers::new(store.clone(), clock.clone()));
        (store, clock, answers, DomainName::parse("shop.example.com").unwrap())
    }

    #[tokio::test]
    async fn a_warmed_token_is_answered_without_the_store() {
        let (store, _, answers, host) = setup();
        let expected = store.put(host.as_str(), TOKEN);
        answers.warm(&host).await.unwrap();
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected));
        assert_eq!(store.questions.load(Ordering::SeqCst), 1, "only the warming asked");
    }

    #[tokio::test]
    async fn a_miss_reads_the_store_and_is_remembered_only_if_it_was_found() {
        let (store, _, answers, host) = setup();
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Nothing);
        let expected = store.put(host.as_str(), TOKEN);
        for _ in 0..2 {
            assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected.clone()));
        }
        assert_eq!(store.questions.load(Ordering::SeqCst), 2);
        let other = DomainName::parse("other.example.com").unwrap();
        assert_eq!(answers.find(&other, TOKEN).await, Answer::Nothing, "a token belongs to its host");
    }

    #[tokio::test]
    async fn what_is_older_than_a_minute_is_looked_up_again() {
        let (store, clock, answers, host) = setup();
        let expected = store.put(host.as_str(), TOKEN);
        answers.warm(&host).await.unwrap();
        clock.advance(SignedDuration::from_secs(61));
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected));
        assert_eq!(store.questions.load(Ordering::SeqCst), 2);
        store.clear();
        clock.advance(SignedDuration::from_secs(61));
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Nothing, "the order is over");
        store.fails.store(true, Ordering::SeqCst);
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Busy, "and what was known is forgotten");
    }

    #[tokio::test]
    async fn a_forgotten_host_is_looked_up() {
        let (store, _, answers, host) = setup();
        store.put(host.as_str(), TOKEN);
        answers.warm(&host).await.unwrap();
        store.clear();
        answers.forget(&host);
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Nothing);
    }

    #[tokio::test]
    async fn a_store_that_fails_is_busy_and_what_is_known_is_still_answered() {
        let (store, clock, answers, host) = setup();
        let expected = store.put(host.as_str(), TOKEN);
        answers.warm(&host).await.unwrap();
        store.fails.store(true, Ordering::SeqCst);
        clock.advance(SignedDuration::from_mins(59));
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected));
        clock.advance(SignedDuration::from_mins(2));
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Busy);
    }

    /// A database that is gone is tried again by its connections for as long as they may.
    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_delays_what_is_known_by_a_moment_only() {
        let (store, clock, answers, host) = setup();
        let expected = store.put(host.as_str(), TOKEN);
        answers.warm(&host).await.unwrap();
        store.gate.forget_permits(Semaphore::MAX_PERMITS);
        clock.advance(SignedDuration::from_mins(59));
        let asked = tokio::time::Instant::now();
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected));
        assert!(asked.elapsed() <= REREAD_TIMEOUT, "{:?}", asked.elapsed());
        let other = DomainName::parse("other.example.com").unwrap();
        assert_eq!(answers.find(&other, TOKEN).await, Answer::Busy);
        assert!(asked.elapsed() >= READ_TIMEOUT, "what is not known is waited for");
    }

    /// The store hangs, and all its slots are in use by queries for unknown tokens.
    #[tokio::test(start_paused = true)]
    async fn a_flood_starves_no_live_token() {
        let (store, clock, answers, host) = setup();
        let expected = store.put(host.as_str(), TOKEN);
        answers.warm(&host).await.unwrap();
        store.gate.forget_permits(Semaphore::MAX_PERMITS);
        let flood: Vec<_> = (0..500)
            .map(|number| {
                let (answers, host) = (answers.clone(), host.clone());
                tokio::spawn(async move { answers.find(&host, &format!("{TOKEN}{number}")).await })
            })
            .collect();
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected.clone()), "fresh");
        clock.advance(SignedDuration::from_mins(5));
        assert_eq!(answers.find(&host, TOKEN).await, Answer::Found(expected), "no room to look it up again");
        assert!(store.questions.load(Ordering::SeqCst) <= 1 + 2 * MAX_QUESTIONS);
        for one in flood {
            assert_eq!(one.await.unwrap(), Answer::Busy);
        }
    }
}
