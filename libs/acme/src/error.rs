//! The answers of a CA, as far as the next step depends on them.

use std::time::Duration;

use domain::{Closed, Pause, one_line};
use store::StoreError;

use crate::problem::{Meaning, Problem, RequestKind};

/// Most characters of a CA's own words that are kept.
const MAX_DETAIL: usize = 300;

/// Why a call to a CA did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The CA answered with a problem (RFC 8555 section 6.7).
    #[error("the CA answered {} {}: {}", .0.status, .0.kind, .0.detail)]
    Problem(Box<Problem>),
    /// No answer: whether the CA took the request is unknown.
    #[error("no answer from the CA: {0}")]
    Unreachable(String),
    /// The connection broke before the answer was there: whether the CA took the request is unknown.
    #[error("the connection to the CA broke: {0}")]
    Lost(String),
    /// An answer that makes no sense.
    #[error("the CA's answer makes no sense: {0}")]
    Nonsense(String),
    /// An operator paused requests to the CA, so it was not sent.
    #[error("requests to {} are paused by {}", .0.subject(), .0.by)]
    Paused(Box<Pause>),
    /// The store did not take a step of the journal.
    #[error("the journal did not take a step")]
    Store(#[from] StoreError),
    /// Our own key or setting cannot be used.
    #[error("{0}")]
    Local(String),
}

impl AcmeError {
    /// The problem that the CA answered with.
    pub fn as_problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// How long the CA asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.as_problem().and_then(|problem| problem.retry_after)
    }

    /// Whether the CA says that we are over one of its limits.
    pub fn is_rate_limited(&self) -> bool {
        self.as_problem().is_some_and(Problem::is_rate_limited)
    }

    /// Whether the CA refused the request itself, so that the same request cannot succeed. Trouble at its end and
    /// anti-replay nonces are no refusal.
    pub fn is_refusal(&self) -> bool {
        let meaning = self.as_problem().map(|problem| problem.meaning(RequestKind::Order));
        meaning.is_some_and(|meaning| {
            !matches!(meaning, Meaning::CasTrouble | Meaning::Limited | Meaning::Paused)
        })
    }

    /// Whether the order is not in the state that the request needs (RFC 8555 section 7.4); looking again helps.
    pub fn is_order_not_ready(&self) -> bool {
        self.is("orderNotReady")
    }

    /// Whether the certificate is revoked already (RFC 8555 section 7.6).
    pub fn is_already_revoked(&self) -> bool {
        self.is("alreadyRevoked")
    }

    /// Whether the same order may be taken if it does not replace a certificate (RFC 9773 section 5). CAs refuse a
    /// replacement with 409 `alreadyReplaced`, 404, `malformed`, `unauthorized`, and some break over it.
    pub fn may_be_the_replacement(&self) -> bool {
        self.as_problem().is_some_and(|problem| {
            problem.kind == "unauthorized"
                || (problem.kind == "serverInternal" && problem.status == 500)
                || problem.meaning(RequestKind::NewOrder) == Meaning::Refused
        })
    }

    /// Whether the CA does not know the account.
    pub fn is_unknown_account(&self) -> bool {
        self.is("accountDoesNotExist")
    }

    fn is(&self, kind: &str) -> bool {
        self.as_problem().is_some_and(|problem| problem.kind == kind)
    }

    /// Whether it may be the account's key that the CA does not take, because another one has taken its place.
    pub fn may_be_the_accounts_key(&self) -> bool {
        let kinds = ["malformed", "unauthorized", "accountDoesNotExist"];
        kinds.into_iter().any(|kind| self.is(kind)) && !self.is_gone()
    }

    /// Whether the CA itself does not work: no answer, an answer that makes no sense, or one that says so.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::Nonsense(_) => true,
            Self::Problem(problem) => {
                problem.meaning(RequestKind::Order) == Meaning::CasTrouble && !self.is_gone()
            }
            Self::Paused(_) | Self::Store(_) | Self::Local(_) => false,
        }
    }

    /// Whether what we asked for is not there: not any more, or, with a CA whose copies of its database lag behind, not
    /// yet.
    pub fn is_gone(&self) -> bool {
        self.as_problem().is_some_and(|problem| matches!(problem.status, 404 | 410))
    }
}

pub(crate) fn clean(text: &str) -> String {
    one_line(text, MAX_DETAIL)
}

impl From<Closed> for AcmeError {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Paused(pause) => Self::Paused(pause),
            Closed::Unknown(why) => Self::Store(StoreError::away(why)),
        }
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Unreachable(clean(&other.to_string())),
            },
            instant_acme::Error::Api(problem) => Self::Problem(Box::new(Problem::of_inner(&problem))),
            instant_acme::Error::Json(error) => Self::Nonsense(clean(&error.to_string())),
            other => Self::Nonsense(clean(&other.to_string())),
        }
    }
}
