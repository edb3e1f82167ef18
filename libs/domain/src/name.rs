//! Domain names as this system accepts them: one spelling per name, and only names that HTTP-01 can prove.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A domain name in its canonical spelling: ASCII (punycode, RFC 5890), lower case, no trailing dot, at most 253
/// bytes, below a public suffix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

/// Why a text is not a domain name that can have a certificate. Each message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's sentence is its documentation")]
pub enum NameError {
    #[error("the domain name is empty: write a name such as shop.example.com")]
    Empty,
    #[error("{0} is an IP address: certificates are for names, write the name that points to it")]
    IpAddress(IpAddr),
    #[error("wildcards cannot be proven by HTTP-01: add each name by itself")]
    Wildcard,
    #[error("the name has {0} bytes, at most 253 are allowed (RFC 1035)")]
    TooLong(usize),
    #[error("the name has an empty label: remove the extra dot")]
    EmptyLabel,
    #[error("the label {0:?} has over 63 bytes (RFC 1035)")]
    LabelTooLong(String),
    #[error("the label {0:?} begins or ends with a hyphen")]
    Hyphen(String),
    #[error("the label {0:?} has an underscore: certificates are not issued for such names")]
    Underscore(String),
    #[error("the name has a character that a domain name cannot have: use letters, digits, hyphens and dots")]
    BadCharacter,
    #[error("{0:?} is a single label: write the full name, such as shop.example.com")]
    SingleLabel(String),
    #[error("{0:?} is a public suffix, nobody's own domain: write a name below it")]
    PublicSuffix(String),
}

impl NameError {
    /// Stable reason for programs, in capitals.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "NAME_EMPTY",
            Self::IpAddress(_) => "NAME_IS_IP_ADDRESS",
            Self::Wildcard => "NAME_IS_WILDCARD",
            Self::TooLong(_) => "NAME_TOO_LONG",
            Self::EmptyLabel => "NAME_LABEL_EMPTY",
            Self::LabelTooLong(_) => "NAME_LABEL_TOO_LONG",
            Self::Hyphen(_) => "NAME_LABEL_HYPHEN",
            Self::Underscore(_) => "NAME_LABEL_UNDERSCORE",
            Self::BadCharacter => "NAME_BAD_CHARACTER",
            Self::SingleLabel(_) => "NAME_SINGLE_LABEL",
            Self::PublicSuffix(_) => "NAME_IS_PUBLIC_SUFFIX",
        }
    }
}

const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

impl DomainName {
    /// Parses and normalises what a person typed.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // The length is limited first: punycode and the suffix list see at most a screenful.
        if text.len() > 4 * MAX_NAME_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Err(NameError::IpAddress(address));
        }
        if text.split('.').any(|label| label == "*") {
            return Err(NameError::Wildcard);
        }
        for label in text.split('.') {
            check_label(label)?;
        }
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::STD3)
            .map_err(|_| NameError::BadCharacter)?
            .into_owned();
        Self::from_ascii(ascii)
    }

    fn from_ascii(ascii: String) -> Result<Self, NameError> {
        // Punycode is longer than the input, and mapping can produce dots, so check again.
        let ascii = ascii.strip_suffix('.').map(str::to_owned).unwrap_or(ascii);
        if ascii.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong(ascii.len()));
        }
        for label in ascii.split('.') {
            check_label(label)?;
        }
        if let Ok(address) = ascii.parse() {
            return Err(NameError::IpAddress(address));
        }
        if !ascii.contains('.') {
            return Err(NameError::SingleLabel(ascii));
        }
        if ascii.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NameError::BadCharacter);
        }
        if psl::suffix_str(&ascii) == Some(ascii.as_str()) {
            return Err(NameError::PublicSuffix(ascii));
        }
        Ok(Self(ascii))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its registered domain, by the public suffix list.
    pub fn registered(&self) -> &str {
        psl::domain_str(&self.0).unwrap_or(&self.0)
    }

    /// Whether the name is itself a registered domain (an apex), which cannot have a CNAME.
    pub fn is_apex(&self) -> bool {
        psl::domain_str(&self.0) == Some(self.0.as_str())
    }
}

/// Returns the host of a URL that was pasted in place of a name: for `https://user@shop.example.com:8443/a?b` it is
/// `shop.example.com`. Other text is returned unchanged.
pub fn host_of(text: &str) -> &str {
    let text = text.trim().trim_matches(['"', '\'', '`', '<', '>']);
    let (is_address, rest) = match text.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, text),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // Without a scheme it is a mail address, not a name.
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) if is_address => host,
        _ => authority,
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A part of a name in the spelling of [`DomainName`], if it has one: lower case, punycode.
pub fn spelled(part: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_cow(part.as_bytes(), idna::AsciiDenyList::EMPTY).ok()?;
    Some(ascii.into_owned())
}

fn check_label(label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if label.is_ascii() && label.len() > MAX_LABEL_BYTES {
        return Err(NameError::LabelTooLong(label.to_owned()));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Hyphen(label.to_owned()));
    }
    if label.contains('_') {
        return Err(NameError::Underscore(label.to_owned()));
    }
    Ok(())
}

impl FromStr for DomainName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_spelling_per_name() {
        for (typed, name) in [
            ("shop.example.com", "shop.example.com"),
            ("  Shop.Example.COM. ", "shop.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("a.co.uk", "a.co.uk"),
            ("3com.com", "3com.com"),
        ] {
            assert_eq!(DomainName::parse(typed).unwrap().as_str(), name, "{typed}");
        }
    }

    #[test]
    fn an_address_gives_its_host() {
        for (pasted, host) in [
            ("shop.example.com", "shop.example.com"),
            (" https://user:secret@WWW.example.com:8443/path?q=1#top ", "WWW.example.com"),
            ("<http://a.example.com>", "a.example.com"),
            ("a.example.com/path", "a.example.com"),
            ("a.example.com:443", "a.example.com"),
            ("bob@example.com", "bob@example.com"),
            ("[::1]:80", "[::1]:80"),
            ("https://", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(pasted), host, "{pasted}");
        }
    }

    #[test]
    fn every_bad_name_says_what_is_wrong() {
        let long_label = format!("{}.example.com", "a".repeat(64));
        let long_name = format!("{}example.com", "abcdefghi.".repeat(25));
        for (typed, reason) in [
            ("", "NAME_EMPTY"),
            (" . ", "NAME_EMPTY"),
            ("192.0.2.1", "NAME_IS_IP_ADDRESS"),
            ("[2001:db8::1]", "NAME_IS_IP_ADDRESS"),
            ("*.example.com", "NAME_IS_WILDCARD"),
            (long_name.as_str(), "NAME_TOO_LONG"),
            ("a..example.com", "NAME_LABEL_EMPTY"),
            (long_label.as_str(), "NAME_LABEL_TOO_LONG"),
            ("-a.example.com", "NAME_LABEL_HYPHEN"),
            ("a-.example.com", "NAME_LABEL_HYPHEN"),
            ("_dmarc.example.com", "NAME_LABEL_UNDERSCORE"),
            ("a b.example.com", "NAME_BAD_CHARACTER"),
            ("http://example.com/", "NAME_BAD_CHARACTER"),
            ("a\0.example.com", "NAME_BAD_CHARACTER"),
            ("localhost", "NAME_SINGLE_LABEL"),
            ("co.uk", "NAME_IS_PUBLIC_SUFFIX"),
            ("github.io", "NAME_IS_PUBLIC_SUFFIX"),
        ] {
            let error = DomainName::parse(typed).expect_err(typed);
            assert_eq!(error.reason(), reason, "{typed}: {error}");
        }
    }

    #[test]
    fn an_apex_is_known() {
        assert!(DomainName::parse("example.co.uk").unwrap().is_apex());
        let below = DomainName::parse("www.shop.example.co.uk").unwrap();
        assert!(!below.is_apex());
        assert_eq!(below.registered(), "example.co.uk");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,300}") {
            if let Ok(name) = DomainName::parse(&text) {
                prop_assert_eq!(DomainName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(name.as_str().len() <= MAX_NAME_BYTES);
            }
        }
    }
}
