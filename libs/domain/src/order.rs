//! The order journal's states: what we knew, and had stored, before each call to the CA.
//!
//! A state carries exactly its data and a transition takes `self`, so an order cannot be finalized without a sealed
//! key or placed twice. After a crash the state says where to go on (RFC 8555 section 7.1.6 has the CA's own view).

use jiff::Timestamp;

use crate::{AccountId, CertificateId, DomainName, InvalidTransition, OrderId};

/// How far an order has come.
#[derive(Clone, PartialEq, Eq)]
pub enum OrderState {
    /// The row exists; the CA may or may not have seen a new-order.
    Created,
    /// The CA took it; nothing but the URL is needed to go on.
    Placed {
        /// The order's URL at the CA.
        url: String,
    },
    /// The certificate's key and CSR are stored; finalize may or may not have been sent.
    Keyed {
        /// The order's URL at the CA.
        url: String,
        /// The certificate-to-be, to whose id the key is sealed.
        certificate: CertificateId,
        /// The sealed PKCS #8 key.
        sealed_key: Vec<u8>,
        /// The certificate signing request (PKCS #10, DER).
        csr: Vec<u8>,
    },
    /// The certificate is stored.
    Issued {
        /// Which.
        certificate: CertificateId,
    },
    /// The CA ended it.
    Failed,
    /// A later revision of the name ended it.
    Abandoned,
}

impl OrderState {
    /// The word of the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Placed { .. } => "placed",
            Self::Keyed { .. } => "keyed",
            Self::Issued { .. } => "issued",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether the order may still become a certificate. At most one live order exists per name.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Created | Self::Placed { .. } | Self::Keyed { .. })
    }

    /// The order's URL, once the CA gave one.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Placed { url } | Self::Keyed { url, .. } => Some(url),
            _ => None,
        }
    }

    /// The CA answered with the order's URL.
    pub fn placed(self, url: String) -> Result<Self, InvalidTransition> {
        match self {
            Self::Created => Ok(Self::Placed { url }),
            other => Err(other.invalid("placed")),
        }
    }

    /// Key and CSR are made and sealed.
    pub fn keyed(
        self,
        certificate: CertificateId,
        sealed_key: Vec<u8>,
        csr: Vec<u8>,
    ) -> Result<Self, InvalidTransition> {
        match self {
            Self::Placed { url } => Ok(Self::Keyed { url, certificate, sealed_key, csr }),
            other => Err(other.invalid("keyed")),
        }
    }

    /// The certificate was downloaded, checked and stored.
    pub fn issued(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Keyed { certificate, .. } => Ok(Self::Issued { certificate }),
            other => Err(other.invalid("issued")),
        }
    }

    /// The CA will not turn it into a certificate.
    pub fn failed(self) -> Result<Self, InvalidTransition> {
        if self.is_live() { Ok(Self::Failed) } else { Err(self.invalid("failed")) }
    }

    /// A later revision wants nothing of it.
    pub fn abandoned(self) -> Result<Self, InvalidTransition> {
        if self.is_live() { Ok(Self::Abandoned) } else { Err(self.invalid("abandoned")) }
    }

    fn invalid(&self, to: &'static str) -> InvalidTransition {
        InvalidTransition { what: "order", from: self.as_str(), to }
    }
}

impl std::fmt::Debug for OrderState {
    /// The word and the URL; a sealed key has no place in a log, sealed or not.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderState")
            .field("state", &self.as_str())
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// An order, from before the CA has heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Our id.
    pub id: OrderId,
    /// For which name.
    pub name: DomainName,
    /// The name's revision when it was created; an older one is nobody's.
    pub revision: i64,
    /// With which account.
    pub account: AccountId,
    /// When the row was written.
    pub created_at: Timestamp,
    /// How far it has come.
    pub state: OrderState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_goes_forward_only() {
        let certificate = CertificateId::from(uuid::Uuid::nil());
        let placed = OrderState::Created.placed("https://ca/1".into()).unwrap();
        assert!(placed.clone().placed("https://ca/2".into()).is_err(), "placed twice");
        assert!(OrderState::Created.keyed(certificate, vec![], vec![]).is_err(), "keyed before it has a URL");
        assert!(placed.clone().issued().is_err(), "issued without a key");
        let keyed = placed.keyed(certificate, vec![1], vec![2]).unwrap();
        assert_eq!(keyed.url(), Some("https://ca/1"));
        let issued = keyed.clone().issued().unwrap();
        assert!(!issued.is_live());
        assert!(issued.clone().failed().is_err() && issued.abandoned().is_err(), "an end is an end");
        assert!(!format!("{keyed:?}").contains("[1]"), "the sealed key is not for logs");
    }
}
