//! A name's SSL history: one entry per thing that happened, kept for ever.

use jiff::Timestamp;

use crate::{DomainName, Status};

macro_rules! history_kinds {
    ($($(#[$doc:meta])* $kind:ident => $word:literal,)*) => {
        /// What happened.
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
    /// A certificate was asked for.
    Generated => "generated",
    /// A certificate was pasted.
    Imported => "imported",
    /// An operator asked for the next step now.
    Rechecked => "rechecked",
    /// The certificate before the live one is to be live again.
    RolledBack => "rolled_back",
    /// Taken off the list.
    Deleted => "deleted",
    /// The customer reference or labels changed.
    LabelsChanged => "labels_changed",
    /// A private key left through the API.
    KeyDownloaded => "key_downloaded",
    /// Something outside blocks the domain.
    Blocked => "blocked",
    /// The customer switched HTTPS off.
    HttpsOff => "https_off",
    /// The customer switched HTTPS on again.
    HttpsOn => "https_on",
    /// A preflight question got no answer.
    CouldNotAsk => "could_not_ask",
    /// C4 said that it does not know the domain.
    UnknownToC4 => "unknown_to_c4",
    /// The CA took the order.
    OrderPlaced => "order_placed",
    /// The order ended without a certificate.
    OrderFailed => "order_failed",
    /// The CA is down, slow or asked us to wait.
    CaWaiting => "ca_waiting",
    /// Requests to the CA or C4 are paused by an operator.
    Paused => "paused",
    /// Certificate and sealed key are stored.
    CertificateIssued => "certificate_issued",
    /// What the CA delivered was not what was asked for.
    CertificateRejected => "certificate_rejected",
    /// The certificate is active at C4.
    CertificateUploaded => "certificate_uploaded",
    /// C4 has the certificate, but edges do not serve it yet.
    NotServedYet => "not_served_yet",
    /// C4 did not take the certificate.
    UploadFailed => "upload_failed",
    /// C4 held something else than the live certificate.
    DifferenceFound => "difference_found",
    /// C4 was ahead of this database, and what was to be uploaded was not.
    AheadAtC4 => "ahead_at_c4",
    /// C4 was ahead of this database: the certificate that it held is the live one from then on.
    TakenOver => "taken_over",
    /// C4 held something else than the live certificate, which is revoked or to be, so it was not uploaded again.
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
    /// It is not revoked yet, because its replacement cannot be had.
    RevocationWaiting => "revocation_waiting",
    /// The CA has revoked a certificate.
    Revoked => "revoked",
    /// The CA does not revoke it: somebody must act.
    RevocationFailed => "revocation_failed",
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Whose history.
    pub name: DomainName,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: HistoryKind,
    /// Who: a principal (`token:dashboard`) or a role (`issuer`).
    pub actor: String,
    /// Status before; none for a name that was not there.
    pub status_from: Option<Status>,
    /// Status after.
    pub status_to: Status,
    /// A sentence for people.
    pub message: String,
    /// The certificate it is about.
    pub certificate_sha256: Option<String>,
}
