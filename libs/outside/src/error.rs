//! What can go wrong with the equipment itself.

use std::net::SocketAddr;

/// Why a part of the sandbox does not start, or a look at it failed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A certificate of the sandbox's own cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up tls")]
    Tls(#[from] rustls::Error),
    /// A connection to an edge failed.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What should be a name, a root or an address is not.
    #[error("{0}")]
    Invalid(String),
}
