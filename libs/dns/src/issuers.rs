//! The grammar of an `issue` property (RFC 8659 section 4.2, RFC 8657). Pure functions: text in, answer out.
//!
//! Parsed here, because the resolver library takes a space for a part of a name, and a CA does not.

/// The CA that wants to issue, and its method (RFC 8659 section 4.2, RFC 8657).
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// The CA's names, such as `letsencrypt.org`. If empty, nothing can be checked, and CAA permits.
    pub identities: &'a [String],
    /// How the name will be validated, such as `http-01` (RFC 8657 section 4).
    pub method: &'a str,
    /// Our account at that CA, if known (RFC 8657 section 3).
    pub account_url: Option<&'a str>,
}

/// The value of an `issue` property (RFC 8659 section 4.2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Issuers<'a> {
    /// Empty: no CA.
    domain: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Issuers<'a> {
    /// Nothing if the value does not follow the grammar.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let value = str::from_utf8(value).ok()?;
        let (domain, parameters) = value.split_once(';').unwrap_or((value, ""));
        let (domain, parameters) = (trim(domain), trim(parameters));
        if !domain.is_empty() && !domain.split('.').all(is_label) {
            return None;
        }
        let parameters = match parameters {
            "" => Vec::new(),
            some => some.split(';').map(parameter).collect::<Option<_>>()?,
        };
        Some(Self { domain, parameters })
    }

    /// Whether the applicant is the CA that is meant, and keeps the conditions (RFC 8657 sections 3 and 4). Conditions
    /// of other kinds are between the owner and the CA.
    pub(crate) fn include(&self, applicant: &Applicant<'_>) -> bool {
        let is_issuer =
            applicant.identities.iter().any(|identity| identity.eq_ignore_ascii_case(self.domain));
        let accounts: Vec<_> = self.all("accounturi").collect();
        let is_account = match accounts.as_slice() {
            [] => true,
            [account] => applicant.account_url == Some(account),
            _ => false,
        };
        let has_method = |methods: &str| methods.split(',').any(|method| method == applicant.method);
        !self.domain.is_empty() && is_issuer && is_account && self.all("validationmethods").all(has_method)
    }

    fn all(&self, tag: &str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |(other, _)| *other == tag).map(|(_, value)| *value)
    }
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (trim(tag), trim(value));
    (is_label(tag) && value.bytes().all(|byte| byte.is_ascii_graphic())).then_some((tag, value))
}

/// A label of a domain name; the tags of parameters are spelled alike.
fn is_label(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_allowed)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_the_grammar() {
        let none: &[(&str, &str)] = &[];
        for (value, expected) in [
            ("ca.example.net", Some(("ca.example.net", none))),
            (" \tca.example.net\t ", Some(("ca.example.net", none))),
            ("ca.example.net;", Some(("ca.example.net", none))),
            ("ca.example.net ; ", Some(("ca.example.net", none))),
            ("CA", Some(("CA", none))),
            ("", Some(("", none))),
            ("  ", Some(("", none))),
            (";", Some(("", none))),
            (" ; ", Some(("", none))),
            ("; a=b", Some(("", &[("a", "b")]))),
            ("ca.net;a=b", Some(("ca.net", &[("a", "b")]))),
            ("ca.net; a = b ;\tc-3=", Some(("ca.net", &[("a", "b"), ("c-3", "")]))),
            ("ca.net; a=b; a=c", Some(("ca.net", &[("a", "b"), ("a", "c")]))),
            ("ca.net; uri=https://ca.net/?x=1,2", Some(("ca.net", &[("uri", "https://ca.net/?x=1,2")]))),
            ("%%%%%", None),
            ("ca.net.", None),
            (".ca.net", None),
            ("ca..net", None),
            ("-ca.net", None),
            ("ca-.net", None),
            ("ca_1.net", None),
            ("ca.net a=b", None),
            ("ca.net other.net", None),
            ("ca.net; a", None),
            ("ca.net; =b", None),
            ("ca.net; a=b;", None),
            ("ca.net; a=b;; c=d", None),
            ("ca.net;; a=b", None),
            ("ca.net; a=b c", None),
            ("ca.net; a_b=c", None),
            ("ca.net; -a=c", None),
            ("ca.net; a=\u{e9}", None),
            ("ca.net; a=\u{7f}", None),
            ("ca.net\n", None),
            ("ca.n\u{e9}t", None),
        ] {
            let expected =
                expected.map(|(domain, parameters)| Issuers { domain, parameters: parameters.to_vec() });
            assert_eq!(Issuers::parse(value.as_bytes()), expected, "{value:?}");
        }
        assert_eq!(Issuers::parse(b"ca.net\xff"), None);
    }
}
