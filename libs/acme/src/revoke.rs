//! Revocation (RFC 8555 section 7.6), signed by the account that ordered the certificate.

use std::sync::Arc;

use domain::RevocationReason;
use instant_acme::RevocationRequest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::ca::Ca;
use crate::{AccountKey, AcmeError};

impl Ca {
    /// Asks the CA to revoke the leaf of a chain in PEM.
    pub async fn revoke(
        self: &Arc<Self>,
        account: &AccountKey,
        chain_pem: &str,
        reason: RevocationReason,
    ) -> Result<(), AcmeError> {
        let leaf = CertificateDer::from_pem_slice(chain_pem.as_bytes())
            .map_err(|_| AcmeError::Local("the stored certificate is no PEM".into()))?;
        let session = self.session(account, None).await?;
        let request = RevocationRequest { certificate: &leaf, reason: Some(number(reason)) };
        Ok(session.account.revoke(&request).await?)
    }
}

fn number(reason: RevocationReason) -> instant_acme::RevocationReason {
    use instant_acme::RevocationReason as Number;
    match reason {
        RevocationReason::KeyCompromise => Number::KeyCompromise,
        RevocationReason::AffiliationChanged => Number::AffiliationChanged,
        RevocationReason::Superseded => Number::Superseded,
        RevocationReason::CessationOfOperation => Number::CessationOfOperation,
    }
}
