//! Verification: walks the chain from its first line to its head.

use std::fmt;

use jiff::Timestamp;
use seal::{SealError, SealingKeys};
use store::{AuditLink, Store, StoreError};

use crate::chain::{FIRST, link};
use crate::sign::{LOCAL, check_mark};

/// Lines per page.
const PAGE: u32 = 1000;
/// Where nothing fits any more, every line would be one.
const MAX_BROKEN: usize = 20;

/// A defect of a chain.
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
    /// The line of that number has another hash than the head that was given or signed.
    NotTheHead(i64),
    /// The API has signed no end, though it has served calls: what it signed was taken away.
    Unsigned,
    /// The mark was not signed with the sealing key.
    Forged,
    /// The API had signed a later line than the one that stands as signed now.
    SetBack {
        /// The line that was signed.
        from: i64,
        /// The line that stands there.
        to: i64,
    },
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
                write!(
                    f,
                    "line {sequence} is not the one whose hash was given or signed: the chain was rewritten"
                )
            }
            Self::Unsigned => f.write_str("the signed end was taken away: the API had signed one"),
            Self::Forged => f.write_str("the signed end was not signed by SSL Manager"),
            Self::SetBack { from, to } => {
                write!(f, "the signed end was set back from line {from} to line {to}")
            }
        }
    }
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines in the chain.
    pub lines: u64,
    /// The last one's seal.
    pub head: AuditLink,
    /// Lines that wait for their seal.
    pub unsealed: u64,
    /// Whether the end was checked by more than the database.
    pub end: End,
    /// The defects, from the first line on; empty if there are none. Only the first few.
    pub broken: Vec<Broken>,
}

/// Knowledge about the end from outside of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The API signed it.
    Signed {
        /// Up to this line.
        sequence: i64,
        /// When it last looked.
        at: Timestamp,
    },
    /// No API has run yet, so none has signed.
    NotYetSigned,
    /// The signature could not be checked, and why.
    NotChecked(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed { sequence, at } => {
                write!(f, "The end was checked: the API signed line {sequence} at {at}.")
            }
            Self::NotYetSigned => f.write_str("THE END WAS NOT CHECKED: no API has signed one yet."),
            Self::NotChecked(why) => write!(f, "THE END WAS NOT CHECKED: {why}."),
        }
    }
}

/// Verifies the whole chain, and that `given`, heads that were logged once, and the end that the API signed are still
/// part of it; for that, `keys`, or why there are none. Read-only; lines that are sealed meanwhile are verified too.
pub async fn verify(
    store: &Store,
    given: &[AuditLink],
    keys: Result<&SealingKeys, String>,
) -> Result<Report, StoreError> {
    verify_and_tell(store, given, keys, |_| {}).await
}

/// The same; `tell` is called with the number of lines that were verified so far, after each thousand.
pub async fn verify_and_tell(
    store: &Store,
    given: &[AuditLink],
    keys: Result<&SealingKeys, String>,
    tell: impl Fn(u64),
) -> Result<Report, StoreError> {
    let (mut given, mut broken) = (given.to_vec(), Vec::new());
    let mut end = signed_end(store, keys, &mut given, &mut broken).await?;
    let mut walk = Walk { last: FIRST, lines: 0, broken, given, has_calls: false };
    let head = loop {
        while walk.page(store).await? {
            tell(walk.lines);
        }
        // Read after the lines: it is behind none of them, unless it was set back.
        let head = store.audit_head().await?;
        let page = store.chained_audit(walk.last.sequence, 1).await?;
        if page.is_empty() {
            break head;
        }
    };
    walk.end(head);
    if end == End::NotYetSigned && walk.has_calls {
        walk.found(Broken::Unsigned);
        end = End::NotChecked("what the API signed is gone".to_owned());
    }
    Ok(Report {
        lines: walk.lines,
        head: walk.last,
        unsealed: store.unchained_audit().await?,
        end,
        broken: walk.broken,
    })
}

/// The end that the API signed: among the heads that must be there, if it is authentic.
async fn signed_end(
    store: &Store,
    keys: Result<&SealingKeys, String>,
    given: &mut Vec<AuditLink>,
    broken: &mut Vec<Broken>,
) -> Result<End, StoreError> {
    let mark = store.audit_mark().await?;
    if mark.mac.is_empty() {
        return Ok(End::NotYetSigned);
    }
    let keys = match keys {
        Ok(keys) => keys,
        Err(why) => return Ok(End::NotChecked(why)),
    };
    Ok(match check_mark(keys, &mark).await {
        Ok(_) => {
            given.push(mark.head);
            End::Signed { sequence: mark.head.sequence, at: mark.signed_at }
        }
        Err(SealError::NotAuthentic | SealError::Format) => {
            broken.push(Broken::Forged);
            End::NotChecked("what stands as signed was not signed by SSL Manager".to_owned())
        }
        Err(error) => End::NotChecked(error.to_string()),
    })
}

struct Walk {
    last: AuditLink,
    lines: u64,
    broken: Vec<Broken>,
    given: Vec<AuditLink>,
    /// A line came over the API.
    has_calls: bool,
}

impl Walk {
    /// False at the end.
    async fn page(&mut self, store: &Store) -> Result<bool, StoreError> {
        let page = store.chained_audit(self.last.sequence, PAGE).await?;
        for (stored, entry) in &page {
            self.removed_before(stored.sequence);
            // Against the stored hash before it, so that one change is one line of the report.
            let before = AuditLink { sequence: stored.sequence - 1, hash: self.last.hash };
            let follows = self.last.sequence + 1 == stored.sequence;
            if follows && link(&before, entry) != *stored {
                self.found(Broken::Changed(stored.sequence));
            }
            self.has_calls |= entry.peer != LOCAL;
            if self.given.iter().any(|given| given.sequence == stored.sequence && given != stored) {
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

    fn end(&mut self, head: AuditLink) {
        if head.sequence > self.last.sequence {
            self.removed_before(head.sequence + 1);
        } else if head != self.last {
            self.found(Broken::HeadMoved { head: head.sequence, last: self.last.sequence });
        }
        let given = self.given.iter().map(|given| given.sequence).max().unwrap_or_default();
        if given > self.last.sequence.max(head.sequence) {
            self.removed_before(given + 1);
        }
    }

    fn found(&mut self, broken: Broken) {
        if self.broken.len() < MAX_BROKEN {
            self.broken.push(broken);
        }
    }
}
