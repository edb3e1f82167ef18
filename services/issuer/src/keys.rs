//! The key of a certificate-to-be and the request that carries its public half.

use domain::DomainName;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use zeroize::Zeroizing;

/// A key made for one certificate.
pub(crate) struct NewKey {
    /// PKCS #8, DER.
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    /// Certificate signing request (PKCS #10, DER).
    pub(crate) csr: Vec<u8>,
}

/// Makes an ECDSA P-256 key and a CSR with `name` as its only subject alternative name and no subject: CAs ignore a
/// common name, and names over 64 bytes do not fit one.
pub(crate) fn make(name: &DomainName) -> Result<NewKey, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key)?.der().to_vec();
    Ok(NewKey {
        pkcs8: Zeroizing::new(key.serialize_der()),
        csr,
    })
}

/// The public key of a sealed key's PKCS #8, as a certificate carries it (SubjectPublicKeyInfo, DER).
pub(crate) fn public_key_der(pkcs8: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
    Ok(KeyPair::try_from(pkcs8)?.subject_public_key_info())
}
