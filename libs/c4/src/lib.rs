//! The client of C4, the CDN's configuration system.
//!
//! The contract is our own, because the real C4 is private to the CDN: it is written in `openapi.yaml` beside this
//! crate, and only this crate has to change with it.
//!
//! Rules. What C4 sends is hostile: bodies and waits are bounded, redirects are not followed, texts are shortened and
//! cleaned before they are logged or shown. "Could not ask" is a separate answer: a 401, a time-out or a 404 without
//! the contract's body says nothing about the domain. The caller retries, because it has a clock and a database; this
//! client makes one request per call.

mod client;
mod error;
mod list;
mod outside;
mod tls;
mod wire;

pub use client::{C4Client, C4Options, C4Token, Upload};
pub use error::{C4ConfigError, C4Error};
pub use list::C4Page;
pub use wire::{C4Certificate, C4Domain};
