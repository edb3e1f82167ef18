//! Rows that have no rules of their own.

use domain::{
    AccountId, CertificateId, CertificateSummary, Domain, DomainName, Event, OrderId, RevocationReason,
    RevocationState, Role, Status, SuggestedWindow,
};
use jiff::Timestamp;

/// A domain with what the list and the API show beside its row.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainView {
    /// The row.
    pub domain: Domain,
    /// The certificate that is active at C4.
    pub certificate: Option<CertificateSummary>,
    /// When the next attempt begins: the earliest due work that is more than a comparison.
    pub next_attempt_at: Option<Timestamp>,
    /// How many attempts at that failed in a row.
    pub failed_attempts: u32,
}

/// The list in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Domains per stored status; a status without any may be missing.
    pub statuses: Vec<(Status, u64)>,
    /// Success, but the renewal is blocked.
    pub renewal_blocked: u64,
    /// Success, but only until the given time.
    pub expiring: u64,
    /// Waiting for room in a CA's limits.
    pub waiting_for_budget: u64,
}

/// One change of one domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Grows with every change.
    pub position: i64,
    /// When.
    pub at: Timestamp,
    /// The domain after it; `domain.deleted_at` is set if it was deleted.
    pub view: DomainView,
}

/// A challenge response (RFC 8555 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Host that the CA asks.
    pub host: DomainName,
    /// The token in the path.
    pub token: String,
    /// What to answer.
    pub key_authorization: String,
    /// The order it belongs to.
    pub order: OrderId,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// A certificate with everything but an open key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its public facts.
    pub summary: CertificateSummary,
    /// Whose.
    pub name: DomainName,
    /// The name's revision when it was made.
    pub revision: i64,
    /// Leaf and intermediates, PEM, in order.
    pub chain_pem: String,
    /// PKCS #8 key, sealed to the certificate's id; none once it was destroyed.
    pub sealed_key: Option<Vec<u8>>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was first active at C4.
    pub uploaded_at: Option<Timestamp>,
    /// With which ACME account it was ordered; none for a pasted one.
    pub account: Option<AccountId>,
    /// When it is renewed; none for a pasted one.
    pub renewal: Option<Renewal>,
    /// When its CA revoked it.
    pub revoked_at: Option<Timestamp>,
    /// Somebody wants it revoked, whatever came of that: it is never put back.
    pub withdrawn: bool,
}

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

/// A certificate of a name as a list shows it: without its chain, and with no more of its key than that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Its public facts.
    pub summary: CertificateSummary,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was first active at C4.
    pub uploaded_at: Option<Timestamp>,
    /// Whether its sealed key is there.
    pub has_key: bool,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// See [`Certificate::withdrawn`].
    pub withdrawn: bool,
}

/// A place in a name's certificates, newest first: after the one with this time and id.
pub type CertificatePlace = (Timestamp, CertificateId);

/// When a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The point.
    pub at: Timestamp,
    /// The window that its CA suggested when it was last asked, if it did.
    pub window: Option<SuggestedWindow>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// Who rehearses a challenge path: neither gets into the other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOf {
    /// An order's preflight.
    Order,
    /// A check that somebody asked for.
    Check,
}

impl ProbeOf {
    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Check => "check",
        }
    }
}

/// Our account at a CA (RFC 8555 section 7.1.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Our id; the key is sealed to it.
    pub id: AccountId,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// The directory it belongs to.
    pub directory_url: String,
    /// PKCS #8 key, sealed.
    pub sealed_key: Vec<u8>,
    /// The account's URL; none until the CA answered new-account.
    pub url: Option<String>,
    /// When the row was written.
    pub created_at: Timestamp,
    /// The PKCS #8 key that it is about to get, sealed (RFC 8555 section 7.3.5).
    pub pending_key: Option<Vec<u8>>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Where private keys are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// The keys that our accounts at CAs are about to get.
    PendingAccounts,
    /// The keys of our accounts at CAs.
    Accounts,
    /// The keys of certificates that are not issued yet.
    Orders,
    /// The keys of certificates.
    Certificates,
}

impl SealedPlace {
    /// All, in the order in which a key moves: from pending to the account's own, from its order into its certificate.
    pub const ALL: [Self; 4] = [Self::PendingAccounts, Self::Accounts, Self::Orders, Self::Certificates];

    /// The table, and the column where that has two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingAccounts => "accounts.pending_key",
            Self::Accounts => "accounts",
            Self::Orders => "orders",
            Self::Certificates => "certificates",
        }
    }
}

/// A sealed key and where it is. It has no `Debug`, like everything with a key in it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Where.
    pub place: SealedPlace,
    /// The row's id.
    pub id: String,
    /// The id that it is sealed to: the row's own, or an order's certificate's.
    pub sealed_to: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

/// An API token; the text itself is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Who it is for.
    pub name: String,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; none for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// That a token was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// Which.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

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

/// A line that was not sealed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsealedAudit {
    /// Its row.
    pub id: i64,
    /// What stands there.
    pub entry: AuditEntry,
}

/// A line's place in the chain: its number, from 1 without a gap, and the hash over the line before and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSeal {
    /// The number; 0 stands before the first line.
    pub sequence: i64,
    /// The hash.
    pub hash: [u8; 32],
}

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Grows with every message.
    pub sequence: i64,
    /// What is published.
    pub event: Event,
    /// How often it was given back.
    pub attempts: u32,
    /// Fencing token of this taking.
    pub token: i64,
    /// The trace it belongs to (W3C `traceparent`), if its publisher was traced.
    pub trace_parent: Option<String>,
}

impl Certificate {
    /// The id.
    pub fn id(&self) -> CertificateId {
        self.summary.id
    }

    /// When it is of no use any more: at its end, or from its revocation on.
    pub fn ends_at(&self) -> Timestamp {
        let not_after = self.summary.not_after;
        self.revoked_at.map_or(not_after, |revoked_at| revoked_at.min(not_after))
    }
}
