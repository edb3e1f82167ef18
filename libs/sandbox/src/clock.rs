//! The clock of the parts.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time. Tests pass one that they move.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the sandbox's default clock is made")]
    let now = Timestamp::now;
    Arc::new(now)
}
