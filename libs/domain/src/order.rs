//! The order journal's states: what was known, and stored, before each request to the CA.
//!
//! A state has exactly its own data and a transition takes `self`, so an order cannot be placed without a sealed key,
//! or placed twice. After a crash the state says where to continue (for the CA's own view see RFC 8555 section
//! 7.1.6).

use jiff::Timestamp;

use crate::{AccountId, CertificateId, DomainName, InvalidTransition, OrderId};

/// The sealed private key of a future certificate, and the CSR with its public half. Made before the request to the
/// CA and used for this order only.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderKey {
    /// The future certificate, whose id the key is sealed to.
    pub certificate: CertificateId,
    /// The sealed PKCS #8 key as read with the row; a rotation of the sealing keys may have sealed it again since.
    pub sealed: Vec<u8>,
    /// The certificate signing request (PKCS #10, DER).
    pub csr: Vec<u8>,
}

/// The state of an order.
#[derive(Clone, PartialEq, Eq)]
pub enum OrderState {
    /// The row exists; the CA may or may not have received a new-order.
    Created {
        /// Its key.
        key: OrderKey,
    },
    /// The CA accepted it; finalize may or may not have been sent.
    Placed {
        /// The order's URL at the CA.
        url: String,
        /// Its key.
        key: OrderKey,
    },
    /// The certificate is stored.
    Issued {
        /// Its id.
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
            Self::Created { .. } => "created",
            Self::Placed { .. } => "placed",
            Self::Issued { .. } => "issued",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether the order may still become a certificate. A name has at most one live order.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Created { .. } | Self::Placed { .. })
    }

    /// Whether the CA may have issued a certificate for it: it was placed, so it may have been finalized.
    pub fn may_have_issued(&self) -> bool {
        matches!(self, Self::Placed { .. })
    }

    /// The order's URL; none until the CA returned it.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Placed { url, .. } => Some(url),
            _ => None,
        }
    }

    /// The key of the future certificate, while the order is live.
    pub fn key(&self) -> Option<&OrderKey> {
        match self {
            Self::Created { key } | Self::Placed { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The CA returned the order's URL.
    pub fn placed(self, url: String) -> Result<Self, InvalidTransition> {
        match self {
            Self::Created { key } => Ok(Self::Placed { url, key }),
            other => Err(other.invalid("placed")),
        }
    }

    /// The certificate was downloaded, checked and stored.
    pub fn issued(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Placed { key, .. } => Ok(Self::Issued { certificate: key.certificate }),
            other => Err(other.invalid("issued")),
        }
    }

    /// The CA will not turn it into a certificate.
    pub fn failed(self) -> Result<Self, InvalidTransition> {
        if self.is_live() { Ok(Self::Failed) } else { Err(self.invalid("failed")) }
    }

    /// A later revision has replaced it.
    pub fn abandoned(self) -> Result<Self, InvalidTransition> {
        if self.is_live() { Ok(Self::Abandoned) } else { Err(self.invalid("abandoned")) }
    }

    fn invalid(&self, to: &'static str) -> InvalidTransition {
        InvalidTransition { what: "order", from: self.as_str(), to }
    }
}

impl std::fmt::Debug for OrderState {
    /// Shows the word and the URL; keys are not logged, not even sealed ones.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderState")
            .field("state", &self.as_str())
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// An order, stored before the CA knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Our id.
    pub id: OrderId,
    /// The domain name.
    pub name: DomainName,
    /// The name's revision when it was created; an order of an older revision is obsolete.
    pub revision: i64,
    /// The account that it is placed with.
    pub account: AccountId,
    /// When the row was written.
    pub created_at: Timestamp,
    /// Its state.
    pub state: OrderState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_goes_forward_only() {
        let certificate = CertificateId::from(uuid::Uuid::nil());
        let key = OrderKey { certificate, sealed: vec![1], csr: vec![2] };
        let created = OrderState::Created { key: key.clone() };
        assert!(created.clone().issued().is_err(), "issued before the CA took it");
        let placed = created.placed("https://ca/1".into()).unwrap();
        assert!(placed.clone().placed("https://ca/2".into()).is_err(), "placed twice");
        assert!(placed.url() == Some("https://ca/1") && placed.key() == Some(&key));
        let issued = placed.clone().issued().unwrap();
        assert_eq!(issued, OrderState::Issued { certificate });
        assert!(!issued.is_live() && issued.key().is_none());
        assert!(issued.clone().failed().is_err() && issued.abandoned().is_err(), "an end is an end");
        let failed = placed.clone().failed().unwrap();
        assert!(failed.key().is_none(), "the key goes with the order");
        assert!(!format!("{placed:?}").contains("[1]"), "the sealed key is not for logs");
    }
}
