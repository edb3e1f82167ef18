//! The interface for a key-management service, which wraps data keys.
//!
//! Only data keys go through it: the content is always encrypted here. The calls are async, because such a service is
//! reached over the network; the implementation here, the sealing-key file, answers at once. See
//! `docs/adr/0013-a-seam-for-a-kms.md`.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

pub(crate) const KEY_BYTES: usize = 32;
pub(crate) const KEY_ID_BYTES: usize = 8;

const KEY_ID_LABEL: &[u8] = b"ssl-manager seal v1 key id\0";

/// Wraps and unwraps data keys under sealing keys that it holds or can use.
#[async_trait]
pub trait KeyWrapping: Send + Sync + 'static {
    /// The id of the sealing key that wraps.
    fn current_key_id(&self) -> KeyId;

    /// Wraps a data key so that it unwraps for the same `bound_to` only: purpose, id, name and public key in lines.
    async fn wrap(&self, bound_to: &str, data_key: &DataKey) -> Result<Wrapped, SealError>;

    /// The HMAC-SHA-256 of a message by a key that belongs to that sealing key and does nothing else.
    /// [`SealError::UnknownKey`] if the sealing key cannot be used.
    async fn mac(&self, key_id: KeyId, message: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Unwraps what was wrapped for `bound_to`. [`SealError::UnknownKey`] if its sealing key cannot be used.
    async fn unwrap(&self, bound_to: &str, wrapped: &Wrapped) -> Result<DataKey, SealError>;
}

/// A data key in the form that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The sealing key that it is under.
    pub key_id: KeyId,
    /// The wrapped data key, which only that sealing key unwraps.
    pub bytes: Vec<u8>,
}

/// The key of one content, wiped after use. It has no `Debug`.
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    pub(crate) fn random() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice()).map_err(|_| SealError::Encryption)?;
        Ok(Self(key))
    }

    /// The data key with these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(SealError::Format);
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// Names a sealing key without telling anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// The id of a sealing key, by what tells it from all others (its bytes, or its name at a service): the first 8
    /// bytes of a SHA-256 over a label and that.
    pub fn of(identity: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(KEY_ID_LABEL);
        context.update(identity);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&context.finish().as_ref()[..KEY_ID_BYTES]);
        Self(id)
    }

    pub(crate) fn from_bytes(bytes: [u8; KEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
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
    /// It was sealed under a key that this process does not have.
    #[error("the sealing key {0} is not in the sealing-key file: add its line and restart")]
    UnknownKey(KeyId),
    /// Damaged, tampered with, or sealed for another purpose, id, name or public key.
    #[error("the sealed data is damaged or belongs elsewhere: to another id, name or public key")]
    NotAuthentic,
    /// The cryptography library refused to work.
    #[error("encryption failed")]
    Encryption,
    /// The service that wraps data keys did not do it.
    #[error("the key-management service does not answer: {0}")]
    Unavailable(String),
}
