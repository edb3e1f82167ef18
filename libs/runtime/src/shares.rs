//! Shared limits: a maximum for all together and a maximum for each key, for permits, streams and bytes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Keys that are removed together once they are unused.
const TIDY_AT: usize = 1024;

/// Why there is nothing to lend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All of it is lent.
    Total,
    /// This key has its share.
    Key,
}

/// The capacity, in any unit.
#[derive(Debug)]
pub struct Shares<K> {
    total: usize,
    per_key: usize,
    lent: Mutex<LentShare<K>>,
}

#[derive(Debug)]
struct LentShare<K> {
    total: usize,
    by_key: HashMap<K, usize>,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// `total` for all, at most `per_key` of it for one key.
    pub fn new(total: usize, per_key: usize) -> Arc<Self> {
        let lent = Mutex::new(LentShare { total: 0, by_key: HashMap::new() });
        Arc::new(Self { total, per_key: per_key.min(total), lent })
    }

    /// Lends `amount` until the share is dropped.
    pub fn take(self: &Arc<Self>, key: &K, amount: usize) -> Result<Share<K>, Full> {
        self.lend(key, amount, self.per_key)?;
        Ok(Share { shares: self.clone(), key: key.clone(), amount })
    }

    /// Lends one to a key that may stand for many; if it does, only the total counts.
    pub fn take_one(self: &Arc<Self>, key: &K, is_shared: bool) -> Result<Share<K>, Full> {
        self.lend(key, 1, if is_shared { self.total } else { self.per_key })?;
        Ok(Share { shares: self.clone(), key: key.clone(), amount: 1 })
    }

    /// How much is lent now.
    pub fn lent(&self) -> usize {
        self.state().total
    }

    /// How much there is for all.
    pub fn total(&self) -> usize {
        self.total
    }

    fn lend(&self, key: &K, amount: usize, per_key: usize) -> Result<(), Full> {
        let mut lent = self.state();
        let of_key = lent.by_key.get(key).copied().unwrap_or_default();
        if of_key + amount > per_key {
            return Err(if per_key < self.total { Full::Key } else { Full::Total });
        }
        if lent.total + amount > self.total {
            return Err(Full::Total);
        }
        lent.total += amount;
        lent.by_key.insert(key.clone(), of_key + amount);
        Ok(())
    }

    fn give_back(&self, key: &K, amount: usize) {
        let mut lent = self.state();
        lent.total -= amount;
        if let Some(of_key) = lent.by_key.get_mut(key) {
            *of_key -= amount;
            if *of_key == 0 {
                lent.by_key.remove(key);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, LentShare<K>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lent share; dropping it gives it back.
#[derive(Debug)]
pub struct Share<K: Clone + Eq + Hash> {
    shares: Arc<Shares<K>>,
    key: K,
    amount: usize,
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Lends more of the same.
    pub fn grow(&mut self, by: usize) -> Result<(), Full> {
        self.shares.lend(&self.key, by, self.shares.per_key)?;
        self.amount += by;
        Ok(())
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.shares.give_back(&self.key, self.amount);
    }
}

/// A short queue for work that takes milliseconds: a few run at once, a bounded number waits, for a bounded time. Keys
/// take turns: one of them has at most a quarter of what is done at once, however many of it wait.
#[derive(Debug)]
pub struct Queue<K> {
    at_once: Arc<Semaphore>,
    at_once_of_key: usize,
    by_key: Mutex<HashMap<K, Arc<Semaphore>>>,
    waiting: Arc<Shares<K>>,
    patience: Duration,
}

/// A turn; dropped, the next one begins.
#[derive(Debug)]
pub struct Turn {
    _of_key: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// `at_once` have a turn, `waiting` wait for one, `per_key` of them of one key.
    pub fn new(at_once: usize, waiting: usize, per_key: usize, patience: Duration) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(at_once)),
            at_once_of_key: (at_once / 4).max(1),
            by_key: Mutex::default(),
            waiting: Shares::new(waiting, per_key),
            patience,
        }
    }

    /// Waits for a turn; a key that `is_shared` stands for many. Errors: the queue is full, or the turn did not come in
    /// time.
    pub async fn turn(&self, key: &K, is_shared: bool) -> Result<Turn, Full> {
        let place = self.waiting.take_one(key, is_shared)?;
        let turns = async {
            let of_key = if is_shared { None } else { Some(self.of_key(key).acquire_owned().await.ok()?) };
            Some(Turn { _of_key: of_key, _of_all: self.at_once.clone().acquire_owned().await.ok()? })
        };
        let turn = tokio::time::timeout(self.patience, turns).await;
        drop(place);
        turn.ok().flatten().ok_or(Full::Total)
    }

    fn of_key(&self, key: &K) -> Arc<Semaphore> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.len() >= TIDY_AT {
            // Holders and waiters of a permit hold one, too.
            by_key.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        let turns = by_key.entry(key.clone());
        turns.or_insert_with(|| Arc::new(Semaphore::new(self.at_once_of_key))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_share_and_all_have_the_total() {
        let shares = Shares::new(10, 4);
        let first = shares.take(&"a", 3).expect("three");
        let mut second = shares.take(&"a", 1).expect("one more");
        assert_eq!(shares.take(&"a", 1).expect_err("a has its share"), Full::Key);
        assert_eq!(second.grow(1).expect_err("nor more of the same"), Full::Key);
        let others = [shares.take(&"b", 4), shares.take(&"c", 2)].map(|share| share.expect("a share"));
        assert_eq!(shares.take(&"d", 1).expect_err("all is lent"), Full::Total);
        assert_eq!(shares.lent(), 10);
        drop(first);
        second.grow(1).expect("given back");
        drop((second, others));
        assert_eq!(shares.lent(), 0);
        assert!(shares.state().by_key.is_empty(), "keys are forgotten");
        let nat: Vec<_> = (0..10).map_while(|_| shares.take_one(&"nat", true).ok()).collect();
        assert_eq!(nat.len(), 10, "a key that stands for many");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_waits_in_numbers_lets_others_pass() {
        let queue = Arc::new(Queue::new(4, 100, 100, Duration::from_hours(1)));
        let greedy: Vec<_> = (0..50)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let _turn = queue.turn(&"greedy", false).await;
                    std::future::pending::<()>().await;
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let others = [queue.turn(&"a", false).await, queue.turn(&"b", false).await];
        assert!(others.iter().all(Result::is_ok), "one has a quarter");
        let shared = queue.turn(&"office", true).await;
        assert!(shared.is_ok());
        greedy.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_short_in_length_and_time() {
        let queue = Queue::new(1, 2, 1, Duration::from_secs(1));
        let turn = queue.turn(&"a", false).await.expect("the first");
        let (b, again, c) =
            tokio::join!(queue.turn(&"b", false), queue.turn(&"b", false), queue.turn(&"c", false));
        assert_eq!(again.expect_err("b waits once"), Full::Key);
        assert!(b.is_err() && c.is_err(), "no turn came in time");
        drop(turn);
        queue.turn(&"b", false).await.expect("a turn");
    }
}
