//! Passwords of people: Argon2id (RFC 9106) with the parameters of the OWASP cheat sheet, kept in PHC form.
//!
//! Looking takes as long for a name that is not there as for one that is: a hash that nobody knows the password of
//! stands in.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use domain::Entropy;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Each takes 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;
/// Whoever waits longer for their turn is sent away.
const PATIENCE: Duration = Duration::from_secs(10);
const SALT_BYTES: usize = 16;

/// Fewest bytes of a password.
pub const LEAST_PASSWORD: usize = 12;
/// Most bytes of a password.
pub const MOST_PASSWORD: usize = 1024;

/// Why a password is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {LEAST_PASSWORD} to {MOST_PASSWORD} bytes")]
    Length,
    /// Memory is short.
    #[error("the password could not be hashed")]
    Hash,
}

/// What is kept of a password.
pub fn hash_password(password: &str, entropy: &dyn Entropy) -> Result<String, PasswordError> {
    if !(LEAST_PASSWORD..=MOST_PASSWORD).contains(&password.len()) {
        return Err(PasswordError::Length);
    }
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// Nobody's turn came in time.
#[derive(Debug)]
pub(crate) struct Busy;

/// Compares passwords with hashes, a few at a time.
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    stand_in: String,
}

impl Passwords {
    pub(crate) fn new(entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        let mut nobody_knows = Zeroizing::new([0; 32]);
        entropy.fill(&mut *nobody_knows);
        let password =
            Zeroizing::new(nobody_knows.iter().map(|byte| char::from(byte >> 1)).collect::<String>());
        Ok(Self { permits: Arc::new(Semaphore::new(AT_ONCE)), stand_in: hash_password(&password, entropy)? })
    }

    /// Whether the password is the one of that hash.
    pub(crate) async fn fits(&self, password: Zeroizing<String>, hash: Option<String>) -> Result<bool, Busy> {
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned());
        let permit = permit.await.map_err(|_| Busy)?.map_err(|_| Busy)?;
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.stand_in.clone());
        let compared = tokio::task::spawn_blocking(move || {
            // It stays taken if the caller goes away: the work goes on.
            let _permit = permit;
            let fits = |hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
            PasswordHash::new(&hash).is_ok_and(fits)
        });
        Ok(compared.await.unwrap_or(false) && is_known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter;

    impl Entropy for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().zip(1..).for_each(|(byte, number)| *byte = number);
        }
    }

    fn text(password: &str) -> Zeroizing<String> {
        Zeroizing::new(password.to_owned())
    }

    #[tokio::test]
    async fn only_the_password_itself_fits() {
        let hash = hash_password("correct horse battery", &Counter).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let passwords = Passwords::new(&Counter).unwrap();
        assert!(passwords.fits(text("correct horse battery"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.fits(text("correct horse batterx"), Some(hash)).await.unwrap());
        assert!(!passwords.fits(text("correct horse battery"), Some("no hash".into())).await.unwrap());
        let stand_in: String = (1..=32_u8).map(|byte| char::from(byte >> 1)).collect();
        assert!(!passwords.fits(text(&stand_in), None).await.unwrap(), "nobody has no password");
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        assert_eq!(hash_password(&"x".repeat(11), &Counter), Err(PasswordError::Length));
        assert_eq!(hash_password(&"x".repeat(1025), &Counter), Err(PasswordError::Length));
    }
}
