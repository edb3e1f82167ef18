//! Why the expected body did not come back: because of the site or because of us.

use domain::one_line;

use crate::Rehearsed;
use crate::target::Target;

const MAX_CHARACTERS: usize = 300;

/// Texts are parts of a sentence, made of our own words, numbers, addresses and host names that a [`Target`] accepts:
/// nothing else from a server.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// A CA would fail for the same reason.
    Site(String),
    /// A CA may well succeed.
    Ours(String),
}

impl FetchError {
    pub(crate) fn site(found: impl Into<String>) -> Self {
        Self::Site(found.into())
    }

    pub(crate) fn no_answer() -> Self {
        Self::site("no answer in time")
    }

    /// Says where it happened, if a redirect led there.
    pub(crate) fn at(self, target: &Target) -> Self {
        if target.is_first() {
            return self;
        }
        let led = |what| format!("it redirects to {}, and there {what}", target.origin());
        match self {
            Self::Site(found) => Self::Site(led(found)),
            Self::Ours(detail) => Self::Ours(led(detail)),
        }
    }

    /// Of two addresses that were tried: what we could not try leaves open what a CA would have found there.
    pub(crate) fn or(self, later: Self) -> Self {
        match self {
            Self::Ours(_) => self,
            Self::Site(_) => later,
        }
    }
}

impl From<FetchError> for Rehearsed {
    fn from(failure: FetchError) -> Self {
        match failure {
            FetchError::Site(found) => Self::Wrong { found: one_line(&found, MAX_CHARACTERS) },
            FetchError::Ours(detail) => Self::CouldNotAsk { detail: one_line(&detail, MAX_CHARACTERS) },
        }
    }
}
