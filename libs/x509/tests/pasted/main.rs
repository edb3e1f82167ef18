//! What a customer pastes is accepted if browsers can use it, and otherwise refused with the reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chain;
mod containers;
mod key;
mod kit;
mod leaf;
mod people;
mod text;
