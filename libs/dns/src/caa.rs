//! Who may issue for a name: the records with which its owner says so (RFC 8659), and how (RFC 8657).
//!
//! Rules. The first set that is not empty counts, from the name itself up to its top-level domain. An alias has the set
//! of its target, but the climb goes on from the alias's own parent; climbing from the target was RFC 6844, which RFC
//! 8659 replaced. A question without an answer ends the climb, because it may hide the set that counts. A value that
//! does not follow the grammar names nobody, and is no reason not to read the records beside it. An answer with a
//! record that is none (RFC 8659 section 4.1: no tag, or odd characters in it) is unreadable for the resolver library,
//! and so no answer.
//!
//! The names are asked one after the other, not all at once: a failure above the set that counts must not matter.

use std::fmt;

use domain::DomainName;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::chain::{Chain, Step};
use crate::issuers::{Applicant, Issuers};
use crate::lookup::{self, Answer};
use crate::resolver::in_time;
use crate::{CouldNotAsk, Resolver};

const MOST_VALUE_CHARACTERS: usize = 120;
/// What is said of wildcards (RFC 8659 section 4.3), reports (section 4.4) and mail (RFC 9495) restricts nothing here.
const OTHER_KNOWN_TAGS: [&str; 3] = ["issuewild", "iodef", "issuemail"];

/// What CAA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caa {
    /// The applicant may issue.
    Permits,
    /// The applicant may not.
    Forbids {
        /// The name whose records decided: the name, one above it, or where a CNAME record of these leads.
        at: String,
        /// What stands there, as a part of a sentence: `issue "ca.example.net", issue "ca.example.org"`.
        found: String,
    },
}

impl Resolver {
    /// Asks whether the CAA records of a name let the applicant have a certificate for it (RFC 8659 section 3).
    pub async fn caa(&self, name: &DomainName, applicant: &Applicant<'_>) -> Result<Caa, CouldNotAsk> {
        if applicant.identities.is_empty() {
            return Ok(Caa::Permits);
        }
        let answer = in_time(name, self.climb(name, applicant)).await;
        tracing::debug!(domain = %name, ?answer, "asked DNS for CAA");
        answer
    }

    async fn climb(&self, name: &DomainName, applicant: &Applicant<'_>) -> Result<Caa, CouldNotAsk> {
        let mut name = lookup::fully_qualified(name)?;
        while !name.is_root() {
            if let Some(caa) = self.caa_at(&name, applicant).await? {
                return Ok(caa);
            }
            name = name.base_name();
        }
        Ok(Caa::Permits)
    }

    /// What the records of this one name say, if it has any.
    async fn caa_at(&self, name: &Name, applicant: &Applicant<'_>) -> Result<Option<Caa>, CouldNotAsk> {
        let mut chain = Chain::new(name.clone());
        while goes_on(name, chain.step(&self.0).await?)? {}
        let Answer::Records(records) = lookup::ask(&self.0, chain.at(), RecordType::CAA).await? else {
            return Ok(None);
        };
        // The records may have changed since the chain was walked.
        while goes_on(name, chain.step_within(&records)?)? {}
        let set: Vec<_> = properties_of(chain.at(), &records).collect();
        Ok((!set.is_empty()).then(|| judge(chain.at(), &set, applicant)))
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

fn judge(at: &Name, set: &[Property<'_>], applicant: &Applicant<'_>) -> Caa {
    let forbids = |found| Caa::Forbids { at: lookup::readable(at), found };
    if let Some(unknown) = set.iter().find(|property| property.must_be_known()) {
        return forbids(format!("{unknown}, which is critical and not known"));
    }
    let issue: Vec<_> = set.iter().filter(|property| property.is("issue")).collect();
    let names_applicant = |property: &&Property| {
        Issuers::parse(property.value).is_some_and(|issuers| issuers.include(applicant))
    };
    if issue.is_empty() || issue.iter().any(names_applicant) {
        return Caa::Permits;
    }
    forbids(lookup::list(&issue))
}

/// One record (RFC 8659 section 4.1).
struct Property<'a> {
    critical: bool,
    tag: &'a str,
    value: &'a [u8],
}

fn properties_of<'a>(name: &Name, records: &'a [Record]) -> impl Iterator<Item = Property<'a>> {
    records.iter().filter(move |record| record.name == *name).filter_map(|record| match &record.data {
        RData::CAA(caa) => Some(Property { critical: caa.issuer_critical, tag: &caa.tag, value: &caa.value }),
        _ => None,
    })
}

impl Property<'_> {
    fn is(&self, tag: &str) -> bool {
        self.tag.eq_ignore_ascii_case(tag)
    }

    fn must_be_known(&self) -> bool {
        self.critical && !self.is("issue") && !OTHER_KNOWN_TAGS.iter().any(|tag| self.is(tag))
    }
}

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.escape_ascii().to_string();
        let dots = if value.len() > MOST_VALUE_CHARACTERS { "..." } else { "" };
        write!(f, "{} \"{value:.MOST_VALUE_CHARACTERS$}{dots}\"", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_told_in_bounds_and_without_odd_characters() {
        let told = |value: &[u8]| Property { value, tag: "issue", critical: false }.to_string();
        assert_eq!(told(b"ca.net; a=b"), r#"issue "ca.net; a=b""#);
        assert_eq!(told(b"a\0\"\x1b[1m\xe9\n"), r#"issue "a\x00\"\x1b[1m\xe9\n""#);
        let whole = "x".repeat(120);
        assert_eq!(told(whole.as_bytes()), format!("issue \"{whole}\""));
        assert_eq!(told(&vec![b'x'; 60_000]), format!("issue \"{whole}...\""));
    }
}
