//! The audit log: who did what, from where, with which result.
//!
//! Rules. A line is appended in the transaction of the call it tells of ([`Caller::line`]), so that there is no change
//! without its line. Once a second the scheduler seals what was committed ([`seal`]): each line gets the next number and
//! a hash over the hash before and its own content, and the head of the chain is logged, so that it also stands where
//! the database's owner cannot reach. [`verify()`] finds a line that was changed or removed after it was sealed, and lines
//! that were cut off at the end; who rewrites the whole chain with its head is found by a head from the logs.
//!
//! Why the hash is not made in the call's transaction: every call would have to wait for the one before it to commit.
//! The price is that a line can be tampered with unnoticed until it is sealed, for about a second.

mod caller;
mod chain;
mod verify;

pub use caller::Caller;
pub use chain::{FIRST, link, seal};
pub use verify::{Broken, Report, verify};

/// The outcome of a call that did what it was asked to.
pub const OK: &str = "OK";
