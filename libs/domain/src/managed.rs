//! The one row that a name has for ever, and the transitions of its facts.
//!
//! A transition takes the row and returns the next one; the caller stores it in the transaction in which it learnt
//! the fact. Statuses are never written here: they follow from the facts (see [`Facts::status`]).

use jiff::Timestamp;

use crate::{Activity, DomainName, Facts, Live, Reason, Source, Status};

/// A transition that the present state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot go from {from} to {to}")]
pub struct InvalidTransition {
    /// Of what.
    pub what: &'static str,
    /// The state it is in.
    pub from: &'static str,
    /// What was tried.
    pub to: &'static str,
}

/// A name under management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The name.
    pub name: DomainName,
    /// Raised by add, generate, import, roll back and delete; work of an older revision comes to nothing.
    pub revision: i64,
    /// Where the next certificate comes from.
    pub source: Source,
    /// When it was put on the list.
    pub created_at: Timestamp,
    /// When it was taken off the list; none while it is there.
    pub deleted_at: Option<Timestamp>,
    /// What its status follows from.
    pub facts: Facts,
    /// The status as it was last stored. Written by the store, which derives it from the facts; here for reading.
    pub recorded: Status,
    /// What is being done or waited for.
    pub activity: Activity,
    /// Why it has to wait, where nobody is to blame.
    pub waiting: Option<Reason>,
    /// Counts uploads and removals, so that C4 can refuse a late one.
    pub upload_revision: i64,
    /// Raised by every write; a write that finds another one fails.
    pub version: i64,
}

impl Domain {
    /// A name that was never here.
    pub fn added(name: DomainName, now: Timestamp) -> Self {
        Self {
            name,
            revision: 1,
            source: Source::C4,
            created_at: now,
            deleted_at: None,
            facts: Facts::default(),
            recorded: Status::Pending,
            activity: Activity::Preflight,
            waiting: None,
            upload_revision: 0,
            version: 0,
        }
    }

    /// The status at `now`, from the facts.
    pub fn status(&self, now: Timestamp) -> Status {
        self.facts.status(now)
    }

    /// What to show as the reason: the fact behind the status first, then what is waited for.
    pub fn reason(&self) -> Option<Reason> {
        if self.facts.unknown_to_c4 {
            return Some(Reason::UnknownToC4);
        }
        self.facts
            .upload_failing
            .clone()
            .or_else(|| self.facts.block.clone())
            .or_else(|| self.waiting.clone())
    }

    /// A deleted name is put back on the list: a new life, with nothing of the past one but its counters.
    pub fn added_again(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        if self.deleted_at.is_none() {
            return Err(InvalidTransition {
                what: "domain",
                from: "listed",
                to: "added again",
            });
        }
        let Self {
            name,
            revision,
            upload_revision,
            version,
            ..
        } = self;
        Ok(Self {
            revision: revision + 1,
            upload_revision,
            version,
            ..Self::added(name, now)
        })
    }

    /// A generated certificate is wanted from here on; what is live keeps serving until the new one is.
    pub fn generate(self) -> Result<Self, InvalidTransition> {
        let listed = self.listed("generate")?;
        Ok(Self {
            revision: listed.revision + 1,
            source: Source::C4,
            activity: Activity::Preflight,
            waiting: None,
            ..listed
        })
    }

    /// Taken off the list.
    pub fn delete(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        let listed = self.listed("deleted")?;
        Ok(Self {
            revision: listed.revision + 1,
            deleted_at: Some(now),
            activity: Activity::Idle,
            waiting: None,
            ..listed
        })
    }

    /// What is going on changed; no fact did.
    pub fn doing(self, activity: Activity, waiting: Option<Reason>) -> Result<Self, InvalidTransition> {
        Ok(Self {
            activity,
            waiting,
            ..self.listed("doing")?
        })
    }

    /// Preflight says that an order can succeed.
    pub fn clear(self) -> Result<Self, InvalidTransition> {
        let listed = self.listed("clear")?;
        let facts = Facts {
            unknown_to_c4: false,
            block: None,
            ..listed.facts
        };
        Ok(Self { facts, ..listed })
    }

    /// Something outside keeps verification from succeeding.
    pub fn blocked(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let listed = self.listed("blocked")?;
        let facts = Facts {
            unknown_to_c4: false,
            block: Some(reason),
            ..listed.facts
        };
        Ok(Self {
            facts,
            activity: Activity::Retrying,
            waiting: None,
            ..listed
        })
    }

    /// C4 does not know the domain, confirmed.
    pub fn unknown_to_c4(self) -> Result<Self, InvalidTransition> {
        let listed = self.listed("unknown to C4")?;
        let facts = Facts {
            unknown_to_c4: true,
            ..listed.facts
        };
        Ok(Self {
            facts,
            activity: Activity::Retrying,
            waiting: None,
            ..listed
        })
    }

    /// A certificate is active at C4.
    pub fn uploaded(self, live: Live) -> Result<Self, InvalidTransition> {
        let listed = self.listed("uploaded")?;
        let facts = Facts {
            unknown_to_c4: false,
            upload_failing: None,
            live: Some(live),
            block: None,
        };
        Ok(Self {
            facts,
            activity: Activity::Idle,
            waiting: None,
            ..listed
        })
    }

    /// C4 did not take the certificate, and the quick attempts are used up.
    pub fn upload_failed(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let listed = self.listed("upload failed")?;
        let facts = Facts {
            upload_failing: Some(reason),
            ..listed.facts
        };
        Ok(Self {
            facts,
            activity: Activity::Retrying,
            waiting: None,
            ..listed
        })
    }

    fn listed(self, to: &'static str) -> Result<Self, InvalidTransition> {
        match self.deleted_at {
            None => Ok(self),
            Some(_) => Err(InvalidTransition {
                what: "domain",
                from: "deleted",
                to,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateId;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn domain() -> Domain {
        Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0))
    }

    fn live() -> Live {
        Live {
            certificate: CertificateId::from(uuid::Uuid::nil()),
            not_after: at(1000),
        }
    }

    #[test]
    fn a_failed_renewal_takes_nothing_away() {
        let domain = domain().uploaded(live()).unwrap();
        let reason = Reason::NotPointed {
            target: "cdn".into(),
            found: "nothing".into(),
        };
        let domain = domain.blocked(reason.clone()).unwrap();
        assert_eq!(domain.status(at(999)), Status::Success);
        assert!(domain.facts.renewal_blocked(at(999)));
        assert_eq!(domain.reason(), Some(reason));
        assert_eq!(domain.status(at(1000)), Status::Expired);
        assert_eq!(domain.clear().unwrap().reason(), None);
    }

    #[test]
    fn a_deleted_name_starts_afresh_and_keeps_its_counters() {
        let mut domain = domain().uploaded(live()).unwrap();
        domain.upload_revision = 7;
        let deleted = domain.delete(at(5)).unwrap();
        assert!(deleted.clone().generate().is_err() && deleted.clone().blocked(Reason::UnknownToC4).is_err());
        let again = deleted.added_again(at(6)).unwrap();
        assert_eq!(
            (again.revision, again.upload_revision, again.status(at(7))),
            (3, 7, Status::Pending)
        );
        assert!(again.added_again(at(8)).is_err());
    }
}
