//! The audit log: who did what, from where, with which result.
//!
//! Rules. A line is appended in the transaction of its call ([`Caller::line`]), so that there is no change without a
//! line. Once a second the scheduler seals the committed lines ([`seal()`]): each gets the next number and a hash over
//! the previous hash and its own content, and the head of the chain is logged, so that it also exists where the
//! database's owner cannot change it. The API, which alone holds a key, signs the end of the chain ([`Signer`]).
//! [`verify()`] finds a line that was changed or removed after it was sealed, lines that were cut off at the end, and a
//! chain that was rewritten with its head: the first by the chain, the others by the API's signature and by heads from
//! the logs.
//!
//! Why the hash is not made in the call's transaction: every call would have to wait for the one before it to commit.
//! The price is that a line can be tampered with unnoticed until it is sealed, for about a second.

mod caller;
mod chain;
mod sign;
mod verify;

pub use caller::Caller;
pub use chain::{FIRST, link, seal};
pub use sign::{SignError, Signer, check_mark, sign_mark};
pub use verify::{Broken, End, Report, verify, verify_and_tell};

/// The outcome of a call that did what it was asked to.
pub const OK: &str = "OK";
