//! The key of a future certificate and the request that contains its public half.

use domain::{CertificateId, DomainName, OrderKey};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, RsaKeySize,
};
use runtime::Context;
use runtime::config::KeyAlgorithm;
use seal::{Binding, SealError, SealingKeys};
use tokio::task::spawn_blocking;
use zeroize::{Zeroize, Zeroizing};

/// A key made for one certificate. It has no `Debug`.
pub(crate) struct NewKey {
    /// PKCS #8, DER.
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    /// Certificate signing request (PKCS #10, DER).
    pub(crate) csr: Vec<u8>,
}

/// Why an order has no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the key was not made")]
    Stopped(#[from] tokio::task::JoinError),
    #[error("the key was not made")]
    Make(#[from] rcgen::Error),
    #[error("the key was not sealed")]
    Seal(#[from] SealError),
}

/// Makes and seals the key of an order, before its row is written.
pub(crate) async fn for_order(
    context: &Context,
    keys: &SealingKeys,
    name: &DomainName,
) -> Result<OrderKey, KeyError> {
    let (owned, algorithm) = (name.clone(), context.config.issuer.key_algorithm);
    let NewKey { pkcs8, csr } = spawn_blocking(move || make(&owned, algorithm)).await??;
    let certificate = CertificateId::new(&*context.clock, &*context.entropy);
    let public_key = x509::csr_public_key_sha256(&csr).ok_or(SealError::Format)?;
    let sealed = keys.seal(&Binding::certificate(certificate, name), &public_key, &pkcs8).await?;
    Ok(OrderKey { certificate, sealed, csr })
}

/// Makes a key and a CSR with `name` as its only subject alternative name and no subject: CAs ignore a common name,
/// and names over 64 bytes do not fit into one. An RSA key takes up to seconds, so do not call this on an async
/// thread.
pub(crate) fn make(name: &DomainName, algorithm: KeyAlgorithm) -> Result<NewKey, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    let mut key = generate(algorithm)?;
    let pkcs8 = Zeroizing::new(key.serialize_der());
    let csr = params.serialize_request(&key);
    key.zeroize();
    Ok(NewKey { pkcs8, csr: csr?.der().to_vec() })
}

fn generate(algorithm: KeyAlgorithm) -> Result<KeyPair, rcgen::Error> {
    match algorithm {
        KeyAlgorithm::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyAlgorithm::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyAlgorithm::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyAlgorithm::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    }
}
