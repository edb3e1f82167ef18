//! The end of the chain, signed by the API: the database does not hold the key and cannot create the mark.
//!
//! Rules. The API follows the chain from the last signed line to its present end, and signs that end only if every line
//! in between follows from the previous one; so a chain that was cut off, set back or rewritten behind the mark is not
//! signed again. It signs again each minute even without new lines, so that the mark shows the time of the last check.
//! A mark never goes back, neither in the database nor in the API's memory.

use jiff::{SignedDuration, Timestamp};
use seal::{KeyId, SealError, SealingKeys, Statement};
use store::{AuditLink, AuditMark, Store, StoreError};

use crate::chain::{FIRST, link};
use crate::verify::Broken;

/// A mark older than this is made anew, with the time.
const SIGN_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
const PAGE: u32 = 1000;
/// The peer of a line that no call to the API made.
pub(crate) const LOCAL: &str = "local";

fn statement(mark: &AuditMark) -> Statement {
    Statement::new("audit head")
        .and(&mark.head.sequence.to_be_bytes())
        .and(&mark.head.hash)
        .and(&mark.signed_at.as_microsecond().to_be_bytes())
}

/// Why the end was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The log is not as it was signed before.
    #[error("{0}")]
    Broken(Broken),
    /// The sealing key that the mark is under is not there, or does not work.
    #[error(transparent)]
    Key(#[from] SealError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives a mark its MAC.
pub async fn sign_mark(keys: &SealingKeys, mark: &mut AuditMark) -> Result<(), SealError> {
    mark.mac = keys.sign(&statement(mark)).await?;
    Ok(())
}

/// Under which sealing key a mark's MAC is.
pub async fn check_mark(keys: &SealingKeys, mark: &AuditMark) -> Result<KeyId, SealError> {
    keys.check(&statement(mark), &mark.mac).await
}

/// Signs the end, and remembers what it has signed.
#[derive(Default)]
pub struct Signer {
    last: Option<AuditMark>,
}

impl Signer {
    /// Signs the present end, if it is newer than the mark or the mark is old. True if it did.
    pub async fn sign(
        &mut self,
        store: &Store,
        keys: &SealingKeys,
        now: Timestamp,
    ) -> Result<bool, SignError> {
        let stored = store.audit_mark().await?;
        self.check(store, keys, &stored).await?;
        let head = follow(store, stored.head).await?;
        let is_recent = !stored.mac.is_empty() && now.duration_since(stored.signed_at) < SIGN_INTERVAL;
        if head == stored.head && is_recent {
            self.last = Some(stored);
            return Ok(false);
        }
        let mut mark = AuditMark { head, signed_at: now, mac: Vec::new() };
        sign_mark(keys, &mut mark).await?;
        let mut tx = store.begin("sign_audit").await?;
        let is_first = tx.set_audit_mark(&stored.mac, &mark).await?;
        tx.commit().await?;
        // Else another copy was faster; it has followed the same chain.
        if is_first {
            self.last = Some(mark);
        }
        Ok(is_first)
    }

    /// Whether the stored mark is ours, and not an earlier one than we have seen.
    async fn check(&self, store: &Store, keys: &SealingKeys, stored: &AuditMark) -> Result<(), SignError> {
        let broken = |broken| Err(SignError::Broken(broken));
        if stored.mac.is_empty() {
            let is_first = self.last.is_none() && !has_calls(store).await?;
            return if is_first { Ok(()) } else { broken(Broken::Unsigned) };
        }
        match check_mark(keys, stored).await {
            Ok(_) => {}
            Err(SealError::NotAuthentic | SealError::Format) => return broken(Broken::Forged),
            Err(error) => return Err(error.into()),
        }
        match &self.last {
            Some(last) if stored.head.sequence < last.head.sequence => {
                broken(Broken::SetBack { from: last.head.sequence, to: stored.head.sequence })
            }
            _ => Ok(()),
        }
    }
}

/// Whether the chain has a line of a call to the API, which signs before it serves.
pub(crate) async fn has_calls(store: &Store) -> Result<bool, StoreError> {
    let mut after = FIRST.sequence;
    loop {
        let page = store.chained_audit(after, PAGE).await?;
        if page.iter().any(|(_, entry)| entry.peer != LOCAL) {
            return Ok(true);
        }
        match page.last() {
            Some((last, _)) => after = last.sequence,
            None => return Ok(false),
        }
    }
}

/// The end of the chain that goes on from `from`, which must still be in it.
async fn follow(store: &Store, from: AuditLink) -> Result<AuditLink, SignError> {
    let mut end = from;
    if from.sequence > FIRST.sequence {
        let page = store.chained_audit(from.sequence - 1, 1).await?;
        match page.first() {
            Some((line, _)) if line.sequence == from.sequence && line.hash == from.hash => {}
            Some((line, _)) if line.sequence == from.sequence => {
                return Err(SignError::Broken(Broken::NotTheHead(from.sequence)));
            }
            _ => {
                let (from, to) = (from.sequence, from.sequence);
                return Err(SignError::Broken(Broken::Removed { from, to }));
            }
        }
    }
    loop {
        let page = store.chained_audit(end.sequence, PAGE).await?;
        if page.is_empty() {
            return Ok(end);
        }
        for (line, entry) in &page {
            if line.sequence != end.sequence + 1 {
                let (from, to) = (end.sequence + 1, line.sequence - 1);
                return Err(SignError::Broken(Broken::Removed { from, to }));
            }
            if link(&end, entry) != *line {
                return Err(SignError::Broken(Broken::Changed(line.sequence)));
            }
            end = *line;
        }
    }
}
