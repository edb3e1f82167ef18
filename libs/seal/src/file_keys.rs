//! The sealing keys of the file: data keys wrapped in this process.

use async_trait::async_trait;
use aws_lc_rs::aead::RandomizedNonceKey;
use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::SealError;
use crate::aead::{self, decrypt, encrypt};
use crate::wrapping::{DataKey, KEY_BYTES, KeyId, KeyWrapping, Wrapped};

pub(crate) const DATA_KEY_LABEL: &str = "ssl-manager seal v1 data key\0";

const MAC_LABEL: &[u8] = b"ssl-manager seal v1 mac";

struct SealingKey {
    id: KeyId,
    key: RandomizedNonceKey,
    mac_key: hmac::Key,
}

impl SealingKey {
    fn new(key: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key);
        let derived = secret.expand(&[MAC_LABEL], hmac::HMAC_SHA256).map_err(|_| SealError::Encryption)?;
        Ok(Self { id: KeyId::of(key), key: aead::key(key)?, mac_key: hmac::Key::from(derived) })
    }
}

/// The keys of the sealing-key file. The first wraps, every one unwraps.
pub(crate) struct FileKeys {
    current: SealingKey,
    older: Vec<SealingKey>,
}

impl FileKeys {
    /// Keys from their bytes; the first one wraps.
    pub(crate) fn from_bytes(
        current: &[u8; KEY_BYTES],
        older: &[Zeroizing<[u8; KEY_BYTES]>],
    ) -> Result<Self, SealError> {
        let older = older.iter().map(|key| SealingKey::new(key));
        Ok(Self { older: older.collect::<Result<_, _>>()?, current: SealingKey::new(current)? })
    }

    fn find(&self, id: KeyId) -> Result<&SealingKey, SealError> {
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        keys.find(|key| key.id == id).ok_or(SealError::UnknownKey(id))
    }
}

#[async_trait]
impl KeyWrapping for FileKeys {
    fn current_key_id(&self) -> KeyId {
        self.current.id
    }

    async fn wrap(&self, bound_to: &str, data_key: &DataKey) -> Result<Wrapped, SealError> {
        let mut bytes = Vec::with_capacity(KEY_BYTES + aead::OVERHEAD_BYTES);
        encrypt(&self.current.key, DATA_KEY_LABEL, bound_to, data_key.as_bytes(), &mut bytes)?;
        Ok(Wrapped { key_id: self.current.id, bytes })
    }

    async fn mac(&self, key_id: KeyId, message: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(hmac::sign(&self.find(key_id)?.mac_key, message).as_ref().to_vec())
    }

    async fn unwrap(&self, bound_to: &str, wrapped: &Wrapped) -> Result<DataKey, SealError> {
        let sealing_key = self.find(wrapped.key_id)?;
        DataKey::from_bytes(&decrypt(&sealing_key.key, DATA_KEY_LABEL, bound_to, &wrapped.bytes)?)
    }
}
