//! The addresses of a name, for a client that connects to it.
//!
//! Unlike [`Resolver::pointing`] this leaves the CNAME chain to the resolver library: a client that connects needs only
//! the end of the chain.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, Record, RecordType};

use crate::lookup::{self, Answer, AskError};
use crate::{CouldNotAsk, Resolver};

/// For each of the two questions, so that a nameserver which leaves one of them open does not hold up the other.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_CHAIN: usize = 10;
const MAX_ADDRESSES_OF_A_KIND: usize = 8;

impl Resolver {
    /// Asks for AAAA and A records, separately. IPv6 comes first; nothing if the name or such records do not exist.
    /// A question without an answer does not matter if the other one brought addresses.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, CouldNotAsk> {
        // With the final dot no search list of the system is tried.
        let name = Name::from_ascii(format!("{}.", host.trim_end_matches('.')))
            .map_err(|_| CouldNotAsk::new("asking DNS for addresses: that is no name".to_owned()))?;
        let (ipv6, ipv4) =
            tokio::join!(self.addresses_by(&name, RecordType::AAAA), self.addresses_by(&name, RecordType::A));
        match (ipv6, ipv4) {
            (Ok(ipv6), Ok(ipv4)) => Ok([ipv6, ipv4].concat()),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    async fn addresses_by(&self, name: &Name, kind: RecordType) -> Result<Vec<IpAddr>, CouldNotAsk> {
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, lookup::ask(&self.library, name, kind)).await;
        let answer = asked.unwrap_or_else(|_| {
            let name = lookup::readable(name);
            let detail = format!("asking DNS for {kind} of {name}: no answer in time");
            Err(AskError::NoAnswer(CouldNotAsk::new(detail)))
        })?;
        match answer {
            Answer::Records(records) => at_the_end(name, &records),
            Answer::NoRecord | Answer::NoName => Ok(Vec::new()),
        }
    }
}

fn at_the_end(name: &Name, records: &[Record]) -> Result<Vec<IpAddr>, CouldNotAsk> {
    let mut end = name.clone();
    for _ in 0..MAX_CHAIN {
        let Some(next) = lookup::cname_of(&end, records)? else {
            break;
        };
        end = next;
    }
    Ok(lookup::addresses_of(&end, records).take(MAX_ADDRESSES_OF_A_KIND).collect())
}
