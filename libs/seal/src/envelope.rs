//! The sealed format and the two layers of it.
//!
//! ```text
//! version (1) | id of the sealing key (8) | nonce (12) | data key (32) + tag (16) | nonce (12) | content + tag (16)
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
pub(crate) const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;

const KEY_ID_LABEL: &[u8] = b"ssl-manager seal v1 key id\0";
const DATA_KEY_LABEL: &str = "ssl-manager seal v1 data key\0";
const CONTENT_LABEL: &str = "ssl-manager seal v1 content\0";

/// Names a sealing key without telling anything of it: the first 8 bytes of a SHA-256 over a label and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(KEY_ID_LABEL);
        context.update(key);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&context.finish().as_ref()[..KEY_ID_BYTES]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Why something was not sealed or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or of a version that this program does not know.
    #[error("the sealed data is not in a known format")]
    Format,
    /// It was sealed under a key that is not in the file.
    #[error("the sealing key {0} is not in the sealing-key file: add the line that was removed")]
    UnknownKey(KeyId),
    /// Damaged, tampered with, or sealed for another id.
    #[error("the sealed data is damaged or belongs to another id")]
    NotAuthentic,
    /// The cryptography library refused to work.
    #[error("encryption failed")]
    Encryption,
}

struct SealingKey {
    id: KeyId,
    key: RandomizedNonceKey,
}

/// The keys of the sealing-key file. The first seals, every one opens.
pub struct SealingKeys {
    current: SealingKey,
    older: Vec<SealingKey>,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.all().map(|key| key.id.to_string()).collect();
        f.debug_struct("SealingKeys")
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

impl SealingKeys {
    /// Keys from their bytes; the first one seals.
    pub(crate) fn from_bytes(
        current: &[u8; KEY_BYTES],
        older: &[Zeroizing<[u8; KEY_BYTES]>],
    ) -> Result<Self, SealError> {
        let older = older
            .iter()
            .map(|key| sealing_key(key))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            current: sealing_key(current)?,
            older,
        })
    }

    /// The id of the key that seals.
    pub fn current_key_id(&self) -> KeyId {
        self.current.id
    }

    /// Encrypts `plain` so that it opens under the same `id` only.
    pub fn seal(&self, id: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(data_key.as_mut_slice()).map_err(|_| SealError::Encryption)?;

        let mut sealed =
            Vec::with_capacity(1 + KEY_ID_BYTES + WRAPPED_BYTES + NONCE_LEN + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.current.id.0);
        encrypt(
            &self.current.key,
            DATA_KEY_LABEL,
            id,
            data_key.as_slice(),
            &mut sealed,
        )?;
        let content_key = aead_key(&data_key)?;
        encrypt(&content_key, CONTENT_LABEL, id, plain, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what was sealed under `id`.
    pub fn unseal(&self, id: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Format)?;
        if *version != VERSION {
            return Err(SealError::Format);
        }
        let (key_id, rest) = rest
            .split_first_chunk::<KEY_ID_BYTES>()
            .ok_or(SealError::Format)?;
        let (wrapped, content) = rest.split_at_checked(WRAPPED_BYTES).ok_or(SealError::Format)?;
        let key_id = KeyId(*key_id);
        let sealing_key = self
            .all()
            .find(|key| key.id == key_id)
            .ok_or(SealError::UnknownKey(key_id))?;

        let data_key = decrypt(&sealing_key.key, DATA_KEY_LABEL, id, wrapped)?;
        let data_key =
            Zeroizing::new(<[u8; KEY_BYTES]>::try_from(data_key.as_slice()).map_err(|_| SealError::Format)?);
        decrypt(&aead_key(&data_key)?, CONTENT_LABEL, id, content)
    }

    fn all(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.current).chain(&self.older)
    }
}

fn sealing_key(key: &[u8; KEY_BYTES]) -> Result<SealingKey, SealError> {
    Ok(SealingKey {
        id: KeyId::of(key),
        key: aead_key(key)?,
    })
}

fn aead_key(key: &[u8; KEY_BYTES]) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| SealError::Encryption)
}

/// What a layer is bound to. The label says which layer, so that neither can stand in for the other.
fn bound_to(label: &str, id: &str) -> Aad<String> {
    Aad::from(format!("{label}{id}"))
}

fn encrypt(
    key: &RandomizedNonceKey,
    label: &str,
    id: &str,
    plain: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), SealError> {
    // Encrypted in a buffer of its own that is wiped, in case the library stops half-way.
    let mut buffer = Zeroizing::new(plain.to_vec());
    let (nonce, tag) = key
        .seal_in_place_separate_tag(bound_to(label, id), &mut buffer)
        .map_err(|_| SealError::Encryption)?;
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&buffer);
    sealed.extend_from_slice(tag.as_ref());
    Ok(())
}

fn decrypt(
    key: &RandomizedNonceKey,
    label: &str,
    id: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Format)?;
    if ciphertext.len() < TAG_BYTES {
        return Err(SealError::Format);
    }
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let plain_bytes = key
        .open_in_place(Nonce::from(nonce), bound_to(label, id), &mut buffer)
        .map_err(|_| SealError::NotAuthentic)?
        .len();
    buffer.truncate(plain_bytes);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198f2d4-0000-7000-8000-000000000001";
    const PLAIN: &[u8] = b"-----BEGIN PRIVATE KEY-----";

    fn keys(current: u8, older: &[u8]) -> SealingKeys {
        let older: Vec<_> = older
            .iter()
            .map(|byte| Zeroizing::new([*byte; KEY_BYTES]))
            .collect();
        SealingKeys::from_bytes(&[current; KEY_BYTES], &older).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_and_looks_different_each_time() {
        let keys = keys(1, &[]);
        for plain in [b"".as_slice(), b"x", PLAIN, &[7; 10_000]] {
            let sealed = keys.seal(ID, plain).unwrap();
            assert_eq!(keys.unseal(ID, &sealed).unwrap().as_slice(), plain);
            assert_ne!(sealed, keys.seal(ID, plain).unwrap());
            assert!(plain.len() < 8 || !sealed.windows(plain.len()).any(|window| window == plain));
        }
    }

    #[test]
    fn it_opens_under_its_own_id_only() {
        let keys = keys(1, &[]);
        let sealed = keys.seal(ID, PLAIN).unwrap();
        for other in ["", "0198f2d4-0000-7000-8000-000000000002"] {
            assert_eq!(keys.unseal(other, &sealed).unwrap_err(), SealError::NotAuthentic);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let keys = keys(1, &[2]);
        let sealed = keys.seal(ID, PLAIN).unwrap();
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[index] ^= 1 << bit;
                let error = keys.unseal(ID, &damaged).unwrap_err();
                match index {
                    0 => assert_eq!(error, SealError::Format),
                    1..=8 => assert!(matches!(error, SealError::UnknownKey(_)), "{error}"),
                    _ => assert_eq!(error, SealError::NotAuthentic, "byte {index}"),
                }
            }
        }
        for length in 0..sealed.len() {
            assert!(keys.unseal(ID, &sealed[..length]).is_err(), "{length} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(keys.unseal(ID, &longer).unwrap_err(), SealError::NotAuthentic);
    }

    /// A wrapped data key cannot be passed off as content, nor a layer of one sealed text be put into another.
    #[test]
    fn the_layers_belong_together() {
        let keys = keys(1, &[]);
        let (one, two) = (keys.seal(ID, PLAIN).unwrap(), keys.seal(ID, PLAIN).unwrap());
        let content_from = 1 + KEY_ID_BYTES + WRAPPED_BYTES;
        let mixed = [&one[..content_from], &two[content_from..]].concat();
        assert_eq!(keys.unseal(ID, &mixed).unwrap_err(), SealError::NotAuthentic);
        let wrapped = &one[1 + KEY_ID_BYTES..content_from];
        let key = aead_key(&[1; KEY_BYTES]).unwrap();
        assert_eq!(
            decrypt(&key, CONTENT_LABEL, ID, wrapped).unwrap_err(),
            SealError::NotAuthentic
        );
        assert!(decrypt(&key, DATA_KEY_LABEL, ID, wrapped).is_ok());
    }

    #[test]
    fn an_older_key_opens_and_a_missing_one_is_named_by_its_id() {
        let (before, after) = (keys(1, &[]), keys(2, &[3, 1]));
        let sealed = before.seal(ID, PLAIN).unwrap();
        assert_eq!(after.unseal(ID, &sealed).unwrap().as_slice(), PLAIN);
        assert_ne!(
            after.seal(ID, PLAIN).unwrap()[1..9],
            sealed[1..9],
            "the first key seals"
        );

        let error = keys(2, &[3]).unseal(ID, &sealed).unwrap_err();
        assert_eq!(error, SealError::UnknownKey(before.current_key_id()));
        let text = error.to_string();
        assert!(text.contains(&before.current_key_id().to_string()), "{text}");
        assert!(!text.contains("0101"), "{text}");
    }

    #[test]
    fn debug_shows_ids_alone() {
        let keys = keys(1, &[2]);
        let text = format!("{keys:?}");
        assert!(
            text.contains(&keys.current_key_id().to_string()) && !text.contains("0101"),
            "{text}"
        );
    }
}
