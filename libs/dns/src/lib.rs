//! The preflight's DNS queries: does a name lead to the CDN, and may the CA issue a certificate for it?
//!
//! Rules. Nothing is cached here, because a customer who has just fixed a record tries again at once. "The name does
//! not exist" and "there is no such record" are answers; a nameserver that fails, refuses, stays silent or sends an
//! invalid answer is [`CouldNotAsk`], which says nothing about the name. Answers are hostile: chains, record counts and
//! waits are bounded, and only records that belong to the question are read.
//!
//! A query that a CA does not need must not stop us: AAAA without an answer beside an A record of ours, and queries for
//! CNAME records, which only we send.
//!
//! SERVFAIL may be caused by our nameserver, by the domain's nameservers, or by its signatures: [`Resolver::trouble`]
//! finds out which.
//!
//! The CNAME chain is followed here, one query per name, and not by the resolver library: the library drops the chain
//! if its end has no address, and then we could not tell the customer where the name points.

mod addresses;
mod caa;
mod chain;
mod direct;
mod issuers;
mod lookup;
mod named;
mod pointing;
mod resolver;
mod trouble;

use std::net::{IpAddr, SocketAddr};

use domain::Found;
use ipnet::IpNet;

pub use caa::Caa;
pub use issuers::Applicant;
pub use named::Nameservers;
pub use resolver::Resolver;
pub use trouble::{Failed, Trouble};

/// Where a name must lead.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// It is pointed at us if its CNAME chain passes one of these …
    pub cname_targets: Vec<String>,
    /// … or if it has addresses, and all of them are within these.
    pub addresses: Vec<IpNet>,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointing {
    /// To the CDN.
    AtUs {
        /// By which target or addresses, the same for the same answer: to see later whether it changed.
        found: String,
    },
    /// To somewhere else, or nowhere.
    Elsewhere {
        /// What was found.
        found: Found,
    },
    /// To the CDN over IPv4, but elsewhere over IPv6, which CAs prefer (RFC 8555 section 8.3 leaves the choice to
    /// them).
    ForeignAaaa {
        /// The foreign addresses.
        found: Vec<IpAddr>,
    },
}

/// A question got no answer; nothing is known about the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CouldNotAsk {
    /// The query and its error.
    pub detail: String,
    /// The question, where the nameserver answered that it cannot find out (SERVFAIL).
    pub failed: Option<Failed>,
}

impl CouldNotAsk {
    pub(crate) fn new(detail: String) -> Self {
        Self { detail, failed: None }
    }
}

/// Why no resolver can be made.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The machine has no usable list of nameservers.
    #[error("cannot read the system's nameservers: set dns.nameservers")]
    SystemNameservers(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The resolver did not start.
    #[error("cannot set up a resolver for {nameservers:?}")]
    Resolver {
        /// Which nameservers were to be asked.
        nameservers: Vec<SocketAddr>,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
