//! A name's SSL history: one entry per event, kept for ever.

use jiff::Timestamp;

use crate::{DomainName, Status};

macro_rules! history_kinds {
    ($($(#[$doc:meta])* $kind:ident => $word:literal,)*) => {
        /// The kind of a history entry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HistoryKind {
            $($(#[$doc])* $kind,)*
        }

        impl HistoryKind {
            /// The word of the API and the store.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }

        impl std::str::FromStr for HistoryKind {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text {
                    $($word => Ok(Self::$kind),)*
                    _ => Err(()),
                }
            }
        }
    };
}

history_kinds! {
    /// Put under management.
    Added => "added",
    /// A certificate was requested.
    Generated => "generated",
    /// A certificate was pasted.
    Imported => "imported",
    /// An operator asked for the next step now.
    Rechecked => "rechecked",
    /// A roll back to the previous certificate was requested.
    RolledBack => "rolled_back",
    /// Taken off the list.
    Deleted => "deleted",
    /// The customer reference or labels changed.
    LabelsChanged => "labels_changed",
    /// A private key was downloaded through the API.
    KeyDownloaded => "key_downloaded",
    /// An outside problem blocks the domain.
    Blocked => "blocked",
    /// The customer switched HTTPS off.
    HttpsOff => "https_off",
    /// The customer switched HTTPS on again.
    HttpsOn => "https_on",
    /// A preflight query got no answer.
    CouldNotAsk => "could_not_ask",
    /// C4 answered that it does not know the domain.
    UnknownToC4 => "unknown_to_c4",
    /// The CA accepted the order.
    OrderPlaced => "order_placed",
    /// The order ended without a certificate.
    OrderFailed => "order_failed",
    /// The CA is down, slow or asked us to wait.
    CaWaiting => "ca_waiting",
    /// Requests to the CA or C4 are paused by an operator.
    Paused => "paused",
    /// Certificate and sealed key are stored.
    CertificateIssued => "certificate_issued",
    /// The certificate that the CA delivered does not match the order.
    CertificateRejected => "certificate_rejected",
    /// The certificate is active at C4.
    CertificateUploaded => "certificate_uploaded",
    /// C4 has the certificate, but edges do not serve it yet.
    NotServedYet => "not_served_yet",
    /// C4 did not accept the certificate.
    UploadFailed => "upload_failed",
    /// C4 held something other than the live certificate.
    DifferenceFound => "difference_found",
    /// C4 was ahead of this database, so the planned upload was not sent.
    AheadAtC4 => "ahead_at_c4",
    /// C4 was ahead of this database: the certificate that it held became the live one.
    TakenOver => "taken_over",
    /// C4 held something other than the live certificate, which is revoked or about to be, so it was not uploaded
    /// again.
    NotUploadedAgain => "not_uploaded_again",
    /// The certificate was removed from C4.
    CertificateRemoved => "certificate_removed",
    /// The private keys of a deleted name were destroyed.
    KeysDestroyed => "keys_destroyed",
    /// The active certificate was pasted and ends soon.
    Ending => "ending",
    /// The active certificate ended.
    Expired => "expired",
    /// A certificate is to be revoked at its CA.
    RevocationRequested => "revocation_requested",
    /// A revocation waits, because its replacement is not available.
    RevocationWaiting => "revocation_waiting",
    /// The CA has revoked a certificate.
    Revoked => "revoked",
    /// The CA refuses to revoke a certificate: a person must act.
    RevocationFailed => "revocation_failed",
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The domain name.
    pub name: DomainName,
    /// When it happened.
    pub at: Timestamp,
    /// The kind.
    pub kind: HistoryKind,
    /// A principal (`token:dashboard`) or a role (`issuer`).
    pub actor: String,
    /// Status before; none for a name that was not on the list.
    pub status_from: Option<Status>,
    /// Status after.
    pub status_to: Status,
    /// A sentence for staff.
    pub message: String,
    /// The certificate that the entry is about.
    pub certificate_sha256: Option<String>,
}
