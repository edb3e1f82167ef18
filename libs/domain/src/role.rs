//! Who may do what: four roles, each a set of actions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a principal may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, adds, generates, imports, rechecks, rolls back, deletes.
    Support,
    /// A viewer who may download private keys.
    KeyReader,
    /// May do all.
    Admin,
}

/// What a call does, as far as permission is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look at domains, certificates, history.
    Read,
    /// Change domains.
    Operate,
    /// Take a private key out.
    ReadKey,
    /// Have a CA revoke a certificate: nothing brings it back.
    Revoke,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Support, Self::KeyReader, Self::Admin];

    /// Whether this role may do that.
    pub fn may(self, action: Action) -> bool {
        match action {
            Action::Read => true,
            Action::Operate => matches!(self, Self::Support | Self::Admin),
            Action::ReadKey => matches!(self, Self::KeyReader | Self::Admin),
            Action::Revoke => self == Self::Admin,
        }
    }

    /// The word of the command line and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Support => "support",
            Self::KeyReader => "key-reader",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("unknown role {text:?}: use viewer, support, key-reader or admin"))
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    /// Not left to serde, whose sentence does not say what there is.
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
