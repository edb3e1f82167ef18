//! The notifier against a receiver that behaves as a test wants, on a clock that the test moves.

mod kit;
mod order;
mod outage;
mod receivers;
mod timers;
