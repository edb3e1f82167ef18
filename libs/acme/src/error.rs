//! What a CA can answer, as far as it matters for what to do next.

use std::time::Duration;

use store::StoreError;

/// Most characters of a CA's own words that are kept.
const MOST_DETAIL: usize = 300;

/// Why a call to a CA did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The CA answered with a problem (RFC 8555 section 6.7).
    #[error("the CA answered {status} {problem}: {detail}")]
    Problem {
        /// HTTP status.
        status: u16,
        /// The problem's type without its prefix, for example `rateLimited`.
        problem: String,
        /// The CA's own words, shortened.
        detail: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// No answer: whether the CA took the request is unknown.
    #[error("no answer from the CA: {0}")]
    Unreachable(String),
    /// An answer that makes no sense.
    #[error("the CA's answer makes no sense: {0}")]
    Nonsense(String),
    /// The store did not take a step of the journal.
    #[error("the journal did not take a step")]
    Store(#[from] StoreError),
    /// Our own key or setting cannot be used.
    #[error("{0}")]
    Local(String),
}

impl AcmeError {
    /// How long the CA asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the CA says that we are over one of its limits.
    pub fn is_rate_limited(&self) -> bool {
        matches!(self, Self::Problem { status, problem, .. } if *status == 429 || problem == "rateLimited")
    }

    /// Whether the CA refused the request itself, so that the same request cannot succeed. Trouble at its end and
    /// anti-replay nonces are no refusal.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Problem { status: 400..=499, problem, .. } if problem != "badNonce")
            && !self.is_rate_limited()
    }

    /// Whether the order is not in the state that the request needs (RFC 8555 section 7.4); looking again helps.
    pub fn is_order_not_ready(&self) -> bool {
        matches!(self, Self::Problem { problem, .. } if problem == "orderNotReady")
    }

    /// Whether another order replaces the same certificate already (RFC 9773 section 5).
    pub fn is_already_replaced(&self) -> bool {
        matches!(self, Self::Problem { problem, .. } if problem == "alreadyReplaced")
    }

    /// Whether the certificate is revoked already (RFC 8555 section 7.6).
    pub fn is_already_revoked(&self) -> bool {
        matches!(self, Self::Problem { problem, .. } if problem == "alreadyRevoked")
    }

    /// Whether it may be the account's key that the CA does not take, because another one has taken its place.
    pub fn may_be_the_accounts_key(&self) -> bool {
        let Self::Problem { status: 400..=499, problem, .. } = self else {
            return false;
        };
        matches!(problem.as_str(), "malformed" | "unauthorized" | "accountDoesNotExist") && !self.is_gone()
    }

    /// Whether the CA itself does not work: no answer, an answer that makes no sense, or one that says so.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Nonsense(_) => true,
            Self::Problem { status, .. } => *status >= 500,
            Self::Store(_) | Self::Local(_) => false,
        }
    }

    /// Whether what we asked for is not there (any more).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Problem { status: 404 | 410, .. })
    }

    pub(crate) fn problem(
        problem: &instant_acme::Problem,
        status: u16,
        retry_after: Option<Duration>,
    ) -> Self {
        let (problem, detail) = Self::words(problem);
        Self::Problem { status, problem, detail, retry_after }
    }

    /// A problem's type without its prefix, and its detail, shortened.
    pub(crate) fn words(problem: &instant_acme::Problem) -> (String, String) {
        let kind = problem.r#type.as_deref().unwrap_or("about:blank");
        let kind = kind.rsplit(':').next().unwrap_or(kind);
        (clean(kind), clean(problem.detail.as_deref().unwrap_or("no detail given")))
    }
}

/// Shortens a text from outside and takes out what is not for a line of a page.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_DETAIL).collect()
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Unreachable(clean(&other.to_string())),
            },
            instant_acme::Error::Api(problem) => {
                let status = problem.status.unwrap_or(400);
                Self::problem(&problem, status, None)
            }
            instant_acme::Error::Json(error) => Self::Nonsense(clean(&error.to_string())),
            other => Self::Nonsense(clean(&other.to_string())),
        }
    }
}
