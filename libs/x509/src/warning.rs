//! Warnings about an accepted pasted certificate.

use std::fmt;

/// A warning. Its code crosses the API; page and terminal print its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The chain leads to no root of Mozilla's program.
    NotPubliclyTrusted,
    /// A public CA issued it, but its intermediate did not come along.
    IntermediateMissing,
    /// A certificate stood twice.
    DuplicateLeftOut,
    /// A certificate did not issue any of the others.
    UnrelatedLeftOut,
}

impl Warning {
    const ALL: [Self; 4] =
        [Self::NotPubliclyTrusted, Self::IntermediateMissing, Self::DuplicateLeftOut, Self::UnrelatedLeftOut];

    /// Stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotPubliclyTrusted => "not_publicly_trusted",
            Self::IntermediateMissing => "intermediate_missing",
            Self::DuplicateLeftOut => "duplicate_left_out",
            Self::UnrelatedLeftOut => "unrelated_left_out",
        }
    }

    /// The warning with that code; none for a code of a newer server.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|warning| warning.code() == code)
    }

    /// Adds it, once.
    pub(crate) fn put(self, warnings: &mut Vec<Self>) {
        if !warnings.contains(&self) {
            warnings.push(self);
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPubliclyTrusted => {
                "browsers do not trust this certificate's issuer: visitors will see a warning"
            }
            Self::IntermediateMissing => {
                "the certificate of its issuer, the intermediate, is missing: import it again together with that one"
            }
            Self::DuplicateLeftOut => "a certificate that stood twice was left out",
            Self::UnrelatedLeftOut => "a certificate that does not belong to the domain's chain was left out",
        })
    }
}
