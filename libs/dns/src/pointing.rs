//! Follows a name and compares where it leads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::DomainName;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, Record, RecordType};

use crate::lookup::{self, Answer};
use crate::{CouldNotAsk, DnsError, Pointing, Targets};

const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 2;
/// For everything that is asked about one name: a slow zone at each of many hops must not hold up the preflight.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const LONGEST_CHAIN: usize = 10;
const MOST_ADDRESSES_TOLD: usize = 6;

/// Asks nameservers. Cheap to share.
pub struct Resolver(pub(crate) TokioResolver);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

/// Where the chain ended.
enum End {
    AtTarget,
    /// At this name, which has no CNAME record.
    Name(Name),
    /// At a name that does not exist.
    NoName,
    Loop,
    TooLong,
}

impl Resolver {
    /// Asks these nameservers, or the system's if there are none. Must be called within a tokio runtime.
    pub fn new(nameservers: &[SocketAddr]) -> Result<Self, DnsError> {
        Self::with_timing(nameservers, TIMEOUT, ATTEMPTS)
    }

    /// Like [`Resolver::new`], for tests that cannot wait that long.
    #[doc(hidden)]
    pub fn with_timing(
        nameservers: &[SocketAddr],
        timeout: Duration,
        attempts: usize,
    ) -> Result<Self, DnsError> {
        lookup::resolver(nameservers, timeout, attempts).map(Self)
    }

    /// Asks where a name leads.
    pub async fn pointing(&self, name: &DomainName, targets: &Targets) -> Result<Pointing, CouldNotAsk> {
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(name, targets)).await;
        let answer = asked.unwrap_or_else(|_| {
            Err(CouldNotAsk {
                detail: format!("asking DNS for {name}: no answer in time"),
            })
        });
        tracing::debug!(domain = %name, ?answer, "asked DNS");
        answer
    }

    async fn ask(&self, name: &DomainName, targets: &Targets) -> Result<Pointing, CouldNotAsk> {
        let start = fully_qualified(name)?;
        let mut chain = Chain {
            at: start,
            passed: Vec::new(),
            targets,
        };
        let end = self.walk(&mut chain).await?;
        let last_cname = chain.passed.last().map(lookup::readable);
        let elsewhere = |found: String| Ok(Pointing::Elsewhere { found });
        match (end, last_cname) {
            (End::AtTarget, _) => Ok(Pointing::AtUs),
            (End::Loop, _) => elsewhere(format!("{name} itself (its CNAME records lead in a circle)")),
            (End::TooLong, Some(last)) => {
                elsewhere(format!("{last} (a chain of over {LONGEST_CHAIN} CNAME records)"))
            }
            (End::NoName, Some(last)) => elsewhere(last),
            (End::NoName | End::TooLong, None) => elsewhere("nothing (the name does not exist)".to_owned()),
            (End::Name(last), _) => self.compare_addresses(chain, &last).await,
        }
    }

    /// Follows CNAME records until they end or reach a target.
    async fn walk(&self, chain: &mut Chain<'_>) -> Result<End, CouldNotAsk> {
        loop {
            let next = match lookup::ask(&self.0, &chain.at, RecordType::CNAME).await? {
                Answer::NoName => return Ok(End::NoName),
                Answer::NoRecord => None,
                Answer::Records(records) => lookup::cname_of(&chain.at, &records)?,
            };
            let Some(next) = next else {
                return Ok(End::Name(chain.at.clone()));
            };
            if let Some(end) = chain.follow(next) {
                return Ok(end);
            }
        }
    }

    async fn compare_addresses(&self, mut chain: Chain<'_>, last: &Name) -> Result<Pointing, CouldNotAsk> {
        let (a, aaaa) = tokio::join!(
            lookup::ask(&self.0, last, RecordType::A),
            lookup::ask(&self.0, last, RecordType::AAAA)
        );
        let mut found = Vec::new();
        let mut unanswered = None;
        for answer in [a, aaaa] {
            match answer {
                Ok(Answer::Records(records)) => match chain.finish(last, &records)? {
                    Finish::AtTarget => return Ok(Pointing::AtUs),
                    Finish::Addresses(addresses) => found.extend(addresses),
                },
                Ok(Answer::NoRecord | Answer::NoName) => {}
                Err(error) => unanswered = Some(error),
            }
        }
        found.dedup();
        let is_ours = |address: &IpAddr| chain.targets.addresses.iter().any(|net| net.contains(address));
        if found.iter().all(is_ours) {
            // An address of somebody else would settle it, whatever the other question brings; ours do not.
            if let Some(error) = unanswered {
                return Err(error);
            }
            if !found.is_empty() {
                return Ok(Pointing::AtUs);
            }
        }
        let found = match chain.passed.last() {
            Some(last_cname) => lookup::readable(last_cname),
            None if found.is_empty() => "nothing (no A, AAAA or CNAME record)".to_owned(),
            None => list(&found),
        };
        Ok(Pointing::Elsewhere { found })
    }
}

/// The CNAME records followed so far.
struct Chain<'a> {
    at: Name,
    passed: Vec<Name>,
    targets: &'a Targets,
}

enum Finish {
    AtTarget,
    Addresses(Vec<IpAddr>),
}

impl Chain<'_> {
    /// Goes on to the next name, unless that is the end of it.
    fn follow(&mut self, next: Name) -> Option<End> {
        if self.is_target(&next) {
            return Some(End::AtTarget);
        }
        if next == self.at || self.passed.contains(&next) {
            return Some(End::Loop);
        }
        self.at = next.clone();
        self.passed.push(next);
        (self.passed.len() > LONGEST_CHAIN).then_some(End::TooLong)
    }

    /// Reads the answer to an address question. The records may have changed since the chain was walked, and some
    /// nameservers show a CNAME only to those who ask for an address: what is there is followed within the answer.
    fn finish(&mut self, last: &Name, records: &[Record]) -> Result<Finish, CouldNotAsk> {
        let mut name = last.clone();
        for _ in 0..LONGEST_CHAIN {
            let Some(next) = lookup::cname_of(&name, records)? else {
                break;
            };
            if self.is_target(&next) {
                return Ok(Finish::AtTarget);
            }
            self.passed.push(next.clone());
            name = next;
        }
        Ok(Finish::Addresses(lookup::addresses_of(&name, records).collect()))
    }

    fn is_target(&self, name: &Name) -> bool {
        let name = lookup::readable(name);
        self.targets.cname_targets.iter().any(|target| {
            let target = target.trim_end_matches('.');
            !target.is_empty() && target.eq_ignore_ascii_case(&name)
        })
    }
}

fn fully_qualified(name: &DomainName) -> Result<Name, CouldNotAsk> {
    // With the final dot no search list of the system is tried.
    Name::from_ascii(format!("{name}.")).map_err(|error| CouldNotAsk {
        detail: format!("asking DNS for {name}: {error}"),
    })
}

fn list(addresses: &[IpAddr]) -> String {
    let told: Vec<String> = addresses
        .iter()
        .take(MOST_ADDRESSES_TOLD)
        .map(ToString::to_string)
        .collect();
    let told = told.join(", ");
    match addresses.len().saturating_sub(MOST_ADDRESSES_TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}
