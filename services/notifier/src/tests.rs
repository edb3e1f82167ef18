//! Tests of the notifier with a receiver under the test's control and a clock that the test moves.

mod kit;
mod order;
mod outage;
mod receivers;
mod timers;
