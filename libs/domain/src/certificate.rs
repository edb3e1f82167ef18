//! Public facts about a certificate, without its key.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::CertificateId;

/// Maximum difference between clocks: a certificate whose validity starts within it is used at once.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Generated here through an ACME CA; renewed automatically.
    C4,
    /// Pasted by a customer; never renewed.
    Text,
}

impl Source {
    /// The word of the page, the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::C4 => "c4",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::C4, Self::Text].into_iter().find(|source| source.as_str() == text).ok_or(())
    }
}

/// Whether browsers trust a pasted certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Its chain leads to a root that browsers trust.
    Public,
    /// A public CA issued it, but the CA's intermediate certificate is missing.
    IntermediateMissing,
    /// A private CA issued it, or it is self-signed.
    Private,
}

impl Trust {
    /// The word of the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::IntermediateMissing => "intermediate_missing",
            Self::Private => "private",
        }
    }
}

impl FromStr for Trust {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Public, Self::IntermediateMissing, Self::Private];
        all.into_iter().find(|trust| trust.as_str() == text).ok_or(())
    }
}

/// A certificate's public facts (X.509, RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Our id.
    pub id: CertificateId,
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub sha256: String,
    /// Lower-case hex of the serial number.
    pub serial: String,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Its source.
    pub source: Source,
    /// Whether browsers trust it; none for a generated one.
    pub trust: Option<Trust>,
}

impl CertificateSummary {
    /// When it can be used, at the earliest at `now`.
    pub fn usable_at(&self, now: Timestamp) -> Timestamp {
        if self.not_before.duration_since(now) > CLOCK_TOLERANCE { self.not_before } else { now }
    }
}
