//! TLS towards C4: the machine's roots and one of our choice, on one named cryptography provider.
//!
//! The configuration is built here rather than by the HTTP client, which would use the first provider that the process
//! installed.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::C4ConfigError;

/// For https: trusts the machine's roots and those of `root_certificate_pem`.
pub(crate) fn trusting(root_certificate_pem: Option<&[u8]>) -> Result<ClientConfig, C4ConfigError> {
    let bad_root = |problem: String| C4ConfigError::BadRootCertificate { problem };
    let extra_roots: Vec<CertificateDer<'static>> = match root_certificate_pem {
        None => Vec::new(),
        Some(pem) => CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| bad_root(error.to_string()))?,
    };
    if root_certificate_pem.is_some() && extra_roots.is_empty() {
        return Err(bad_root("no certificate in it".to_owned()));
    }
    // Tried by itself first, so that a bad file is not mistaken for a machine without roots.
    for root in &extra_roots {
        RootCertStore::empty().add(root.clone()).map_err(|error| bad_root(error.to_string()))?;
    }
    let provider = Arc::new(default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots, provider.clone()).map_err(client)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(client)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For http to loopback: no TLS is spoken, and a machine without roots is no obstacle.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, C4ConfigError> {
    Ok(ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(client)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn client(source: rustls::Error) -> C4ConfigError {
    C4ConfigError::Client { source: source.into() }
}
