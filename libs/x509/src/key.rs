//! Private keys: their form, their strength, and whose they are.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use crate::PastedError;
use crate::paste::PastedKey;

const FEWEST_RSA_BITS: usize = 2048;
const MOST_RSA_BITS: usize = 4096;
const P256_BITS: usize = 256;
const P384_BITS: usize = 384;

/// Checks that the leaf's key is of a kind and size that browsers take.
pub(crate) fn check_strength(leaf: &X509Certificate<'_>) -> Result<(), PastedError> {
    let kind = |text: &str| PastedError::UnsupportedKey(text.to_owned());
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => match significant_bits(key.modulus) {
            bits if bits < FEWEST_RSA_BITS => Err(PastedError::WeakKey(format!("RSA of {bits} bits"))),
            bits if bits > MOST_RSA_BITS => Err(kind(&format!("RSA of {bits} bits"))),
            _ => Ok(()),
        },
        Ok(PublicKey::EC(point)) => match point.key_size() {
            P256_BITS | P384_BITS => Ok(()),
            bits if bits < P256_BITS => Err(PastedError::WeakKey(format!("ECDSA of {bits} bits"))),
            bits => Err(kind(&format!("ECDSA of {bits} bits"))),
        },
        Ok(_) => Err(kind("neither RSA nor ECDSA")),
        Err(_) => Err(PastedError::Unparsable(1)),
    }
}

/// The bits of an unsigned big-endian number, leading zeros aside.
fn significant_bits(number: &[u8]) -> usize {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = &number[first..];
    number.len() * 8 - number.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

/// The key as PKCS #8, if its public half is `public_key` (SubjectPublicKeyInfo, DER).
pub(crate) fn read(pasted: &PastedKey, public_key: &[u8]) -> Result<Zeroizing<Vec<u8>>, PastedError> {
    let (PastedKey::Pkcs8(der) | PastedKey::Pkcs1(der) | PastedKey::Sec1(der)) = pasted;
    let rsa = match pasted {
        PastedKey::Pkcs8(_) => rsa::KeyPair::from_pkcs8(der).ok(),
        PastedKey::Pkcs1(_) => rsa::KeyPair::from_der(der).ok(),
        PastedKey::Sec1(_) => None,
    };
    if let Some(key) = rsa {
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).map_err(|_| PastedError::UnparsableKey)?;
        return finish(key.public_key(), pkcs8.as_ref(), public_key);
    }
    for curve in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        if let Ok(key) = EcdsaKeyPair::from_private_key_der(curve, der) {
            let pkcs8 = key.to_pkcs8v1().map_err(|_| PastedError::UnparsableKey)?;
            return finish(key.public_key(), pkcs8.as_ref(), public_key);
        }
    }
    Err(PastedError::UnparsableKey)
}

fn finish<'a>(
    own: &impl AsDer<PublicKeyX509Der<'a>>,
    pkcs8: &[u8],
    public_key: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PastedError> {
    let own = own.as_der().map_err(|_| PastedError::UnparsableKey)?;
    if own.as_ref() == public_key {
        Ok(Zeroizing::new(pkcs8.to_vec()))
    } else {
        Err(PastedError::KeyMismatch)
    }
}
