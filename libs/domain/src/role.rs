//! Permissions: four roles, each a set of actions; a principal has a set of roles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A role of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub enum Role {
    /// Read only.
    Viewer,
    /// May read, add, generate, import, recheck, roll back and delete.
    Support,
    /// A viewer who may download private keys.
    KeyReader,
    /// May do everything.
    Admin,
}

/// What a call does, for the purpose of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look at domains, certificates, history.
    Read,
    /// Change domains.
    Operate,
    /// Download a private key.
    ReadKey,
    /// Have a CA revoke a certificate, which cannot be undone.
    Revoke,
    /// Pause requests to the CAs or to C4, and lift a pause.
    Pause,
    /// Manage people, sessions and tokens, and read the audit log and the settings.
    Administer,
    /// List and change webhooks.
    Webhooks,
}

impl Action {
    /// Every action, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Operate,
        Self::ReadKey,
        Self::Revoke,
        Self::Pause,
        Self::Administer,
        Self::Webhooks,
    ];
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Support, Self::KeyReader, Self::Admin];

    /// Whether this role permits the action.
    pub fn may(self, action: Action) -> bool {
        match action {
            Action::Read => true,
            Action::Operate => matches!(self, Self::Support | Self::Admin),
            Action::ReadKey => matches!(self, Self::KeyReader | Self::Admin),
            Action::Revoke | Action::Pause | Action::Administer | Action::Webhooks => self == Self::Admin,
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

    /// Not derived by serde, whose error does not list the roles.
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The roles of a principal, at least one. It may do what any of them permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// The set of these roles; none if it is empty.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Option<Self> {
        let set = roles.into_iter().fold(0, |set, role| set | Self::from(role).0);
        (set != 0).then_some(Self(set))
    }

    /// The roles in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.0 & Self::from(*role).0 != 0)
    }

    /// Whether one of them permits the action.
    pub fn may(self, action: Action) -> bool {
        self.iter().any(|role| role.may(action))
    }

    /// The roles that are in both sets; none if there are none.
    pub fn within(self, other: Self) -> Option<Self> {
        Self::of(self.iter().filter(|role| other.iter().any(|of_other| of_other == *role)))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(1 << role as u8)
    }
}

/// The words, separated by commas.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, role) in self.iter().enumerate() {
            write!(f, "{}{role}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let roles: Vec<Role> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Self::of(roles).ok_or_else(|| "at least one role is needed".to_owned())
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let roles = Vec::<Role>::deserialize(deserializer)?;
        Self::of(roles).ok_or_else(|| serde::de::Error::custom("at least one role is needed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_may_do_what_one_of_it_may_and_nothing_else() {
        for bits in 1..16_u8 {
            let roles: Vec<Role> = Role::ALL
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| bits >> bit & 1 == 1)
                .map(|(_, r)| r)
                .collect();
            let set = Roles::of(roles.clone()).expect("not empty");
            assert_eq!(set.iter().collect::<Vec<_>>(), roles);
            assert_eq!(set.to_string().parse(), Ok(set));
            for action in Action::ALL {
                assert_eq!(set.may(action), roles.iter().any(|role| role.may(action)), "{set} {action:?}");
            }
        }
        let both = Roles::of([Role::KeyReader, Role::Support]).expect("not empty");
        assert!(both.may(Action::Operate) && both.may(Action::ReadKey) && !both.may(Action::Revoke));
        assert_eq!(both.to_string(), "support,key-reader");
        assert_eq!(both.within(Role::Support.into()), Some(Role::Support.into()));
        assert_eq!(both.within(Role::Admin.into()), None);
    }

    #[test]
    fn what_is_no_set_of_roles_says_so() {
        for text in ["", ",", "support,", "boss", "support boss", "Support"] {
            assert!(text.parse::<Roles>().unwrap_err().contains("unknown role"), "{text:?}");
        }
        assert_eq!(Roles::of([]), None);
    }
}
