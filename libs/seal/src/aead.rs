//! The one cipher of both layers: AES-256-GCM with a random nonce in front, bound to a label and what it belongs to.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::SealError;
use crate::wrapping::KEY_BYTES;

const TAG_BYTES: usize = 16;
/// Bytes of a ciphertext beyond its plain text.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_LEN + TAG_BYTES;

pub(crate) fn key(key: &[u8; KEY_BYTES]) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| SealError::Encryption)
}

/// The context of a layer. The label says which layer, so that one cannot replace the other.
fn associated(label: &str, bound_to: &str) -> Aad<String> {
    Aad::from(format!("{label}{bound_to}"))
}

pub(crate) fn encrypt(
    key: &RandomizedNonceKey,
    label: &str,
    bound_to: &str,
    plain: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), SealError> {
    // Encrypted in a buffer of its own that is wiped, in case the library stops half-way.
    let mut buffer = Zeroizing::new(plain.to_vec());
    let (nonce, tag) = key
        .seal_in_place_separate_tag(associated(label, bound_to), &mut buffer)
        .map_err(|_| SealError::Encryption)?;
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&buffer);
    sealed.extend_from_slice(tag.as_ref());
    Ok(())
}

pub(crate) fn decrypt(
    key: &RandomizedNonceKey,
    label: &str,
    bound_to: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Format)?;
    if ciphertext.len() < TAG_BYTES {
        return Err(SealError::Format);
    }
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let plain_bytes = key
        .open_in_place(Nonce::from(nonce), associated(label, bound_to), &mut buffer)
        .map_err(|_| SealError::NotAuthentic)?
        .len();
    buffer.truncate(plain_bytes);
    Ok(buffer)
}
