//! A pasted private key, and the kinds of key that a certificate may have.
//!
//! One library both reads a key and proves it sound (the modulus is that of its primes, the exponents fit, the point is
//! on its curve): aws-lc-rs, which does all our cryptography. The key is encoded again, so that nothing beside it is
//! stored.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use x509_parser::asn1_rs::Any;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use crate::pasted_error::PastedError;

/// Fewest bits of an RSA key (CA/Browser Forum Baseline Requirements, section 6.1.5).
pub(crate) const MIN_RSA_BITS: usize = 2048;
/// Most bits of an RSA key: above, each handshake costs the edges more than it gives.
pub(crate) const MAX_RSA_BITS: usize = 4096;

/// A key of a kind that we take.
pub(crate) struct PrivateKey {
    /// PKCS #8 version 1, DER (RFC 5208).
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    /// SubjectPublicKeyInfo, DER, as a certificate carries it.
    pub(crate) public: Vec<u8>,
}

impl PrivateKey {
    /// Reads PKCS #8 (RFC 5208), PKCS #1 (RFC 8017 appendix A.1.2) and SEC 1 (RFC 5915). What the key's label says is
    /// not asked: tools and people mix labels up, and the bytes say it better.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        read_rsa(der).or_else(|| read_ec(der))
    }
}

fn read_rsa(der: &[u8]) -> Option<PrivateKey> {
    let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).ok()?;
    Some(PrivateKey {
        pkcs8: Zeroizing::new(pair.as_der().ok()?.as_ref().to_vec()),
        public: pair.public_key().as_der().ok()?.as_ref().to_vec(),
    })
}

fn read_ec(der: &[u8]) -> Option<PrivateKey> {
    let pair = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING]
        .into_iter()
        .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())?;
    Some(PrivateKey {
        pkcs8: Zeroizing::new(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
        public: pair.public_key().as_der().ok()?.as_ref().to_vec(),
    })
}

/// Whether a certificate's key is one that browsers and edges take: RSA of 2048 to 4096 bits, or ECDSA on P-256 or
/// P-384 (RFC 5480 section 2.1.1.1).
pub(crate) fn check_kind(key: &SubjectPublicKeyInfo<'_>) -> Result<(), PastedError> {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => match bits(rsa.modulus) {
            bits @ ..MIN_RSA_BITS => Err(PastedError::WeakKey(bits)),
            MIN_RSA_BITS..=MAX_RSA_BITS => Ok(()),
            _ => Err(PastedError::UnsupportedKey),
        },
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().map(Any::as_oid);
            match curve {
                Some(Ok(curve)) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
                _ => Err(PastedError::UnsupportedKey),
            }
        }
        _ => Err(PastedError::UnsupportedKey),
    }
}

/// The length of a big-endian number. The parser's own counts whole bytes.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_highest_one() {
        for (number, expected) in
            [(&[][..], 0), (&[0, 0], 0), (&[0, 0x80, 0], 16), (&[0x7f, 0], 15), (&[1], 1)]
        {
            assert_eq!(bits(number), expected, "{number:?}");
        }
    }
}
