//! Test equipment for all roles: a clock that a test moves and a random source that repeats itself.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{CertificateId, Clock, Entropy, OrderKey};
use jiff::{SignedDuration, Timestamp};
use store::{Result, Store};
use tokio::sync::watch;

use crate::SystemEntropy;

/// A store in a file, with the present schema.
pub async fn open_store(path: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Store>> {
    let store = Store::open_file(path, clock, Arc::new(SystemEntropy)).await?;
    store.migrate().await?;
    Ok(Arc::new(store))
}

/// A key for an order whose certificate is not looked at. What it holds opens under no sealing key.
pub fn order_key() -> OrderKey {
    let certificate = CertificateId::new(&crate::SystemClock, &SystemEntropy);
    OrderKey { certificate, sealed: vec![0, 1, 255], csr: vec![48] }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(watch::channel(now).0)
    }

    /// Moves it forward and wakes the sleepers whose time has come.
    pub fn advance(&self, by: SignedDuration) {
        self.0.send_modify(|now| *now += by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut time = self.0.subscribe();
        let until = self.now() + SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Box::pin(async move {
            // The sender lives in `self`, so this only ends by the time having come.
            let _ = time.wait_for(|now| *now >= until).await;
        })
    }
}

/// A clock on which sleeping takes no time: it jumps ahead, and notes how far.
#[derive(Debug)]
pub struct JumpingClock {
    time: ManualClock,
    slept: Mutex<Vec<Duration>>,
}

impl JumpingClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { time: ManualClock::new(now), slept: Mutex::default() }
    }

    /// Moves it forward without waking sleepers.
    pub fn advance(&self, by: SignedDuration) {
        self.time.advance(by);
    }

    /// The sleeps since this was asked last.
    pub fn take_slept(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.slept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut slept = self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        slept.push(duration);
        self.time.advance(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX));
        // Others get their turn, as they would in a sleep.
        Box::pin(tokio::task::yield_now())
    }
}

/// A random source that gives the same bytes for the same seed (splitmix64).
#[derive(Debug)]
pub struct SeededEntropy(Mutex<u64>);

impl SeededEntropy {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}
