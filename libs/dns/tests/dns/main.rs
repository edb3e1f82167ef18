//! Questions about names, by a nameserver that can answer anything.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod addresses;
mod caa;
mod kit;
mod pointing;
mod trouble;
