//! DNS records as parts of reasons: the present ones and the required ones.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Maximum number of addresses or records in a sentence; the rest is counted.
pub(crate) const MAX_NAMED: usize = 6;

/// A type of record, as zone editors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name; not allowed at an apex (RFC 1034 section 3.6.2).
    Cname,
    /// The replacement for a CNAME that DNS providers offer at an apex; also called ANAME or CNAME flattening.
    Alias,
    /// The CAs that may issue (RFC 8659).
    Caa,
}

impl RecordKind {
    /// The word of zone editors and of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Alias => "ALIAS",
            Self::Caa => "CAA",
        }
    }

    /// The type that holds an address.
    pub fn of_address(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::A } else { Self::Aaaa }
    }
}

/// A record to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// Its type.
    pub kind: RecordKind,
    /// Its full name, without a trailing dot.
    pub name: String,
    /// Its value, as zone editors take it.
    pub value: String,
}

/// The present target of a name that does not lead to the CDN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The name does not exist.
    NoName,
    /// It has no A, AAAA or CNAME record.
    NoRecord,
    /// Its CNAME records form a loop.
    Circle,
    /// The chain of CNAME records exceeds our limit; this is the last name that was reached.
    TooLong(String),
    /// CNAME records lead to this name.
    Name(String),
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
}

impl fmt::Display for Found {
    /// As a part of a sentence: `shop.other.net`, or `203.0.113.9, 2001:db8::1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("nothing (the name does not exist)"),
            Self::NoRecord => f.write_str("nothing (no A, AAAA or CNAME record)"),
            Self::Circle => f.write_str("itself (its CNAME records lead in a circle)"),
            Self::TooLong(last) => write!(f, "{last} (too many CNAME records follow each other)"),
            Self::Name(name) => f.write_str(name),
            Self::Addresses(addresses) => f.write_str(&listed(addresses)),
        }
    }
}

/// The first items, as a part of a sentence, with the number of the rest.
pub(crate) fn listed(items: &[impl ToString]) -> String {
    and_more(items.iter().take(MAX_NAMED).map(ToString::to_string), items.len())
}

/// The named items of `count`, with the number of the rest.
pub(crate) fn and_more(named: impl Iterator<Item = String>, count: usize) -> String {
    let named: Vec<String> = named.collect();
    let told = named.join(", ");
    match count.saturating_sub(named.len()) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
