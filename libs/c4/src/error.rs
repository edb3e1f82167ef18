//! Error answers of C4, and errors in the settings.

use std::error::Error;
use std::time::Duration;

use domain::Closed;

/// Why a client cannot be made from its settings. None of it shows the token.
#[derive(Debug, thiserror::Error)]
pub enum C4ConfigError {
    /// Key and token would travel in the open.
    #[error(
        "c4.base_url {url} is not https: plain http is for loopback alone, because private keys travel there"
    )]
    InsecureUrl {
        /// The configured value.
        url: String,
    },
    /// Not a URL that requests can be made under.
    #[error("c4.base_url cannot be used: {problem}")]
    BadUrl {
        /// What is wrong with it.
        problem: String,
    },
    /// The token cannot stand in a header.
    #[error("the C4 token is empty or has characters that a header cannot carry")]
    BadToken,
    /// The extra root is no certificate.
    #[error("c4.root_certificate_file holds no PEM certificate that can be trusted: {problem}")]
    BadRootCertificate {
        /// What is wrong with it.
        problem: String,
    },
    /// TLS or the HTTP client cannot be set up.
    #[error("the HTTP client for C4 cannot be set up")]
    Client {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum C4Error {
    /// No answer, or none that says anything about the domain.
    #[error("{operation} at C4 got no answer: {detail}")]
    CouldNotAsk {
        /// The call that was tried.
        operation: &'static str,
        /// The error, without secrets.
        detail: String,
        /// How long C4 asked to be left alone, at most an hour.
        retry_after: Option<Duration>,
    },
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] Closed),
    /// C4 does not know the domain.
    #[error("C4 does not know the domain")]
    UnknownDomain,
    /// C4 has seen a higher revision.
    #[error("C4 has seen a newer upload or removal")]
    Stale,
    /// C4 understood and said no.
    #[error("C4 refused ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// C4's own words, shortened.
        message: String,
    },
}

impl C4Error {
    /// Whether the same call may succeed later without any change.
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::CouldNotAsk { .. })
    }

    /// How long C4 asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CouldNotAsk { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
