//! The audit log: appended to, chained, never changed.

use jiff::Timestamp;

use crate::record::{FromRow, Reader, Record, columns};
use crate::sql::Db;
use crate::{Result, Store, Tx};

/// A line of the audit log: who did what, from where, with which result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, to the microsecond.
    pub at: Timestamp,
    /// A principal such as `token:dashboard`.
    pub actor: String,
    /// The address that called; `local` for a command on the store itself.
    pub peer: String,
    /// The call, such as `AddDomain`.
    pub call: String,
    /// What it was about: a name as it was sent, or a token's.
    pub subject: String,
    /// `OK`, or the reason of the error.
    pub outcome: String,
    /// What else is worth keeping, such as why a key was downloaded.
    pub detail: String,
    /// What the caller named the request; empty if nothing.
    pub request_id: String,
}

columns!(AuditEntry in "audit": at, actor, peer, call, subject, outcome, detail, request_id);

/// A line that was not sealed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnchainedAudit {
    /// Its row.
    pub id: i64,
    /// What stands there.
    pub entry: AuditEntry,
}

impl FromRow for UnchainedAudit {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { id: reader.value()?, entry: AuditEntry::read(reader)? })
    }
}

/// A line's place in the chain: its number, from 1 without a gap, and the hash over the line before and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLink {
    /// The number; 0 stands before the first line.
    pub sequence: i64,
    /// The hash.
    pub hash: [u8; 32],
}

columns!(AuditLink in "audit_head": sequence, hash);

/// Up to which line the API has followed the chain, and when it last looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditMark {
    /// That line's seal.
    pub head: AuditLink,
    /// When.
    pub signed_at: Timestamp,
    /// The MAC of both, by a key that is not in the database; empty before the first time.
    pub mac: Vec<u8>,
}

impl FromRow for AuditMark {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { head: AuditLink::read(reader)?, signed_at: reader.value()?, mac: reader.value()? })
    }
}

/// A line with its seal.
struct Sealed(AuditLink, AuditEntry);

impl FromRow for Sealed {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self(AuditLink::read(reader)?, AuditEntry::read(reader)?))
    }
}

async fn head(db: &mut Db<'_>, operation: &'static str, lock: &str) -> Result<AuditLink> {
    db.query(operation, &format!("SELECT sequence, hash FROM audit_head {lock}")).one().await
}

impl Store {
    /// The audit log, newest first; of one subject, if it is given.
    pub async fn audit(&self, subject: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        // Two statements: one that served both would not use the index of subjects.
        match subject {
            None => db.select::<AuditEntry>("audit", "ORDER BY id DESC LIMIT $1").limit(limit).all().await,
            Some(subject) => {
                let rest = "WHERE subject = $1 ORDER BY id DESC LIMIT $2";
                db.select::<AuditEntry>("audit_of", rest).bind(subject).limit(limit).all().await
            }
        }
    }

    /// What is sealed of the audit log after a number, in order of number.
    pub async fn chained_audit(&self, after: i64, limit: u32) -> Result<Vec<(AuditLink, AuditEntry)>> {
        let text = format!(
            "SELECT sequence, hash, {} FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            AuditEntry::selected("")
        );
        let mut reader = self.reader().await?;
        let sealed =
            reader.db().query("chained_audit", &text).bind(&after).limit(limit).all::<Sealed>().await?;
        Ok(sealed.into_iter().map(|Sealed(seal, entry)| (seal, entry)).collect())
    }

    /// The seal that was given last.
    pub async fn audit_head(&self) -> Result<AuditLink> {
        head(&mut self.reader().await?.db(), "audit_head", "").await
    }

    /// What the API signed last.
    pub async fn audit_mark(&self) -> Result<AuditMark> {
        let text = "SELECT sequence, hash, signed_at, mac FROM audit_mark";
        self.reader().await?.db().query("audit_mark", text).one().await
    }

    /// How many lines of the audit log wait for their seal.
    pub async fn unchained_audit(&self) -> Result<u64> {
        let text = "SELECT count(*) FROM audit WHERE sequence IS NULL";
        self.reader().await?.db().query("count_unchained_audit", text).count().await
    }
}

impl Tx {
    /// The seal that was given last, locked: no other transaction seals until this one ends.
    pub async fn lock_audit_head(&mut self) -> Result<AuditLink> {
        head(&mut self.db().await?, "lock_audit_head", "{lock}").await
    }

    /// Stores what the API signed, if what was signed before still has the MAC `before`. False if it has another; then
    /// the transaction may go on.
    pub async fn set_audit_mark(&mut self, before: &[u8], mark: &AuditMark) -> Result<bool> {
        let text = "UPDATE audit_mark SET sequence = $2, hash = $3, signed_at = $4, mac = $5 WHERE mac = $1";
        let mut db = self.db().await?;
        let query = db.query("set_audit_mark", text).bind(before).bind(&mark.head.sequence);
        let query = query.bind(&mark.head.hash).bind(&mark.signed_at).bind(&mark.mac);
        Ok(query.execute().await? == 1)
    }

    /// Lines of the audit log that wait for their seal, oldest first.
    pub async fn unchained_audit(&mut self, limit: u32) -> Result<Vec<UnchainedAudit>> {
        let text = format!(
            "SELECT id, {} FROM audit WHERE sequence IS NULL ORDER BY id LIMIT $1",
            AuditEntry::selected("")
        );
        self.db().await?.query("unchained_audit", &text).limit(limit).all().await
    }

    /// Gives lines their seals, in order; the last is the head then. [`crate::StoreError::Conflict`] if one of them has
    /// a seal.
    pub async fn chain_audit(&mut self, seals: &[(i64, AuditLink)]) -> Result<()> {
        let Some((_, head)) = seals.last() else { return Ok(()) };
        let mut db = self.db().await?;
        for (id, seal) in seals {
            let text = "UPDATE audit SET sequence = $2, hash = $3 WHERE id = $1 AND sequence IS NULL";
            let query = db.query("chain_audit", text).bind(id).bind(&seal.sequence).bind(&seal.hash);
            query.execute_one().await?;
        }
        let text = "UPDATE audit_head SET sequence = $1, hash = $2";
        db.query("move_audit_head", text).bind(&head.sequence).bind(&head.hash).execute_one().await
    }
}
