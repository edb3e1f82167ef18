//! MACs for rows with rights: a row of a token, user or session counts only with a valid MAC, which a writer of the
//! database cannot forge.
//!
//! ```text
//! id of the sealing key (8) | HMAC-SHA-256 (32)
//! ```
//!
//! 16 random bytes follow where each MAC has to be another one.
//!
//! The key of the MAC is derived from the sealing key, and differs from the key that wraps.

use aws_lc_rs::{constant_time, rand};

use crate::SealingKeys;
use crate::wrapping::{KEY_ID_BYTES, KeyId, SealError};

/// Random bytes of a MAC that is used once.
const NONCE_BYTES: usize = 16;

/// The authenticated text: a purpose and fields, each preceded by its length, so that no two statements have the same
/// encoding.
pub struct Statement(Vec<u8>);

impl Statement {
    /// Without fields yet.
    pub fn new(purpose: &str) -> Self {
        Self(Vec::new()).and(purpose.as_bytes())
    }

    /// With one more field.
    #[must_use]
    pub fn and(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// With one more field, which may be missing.
    #[must_use]
    pub fn and_maybe(self, field: Option<&[u8]>) -> Self {
        match field {
            Some(field) => self.and(&[1]).and(field),
            None => self.and(&[0]),
        }
    }
}

impl SealingKeys {
    /// The MAC of a statement, under the key that seals now.
    pub async fn sign(&self, statement: &Statement) -> Result<Vec<u8>, SealError> {
        let key_id = self.current_key_id();
        let mac = self.wrapping.mac(key_id, &statement.0).await?;
        Ok([key_id.as_bytes().as_slice(), &mac].concat())
    }

    /// Under which key the MAC of a statement is. [`SealError::NotAuthentic`] if it is of another statement.
    pub async fn check(&self, statement: &Statement, mac: &[u8]) -> Result<KeyId, SealError> {
        let (key_id, mac) = mac.split_first_chunk::<KEY_ID_BYTES>().ok_or(SealError::Format)?;
        let key_id = KeyId::from_bytes(*key_id);
        let expected = self.wrapping.mac(key_id, &statement.0).await?;
        constant_time::verify_slices_are_equal(&expected, mac).map_err(|_| SealError::NotAuthentic)?;
        Ok(key_id)
    }

    /// The MAC of a statement, another one each time, so that a database that takes each MAC once takes no earlier row.
    pub async fn sign_once(&self, statement: Statement) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| SealError::Encryption)?;
        let mac = self.sign(&statement.and(&nonce)).await?;
        Ok([mac.as_slice(), &nonce].concat())
    }

    /// Under which key the MAC of [`Self::sign_once`] is. Errors: as of [`Self::check`].
    pub async fn check_once(&self, statement: Statement, mac: &[u8]) -> Result<KeyId, SealError> {
        let (mac, nonce) = mac.split_last_chunk::<NONCE_BYTES>().ok_or(SealError::Format)?;
        self.check(&statement.and(nonce), mac).await
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::file_keys::FileKeys;

    fn keys(current: u8, older: &[u8]) -> SealingKeys {
        let older: Vec<_> = older.iter().map(|byte| Zeroizing::new([*byte; 32])).collect();
        SealingKeys::new(FileKeys::from_bytes(&[current; 32], &older).unwrap())
    }

    #[tokio::test]
    async fn a_mac_fits_its_own_statement_only() {
        let keys = keys(1, &[]);
        let said = || Statement::new("token").and(b"ann").and(b"viewer").and_maybe(None);
        let mac = keys.sign(&said()).await.unwrap();
        assert_eq!(keys.check(&said(), &mac).await, Ok(keys.current_key_id()));
        let others = [
            Statement::new("user").and(b"ann").and(b"viewer").and_maybe(None),
            Statement::new("token").and(b"ann").and(b"admin").and_maybe(None),
            Statement::new("token").and(b"annv").and(b"iewer").and_maybe(None),
            Statement::new("token").and(b"ann").and(b"viewer").and_maybe(Some(b"")),
            Statement::new("token").and(b"ann").and(b"viewer"),
        ];
        for other in others {
            assert_eq!(keys.check(&other, &mac).await, Err(SealError::NotAuthentic));
        }
        for index in KEY_ID_BYTES..mac.len() {
            let mut damaged = mac.clone();
            damaged[index] ^= 1;
            assert_eq!(keys.check(&said(), &damaged).await, Err(SealError::NotAuthentic));
            assert_eq!(keys.check(&said(), &mac[..index]).await, Err(SealError::NotAuthentic));
        }
        for length in 0..KEY_ID_BYTES {
            assert_eq!(keys.check(&said(), &mac[..length]).await, Err(SealError::Format));
        }
    }

    #[tokio::test]
    async fn a_mac_that_is_used_once_is_another_one_each_time() {
        let keys = keys(1, &[]);
        let said = || Statement::new("user").and(b"ann");
        let macs = [keys.sign_once(said()).await.unwrap(), keys.sign_once(said()).await.unwrap()];
        assert_ne!(macs[0], macs[1]);
        for mac in &macs {
            assert_eq!(keys.check_once(said(), mac).await, Ok(keys.current_key_id()));
            let other = Statement::new("user").and(b"bob");
            assert_eq!(keys.check_once(other, mac).await, Err(SealError::NotAuthentic));
            for index in KEY_ID_BYTES..mac.len() {
                let mut damaged = mac.clone();
                damaged[index] ^= 1;
                assert_eq!(keys.check_once(said(), &damaged).await, Err(SealError::NotAuthentic));
                assert!(keys.check_once(said(), &mac[..index]).await.is_err());
            }
            let longer = [mac.as_slice(), &[0]].concat();
            assert_eq!(keys.check_once(said(), &longer).await, Err(SealError::NotAuthentic));
        }
    }

    #[tokio::test]
    async fn an_older_line_still_checks_and_a_missing_one_is_named() {
        let said = Statement::new("token");
        let mac = keys(1, &[]).sign(&said).await.unwrap();
        assert_eq!(keys(2, &[1]).check(&said, &mac).await, Ok(keys(1, &[]).current_key_id()));
        let missing = SealError::UnknownKey(keys(1, &[]).current_key_id());
        assert_eq!(keys(2, &[]).check(&said, &mac).await, Err(missing));
        assert_ne!(keys(2, &[1]).sign(&said).await.unwrap(), mac);
    }
}
