//! Work: what is due for a name, and the lease by which one worker owns it.
//!
//! Each (name, kind) has at most one row. A timer is just that row's `due_at`, so retries, renewals, rechecks and
//! work left by a crash are all found by one sweep. Correctness rests on the lease's `token`: it grows with every
//! claim and every rescheduling, and a write with an older token changes nothing.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::{CertificateId, Domain, DomainName, EventKind};

/// The kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkKind {
    /// Preflight and order (issuer).
    Issue,
    /// Make C4 hold a certificate (c4-uploader).
    Upload,
    /// Remove the certificate from C4 (c4-uploader).
    Remove,
    /// Have the CA revoke certificates of the name (issuer).
    Revoke,
}

impl WorkKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Issue, Self::Upload, Self::Remove, Self::Revoke];

    /// The word of the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Upload => "upload",
            Self::Remove => "remove",
            Self::Revoke => "revoke",
        }
    }
}

impl fmt::Display for WorkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WorkKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// Why work is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Requested by a person or program: add, generate, delete.
    Requested,
    /// The certificate reached its renewal point, or ended.
    Renewal,
    /// The previous attempt was not conclusive.
    Retry,
    /// An operator asked for the next step now.
    OperatorRecheck,
    /// The daily recheck of domains that are not in order.
    DailyRecheck,
    /// Compare what C4 holds with what it should hold.
    Compare,
    /// Ask the CA for its suggested renewal window (RFC 9773).
    RenewalInfo,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Requested,
        Self::Renewal,
        Self::Retry,
        Self::OperatorRecheck,
        Self::DailyRecheck,
        Self::Compare,
        Self::RenewalInfo,
    ];

    /// The word of the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Renewal => "renewal",
            Self::Retry => "retry",
            Self::OperatorRecheck => "recheck",
            Self::DailyRecheck => "midnight",
            Self::Compare => "compare",
            Self::RenewalInfo => "renewal_info",
        }
    }
}

impl FromStr for Cause {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or(())
    }
}

/// A row of work, as it is scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The domain name.
    pub name: DomainName,
    /// The kind of work.
    pub kind: WorkKind,
    /// The name's revision that it belongs to.
    pub revision: i64,
    /// Why it is due.
    pub cause: Cause,
    /// Failed or inconclusive attempts so far, for the backoff.
    pub attempts: u32,
    /// When it is due; none if a person must act first.
    pub due_at: Option<Timestamp>,
    /// The certificate to upload.
    pub certificate: Option<CertificateId>,
}

impl Work {
    /// First work of that kind for a domain as it is now, due at that time. An upload needs its certificate set.
    pub fn due(domain: &Domain, kind: WorkKind, cause: Cause, at: Timestamp) -> Self {
        Self {
            name: domain.name.clone(),
            kind,
            revision: domain.revision,
            cause,
            attempts: 0,
            due_at: Some(at),
            certificate: None,
        }
    }

    /// The event that makes a worker claim it; none for an upload without a certificate, which cannot be done.
    pub fn event(&self) -> Option<EventKind> {
        match (self.kind, self.certificate) {
            (WorkKind::Issue, _) => Some(EventKind::CertificateRequested),
            (WorkKind::Upload, certificate) => {
                certificate.map(|certificate| EventKind::CertIssued { certificate })
            }
            (WorkKind::Remove, _) => Some(EventKind::DomainDeleted),
            (WorkKind::Revoke, _) => Some(EventKind::RevocationRequested),
        }
    }
}

/// Work that one worker owns until the lease ends or the work is rescheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The work as it was claimed.
    pub work: Work,
    /// The fencing token.
    pub token: i64,
    /// When other workers may take it over, by the claimer's clock.
    pub expires_at: Timestamp,
}
