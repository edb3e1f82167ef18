//! Follows a name and compares its target with the CDN.

use std::net::IpAddr;

use domain::{DomainName, Found};
use hickory_resolver::proto::rr::{Name, Record, RecordType};

use crate::chain::{Chain, Step};
use crate::lookup::{self, Answer};
use crate::resolver::in_time;
use crate::{CouldNotAsk, Pointing, Resolver, Targets};

impl Resolver {
    /// Asks where a name leads.
    pub async fn pointing(&self, name: &DomainName, targets: &Targets) -> Result<Pointing, CouldNotAsk> {
        let answer = in_time(name, self.ask(name, targets)).await;
        tracing::debug!(domain = %name, ?answer, "asked DNS");
        answer
    }

    async fn ask(&self, name: &DomainName, targets: &Targets) -> Result<Pointing, CouldNotAsk> {
        let mut chain = Chain::new(lookup::fully_qualified(name)?);
        loop {
            // A CA asks for addresses alone, so a nameserver that does not answer for CNAME records must not stop us: the
            // answer for the addresses has the chain, too.
            let found = match chain.step(&self.library).await? {
                Step::On if targets.has_name(chain.at()) => return Ok(at_us(&chain)),
                Step::On => continue,
                Step::End | Step::NoAnswer => return self.compare_addresses(chain, targets).await,
                Step::Loop => Found::Circle,
                Step::TooLong => Found::TooLong(lookup::readable(chain.at())),
                Step::NoName => match chain.last_target() {
                    Some(last) => Found::Name(lookup::readable(last)),
                    None => Found::NoName,
                },
            };
            return Ok(Pointing::Elsewhere { found });
        }
    }

    async fn compare_addresses(&self, chain: Chain, targets: &Targets) -> Result<Pointing, CouldNotAsk> {
        let (a, aaaa) = tokio::join!(
            lookup::ask(&self.library, chain.at(), RecordType::A),
            lookup::ask(&self.library, chain.at(), RecordType::AAAA)
        );
        let mut found = Vec::new();
        let mut unanswered = None;
        let mut longest = chain.clone();
        for (kind, answer) in [(RecordType::A, a), (RecordType::AAAA, aaaa)] {
            match answer {
                Ok(Answer::Records(records)) => {
                    let mut further = chain.clone();
                    if reaches_target(&mut further, &records, targets)? {
                        return Ok(at_us(&further));
                    }
                    found.extend(lookup::addresses_of(further.at(), &records));
                    longest = std::cmp::max_by_key(longest, further, Chain::len);
                }
                Ok(Answer::NoRecord | Answer::NoName) => {}
                // A CA goes on with the A record if it cannot ask for AAAA.
                Err(_) if kind == RecordType::AAAA && !found.is_empty() => {}
                Err(error) => unanswered = unanswered.or(Some(error)),
            }
        }
        found.dedup();
        let is_ours = |address: &IpAddr| targets.addresses.iter().any(|net| net.contains(address));
        if found.iter().all(is_ours) {
            // A foreign address decides, whatever the other query returns; our own does not.
            if let Some(error) = unanswered {
                return Err(error.into());
            }
            if !found.is_empty() {
                found.sort_unstable();
                return Ok(Pointing::AtUs { found: lookup::list(&found) });
            }
        }
        let (ours, foreign): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().partition(|address| is_ours(address));
        if !ours.is_empty() && !foreign.is_empty() && foreign.iter().all(IpAddr::is_ipv6) {
            return Ok(Pointing::ForeignAaaa { found: foreign });
        }
        let found = match longest.last_target() {
            Some(last_cname) => Found::Name(lookup::readable(last_cname)),
            None if found.is_empty() => Found::NoRecord,
            None => Found::Addresses(found),
        };
        Ok(Pointing::Elsewhere { found })
    }
}

fn at_us(chain: &Chain) -> Pointing {
    Pointing::AtUs { found: lookup::readable(chain.at()) }
}

/// Whether an answer to an address question leads to a target. The records may have changed since the chain was walked,
/// and some nameservers show a CNAME only to those who ask for an address: what is there is followed within the answer.
fn reaches_target(chain: &mut Chain, records: &[Record], targets: &Targets) -> Result<bool, CouldNotAsk> {
    while let Step::On = chain.step_within(records)? {
        if targets.has_name(chain.at()) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Targets {
    /// Whether a chain leads to a target, or has led past one.
    pub(crate) fn are_passed_by(&self, chain: &Chain) -> bool {
        chain.passed().any(|name| self.has_name(name))
    }

    /// Whether a name is that of a target, or above one. A top-level domain does not count.
    pub(crate) fn are_below(&self, name: &Name) -> bool {
        let above = lookup::readable(name);
        let is_below = |target: &String| {
            let target = target.trim_end_matches('.').to_ascii_lowercase();
            target == above || target.strip_suffix(&above).is_some_and(|rest| rest.ends_with('.'))
        };
        above.contains('.') && self.cname_targets.iter().any(is_below)
    }

    fn has_name(&self, name: &Name) -> bool {
        let name = lookup::readable(name);
        self.cname_targets.iter().any(|target| {
            let target = target.trim_end_matches('.');
            !target.is_empty() && target.eq_ignore_ascii_case(&name)
        })
    }
}
