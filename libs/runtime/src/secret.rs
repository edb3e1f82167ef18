//! A configured secret that neither logs nor dumps show.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A secret text. It is masked wherever it is printed or serialized.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn masked(&self) -> &'static str {
        if self.is_empty() { "" } else { "********" }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.masked())
    }
}

/// A URL that may hold a password. That is masked wherever the URL is printed or serialized.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL itself, for the one place that connects.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn masked(&self) -> String {
        let (rest, query) = match self.0.split_once('?') {
            Some((rest, query)) if query.contains("password=") => (rest, "?********"),
            _ => (self.0.as_str(), ""),
        };
        let password = rest.find("://").and_then(|scheme| {
            let user = scheme + 3;
            let end = rest.rfind('@').filter(|end| *end >= user)?;
            let colon = rest[user..end].find(':')?;
            Some(user + colon + 1..end)
        });
        match password {
            Some(range) => format!("{}********{}{query}", &rest[..range.start], &rest[range.end..]),
            None => format!("{rest}{query}"),
        }
    }
}

impl From<&str> for SecretUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_masked_wherever_it_stands() {
        for (url, shown) in [
            ("sqlite://data/ssl.db", "sqlite://data/ssl.db"),
            ("embedded:", "embedded:"),
            ("postgres://host/db?sslmode=require", "postgres://host/db?sslmode=require"),
            ("postgres://u:p4ss@host/db?a=b", "postgres://u:********@host/db?a=b"),
            ("postgres://u:p@4/ss?@host/db", "postgres://u:********@host/db"),
            ("amqps://u:p4ss@host/vhost", "amqps://u:********@host/vhost"),
            ("postgres://host/db?user=u&password=p4ss", "postgres://host/db?********"),
        ] {
            assert_eq!(format!("{:?}", SecretUrl(url.to_owned())), shown, "{url}");
        }
    }
}
