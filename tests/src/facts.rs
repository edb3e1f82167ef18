//! What a test can say of certificates without the product's help.

use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

fn leaf(chain_pem: &str) -> CertificateDer<'static> {
    CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .next()
        .expect("a certificate")
        .expect("a PEM certificate")
        .into_owned()
}

/// Lower-case hex SHA-256 of a chain's leaf.
pub fn sha256_of_leaf(chain_pem: &str) -> String {
    let digest = rustls::crypto::aws_lc_rs::default_provider();
    let suite = digest
        .cipher_suites
        .iter()
        .find_map(|suite| match suite {
            rustls::SupportedCipherSuite::Tls13(suite)
                if suite.common.suite == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 =>
            {
                Some(suite.common.hash_provider)
            }
            _ => None,
        })
        .expect("a suite with SHA-256");
    hex::encode(suite.hash(&leaf(chain_pem)).as_ref())
}

/// Whether the leaf carries the key's public half.
pub fn certificate_and_key_belong_together(chain_pem: &str, key_pem: &str) -> bool {
    let leaf = leaf(chain_pem);
    let (_, parsed) = X509Certificate::from_der(&leaf).expect("an X.509 certificate");
    let key = KeyPair::from_pem(key_pem).expect("a PKCS #8 key");
    parsed.public_key().raw == key.subject_public_key_info()
}
