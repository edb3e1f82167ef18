//! The sealed format and the two layers of it.
//!
//! ```text
//! version (1) | id of the sealing key (8) | SHA-256 of the public key (32)
//!     | length (2) | wrapped data key | nonce (12) | content + tag (16)
//! ```
//!
//! The length is that of the wrapped data key, big-endian: 60 from the sealing-key file, any length from another
//! [`KeyWrapping`]. Purpose, id and name are not stored: the reader knows them. Both layers are bound to them and to
//! the public key.

use std::ops::Deref;

use zeroize::Zeroizing;

use crate::aead::{self, decrypt, encrypt};
use crate::binding::{Binding, PublicKeyHash};
use crate::wrapping::{DataKey, KEY_ID_BYTES, KeyId, KeyWrapping, SealError, Wrapped};

const VERSION: u8 = 3;
const PUBLIC_KEY_BYTES: usize = 32;
const LENGTH_BYTES: usize = 2;

const CONTENT_LABEL: &str = "ssl-manager seal v1 content\0";

/// Seals and opens private keys. It has no `Debug`: it may hold the sealing keys themselves.
pub struct SealingKeys {
    pub(crate) wrapping: Box<dyn KeyWrapping>,
}

/// An opened plain text: wiped after use, and without `Debug`.
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
    public_key: PublicKeyHash,
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

    /// Encrypts `plain`, the private half of `public_key`, so that it opens for the same binding and public key only.
    pub async fn seal(
        &self,
        binding: &Binding,
        public_key: &PublicKeyHash,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let bound_to = binding.with(public_key);
        let data_key = DataKey::random()?;
        let mut content = Vec::with_capacity(plain.len() + aead::OVERHEAD_BYTES);
        encrypt(&aead::key(data_key.as_bytes())?, CONTENT_LABEL, &bound_to, plain, &mut content)?;
        join(&self.wrapping.wrap(&bound_to, &data_key).await?, public_key, &content)
    }

    /// Opens what was sealed for that binding and public key.
    pub async fn unseal(
        &self,
        binding: &Binding,
        public_key: &PublicKeyHash,
        sealed: &[u8],
    ) -> Result<Opened, SealError> {
        let Parts { wrapped, public_key: stored, content } = split(sealed)?;
        if stored != *public_key {
            return Err(SealError::NotAuthentic);
        }
        let bound_to = binding.with(public_key);
        let data_key = self.wrapping.unwrap(&bound_to, &wrapped).await?;
        let content_key = aead::key(data_key.as_bytes())?;
        decrypt(&content_key, CONTENT_LABEL, &bound_to, content).map(Opened)
    }

    /// Whether the sealing key that something was sealed under is at hand: [`SealError::UnknownKey`] if not. Nothing is
    /// opened.
    pub async fn has_key_of(&self, sealed: &[u8]) -> Result<(), SealError> {
        let Parts { wrapped, .. } = split(sealed)?;
        self.wrapping.mac(wrapped.key_id, &[]).await.map(drop)
    }

    /// Wraps the data key under the key that seals now; none if it is under that key already. The content stays as it
    /// is, and closed.
    pub async fn rewrap(&self, binding: &Binding, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let Parts { wrapped, public_key, content } = split(sealed)?;
        if wrapped.key_id == self.current_key_id() {
            return Ok(None);
        }
        let bound_to = binding.with(&public_key);
        let data_key = self.wrapping.unwrap(&bound_to, &wrapped).await?;
        join(&self.wrapping.wrap(&bound_to, &data_key).await?, &public_key, content).map(Some)
    }
}

/// The public key that a sealed text says it is for: of an account, whose row does not show it.
pub fn public_key_of(sealed: &[u8]) -> Result<PublicKeyHash, SealError> {
    split(sealed).map(|parts| parts.public_key)
}

fn join(wrapped: &Wrapped, public_key: &PublicKeyHash, content: &[u8]) -> Result<Vec<u8>, SealError> {
    let length = u16::try_from(wrapped.bytes.len()).map_err(|_| SealError::Format)?;
    let key_id = wrapped.key_id.as_bytes().as_slice();
    Ok([&[VERSION], key_id, public_key, &length.to_be_bytes(), &wrapped.bytes, content].concat())
}

fn split(sealed: &[u8]) -> Result<Parts<'_>, SealError> {
    let (version, rest) = sealed.split_first().ok_or(SealError::Format)?;
    if *version != VERSION {
        return Err(SealError::Format);
    }
    let (key_id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(SealError::Format)?;
    let (public_key, rest) = rest.split_first_chunk::<PUBLIC_KEY_BYTES>().ok_or(SealError::Format)?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(SealError::Format)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (wrapped, content) = rest.split_at_checked(length).ok_or(SealError::Format)?;
    let wrapped = Wrapped { key_id: KeyId::from_bytes(*key_id), bytes: wrapped.to_vec() };
    Ok(Parts { wrapped, public_key: *public_key, content })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::Purpose;
    use crate::file_keys::{DATA_KEY_LABEL, FileKeys};
    use crate::wrapping::KEY_BYTES;

    const ID: &str = "0198f2d4-0000-7000-8000-000000000001";
    const OTHER_ID: &str = "0198f2d4-0000-7000-8000-000000000002";
    const NAME: &str = "shop.example.com";
    const PUBLIC: PublicKeyHash = [9; 32];
    const PLAIN: &[u8] = b"-----BEGIN PRIVATE KEY-----";
    /// Where the wrapped data key begins, and where the content does.
    const LENGTH_FROM: usize = 1 + KEY_ID_BYTES + PUBLIC_KEY_BYTES;
    const WRAPPED_FROM: usize = LENGTH_FROM + LENGTH_BYTES;
    const CONTENT_FROM: usize = WRAPPED_FROM + KEY_BYTES + aead::OVERHEAD_BYTES;

    fn keys(current: u8, older: &[u8]) -> SealingKeys {
        let older: Vec<_> = older.iter().map(|byte| Zeroizing::new([*byte; KEY_BYTES])).collect();
        SealingKeys::new(FileKeys::from_bytes(&[current; KEY_BYTES], &older).unwrap())
    }

    fn binding(id: &str) -> Binding {
        Binding::new(Purpose::Certificate, id, NAME)
    }

    async fn seal(keys: &SealingKeys, plain: &[u8]) -> Vec<u8> {
        keys.seal(&binding(ID), &PUBLIC, plain).await.unwrap()
    }

    async fn open(keys: &SealingKeys, id: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        keys.unseal(&binding(id), &PUBLIC, sealed).await.map(|opened| opened.to_vec())
    }

    #[tokio::test]
    async fn what_was_sealed_opens_and_looks_different_each_time() {
        let keys = keys(1, &[]);
        for plain in [b"".as_slice(), b"x", PLAIN, &[7; 10_000]] {
            let sealed = seal(&keys, plain).await;
            assert_eq!(open(&keys, ID, &sealed).await.unwrap(), plain);
            assert_ne!(sealed, seal(&keys, plain).await);
            assert!(plain.len() < 8 || !sealed.windows(plain.len()).any(|window| window == plain));
        }
    }

    #[tokio::test]
    async fn it_opens_for_its_own_purpose_id_name_and_public_key_only() {
        let keys = keys(1, &[]);
        let sealed = seal(&keys, PLAIN).await;
        let mut elsewhere = sealed.clone();
        elsewhere[1 + KEY_ID_BYTES..LENGTH_FROM].copy_from_slice(&[8; PUBLIC_KEY_BYTES]);
        assert_eq!(public_key_of(&elsewhere), Ok([8; 32]));
        let others = [
            (Binding::new(Purpose::Account, ID, NAME), PUBLIC),
            (binding(OTHER_ID), PUBLIC),
            (binding(""), PUBLIC),
            (Binding::new(Purpose::Certificate, ID, "evil.example.com"), PUBLIC),
            (binding(ID), [8; 32]),
        ];
        for (binding, public_key) in others {
            for sealed in [&sealed, &elsewhere] {
                let opened = keys.unseal(&binding, &public_key, sealed).await.map(|opened| opened.to_vec());
                assert_eq!(opened, Err(SealError::NotAuthentic), "{binding:?}");
            }
        }
    }

    #[tokio::test]
    async fn every_flipped_bit_and_every_truncation_is_noticed() {
        let keys = keys(1, &[2]);
        let sealed = seal(&keys, PLAIN).await;
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[index] ^= 1 << bit;
                let error = open(&keys, ID, &damaged).await.unwrap_err();
                match index {
                    0 => assert_eq!(error, SealError::Format),
                    1..=8 => assert!(matches!(error, SealError::UnknownKey(_)), "{error}"),
                    LENGTH_FROM..WRAPPED_FROM => {
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
        let one = seal(&keys, PLAIN).await;
        let two = seal(&keys, PLAIN).await;
        let mixed = [&one[..CONTENT_FROM], &two[CONTENT_FROM..]].concat();
        assert_eq!(open(&keys, ID, &mixed).await, Err(SealError::NotAuthentic));
        let wrapped = &one[WRAPPED_FROM..CONTENT_FROM];
        let key = aead::key(&[1; KEY_BYTES]).unwrap();
        let bound_to = binding(ID).with(&PUBLIC);
        assert_eq!(decrypt(&key, CONTENT_LABEL, &bound_to, wrapped).unwrap_err(), SealError::NotAuthentic);
        assert!(decrypt(&key, DATA_KEY_LABEL, &bound_to, wrapped).is_ok());
    }

    #[tokio::test]
    async fn an_older_key_opens_and_a_missing_one_is_named_by_its_id() {
        let (before, after) = (keys(1, &[]), keys(2, &[3, 1]));
        let sealed = seal(&before, PLAIN).await;
        assert_eq!(open(&after, ID, &sealed).await.unwrap(), PLAIN);
        assert_ne!(seal(&after, PLAIN).await[1..9], sealed[1..9], "the first key seals");

        let without = keys(2, &[3]);
        let error = open(&without, ID, &sealed).await.unwrap_err();
        assert_eq!(error, SealError::UnknownKey(before.current_key_id()));
        assert_eq!(without.has_key_of(&sealed).await, Err(error.clone()));
        assert_eq!(after.has_key_of(&sealed).await, Ok(()));
        let text = error.to_string();
        assert!(text.contains(&before.current_key_id().to_string()), "{text}");
        assert!(!text.contains("0101"), "{text}");
    }

    #[tokio::test]
    async fn wrapped_anew_it_opens_without_the_older_key_and_its_content_is_untouched() {
        let sealed = seal(&keys(1, &[]), PLAIN).await;
        let rotating = keys(2, &[1]);
        let anew = rotating.rewrap(&binding(ID), &sealed).await.unwrap().unwrap();
        assert_eq!(open(&keys(2, &[]), ID, &anew).await.unwrap(), PLAIN);
        assert_eq!(anew[CONTENT_FROM..], sealed[CONTENT_FROM..]);
        assert_eq!(rotating.rewrap(&binding(ID), &anew).await, Ok(None), "done is done");
        assert_eq!(
            open(&keys(1, &[]), ID, &anew).await,
            Err(SealError::UnknownKey(rotating.current_key_id())),
            "a process with the older key alone is told which is missing"
        );
        assert_eq!(rotating.rewrap(&binding(OTHER_ID), &sealed).await, Err(SealError::NotAuthentic));
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

        async fn wrap(&self, bound_to: &str, data_key: &DataKey) -> Result<Wrapped, SealError> {
            Ok(Wrapped {
                key_id: self.current_key_id(),
                bytes: [bound_to.as_bytes(), &[0; 200], data_key.as_bytes()].concat(),
            })
        }

        async fn unwrap(&self, bound_to: &str, wrapped: &Wrapped) -> Result<DataKey, SealError> {
            if !self.is_up {
                return Err(SealError::Unavailable("503".to_owned()));
            }
            assert!(wrapped.bytes.starts_with(bound_to.as_bytes()));
            DataKey::from_bytes(&wrapped.bytes[wrapped.bytes.len() - KEY_BYTES..])
        }

        async fn mac(&self, _: KeyId, _: &[u8]) -> Result<Vec<u8>, SealError> {
            Err(SealError::Unavailable("503".to_owned()))
        }
    }

    #[tokio::test]
    async fn a_service_may_wrap_as_it_likes() {
        let service = SealingKeys::new(Service { is_up: true });
        let sealed = seal(&service, PLAIN).await;
        assert_eq!(open(&service, ID, &sealed).await.unwrap(), PLAIN);
        assert_eq!(
            open(&SealingKeys::new(Service { is_up: false }), ID, &sealed).await,
            Err(SealError::Unavailable("503".to_owned()))
        );
    }
}
