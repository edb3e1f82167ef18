//! The CAs that may issue for a name: the CAA records of its owner (RFC 8659), and their parameters (RFC 8657).
//!
//! Rules. The first set that is not empty counts, from the name itself up to its top-level domain. An alias has the set
//! of its target, but the climb goes on from the alias's own parent; climbing from the target was RFC 6844, which RFC
//! 8659 replaced. A query without an answer ends the climb, because it may hide the set that counts. A value that does
//! not follow the grammar permits no CA, and does not affect the other records; nor does a malformed record (RFC 8659
//! section 4.1: no tag, or odd characters in it). The resolver library is not used here, because it rejects an answer
//! with such a record. The number of records is bounded by the size of a message.
//!
//! A set at the end of one of the CDN's aliases belongs to the CDN, and so do errors there: no customer can fix them.
//!
//! The names are queried one after the other, not all at once: an error above the set that counts must not matter.

use domain::{CaaFound, CaaRecord, DomainName};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::chain::{Chain, Step};
use crate::issuers::{Applicant, Issuers};
use crate::lookup::{self, Answer};
use crate::resolver::in_time;
use crate::{CouldNotAsk, Resolver, Targets};

/// The flag of a property that an issuer must know.
const CRITICAL: u8 = 0b1000_0000;
/// Properties for wildcards (RFC 8659 section 4.3), reports (section 4.4) and mail (RFC 9495) do not restrict here.
const OTHER_KNOWN_TAGS: [&str; 3] = ["issuewild", "iodef", "issuemail"];

/// The result of the CAA check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caa {
    /// The applicant may issue.
    Permits,
    /// The applicant may not.
    Forbids {
        /// The name whose records decided: the name, one above it, or where a CNAME record of these leads.
        at: String,
        /// The records.
        found: CaaFound,
        /// That name is one of the CDN's: it is a target, above one, or where one of them leads.
        at_target: bool,
    },
}

impl Resolver {
    /// Asks whether the CAA records of a name let the applicant have a certificate for it (RFC 8659 section 3).
    pub async fn caa(
        &self,
        name: &DomainName,
        applicant: &Applicant<'_>,
        targets: &Targets,
    ) -> Result<Caa, CouldNotAsk> {
        if applicant.identities.is_empty() {
            return Ok(Caa::Permits);
        }
        let answer = in_time(name, self.climb(name, applicant, targets)).await;
        tracing::debug!(domain = %name, ?answer, "asked DNS for CAA");
        answer
    }

    async fn climb(
        &self,
        name: &DomainName,
        applicant: &Applicant<'_>,
        targets: &Targets,
    ) -> Result<Caa, CouldNotAsk> {
        let mut name = lookup::fully_qualified(name)?;
        while !name.is_root() {
            if let Some(caa) = self.caa_at(&name, applicant, targets).await? {
                return Ok(caa);
            }
            name = name.base_name();
        }
        Ok(Caa::Permits)
    }

    /// The result of the records of this one name, if it has any.
    async fn caa_at(
        &self,
        name: &Name,
        applicant: &Applicant<'_>,
        targets: &Targets,
    ) -> Result<Option<Caa>, CouldNotAsk> {
        let mut chain = Chain::new(name.clone());
        while goes_on(name, chain.step(&self.library).await?)? {}
        let mut records = self.records(&chain, targets).await?;
        // They may have changed since the chain was walked; and some nameservers answer with the chain alone.
        let end = chain.at().clone();
        while goes_on(name, chain.step_within(&records)?)? {}
        if *chain.at() != end && records.iter().all(|record| record.name != *chain.at()) {
            records = self.records(&chain, targets).await?;
        }
        let at = chain.at();
        let mut set = records.iter().filter(|record| record.name == *at).filter_map(data).peekable();
        if set.peek().is_none() {
            return Ok(None);
        }
        let Some(found) = objection(set, applicant) else {
            return Ok(Some(Caa::Permits));
        };
        let at_target = targets.are_passed_by(&chain) || targets.are_below(at);
        Ok(Some(Caa::Forbids { at: lookup::readable(at), found, at_target }))
    }

    /// What the end of a chain has of CAA records, and what stands in the same answer.
    async fn records(&self, chain: &Chain, targets: &Targets) -> Result<Vec<Record>, CouldNotAsk> {
        match self.direct.ask(chain.at(), RecordType::CAA).await {
            Ok(Answer::Records(records)) => Ok(records),
            Ok(Answer::NoRecord | Answer::NoName) => Ok(Vec::new()),
            Err(error) => {
                let error = CouldNotAsk::from(error);
                let failed = error.failed.filter(|_| !targets.are_passed_by(chain));
                Err(CouldNotAsk { failed, ..error })
            }
        }
    }
}

/// Whether there is more of a chain to follow. One without an end is no answer.
fn goes_on(name: &Name, step: Step) -> Result<bool, CouldNotAsk> {
    let endless = |what| Err(lookup::could_not_ask(name, RecordType::CAA, what));
    match step {
        Step::On => Ok(true),
        // A CA asks for CAA alone, so a nameserver that does not answer for CNAME records must not stop us.
        Step::End | Step::NoName | Step::NoAnswer => Ok(false),
        Step::Loop => endless("its CNAME records lead in a circle"),
        Step::TooLong => endless("too many CNAME records follow each other"),
    }
}

/// The data of a CAA record.
fn data(record: &Record) -> Option<&[u8]> {
    match &record.data {
        RData::Unknown { code: RecordType::CAA, rdata } => Some(&rdata.anything),
        RData::Update0(RecordType::CAA) => Some(&[]),
        _ => None,
    }
}

/// The records of a set that forbid the applicant.
fn objection<'a>(set: impl Iterator<Item = &'a [u8]>, applicant: &Applicant<'_>) -> Option<CaaFound> {
    let set: Vec<_> = set.map(Property::read).collect();
    if let Some(unknown) = set.iter().find(|property| property.must_be_known()) {
        return Some(CaaFound::records(vec![unknown.record()]));
    }
    let issue: Vec<_> = set.iter().filter(|property| property.is("issue")).collect();
    let names_applicant = |property: &&Property| {
        Issuers::parse(property.value).is_some_and(|issuers| issuers.include(applicant))
    };
    let permits = issue.is_empty() || issue.iter().any(names_applicant);
    (!permits).then(|| CaaFound::records(issue.iter().map(|property| property.record()).collect()))
}

/// One record (RFC 8659 section 4.1).
struct Property<'a> {
    flags: u8,
    tag: &'a [u8],
    value: &'a [u8],
}

impl<'a> Property<'a> {
    /// Of a record that is none, what can be read.
    fn read(data: &'a [u8]) -> Self {
        let (flags, rest) = data.split_first().unwrap_or((&0, &[]));
        let (length, rest) = rest.split_first().unwrap_or((&0, &[]));
        let (tag, value) = rest.split_at_checked(usize::from(*length)).unwrap_or((&[], rest));
        Self { flags: *flags, tag, value }
    }

    fn is(&self, tag: &str) -> bool {
        self.tag.eq_ignore_ascii_case(tag.as_bytes())
    }

    fn record(&self) -> CaaRecord {
        CaaRecord::new(self.flags, self.tag, self.value)
    }

    fn must_be_known(&self) -> bool {
        self.flags & CRITICAL != 0 && !self.is("issue") && !OTHER_KNOWN_TAGS.iter().any(|tag| self.is(tag))
    }
}
