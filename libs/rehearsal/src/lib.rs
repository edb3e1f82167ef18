//! Rehearses HTTP-01: fetches a probe the way a CA fetches a challenge response (RFC 8555 section 8.3), before an order
//! is placed that could only fail.
//!
//! Rules. Customers decide where a rehearsal connects, by DNS and redirects, and it runs inside our network; so
//! everything is hostile. On every hop we look the name up, check its addresses, and connect to exactly the checked
//! address. Redirects, heads, bodies and waits are bounded as a CA bounds them. An error is described in our own words,
//! never in a server's, so that a history cannot leak answers from our network. If a CA would fail, too, it is
//! [`Rehearsed::Wrong`]; if DNS or this machine failed, it is [`Rehearsed::CouldNotAsk`], which says nothing about the
//! site.
//!
//! Why not reqwest, which this project uses for C4 and the CA: it looks names up, follows redirects and reuses
//! connections by itself, and each of these would need a check that is easily forgotten. Here a connection needs an
//! address of a type that only the check can create, and the rest is one request over one connection (ADR 10).

mod connect;
mod exchange;
mod fetch;
mod fetch_error;
mod internet;
mod patience;
mod post;
mod target;
mod tls;

use ipnet::IpNet;

pub use fetch::Rehearsal;
pub use post::{PostAddresses, PostError, Poster, PosterError, Receiver};

/// Where probes may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The port of the first request: 80 on the internet.
    pub http_port: u16,
    /// Whether loopback, private networks and whatever else is not of the internet may be connected to.
    pub allow_private_addresses: bool,
    /// Networks that are never connected to.
    pub refuse_addresses: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self { http_port: 80, allow_private_addresses: false, refuse_addresses: Vec::new() }
    }
}

/// The result of a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// The expected body came back.
    Right,
    /// A CA would not find what it expects.
    Wrong {
        /// The error, as a part of a sentence: `203.0.113.7 answers with 404`. Bounded, and without any of the body.
        found: String,
    },
    /// Nothing is known.
    CouldNotAsk {
        /// The step and its error.
        detail: String,
    },
}

/// Why no rehearsal can be made.
#[derive(Debug, thiserror::Error)]
#[error("TLS for rehearsals cannot be set up")]
pub struct RehearsalError(#[source] rustls::Error);
