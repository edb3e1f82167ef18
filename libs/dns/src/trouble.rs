//! Why a query fails: a nameserver that answers SERVFAIL does not say whether the cause is itself, the domain's
//! nameservers, or the domain's signatures (DNSSEC).
//!
//! If even a top-level domain fails, the cause is our nameserver. Otherwise the highest name on the way up that fails
//! is the broken zone; and if there is an answer without a check of signatures, the signatures are wrong.

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::direct::{QueryMode, Reply};
use crate::resolver::ANSWER_TIMEOUT;
use crate::{Resolver, lookup};

const MAX_NAMESERVERS: usize = 6;

/// A question that the nameserver answered with SERVFAIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
}

/// Why it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The signatures of a zone are not valid.
    Signatures {
        /// Which zone.
        zone: String,
    },
    /// The nameservers of a zone fail, or do not answer.
    Nameservers {
        /// Which zone.
        zone: String,
        /// Their names, as far as they are known.
        nameservers: Vec<String>,
    },
    /// The nameserver that we ask fails for others, too; or it does not fail any more.
    Ours,
}

impl Resolver {
    /// Finds out why a question failed, with a bounded number of questions.
    pub async fn trouble(&self, failed: &Failed) -> Trouble {
        let found = tokio::time::timeout(ANSWER_TIMEOUT, self.find_trouble(failed)).await;
        let trouble = found.ok().flatten().unwrap_or(Trouble::Ours);
        tracing::debug!(question = ?failed, ?trouble, "looked why DNS fails");
        trouble
    }

    async fn find_trouble(&self, Failed { name, kind }: &Failed) -> Option<Trouble> {
        let zone = self.failing_zone(name).await?;
        let unchecked = self.direct.reply(name, *kind, QueryMode::Unchecked).await;
        let is_answered = unchecked.is_ok_and(|reply| !fails(&reply));
        // It may have been mended in between.
        let still_fails = fails(&self.direct.reply(name, *kind, QueryMode::Plain).await.ok()?);
        if !still_fails {
            return None;
        }
        let told = lookup::readable(&zone);
        Some(if is_answered {
            Trouble::Signatures { zone: told }
        } else {
            Trouble::Nameservers { zone: told, nameservers: self.nameservers_of(&zone).await }
        })
    }

    /// The highest name that fails, from this one up; none where all do.
    async fn failing_zone(&self, name: &Name) -> Option<Name> {
        let mut highest = name.clone();
        let mut at = name.clone();
        while !at.is_root() {
            let reply = self.direct.reply(&at, RecordType::SOA, QueryMode::Plain).await.ok()?;
            if !fails(&reply) {
                // Some fail for the one kind of record only.
                return Some(if at == *name { owner_of_soa(&reply).unwrap_or(at) } else { highest });
            }
            highest = at.clone();
            at = at.base_name();
        }
        None
    }

    /// The nameservers of a zone that fails: from what is known without asking them, else from themselves.
    async fn nameservers_of(&self, zone: &Name) -> Vec<String> {
        for way in [QueryMode::Cached, QueryMode::Unchecked] {
            let Ok(reply) = self.direct.reply(zone, RecordType::NS, way).await else { continue };
            let records = reply.answers.iter().chain(&reply.authorities);
            let mut found: Vec<_> = records.filter_map(|record| nameserver(zone, record)).collect();
            found.sort_unstable();
            found.truncate(MAX_NAMESERVERS);
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }
}

fn fails(reply: &Reply) -> bool {
    reply.code == ResponseCode::ServFail
}

fn owner_of_soa(reply: &Reply) -> Option<Name> {
    let mut records = reply.answers.iter().chain(&reply.authorities);
    records.find(|record| record.record_type() == RecordType::SOA).map(|record| record.name.clone())
}

fn nameserver(zone: &Name, record: &Record) -> Option<String> {
    match &record.data {
        RData::NS(nameserver) if record.name == *zone => Some(lookup::readable(&nameserver.0)),
        _ => None,
    }
}
