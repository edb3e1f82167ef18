//! Whether browsers trust a chain, checked against the roots of Mozilla's program without any network access.
//!
//! The roots are compiled in, not the machine's: the same paste gets the same answer on every machine, and an
//! operator's own root in a machine's store says nothing about visitors. Revocation is not checked. The result is a
//! warning to the customer, never a refusal, so gaps do no harm.

use std::time::Duration;

use domain::Trust;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::X509Certificate;

use crate::chain::is_self_signed;

/// The extension with which a CA shows that it logged a certificate (RFC 6962 section 3.3). Browsers ask for it, so the
/// certificates of public CAs have it; private CAs have no log that takes theirs.
const LOGGED: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// Whether browsers trust the chain, leaf first, at that time. A leaf alone that its CA logged came without the
/// certificate of that CA: no public root issues leaves.
pub(crate) fn of(chain: &[X509Certificate<'_>], now: Timestamp) -> Trust {
    match chain {
        chain if is_publicly_trusted(chain, now) => Trust::Public,
        [leaf] if is_logged(leaf) && !is_self_signed(leaf) => Trust::IntermediateMissing,
        _ => Trust::Private,
    }
}

fn is_logged(leaf: &X509Certificate<'_>) -> bool {
    Oid::from(LOGGED).is_ok_and(|logged| leaf.extensions().iter().any(|extension| extension.oid == logged))
}

/// Whether the chain, leaf first, leads to one of Mozilla's roots (RFC 5280 section 6) at that time.
fn is_publicly_trusted(chain: &[X509Certificate<'_>], now: Timestamp) -> bool {
    leads_to(chain, webpki_roots::TLS_SERVER_ROOTS, now)
}

fn leads_to(chain: &[X509Certificate<'_>], roots: &[TrustAnchor<'_>], now: Timestamp) -> bool {
    let chain: Vec<CertificateDer<'_>> =
        chain.iter().map(|certificate| certificate.as_raw().into()).collect();
    let (Some((leaf, intermediates)), Ok(seconds)) = (chain.split_first(), now.as_second().try_into()) else {
        return false;
    };
    EndEntityCert::try_from(leaf).is_ok_and(|leaf| {
        leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            roots,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blocks, chain};

    /// The chain of letsencrypt.org from July to October 2026.
    const PUBLIC_CHAIN: &str = include_str!("../tests/data/public-chain.pem");

    fn trusted(pem: &str, now: &str) -> bool {
        let blocks = blocks::read(pem).unwrap_or_default();
        let chain = chain::parse(&blocks).unwrap();
        is_publicly_trusted(&chain, now.parse().unwrap())
    }

    #[test]
    fn a_public_chain_is_trusted_while_it_lasts() {
        assert!(trusted(PUBLIC_CHAIN, "2026-08-01T00:00:00Z"));
        assert!(!trusted(PUBLIC_CHAIN, "2026-12-01T00:00:00Z"));
        assert!(!trusted(PUBLIC_CHAIN, "1960-01-01T00:00:00Z"));
    }

    #[test]
    fn a_leaf_without_its_intermediate_is_told_from_one_of_a_private_ca() {
        let end = "-----END CERTIFICATE-----\n";
        let leaf = PUBLIC_CHAIN.split_inclusive(end).next().unwrap();
        assert!(!trusted(leaf, "2026-08-01T00:00:00Z"));
        let trust = |pem: &str| {
            let blocks = blocks::read(pem).unwrap_or_default();
            of(&chain::parse(&blocks).unwrap(), "2026-08-01T00:00:00Z".parse().unwrap())
        };
        assert_eq!(trust(PUBLIC_CHAIN), Trust::Public);
        assert_eq!(trust(leaf), Trust::IntermediateMissing);
        assert_eq!(trust(include_str!("../tests/data/people/leaf.pem")), Trust::Private);
        assert!(!trusted("", "2026-08-01T00:00:00Z"));
    }

    #[test]
    fn each_certificate_of_a_public_chain_issued_the_one_before() {
        let blocks = blocks::read(PUBLIC_CHAIN).unwrap_or_default();
        let chain = chain::parse(&blocks).unwrap();
        assert_eq!(chain.len(), 4);
        for pair in chain.windows(2) {
            assert!(chain::issued(&pair[0], &pair[1]));
            assert!(!chain::issued(&pair[1], &pair[0]));
        }
    }
}
