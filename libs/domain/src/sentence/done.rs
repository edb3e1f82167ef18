//! Confirmation sentences for actions; they state only what is certain.

/// Whether C4 served a certificate of the domain at the time of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// A valid certificate.
    Valid,
    /// An expired certificate.
    Ended,
    /// None.
    Nothing,
}

macro_rules! done {
    ($($(#[$doc:meta])* $done:ident => $word:literal, $sentence:literal;)*) => {
        /// An action with its confirmation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Done {
            $($(#[$doc])* $done,)*
        }

        impl Done {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$done,)*];

            /// The word for it in a URL.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$done => $word,)*
                }
            }

            /// The sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$done => $sentence,)*
                }
            }
        }
    };
}

done! {
    /// Deleted while a valid certificate was served.
    DeletedServed => "deleted-served", "Deleted. C4 keeps serving its certificate until that ends.";
    /// Deleted after its certificate had expired.
    DeletedEnded => "deleted-ended", "Deleted. Its certificate had already ended; C4 keeps it.";
    /// Deleted without a certificate.
    DeletedUnserved => "deleted-unserved", "Deleted. C4 had no certificate for it.";
    /// Deleted, and its certificate is removed from C4.
    Removed => "removed", "Deleted. Its certificate is being removed from C4.";
    /// Deleted without a certificate; removal from C4 is requested anyway.
    RemovedUnserved => "removed-unserved", "Deleted. It had no live certificate; C4 is asked to remove any that it still holds.";
    /// Put on the list.
    Added => "add", "Added. Checks are running; the certificate is ordered once they pass.";
    /// Rechecked.
    Rechecked => "recheck", "Rechecking. The next step starts now.";
    /// Generate was requested, and a certificate will be ordered.
    Generated => "generate", "Certificate requested. Checks are running; it is ordered once they pass.";
    /// Generate was requested, but the live certificate is not due.
    GeneratedKept => "generate-kept", "The live certificate is not due yet: it stays, and is compared with C4.";
    /// An order was forced while a certificate is served.
    Forced => "force", "New certificate requested. The present one serves until the new one is live.";
    /// An order was forced.
    ForcedUnserved => "force-unserved", "New certificate requested. It is ordered once the checks pass.";
    /// Rolled back.
    RolledBack => "rollback", "Rolling back. The previous certificate is being uploaded to C4.";
    /// Pasted while another certificate is served.
    ImportedOver => "import-over", "Stored, and being uploaded to C4. The present certificate serves until then.";
    /// Pasted.
    Imported => "import", "Stored, and being uploaded to C4.";
    /// The revocation of a certificate that is not served was requested.
    Revoked => "revoke", "Revocation requested. The history below shows when the CA has revoked it.";
    /// The revocation of a served certificate was requested.
    RevokedLater => "revoke-later", "A replacement with a new key is requested. The old certificate is revoked once the new one is live, \
        after 20 hours at the latest.";
}

impl Done {
    /// The action with that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|done| done.as_str() == word)
    }

    /// The confirmation of a deletion.
    pub fn deleted(served: Served, remove_from_c4: bool) -> Self {
        match (served, remove_from_c4) {
            (Served::Valid, false) => Self::DeletedServed,
            (Served::Ended, false) => Self::DeletedEnded,
            (Served::Nothing, false) => Self::DeletedUnserved,
            (Served::Valid | Served::Ended, true) => Self::Removed,
            (Served::Nothing, true) => Self::RemovedUnserved,
        }
    }
}
