//! The sealing keys of the file: data keys wrapped in this process.

use async_trait::async_trait;
use aws_lc_rs::aead::RandomizedNonceKey;
use zeroize::Zeroizing;

use crate::SealError;
use crate::aead::{self, decrypt, encrypt};
use crate::wrapping::{DataKey, KEY_BYTES, KeyId, KeyWrapping, Wrapped};

pub(crate) const DATA_KEY_LABEL: &str = "ssl-manager seal v1 data key\0";

struct SealingKey {
    id: KeyId,
    key: RandomizedNonceKey,
}

impl SealingKey {
    fn new(key: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        Ok(Self { id: KeyId::of(key), key: aead::key(key)? })
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

    async fn unwrap(&self, bound_to: &str, wrapped: &Wrapped) -> Result<DataKey, SealError> {
        let sealing_key = std::iter::once(&self.current)
            .chain(&self.older)
            .find(|key| key.id == wrapped.key_id)
            .ok_or(SealError::UnknownKey(wrapped.key_id))?;
        DataKey::from_bytes(&decrypt(&sealing_key.key, DATA_KEY_LABEL, bound_to, &wrapped.bytes)?)
    }
}
