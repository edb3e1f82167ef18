//! Errors of starting or calling a part.

use std::io;
use std::net::SocketAddr;

/// A part did not start, or an edge did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A key or certificate could not be made.
    #[error("cannot make a key or certificate")]
    Certificate(#[from] rcgen::Error),
    /// A TLS configuration was refused.
    #[error("cannot set up tls")]
    Tls(#[from] rustls::Error),
    /// No connection came about.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed: no certificate for the name, or one that does not verify.
    #[error("tls handshake with {address} for {name} failed")]
    Handshake {
        /// The address.
        address: SocketAddr,
        /// The name that was asked for.
        name: String,
        /// What TLS said.
        source: io::Error,
    },
    /// Not a name that TLS or DNS can carry.
    #[error("{0:?} is not a domain name")]
    Name(String),
    /// The given certificate or key is not one in PEM.
    #[error("the given certificate or key is not pem")]
    Identity,
    /// The given root is not a certificate in PEM.
    #[error("the root is not a certificate in pem")]
    Root,
}
