//! A full disk: one line in the log per minute, however many writes fail, and whether a health check has to try a write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LOG_INTERVAL: Duration = Duration::from_mins(1);

static LOGGED_AT: Mutex<Option<Instant>> = Mutex::new(None);
static WAS_FULL: AtomicBool = AtomicBool::new(false);

/// A write failed because the disk is full.
pub(crate) fn is_full() {
    WAS_FULL.store(true, Ordering::Relaxed);
    let mut logged_at = LOGGED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    if logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
        *logged_at = Some(Instant::now());
        tracing::error!("disk full: the database stores nothing until there is space again");
    }
}

/// Whether a write failed for that reason, and none has shown since that there is space again.
pub(crate) fn was_full() -> bool {
    WAS_FULL.load(Ordering::Relaxed)
}

/// A write that needs space succeeded.
pub(crate) fn has_space() {
    if WAS_FULL.swap(false, Ordering::Relaxed) {
        tracing::info!("the database's disk has space again");
    }
}
