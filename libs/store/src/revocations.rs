//! Revocations of certificates at their CA, requested and completed.

use domain::{CertificateId, DomainName, RevocationReason, RevocationState};
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// A requested or completed revocation of a certificate at its CA (RFC 8555 section 7.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The certificate.
    pub certificate: CertificateId,
    /// The domain name.
    pub name: DomainName,
    /// The reason.
    pub reason: RevocationReason,
    /// Its state.
    pub state: RevocationState,
    /// The principal who requested it, such as `token:dashboard`.
    pub requested_by: String,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Until then a served certificate waits for its replacement.
    pub waits_until: Timestamp,
    /// Why the replacement is not available, as last told in the history: a reason's code, or empty.
    pub waiting_for: String,
}

columns!(Revocation in "revocations":
    certificate as "certificate_id", name, reason, state, requested_by, requested_at, waits_until, waiting_for);

impl Store {
    /// Returns the revocations of a name's certificates, the oldest request first.
    pub async fn revocations(&self, name: &DomainName) -> Result<Vec<Revocation>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rest = "WHERE name = $1 ORDER BY requested_at, certificate_id";
        db.select::<Revocation>("revocations", rest).bind(name).all().await
    }
}

impl Tx {
    /// Returns the revocation of a certificate, locked.
    pub async fn revocation(&mut self, certificate: CertificateId) -> Result<Option<Revocation>> {
        let mut db = self.db().await?;
        let query = db.select::<Revocation>("revocation", "WHERE certificate_id = $1 {lock}");
        query.bind(&certificate).optional().await
    }

    /// Stores a revocation request, in place of an earlier one. [`crate::StoreError::Conflict`] if the certificate is
    /// already revoked.
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

    /// Ends a requested revocation; a revoked certificate is marked as such. [`crate::StoreError::Conflict`] if it
    /// has already ended.
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

    /// Stores why the replacement of a certificate to be revoked is not available. [`crate::StoreError::Conflict`] if
    /// the revocation has ended.
    pub async fn note_revocation(&mut self, certificate: CertificateId, why: &str) -> Result<()> {
        let text = "UPDATE revocations SET waiting_for = $2 WHERE certificate_id = $1 AND state = 'asked'";
        self.db().await?.query("note_revocation", text).bind(&certificate).bind(why).execute_one().await
    }
}
