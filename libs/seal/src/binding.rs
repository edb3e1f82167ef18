//! The context to which a sealed text is bound.

use domain::{AccountId, CertificateId, DomainName, EndpointId};

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER).
pub type PublicKeyHash = [u8; 32];

/// The hash for a secret that is no private key.
pub const NO_PUBLIC_KEY: PublicKeyHash = [0; 32];

/// The purpose of a sealed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key of a certificate, issued or still to be.
    Certificate,
    /// The key of our account at a CA.
    Account,
    /// The URL and secret of a webhook's endpoint.
    Webhook,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Account => "account",
            Self::Webhook => "webhook",
        }
    }
}

/// The row that a sealed key belongs to: it opens for the same purpose, id, name and public key only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding(String);

impl Binding {
    /// `id` and `name` are those of the row. Neither has a line break: that is what parts them.
    pub fn new(purpose: Purpose, id: &str, name: &str) -> Self {
        Self(format!("{}\n{id}\n{name}", purpose.as_str()))
    }

    /// Of a certificate of that name.
    pub fn certificate(id: CertificateId, name: &DomainName) -> Self {
        Self::new(Purpose::Certificate, &id.to_string(), name.as_str())
    }

    /// Of our account at the CA with that directory.
    pub fn account(id: AccountId, directory_url: &str) -> Self {
        Self::new(Purpose::Account, &id.to_string(), directory_url)
    }

    /// Of a webhook's endpoint that shows that URL.
    pub fn webhook(id: EndpointId, url: &str) -> Self {
        Self::new(Purpose::Webhook, &id.to_string(), url)
    }

    pub(crate) fn with(&self, public_key: &PublicKeyHash) -> String {
        format!("{}\n{}", self.0, hex::encode(public_key))
    }
}
