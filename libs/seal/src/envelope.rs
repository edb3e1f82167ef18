//! The sealed format and the two layers of it.
//!
//! ```text
//! version (1) | id of the sealing key (8) | length (2) | wrapped data key | nonce (12) | content + tag (16)
//! ```
//!
//! The length is that of the wrapped data key, big-endian: 60 from the sealing-key file, whatever it likes from another
//! [`KeyWrapping`]. Version 1 had no length; its wrapped data keys had 60 bytes. It is still read, and leaves with the
//! next rotation.

use std::ops::Deref;

use zeroize::Zeroizing;

use crate::aead::{self, decrypt, encrypt};
use crate::wrapping::{DataKey, KEY_BYTES, KEY_ID_BYTES, KeyId, KeyWrapping, SealError, Wrapped};

const WITHOUT_LENGTH: u8 = 1;
const VERSION: u8 = 2;
const LENGTH_BYTES: usize = 2;

const CONTENT_LABEL: &str = "ssl-manager seal v1 content\0";

/// Seals and opens private keys. It has no `Debug`: it may hold the sealing keys themselves.
pub struct SealingKeys {
    wrapping: Box<dyn KeyWrapping>,
}

/// What was sealed, open: wiped after use, and without `Debug`.
pub struct Opened(Zeroizing<Vec<u8>>);

impl Deref for Opened {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A sealed text in its parts.
struct Parts<'a> {
    wrapped: Wrapped,
    content: &'a [u8],
}

impl SealingKeys {
    /// Seals with data keys that `wrapping` wraps.
    pub fn new(wrapping: impl KeyWrapping) -> Self {
        Self { wrapping: Box::new(wrapping) }
    }

    /// The id of the key that seals.
    pub fn current_key_id(&self) -> KeyId {
        self.wrapping.current_key_id()
    }

    /// Encrypts `plain` so that it opens under the same `id` only.
    pub async fn seal(&self, id: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let data_key = DataKey::random()?;
        let mut content = Vec::with_capacity(plain.len() + aead::OVERHEAD_BYTES);
        encrypt(&aead::key(data_key.as_bytes())?, CONTENT_LABEL, id, plain, &mut content)?;
        join(&self.wrapping.wrap(id, &data_key).await?, &content)
    }

    /// Opens what was sealed under `id`.
    pub async fn unseal(&self, id: &str, sealed: &[u8]) -> Result<Opened, SealError> {
        let Parts { wrapped, content } = split(sealed)?;
        let data_key = self.wrapping.unwrap(id, &wrapped).await?;
        let content_key = aead::key(data_key.as_bytes())?;
        decrypt(&content_key, CONTENT_LABEL, id, content).map(Opened)
    }

    /// Wraps the data key under the key that seals now; none if it is under that key already. The content stays as it
    /// is, and closed.
    pub async fn rewrap(&self, id: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let Parts { wrapped, content } = split(sealed)?;
        if wrapped.key_id == self.current_key_id() {
            return Ok(None);
        }
        let data_key = self.wrapping.unwrap(id, &wrapped).await?;
        join(&self.wrapping.wrap(id, &data_key).await?, content).map(Some)
    }
}

fn join(wrapped: &Wrapped, content: &[u8]) -> Result<Vec<u8>, SealError> {
    let length = u16::try_from(wrapped.bytes.len()).map_err(|_| SealError::Format)?;
    Ok([&[VERSION], wrapped.key_id.as_bytes().as_slice(), &length.to_be_bytes(), &wrapped.bytes, content]
        .concat())
}

fn split(sealed: &[u8]) -> Result<Parts<'_>, SealError> {
    let (version, rest) = sealed.split_first().ok_or(SealError::Format)?;
    let (key_id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(SealError::Format)?;
    let (length, rest) = match *version {
        WITHOUT_LENGTH => (KEY_BYTES + aead::OVERHEAD_BYTES, rest),
        VERSION => {
            let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(SealError::Format)?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return Err(SealError::Format),
    };
    let (wrapped, content) = rest.split_at_checked(length).ok_or(SealError::Format)?;
    Ok(Parts { wrapped: Wrapped { key_id: KeyId::from_bytes(*key_id), bytes: wrapped.to_vec() }, content })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::file_keys::{DATA_KEY_LABEL, FileKeys};

    const ID: &str = "0198f2d4-0000-7000-8000-000000000001";
    const OTHER_ID: &str = "0198f2d4-0000-7000-8000-000000000002";
    const PLAIN: &[u8] = b"-----BEGIN PRIVATE KEY-----";
    /// Where the wrapped data key begins, and where the content does.
    const WRAPPED_FROM: usize = 1 + KEY_ID_BYTES + LENGTH_BYTES;
    const CONTENT_FROM: usize = WRAPPED_FROM + KEY_BYTES + aead::OVERHEAD_BYTES;

    fn keys(current: u8, older: &[u8]) -> SealingKeys {
        let older: Vec<_> = older.iter().map(|byte| Zeroizing::new([*byte; KEY_BYTES])).collect();
        SealingKeys::new(FileKeys::from_bytes(&[current; KEY_BYTES], &older).unwrap())
    }

    async fn open(keys: &SealingKeys, id: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        keys.unseal(id, sealed).await.map(|opened| opened.to_vec())
    }

    #[tokio::test]
    async fn what_was_sealed_opens_and_looks_different_each_time() {
        let keys = keys(1, &[]);
        for plain in [b"".as_slice(), b"x", PLAIN, &[7; 10_000]] {
            let sealed = keys.seal(ID, plain).await.unwrap();
            assert_eq!(open(&keys, ID, &sealed).await.unwrap(), plain);
            assert_ne!(sealed, keys.seal(ID, plain).await.unwrap());
            assert!(plain.len() < 8 || !sealed.windows(plain.len()).any(|window| window == plain));
        }
    }

    #[tokio::test]
    async fn it_opens_under_its_own_id_only() {
        let keys = keys(1, &[]);
        let sealed = keys.seal(ID, PLAIN).await.unwrap();
        for other in ["", OTHER_ID] {
            assert_eq!(open(&keys, other, &sealed).await, Err(SealError::NotAuthentic));
        }
    }

    #[tokio::test]
    async fn every_flipped_bit_and_every_truncation_is_noticed() {
        let keys = keys(1, &[2]);
        let sealed = keys.seal(ID, PLAIN).await.unwrap();
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[index] ^= 1 << bit;
                let error = open(&keys, ID, &damaged).await.unwrap_err();
                match index {
                    0 => assert_eq!(error, SealError::Format),
                    1..=8 => assert!(matches!(error, SealError::UnknownKey(_)), "{error}"),
                    9..WRAPPED_FROM => {
                        assert!(matches!(error, SealError::Format | SealError::NotAuthentic));
                    }
                    _ => assert_eq!(error, SealError::NotAuthentic, "byte {index}"),
                }
            }
        }
        for length in 0..sealed.len() {
            assert!(open(&keys, ID, &sealed[..length]).await.is_err(), "{length} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(open(&keys, ID, &longer).await, Err(SealError::NotAuthentic));
    }

    /// A wrapped data key cannot be passed off as content, nor a layer of one sealed text be put into another.
    #[tokio::test]
    async fn the_layers_belong_together() {
        let keys = keys(1, &[]);
        let one = keys.seal(ID, PLAIN).await.unwrap();
        let two = keys.seal(ID, PLAIN).await.unwrap();
        let mixed = [&one[..CONTENT_FROM], &two[CONTENT_FROM..]].concat();
        assert_eq!(open(&keys, ID, &mixed).await, Err(SealError::NotAuthentic));
        let wrapped = &one[WRAPPED_FROM..CONTENT_FROM];
        let key = aead::key(&[1; KEY_BYTES]).unwrap();
        assert_eq!(decrypt(&key, CONTENT_LABEL, ID, wrapped).unwrap_err(), SealError::NotAuthentic);
        assert!(decrypt(&key, DATA_KEY_LABEL, ID, wrapped).is_ok());
    }

    #[tokio::test]
    async fn an_older_key_opens_and_a_missing_one_is_named_by_its_id() {
        let (before, after) = (keys(1, &[]), keys(2, &[3, 1]));
        let sealed = before.seal(ID, PLAIN).await.unwrap();
        assert_eq!(open(&after, ID, &sealed).await.unwrap(), PLAIN);
        assert_ne!(after.seal(ID, PLAIN).await.unwrap()[1..9], sealed[1..9], "the first key seals");

        let error = open(&keys(2, &[3]), ID, &sealed).await.unwrap_err();
        assert_eq!(error, SealError::UnknownKey(before.current_key_id()));
        let text = error.to_string();
        assert!(text.contains(&before.current_key_id().to_string()), "{text}");
        assert!(!text.contains("0101"), "{text}");
    }

    #[tokio::test]
    async fn wrapped_anew_it_opens_without_the_older_key_and_its_content_is_untouched() {
        let sealed = keys(1, &[]).seal(ID, PLAIN).await.unwrap();
        let rotating = keys(2, &[1]);
        let anew = rotating.rewrap(ID, &sealed).await.unwrap().unwrap();
        assert_eq!(open(&keys(2, &[]), ID, &anew).await.unwrap(), PLAIN);
        assert_eq!(anew[CONTENT_FROM..], sealed[CONTENT_FROM..]);
        assert_eq!(rotating.rewrap(ID, &anew).await, Ok(None), "done is done");
        assert_eq!(
            open(&keys(1, &[]), ID, &anew).await,
            Err(SealError::UnknownKey(rotating.current_key_id())),
            "a process with the older key alone is told which is missing"
        );
        assert_eq!(rotating.rewrap(OTHER_ID, &sealed).await, Err(SealError::NotAuthentic));
    }

    #[tokio::test]
    async fn the_version_before_opens_and_is_wrapped_anew() {
        let mut sealed = keys(1, &[]).seal(ID, PLAIN).await.unwrap();
        sealed.drain(1 + KEY_ID_BYTES..WRAPPED_FROM);
        sealed[0] = WITHOUT_LENGTH;
        assert_eq!(open(&keys(1, &[]), ID, &sealed).await.unwrap(), PLAIN);
        let anew = keys(2, &[1]).rewrap(ID, &sealed).await.unwrap().unwrap();
        assert_eq!(anew[0], VERSION);
        assert_eq!(open(&keys(2, &[]), ID, &anew).await.unwrap(), PLAIN);
    }

    /// Wraps as no cipher would, in a length of its own.
    struct Service {
        is_up: bool,
    }

    #[async_trait]
    impl KeyWrapping for Service {
        fn current_key_id(&self) -> KeyId {
            KeyId::of(b"projects/cdn/keys/certificates")
        }

        async fn wrap(&self, id: &str, data_key: &DataKey) -> Result<Wrapped, SealError> {
            Ok(Wrapped {
                key_id: self.current_key_id(),
                bytes: [id.as_bytes(), &[0; 200], data_key.as_bytes()].concat(),
            })
        }

        async fn unwrap(&self, id: &str, wrapped: &Wrapped) -> Result<DataKey, SealError> {
            if !self.is_up {
                return Err(SealError::Unavailable("503".to_owned()));
            }
            assert!(wrapped.bytes.starts_with(id.as_bytes()));
            DataKey::from_bytes(&wrapped.bytes[wrapped.bytes.len() - KEY_BYTES..])
        }
    }

    #[tokio::test]
    async fn a_service_may_wrap_as_it_likes() {
        let service = SealingKeys::new(Service { is_up: true });
        let sealed = service.seal(ID, PLAIN).await.unwrap();
        assert_eq!(open(&service, ID, &sealed).await.unwrap(), PLAIN);
        assert_eq!(
            open(&SealingKeys::new(Service { is_up: false }), ID, &sealed).await,
            Err(SealError::Unavailable("503".to_owned()))
        );
    }
}
