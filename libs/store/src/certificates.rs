//! Certificates, with their sealed keys.

use domain::{
    AccountId, CertificateId, CertificateSummary, DomainName, OrderId, PreExpiry, Source, SuggestedWindow,
    Trust,
};
use jiff::Timestamp;

use crate::record::{FromRow, Reader, columns};
use crate::sql::Db;
use crate::{Result, Store, StoreError, Tx};

/// A certificate with its chain and its sealed key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its public facts.
    pub summary: CertificateSummary,
    /// The domain name.
    pub name: DomainName,
    /// The name's revision when it was made.
    pub revision: i64,
    /// Leaf and intermediates, PEM, in order.
    pub chain_pem: String,
    /// PKCS #8 key, sealed to id, name and public key; none once it is destroyed.
    pub sealed_key: Option<Vec<u8>>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was first active at C4.
    pub uploaded_at: Option<Timestamp>,
    /// The ACME account that it was ordered with; none for a pasted one.
    pub account: Option<AccountId>,
    /// When it is renewed; none for a pasted one.
    pub renewal: Option<Renewal>,
    /// When its CA revoked it.
    pub revoked_at: Option<Timestamp>,
    /// Its revocation was requested, whatever the result: it is never rolled back to.
    pub withdrawn: bool,
}

impl Certificate {
    /// The id.
    pub fn id(&self) -> CertificateId {
        self.summary.id
    }

    /// The end of its use: its expiry, or its revocation if that is earlier.
    pub fn ends_at(&self) -> Timestamp {
        let not_after = self.summary.not_after;
        self.revoked_at.map_or(not_after, |revoked_at| revoked_at.min(not_after))
    }

    /// Its pre-expiry: the configured one, adjusted if its CA suggests a window.
    pub fn pre_expiry(&self, configured: PreExpiry) -> PreExpiry {
        let has_window = self.renewal.is_some_and(|renewal| renewal.window.is_some());
        if has_window { configured.after_window() } else { configured }
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// A certificate for lists: without its chain and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Its public facts.
    pub summary: CertificateSummary,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was first active at C4.
    pub uploaded_at: Option<Timestamp>,
    /// Whether its sealed key is stored.
    pub has_key: bool,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// See [`Certificate::withdrawn`].
    pub withdrawn: bool,
}

/// A place in the list of a name's certificates, newest first: after the certificate with this time and id.
pub type CertificatePlace = (Timestamp, CertificateId);

/// When a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The renewal time.
    pub at: Timestamp,
    /// The window that its CA last suggested, if any.
    pub window: Option<SuggestedWindow>,
}

columns!(CertificateSummary in "certificates": id, source, sha256, serial, issuer, not_before, not_after, trust);

/// A row of `certificates`.
struct CertificateRow {
    id: CertificateId,
    name: DomainName,
    revision: i64,
    source: Source,
    sha256: String,
    serial: String,
    issuer: String,
    not_before: Timestamp,
    not_after: Timestamp,
    chain_pem: String,
    sealed_key: Option<Vec<u8>>,
    created_at: Timestamp,
    uploaded_at: Option<Timestamp>,
    account_id: Option<AccountId>,
    renewal_at: Option<Timestamp>,
    window_start: Option<Timestamp>,
    window_end: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    trust: Option<Trust>,
    withdrawn: bool,
}

columns!(CertificateRow in "certificates":
    id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem, sealed_key, created_at,
    uploaded_at, account_id, renewal_at, window_start, window_end, revoked_at, trust;
    withdrawn = "EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id)");

impl From<&Certificate> for CertificateRow {
    fn from(certificate: &Certificate) -> Self {
        let summary = certificate.summary.clone();
        let window = certificate.renewal.and_then(|renewal| renewal.window);
        Self {
            id: summary.id,
            name: certificate.name.clone(),
            revision: certificate.revision,
            source: summary.source,
            sha256: summary.sha256,
            serial: summary.serial,
            issuer: summary.issuer,
            not_before: summary.not_before,
            not_after: summary.not_after,
            chain_pem: certificate.chain_pem.clone(),
            sealed_key: certificate.sealed_key.clone(),
            created_at: certificate.created_at,
            uploaded_at: certificate.uploaded_at,
            account_id: certificate.account,
            renewal_at: certificate.renewal.map(|renewal| renewal.at),
            window_start: window.map(|window| window.start),
            window_end: window.map(|window| window.end),
            revoked_at: certificate.revoked_at,
            trust: summary.trust,
            withdrawn: certificate.withdrawn,
        }
    }
}

impl From<CertificateRow> for Certificate {
    fn from(row: CertificateRow) -> Self {
        let window = row.window_start.zip(row.window_end);
        let window = window.map(|(start, end)| SuggestedWindow { start, end });
        Self {
            summary: CertificateSummary {
                id: row.id,
                sha256: row.sha256,
                serial: row.serial,
                issuer: row.issuer,
                not_before: row.not_before,
                not_after: row.not_after,
                source: row.source,
                trust: row.trust,
            },
            name: row.name,
            revision: row.revision,
            chain_pem: row.chain_pem,
            sealed_key: row.sealed_key,
            created_at: row.created_at,
            uploaded_at: row.uploaded_at,
            account: row.account_id,
            renewal: row.renewal_at.map(|at| Renewal { at, window }),
            revoked_at: row.revoked_at,
            withdrawn: row.withdrawn,
        }
    }
}

impl FromRow for CertificateRecord {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            summary: CertificateSummary::read(reader)?,
            created_at: reader.value()?,
            uploaded_at: reader.value()?,
            has_key: reader.value()?,
            revoked_at: reader.value()?,
            withdrawn: reader.value()?,
        })
    }
}

impl Store {
    /// Returns a certificate of a name, with its chain and sealed key; none if the certificate with that id belongs
    /// to another name.
    pub async fn certificate(&self, name: &DomainName, id: CertificateId) -> Result<Option<Certificate>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let row = db.select::<CertificateRow>("certificate", "WHERE id = $1 AND name = $2");
        let row = row.bind(&id).bind(name);
        Ok(row.optional::<CertificateRow>().await?.map(Certificate::from))
    }

    /// Returns a name's certificate by the SHA-256 of its leaf; the newest row if it was pasted twice.
    pub async fn certificate_by_sha256(
        &self,
        name: &DomainName,
        sha256: &str,
    ) -> Result<Option<Certificate>> {
        by_sha256(&mut self.reader().await?.db(), name, sha256).await
    }

    /// Returns a page of a name's certificates, newest first, even if the name is deleted; `after` is the end of the
    /// previous page. A name has few enough to sort them.
    pub async fn certificates(
        &self,
        name: &DomainName,
        after: Option<CertificatePlace>,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>> {
        let text =
            "SELECT id, source, sha256, serial, issuer, not_before, not_after, trust, created_at, uploaded_at,
                sealed_key IS NOT NULL AS has_key, revoked_at,
                EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
            FROM certificates
            WHERE name = $1
                AND ($2{timestamptz} IS NULL OR (created_at, id) < ($2{timestamptz}, $3{uuid}))
            ORDER BY created_at DESC, id DESC LIMIT $4";
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query =
            db.query("certificates_of", text).bind(name).bind(&after.map(|(created_at, _)| created_at));
        query.bind(&after.map(|(_, id)| id)).limit(limit).all().await
    }

    /// Like [`Tx::newest_generated`], outside of a transaction.
    pub async fn newest_generated(
        &self,
        name: &DomainName,
        ends_after: Timestamp,
    ) -> Result<Option<Certificate>> {
        newest_generated(&mut self.reader().await?.db(), name, ends_after).await
    }
}

async fn newest_generated(
    db: &mut Db<'_>,
    name: &DomainName,
    ends_after: Timestamp,
) -> Result<Option<Certificate>> {
    let rest = "WHERE name = $1 AND source = 'c4' AND not_after > $2
        ORDER BY not_after DESC, created_at DESC LIMIT 1";
    let row = db.select::<CertificateRow>("newest_generated", rest).bind(name).bind(&ends_after);
    Ok(row.optional::<CertificateRow>().await?.map(Certificate::from))
}

impl Tx {
    /// Stores a certificate.
    pub async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<()> {
        self.insert("insert_certificate", "", &[CertificateRow::from(certificate)], &[], "").await
    }

    /// Stores a certificate that a CA delivered for an order, with the key from the order's row: the key's data key
    /// may have been wrapped under another sealing key since the order was read. [`crate::StoreError::Conflict`] if
    /// the order is not in the state placed.
    pub async fn insert_issued(&mut self, certificate: &Certificate, order: OrderId) -> Result<()> {
        let text = "SELECT sealed_key FROM orders WHERE id = $1 AND state = 'placed' {lock}";
        let mut db = self.db().await?;
        let found = db.query("order_key", text).bind(&order).optional::<(Option<Vec<u8>>,)>().await?;
        let (sealed_key,) = found.ok_or(StoreError::Conflict { operation: "insert_issued" })?;
        self.insert_certificate(&Certificate { sealed_key, ..certificate.clone() }).await
    }

    /// Stores when a certificate was first active at C4; later calls change nothing.
    pub async fn mark_uploaded(&mut self, id: CertificateId) -> Result<()> {
        let now = self.now();
        let text = "UPDATE certificates SET uploaded_at = coalesce(uploaded_at, $2) {rows} WHERE id = $1";
        self.write("mark_uploaded", "", text).await?.bind(&id).bind(&now).keep_one();
        Ok(())
    }

    /// Stores the number of edges that were asked for a certificate and serve it.
    pub async fn set_edges(&mut self, id: CertificateId, edges: u32) -> Result<()> {
        let text = "UPDATE certificates SET edges = $2 {rows} WHERE id = $1";
        self.write("set_edges", "", text).await?.bind(&id).bind(&i64::from(edges)).keep_one();
        Ok(())
    }

    /// Stores when a certificate is renewed. [`crate::StoreError::Conflict`] if it does not exist.
    pub async fn set_renewal(&mut self, id: CertificateId, renewal: Renewal) -> Result<()> {
        let text = "UPDATE certificates SET renewal_at = $2, window_start = $3, window_end = $4 {rows} WHERE id = $1";
        let write = self.write("set_renewal", "", text).await?.bind(&id).bind(&renewal.at);
        let write = write.bind(&renewal.window.map(|window| window.start));
        write.bind(&renewal.window.map(|window| window.end)).keep_one();
        Ok(())
    }

    /// Returns the generated certificate of a name with the latest end, if it ends after `ends_after`.
    pub async fn newest_generated(
        &mut self,
        name: &DomainName,
        ends_after: Timestamp,
    ) -> Result<Option<Certificate>> {
        newest_generated(&mut self.db().await?, name, ends_after).await
    }

    /// Like [`Store::certificate_by_sha256`], within the transaction.
    pub async fn certificate_by_sha256(
        &mut self,
        name: &DomainName,
        sha256: &str,
    ) -> Result<Option<Certificate>> {
        by_sha256(&mut self.db().await?, name, sha256).await
    }
}

async fn by_sha256(db: &mut Db<'_>, name: &DomainName, sha256: &str) -> Result<Option<Certificate>> {
    let rest = "WHERE name = $1 AND sha256 = $2 ORDER BY created_at DESC LIMIT 1";
    let row = db.select::<CertificateRow>("certificate_by_sha256", rest).bind(name).bind(sha256);
    Ok(row.optional::<CertificateRow>().await?.map(Certificate::from))
}
