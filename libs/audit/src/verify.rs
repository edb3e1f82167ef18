//! Verification: walks the chain from its first line to its head.

use std::fmt;

use store::{AuditSeal, Store, StoreError};

use crate::chain::{FIRST, link};

/// Lines per page.
const PAGE: u32 = 1000;
/// Where nothing fits any more, every line would be one.
const MOST_BROKEN: usize = 20;

/// What a chain that is not whole has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The line of that number is not what was sealed, or the one before it was replaced with its seal.
    Changed(i64),
    /// No line has these numbers.
    Removed {
        /// The first that is missing.
        from: i64,
        /// The last that is missing.
        to: i64,
    },
    /// The head in the database is not the last line's seal.
    HeadMoved {
        /// The number that the head says.
        head: i64,
        /// The number of the last line.
        last: i64,
    },
    /// The line of that number has another hash than the head that was given.
    NotTheHead(i64),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(sequence) => write!(f, "line {sequence} was changed"),
            Self::Removed { from, to } if from == to => write!(f, "line {from} was removed"),
            Self::Removed { from, to } => write!(f, "lines {from} to {to} were removed"),
            Self::HeadMoved { head, last } => {
                write!(f, "the head says line {head}, but the last line is {last} or has another seal")
            }
            Self::NotTheHead(sequence) => {
                write!(f, "line {sequence} is not the one whose hash was given: the chain was rewritten")
            }
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines in the chain.
    pub lines: u64,
    /// The last one's seal.
    pub head: AuditSeal,
    /// Lines that wait for their seal.
    pub unsealed: u64,
    /// What is wrong, from the first line on; empty if nothing is. Not more than the first few.
    pub broken: Vec<Broken>,
}

/// Verifies the whole chain, and that `given`, a head that was logged once, is still part of it. Read-only; lines that
/// are sealed meanwhile are verified too.
pub async fn verify(store: &Store, given: Option<AuditSeal>) -> Result<Report, StoreError> {
    let mut walk = Walk { last: FIRST, lines: 0, broken: Vec::new(), given };
    let head = loop {
        while walk.page(store).await? {}
        // Read after the lines: it is behind none of them, unless somebody set it back.
        let head = store.audit_head().await?;
        let page = store.sealed_audit(walk.last.sequence, 1).await?;
        if page.is_empty() {
            break head;
        }
    };
    walk.end(head);
    Ok(Report {
        lines: walk.lines,
        head: walk.last,
        unsealed: store.unsealed_audit().await?,
        broken: walk.broken,
    })
}

struct Walk {
    last: AuditSeal,
    lines: u64,
    broken: Vec<Broken>,
    given: Option<AuditSeal>,
}

impl Walk {
    /// False at the end.
    async fn page(&mut self, store: &Store) -> Result<bool, StoreError> {
        let page = store.sealed_audit(self.last.sequence, PAGE).await?;
        for (stored, entry) in &page {
            self.removed_before(stored.sequence);
            // Against the stored hash before it, so that one change is one line of the report.
            let before = AuditSeal { sequence: stored.sequence - 1, hash: self.last.hash };
            let follows = self.last.sequence + 1 == stored.sequence;
            if follows && link(&before, entry) != *stored {
                self.found(Broken::Changed(stored.sequence));
            }
            if self.given.is_some_and(|given| given.sequence == stored.sequence && given != *stored) {
                self.found(Broken::NotTheHead(stored.sequence));
            }
            self.last = *stored;
            self.lines += 1;
        }
        Ok(page.len() == PAGE as usize)
    }

    fn removed_before(&mut self, sequence: i64) {
        let expected = self.last.sequence + 1;
        if sequence > expected {
            self.found(Broken::Removed { from: expected, to: sequence - 1 });
        }
    }

    fn end(&mut self, head: AuditSeal) {
        if head.sequence > self.last.sequence {
            self.removed_before(head.sequence + 1);
        } else if head != self.last {
            self.found(Broken::HeadMoved { head: head.sequence, last: self.last.sequence });
        }
        if let Some(given) = self.given
            && given.sequence > self.last.sequence.max(head.sequence)
        {
            self.removed_before(given.sequence + 1);
        }
    }

    fn found(&mut self, broken: Broken) {
        if self.broken.len() < MOST_BROKEN {
            self.broken.push(broken);
        }
    }
}
