//! Rehearsals against real servers on loopback, by the sandbox's DNS.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod addresses;
mod answers;
mod documents;
mod kit;
mod redirects;
