//! The audit log: append-only and chained.

use jiff::Timestamp;

use crate::record::{FromRow, Reader, Record, columns};
use crate::sql::Db;
use crate::{Result, Store, Tx};

/// An entry of the audit log: who did what, from where, with which result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, to the microsecond.
    pub at: Timestamp,
    /// A principal such as `token:dashboard`.
    pub actor: String,
    /// The caller's address; `local` for a command on the store itself.
    pub peer: String,
    /// The call, such as `AddDomain`.
    pub call: String,
    /// The subject: a name as it was sent, or a token's name.
    pub subject: String,
    /// `OK`, or the error's reason.
    pub outcome: String,
    /// Further details, such as the reason for a key download.
    pub detail: String,
    /// The caller's request id; empty if there was none.
    pub request_id: String,
}

columns!(AuditEntry in "audit": at, actor, peer, call, subject, outcome, detail, request_id);

/// An entry that is not chained yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnchainedAudit {
    /// Its row id.
    pub id: i64,
    /// The entry.
    pub entry: AuditEntry,
}

impl FromRow for UnchainedAudit {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { id: reader.value()?, entry: AuditEntry::read(reader)? })
    }
}

/// An entry's place in the chain: its number, from 1 without gaps, and the hash of the previous hash and the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLink {
    /// The number; 0 is the link before the first entry.
    pub sequence: i64,
    /// The hash.
    pub hash: [u8; 32],
}

columns!(AuditLink in "audit_head": sequence, hash);

/// The entry up to which the API has verified the chain, and the time of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditMark {
    /// The link of that entry.
    pub head: AuditLink,
    /// The time.
    pub signed_at: Timestamp,
    /// The MAC of both, with a key that is not in the database; empty before the first time.
    pub mac: Vec<u8>,
}

impl FromRow for AuditMark {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { head: AuditLink::read(reader)?, signed_at: reader.value()?, mac: reader.value()? })
    }
}

/// An entry with its link.
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
    /// Returns the audit log, newest first; only one subject if given.
    pub async fn audit(&self, subject: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        // Two statements: a combined one would not use the index of subjects.
        match subject {
            None => db.select::<AuditEntry>("audit", "ORDER BY id DESC LIMIT $1").limit(limit).all().await,
            Some(subject) => {
                let rest = "WHERE subject = $1 ORDER BY id DESC LIMIT $2";
                db.select::<AuditEntry>("audit_of", rest).bind(subject).limit(limit).all().await
            }
        }
    }

    /// Returns the chained entries after a number, in order of number.
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

    /// Returns the last link of the chain.
    pub async fn audit_head(&self) -> Result<AuditLink> {
        head(&mut self.reader().await?.db(), "audit_head", "").await
    }

    /// Returns the API's last mark.
    pub async fn audit_mark(&self) -> Result<AuditMark> {
        let text = "SELECT sequence, hash, signed_at, mac FROM audit_mark";
        self.reader().await?.db().query("audit_mark", text).one().await
    }

    /// Returns the number of entries that are not chained yet.
    pub async fn unchained_audit(&self) -> Result<u64> {
        let text = "SELECT count(*) FROM audit WHERE sequence IS NULL";
        self.reader().await?.db().query("count_unchained_audit", text).count().await
    }
}

impl Tx {
    /// Returns the last link, locked: no other transaction chains entries until this one ends.
    pub async fn lock_audit_head(&mut self) -> Result<AuditLink> {
        head(&mut self.db().await?, "lock_audit_head", "{lock}").await
    }

    /// Stores the API's mark if the present one still has the MAC `before`. Returns false if it has another; the
    /// transaction may continue then.
    pub async fn set_audit_mark(&mut self, before: &[u8], mark: &AuditMark) -> Result<bool> {
        let text = "UPDATE audit_mark SET sequence = $2, hash = $3, signed_at = $4, mac = $5 WHERE mac = $1";
        let mut db = self.db().await?;
        let query = db.query("set_audit_mark", text).bind(before).bind(&mark.head.sequence);
        let query = query.bind(&mark.head.hash).bind(&mark.signed_at).bind(&mark.mac);
        Ok(query.execute().await? == 1)
    }

    /// Returns entries that are not chained yet, oldest first.
    pub async fn unchained_audit(&mut self, limit: u32) -> Result<Vec<UnchainedAudit>> {
        let text = format!(
            "SELECT id, {} FROM audit WHERE sequence IS NULL ORDER BY id LIMIT $1",
            AuditEntry::selected("")
        );
        self.db().await?.query("unchained_audit", &text).limit(limit).all().await
    }

    /// Chains entries, in order; the last one becomes the head. [`crate::StoreError::Conflict`] if one of them is
    /// already chained.
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
