//! Parses a search: part of a name, a URL, a list of names, a certificate's fingerprint or serial number.

use store::Search;
use tonic::Status;

use crate::error::invalid;

/// Of one term, like a name.
const MAX_TERM_BYTES: usize = 253;
const MAX_BYTES: usize = 8 * 1024;
const MAX_TERMS: usize = 100;
const SHA256_DIGITS: usize = 64;
const MIN_SERIAL_DIGITS: usize = 16;

/// The parsed search; none for everything.
pub(crate) fn parse(text: &str) -> Result<Option<Search>, Status> {
    let too_long = |most: &str| Err(invalid("SEARCH_TOO_LONG", format!("search for at most {most}")));
    if text.len() > MAX_BYTES {
        return too_long("253 bytes, or for a list of names of at most 8 KiB");
    }
    let text = text.to_lowercase();
    let terms: Vec<&str> = text
        .split(|letter: char| letter.is_whitespace() || letter == ',' || letter == ';')
        .filter(|term| !term.is_empty())
        .map(host)
        .collect();
    if terms.iter().any(|term| term.len() > MAX_TERM_BYTES) {
        return too_long("253 bytes");
    }
    match terms[..] {
        [] => Ok(None),
        [term] => Ok(Some(one(term))),
        _ if terms.len() > MAX_TERMS => too_long("100 names at once"),
        _ => Ok(Some(Search::Names(terms.into_iter().map(spelled).collect()))),
    }
}

fn one(term: &str) -> Search {
    if let Some(of_certificate) = certificate(term) {
        return of_certificate;
    }
    let end = term.strip_prefix('*').unwrap_or(term);
    if let Some(rest) = end.strip_prefix('.').filter(|rest| !rest.is_empty()) {
        return Search::Suffix(format!(".{}", spelled(rest)));
    }
    let name = spelled(term);
    if name.chars().count() <= 2 { Search::Prefix(name) } else { Search::Part(name) }
}

/// A fingerprint or a serial number, as tools print them: with colons or without.
fn certificate(term: &str) -> Option<Search> {
    let digits: String = term.chars().filter(|letter| *letter != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    if digits.len() == SHA256_DIGITS {
        return Some(Search::Sha256(digits));
    }
    let serial = digits.trim_start_matches('0');
    let even = if serial.len().is_multiple_of(2) { "" } else { "0" };
    (digits.len() >= MIN_SERIAL_DIGITS).then(|| Search::Serial(format!("{even}{serial}")))
}

/// The host of a URL that was pasted, with scheme or without; anything else as it is.
fn host(term: &str) -> &str {
    let (has_scheme, rest) = match term.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, term),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && (has_scheme || name.contains('.')) => name,
        _ => host,
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// As names are kept, where that is possible; what cannot be spelled so matches nothing.
fn spelled(term: &str) -> String {
    let term = term.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(term);
    if term.is_ascii() {
        return term.to_owned();
    }
    domain::spelled(term).unwrap_or_else(|| term.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Search {
        Search::Names(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_typed_or_pasted_is_understood() {
        let sha256 = "0A:".repeat(31) + "ff";
        for (typed, meant) in [
            ("shop", Search::Part("shop".into())),
            ("  Shop.Example.COM. ", Search::Part("shop.example.com".into())),
            ("s", Search::Prefix("s".into())),
            ("sh", Search::Prefix("sh".into())),
            (".", Search::Prefix(".".into())),
            (".example.com", Search::Suffix(".example.com".into())),
            ("*.Example.com", Search::Suffix(".example.com".into())),
            (".bücher.example", Search::Suffix(".xn--bcher-kva.example".into())),
            ("BÜCHER", Search::Part("xn--bcher-kva".into())),
            ("https://u:p@shop.example.com:8443/a?b#c", Search::Part("shop.example.com".into())),
            ("//shop.example.com", Search::Prefix(String::new())),
            ("shop.example.com/path", Search::Part("shop.example.com".into())),
            ("shop.example.com:443", Search::Part("shop.example.com".into())),
            ("http://bücher.example/", Search::Part("xn--bcher-kva.example".into())),
            ("a.example.com, b.example.com", names(&["a.example.com", "b.example.com"])),
            (
                "https://a.example.com/x;B.example.com.\n\t*.c.example",
                names(&["a.example.com", "b.example.com", "*.c.example"]),
            ),
            ("a.example.com,", Search::Part("a.example.com".into())),
            (&sha256, Search::Sha256("0a".repeat(31) + "ff")),
            ("00:F0:0D:01:02:03:04:05:06", Search::Serial("f00d010203040506".into())),
            ("0f0d010203040506", Search::Serial("0f0d010203040506".into())),
            ("f00d01020304050", Search::Part("f00d01020304050".into())),
            ("f00d010203040506.example.com", Search::Part("f00d010203040506.example.com".into())),
        ] {
            assert_eq!(parse(typed).unwrap(), Some(meant), "{typed}");
        }
        for nothing in ["", "  ", " ,; "] {
            assert_eq!(parse(nothing).unwrap(), None);
        }
    }

    #[test]
    fn a_search_is_bounded() {
        let list = |terms: usize| "a.example.com ".repeat(terms);
        assert!(parse(&"x".repeat(253)).is_ok() && parse(&list(100)).is_ok());
        assert!(parse(&format!("https://a.example.com/{}", "x".repeat(300))).is_ok());
        for too_long in
            ["x".repeat(254), list(101), format!("{}{}", list(2), "x".repeat(254)), " ".repeat(8193)]
        {
            assert!(parse(&too_long).is_err(), "{too_long}");
        }
    }
}
