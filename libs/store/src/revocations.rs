//! Revocations: which certificates are to be revoked at their CA, and what became of it.

use domain::{CertificateId, DomainName, RevocationReason, RevocationState};
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// That a certificate is to be revoked at its CA, or was (RFC 8555 section 7.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub certificate: CertificateId,
    /// Whose.
    pub name: DomainName,
    /// Why.
    pub reason: RevocationReason,
    /// How far it has come.
    pub state: RevocationState,
    /// Who wants it, a principal such as `token:dashboard`.
    pub requested_by: String,
    /// Since when.
    pub requested_at: Timestamp,
    /// Until then it waits for the replacement, if the certificate serves.
    pub waits_until: Timestamp,
    /// Why the replacement cannot be had, as the history told it last: a reason's code, or nothing.
    pub waiting_for: String,
}

columns!(Revocation in "revocations":
    certificate as "certificate_id", name, reason, state, requested_by, requested_at, waits_until, waiting_for);

impl Store {
    /// Which certificates of a name are to be revoked, or were; the oldest wish first.
    pub async fn revocations(&self, name: &DomainName) -> Result<Vec<Revocation>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rest = "WHERE name = $1 ORDER BY requested_at, certificate_id";
        db.select::<Revocation>("revocations", rest).bind(name).all().await
    }
}

impl Tx {
    /// The revocation of a certificate, locked.
    pub async fn revocation(&mut self, certificate: CertificateId) -> Result<Option<Revocation>> {
        let mut db = self.db().await?;
        let query = db.select::<Revocation>("revocation", "WHERE certificate_id = $1 {lock}");
        query.bind(&certificate).optional().await
    }

    /// Writes that a certificate is to be revoked, in place of what was wished for before.
    /// [`crate::StoreError::Conflict`] if it is revoked: nothing brings such a certificate back.
    pub async fn put_revocation(&mut self, revocation: &Revocation) -> Result<()> {
        let text = "INSERT INTO revocations (certificate_id, name, reason, state, requested_by, requested_at,
                waits_until, waiting_for)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (certificate_id) DO UPDATE SET reason = excluded.reason, state = excluded.state,
                requested_by = excluded.requested_by, requested_at = excluded.requested_at,
                waits_until = excluded.waits_until, waiting_for = excluded.waiting_for
            WHERE revocations.state <> 'revoked'";
        self.db().await?.query("put_revocation", text).bind_record(revocation).execute_one().await
    }

    /// Ends a revocation that was asked for; a certificate that is revoked is marked as such.
    /// [`crate::StoreError::Conflict`] if it is ended.
    pub async fn end_revocation(&mut self, certificate: CertificateId, state: RevocationState) -> Result<()> {
        let now = self.now();
        let mut db = self.db().await?;
        let text = "UPDATE revocations SET state = $2, waiting_for = '' WHERE certificate_id = $1 AND state = 'asked'";
        db.query("end_revocation", text).bind(&certificate).bind(&state).execute_one().await?;
        if state != RevocationState::Revoked {
            return Ok(());
        }
        let text = "UPDATE certificates SET revoked_at = $2 WHERE id = $1";
        db.query("mark_revoked", text).bind(&certificate).bind(&now).execute_one().await
    }

    /// Stores why the replacement of a certificate that is to be revoked cannot be had.
    /// [`crate::StoreError::Conflict`] if the revocation is ended.
    pub async fn note_revocation(&mut self, certificate: CertificateId, why: &str) -> Result<()> {
        let text = "UPDATE revocations SET waiting_for = $2 WHERE certificate_id = $1 AND state = 'asked'";
        self.db().await?.query("note_revocation", text).bind(&certificate).bind(why).execute_one().await
    }
}
