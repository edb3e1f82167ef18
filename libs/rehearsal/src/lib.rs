//! Rehearses HTTP-01: fetches a probe the way a CA fetches a challenge response (RFC 8555 section 8.3), before an order
//! is placed that could only fail.
//!
//! Rules. Customers decide where this leads, by DNS and by redirects, and it runs inside our network; so everything is
//! hostile. On every hop the name is looked up by us, its addresses are checked, and the connection goes to exactly the
//! address that was checked. Redirects, heads, bodies and waits are bounded as a CA bounds them. What is told of a
//! failure are our own words, never what a server wrote, so that nobody reads answers of our network in a history.
//! What a CA would fail at is [`Rehearsed::Wrong`]; what DNS or this machine could not do is
//! [`Rehearsed::CouldNotAsk`], which blames nobody.
//!
//! Why not reqwest, which this project uses for C4 and the CA: it looks names up, follows redirects and reuses
//! connections by itself, and each of these would need a check that nobody may forget. Here connections take an address
//! of a type that only the check makes, and the rest is one request over one connection (ADR 10).

mod connect;
mod exchange;
mod failure;
mod fetch;
mod internet;
mod patience;
mod post;
mod target;
mod tls;

use ipnet::IpNet;

pub use fetch::Rehearsal;
pub use post::{PostError, Poster, PosterError, Receiver};

/// Where probes may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The port of the first request: 80 on the internet.
    pub http_port: u16,
    /// Whether loopback, private networks and whatever else is not of the internet may be connected to.
    pub allow_private_addresses: bool,
    /// What is not connected to, whatever else is allowed.
    pub refuse_addresses: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self { http_port: 80, allow_private_addresses: false, refuse_addresses: Vec::new() }
    }
}

/// What came of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// The expected body came back.
    Right,
    /// A CA would not find what it expects.
    Wrong {
        /// What happened, as a part of a sentence: `the answer was 404`. Bounded, and never any of the body.
        found: String,
    },
    /// Nothing is known.
    CouldNotAsk {
        /// What was tried and what happened.
        detail: String,
    },
}

/// Why no rehearsal can be made.
#[derive(Debug, thiserror::Error)]
#[error("TLS for rehearsals cannot be set up")]
pub struct RehearsalError(#[source] rustls::Error);
