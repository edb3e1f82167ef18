//! CAA records (RFC 8659) as parts of reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dns::{MAX_NAMED, and_more};

/// Maximum number of records in a reason; the rest is counted.
const MAX_RECORDS: usize = 20;
const MAX_CHARACTERS: usize = 120;
/// The flag of a property that a CA must know.
const CRITICAL: u8 = 0b1000_0000;

/// A CAA record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaaRecord {
    /// 128 is "critical": a CA that does not know the tag must not issue.
    pub flags: u8,
    /// For example `issue`.
    pub tag: String,
    /// For example `letsencrypt.org`.
    pub value: String,
}

impl CaaRecord {
    /// Builds it from a record's bytes: non-printable characters are escaped, long values are cut.
    pub fn new(flags: u8, tag: &[u8], value: &[u8]) -> Self {
        let readable = |bytes: &[u8]| {
            let text = bytes.escape_ascii().to_string();
            let dots = if text.len() > MAX_CHARACTERS { "..." } else { "" };
            format!("{text:.MAX_CHARACTERS$}{dots}")
        };
        Self { flags, tag: readable(tag), value: readable(value) }
    }

    /// Whether a CA that does not know the tag must not issue.
    pub fn is_critical(&self) -> bool {
        self.flags & CRITICAL != 0
    }

    /// Whether it has that tag, ignoring case.
    pub fn is(&self, tag: &str) -> bool {
        self.tag.eq_ignore_ascii_case(tag)
    }
}

impl fmt::Display for CaaRecord {
    /// As a part of a sentence, without flags.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.tag, self.value)
    }
}

/// The CAA finding that keeps a CA from issuing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaaFound {
    /// Records: those that restrict issuance and do not name the CA, or a critical one with an unknown tag.
    Records {
        /// The first ones.
        records: Vec<CaaRecord>,
        /// The number of further records.
        more: u32,
    },
    /// Records that the CA found and we did not: its own words.
    Told(String),
}

impl CaaFound {
    /// Keeps the first records and counts the rest.
    pub fn records(mut records: Vec<CaaRecord>) -> Self {
        let more = records.len().saturating_sub(MAX_RECORDS);
        records.truncate(MAX_RECORDS);
        Self::Records { records, more: u32::try_from(more).unwrap_or(u32::MAX) }
    }

    /// The CAs that the records allow, and the number of further records. None if the records do not say so: critical
    /// ones with an unknown tag, or those that only the CA found.
    pub(crate) fn allowed(&self) -> Option<(Vec<&str>, u32)> {
        let Self::Records { records, more } = self else { return None };
        let says = |record: &CaaRecord| record.is("issue") || record.is("issuewild");
        let names =
            records.iter().map(|record| record.value.trim()).filter(|value| !matches!(*value, "" | ";"));
        records.iter().all(says).then(|| (names.collect(), *more))
    }
}

impl fmt::Display for CaaFound {
    /// As a part of a sentence: `issue "ca.example.net", issue "ca.example.org"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records { records, more } => {
                let count = records.len() + *more as usize;
                f.write_str(&and_more(records.iter().take(MAX_NAMED).map(ToString::to_string), count))?;
                match records.as_slice() {
                    [unknown] if unknown.is_critical() && !unknown.is("issue") => {
                        f.write_str(", which is critical and not known")
                    }
                    _ => Ok(()),
                }
            }
            Self::Told(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DomainName, Reason};

    #[test]
    fn a_record_is_told_in_bounds_and_without_odd_characters() {
        let told = |value: &[u8]| CaaRecord::new(0, b"issue", value).to_string();
        assert_eq!(told(b"ca.net; a=b"), r#"issue "ca.net; a=b""#);
        assert_eq!(told(b"a\0\"\x1b[1m\xe9\n"), r#"issue "a\x00\"\x1b[1m\xe9\n""#);
        let whole = "x".repeat(120);
        assert_eq!(told(whole.as_bytes()), format!("issue \"{whole}\""));
        assert_eq!(told(&vec![b'x'; 60_000]), format!("issue \"{whole}...\""));
        assert!(CaaRecord::new(0, &[b'x'; 255], b"").tag.len() <= 123);
    }

    #[test]
    fn a_few_are_named_some_are_carried_and_all_are_counted() {
        let record = CaaRecord::new(0, b"issue", b"ca.net");
        let found = CaaFound::records(vec![record.clone(); 1000]);
        let named = [r#"issue "ca.net""#; MAX_NAMED].join(", ");
        assert_eq!(found.to_string(), format!("{named} and 994 more"));
        assert_eq!(found, CaaFound::Records { records: vec![record.clone(); 20], more: 980 });
        assert_eq!(CaaFound::records(vec![record; 6]).to_string(), named);
    }

    #[test]
    fn a_critical_record_says_why_it_forbids() {
        let told = |flags, tag: &[u8]| CaaFound::records(vec![CaaRecord::new(flags, tag, b"x")]).to_string();
        assert_eq!(told(128, b"tbs"), r#"tbs "x", which is critical and not known"#);
        assert_eq!(told(128, b"Issue"), r#"Issue "x""#);
        assert_eq!(told(127, b"tbs"), r#"tbs "x""#);
    }

    #[test]
    fn the_message_names_the_certificate_authorities_that_are_allowed() {
        let record = |tag: &[u8], value: &[u8]| CaaRecord::new(0, tag, value);
        let message = |records: Vec<CaaRecord>| {
            let at = "example.com".to_owned();
            let reason =
                Reason::CaaForbids { at, found: CaaFound::records(records), wanted: "ca.net".to_owned() };
            reason.message(&DomainName::parse("shop.example.com").unwrap())
        };
        let add = "Please add: example.com. CAA 0 issue \"ca.net\". Keep the others.";
        let one = message(vec![record(b"issue", b"digicert.com")]);
        assert_eq!(
            one,
            format!(
                "CAA records at example.com allow only digicert.com to issue for shop.example.com. {add}"
            )
        );
        let two =
            message(vec![record(b"issue", b"a.net"), record(b"issuewild", b"b.net"), record(b"issue", b";")]);
        assert!(two.contains("allow only a.net, b.net to issue"), "{two}");
        let none = message(vec![record(b"issue", b";")]);
        assert!(none.contains("allow no certificate authority to issue"), "{none}");
        let unknown = message(vec![CaaRecord::new(CRITICAL, b"tbs", b"x")]);
        assert!(unknown.contains("(tbs \"x\", which is critical and not known)"), "{unknown}");
        let many = message(vec![record(b"issue", b"a.net"); 1000]);
        assert!(many.contains("and 994 more to issue"), "{many}");
    }
}
