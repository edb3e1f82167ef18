//! Revocation reasons, and how long a revocation may wait for the replacement.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

/// The reasons of RFC 5280 section 5.3.1 that a subscriber may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// The private key is, or may be, compromised.
    KeyCompromise,
    /// The subject's name or other information changed.
    AffiliationChanged,
    /// It was replaced by another certificate.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::KeyCompromise, Self::AffiliationChanged, Self::Superseded, Self::CessationOfOperation];

    /// How long a served certificate waits for its replacement to be live; after that it is revoked anyway. The CA/B
    /// Forum's Baseline Requirements, section 4.9.1.1, allow 24 hours; the rest is reserved for a CA that is down at
    /// that time.
    pub const REPLACED_WITHIN: SignedDuration = SignedDuration::from_hours(20);

    /// The word of the API, the command line and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
        }
    }

    /// For sentences.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key compromise",
            Self::AffiliationChanged => "affiliation changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation of operation",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RevocationReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or_else(|| {
            format!(
                "unknown reason {text:?}: use key-compromise, affiliation-changed, superseded or \
                     cessation-of-operation"
            )
        })
    }
}

/// The state of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevocationState {
    /// It was requested; the CA may or may not have received the request.
    Asked,
    /// The CA has revoked the certificate.
    Revoked,
    /// The CA refuses at present: a person must act and request it again.
    Refused,
    /// The certificate ended first.
    Ended,
}

impl RevocationState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Asked, Self::Revoked, Self::Refused, Self::Ended];

    /// The word of the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Revoked => "revoked",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

impl FromStr for RevocationState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for reason in RevocationReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        for state in RevocationState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("unspecified".parse::<RevocationReason>().is_err());
    }
}
