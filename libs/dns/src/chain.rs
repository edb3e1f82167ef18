//! Follows CNAME records from one name to the next, step by step, so that the caller can stop at any name and knows
//! which it is. An unbounded chain would be an attack: circles are detected, and the length has a limit.

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, Record, RecordType};

use crate::CouldNotAsk;
use crate::lookup::{self, Answer, AskError};

pub(crate) const MAX_CHAIN: usize = 10;

/// The CNAME records followed so far.
#[derive(Clone)]
pub(crate) struct Chain {
    start: Name,
    passed: Vec<Name>,
}

/// The end of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// An alias: the chain is one name longer.
    On,
    /// A name without a CNAME record.
    End,
    /// A name that does not exist.
    NoName,
    /// The question for its CNAME record has no answer.
    NoAnswer,
    /// An alias of a name that was passed before.
    Loop,
    TooLong,
}

impl Chain {
    pub(crate) fn new(start: Name) -> Self {
        Self { start, passed: Vec::new() }
    }

    /// Where the chain is now.
    pub(crate) fn at(&self) -> &Name {
        self.last_target().unwrap_or(&self.start)
    }

    /// The target of the last CNAME record, if there was one.
    pub(crate) fn last_target(&self) -> Option<&Name> {
        self.passed.last()
    }

    /// The targets of its CNAME records.
    pub(crate) fn passed(&self) -> impl Iterator<Item = &Name> {
        self.passed.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.passed.len()
    }

    /// Asks where the chain leads next, and goes there.
    pub(crate) async fn step(&mut self, resolver: &TokioResolver) -> Result<Step, CouldNotAsk> {
        if self.len() > MAX_CHAIN {
            return Ok(Step::TooLong);
        }
        match lookup::ask(resolver, self.at(), RecordType::CNAME).await {
            Ok(Answer::NoName) => Ok(Step::NoName),
            Ok(Answer::NoRecord) => Ok(Step::End),
            Ok(Answer::Records(records)) => self.step_within(&records),
            Err(AskError::NoAnswer(_)) => Ok(Step::NoAnswer),
            Err(AskError::BadAnswer(error)) => Err(error),
        }
    }

    /// Goes where an answer, to whatever question, says that the chain leads next. An answer has no more steps than
    /// records.
    pub(crate) fn step_within(&mut self, records: &[Record]) -> Result<Step, CouldNotAsk> {
        let Some(next) = lookup::cname_of(self.at(), records)? else {
            return Ok(Step::End);
        };
        if next == *self.at() || self.passed.contains(&next) {
            return Ok(Step::Loop);
        }
        self.passed.push(next);
        Ok(Step::On)
    }
}
