//! Passwords of people: Argon2id (RFC 9106) with the parameters of the OWASP cheat sheet, kept in PHC form.
//!
//! The check of an unknown name takes as long as that of a known one: a hash with an unknown password is used instead.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use domain::Entropy;
use runtime::{Full, Queue, Source};
use zeroize::Zeroizing;

/// Each takes 19 MiB and tens of milliseconds of a core; half of the cores are left to signed-in users.
const MAX_AT_ONCE: usize = 2;
/// Sign-ins that wait for their turn, and those of one source.
const WAITING: usize = 64;
const WAITING_PER_SOURCE: usize = 16;
/// A sign-in that waits longer is refused.
const TIMEOUT: Duration = Duration::from_secs(5);
const SALT_BYTES: usize = 16;
/// Longest hash of a password that is compared.
const MAX_HASH_BYTES: usize = 64;

/// Fewest bytes of a password.
pub const MIN_PASSWORD: usize = 12;
/// Most bytes of a password.
pub const MAX_PASSWORD: usize = 1024;

/// Why a password is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {MIN_PASSWORD} to {MAX_PASSWORD} bytes")]
    Length,
    /// Memory is short.
    #[error("the password could not be hashed")]
    Hash,
}

/// The stored form of a password.
pub fn hash_password(password: &str, entropy: &dyn Entropy) -> Result<String, PasswordError> {
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
        return Err(PasswordError::Length);
    }
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt);
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// What Argon2 works in. It is made once and lent with a turn: memory that is asked for anew each time, by as many threads
/// as there are, does not come back to the system.
type Memory = Vec<Block>;

/// Compares passwords with hashes, a few at a time.
pub(crate) struct Passwords {
    turns: Queue<Source>,
    memory: Arc<Mutex<Vec<Memory>>>,
    stand_in: String,
}

impl Passwords {
    pub(crate) fn new(entropy: &dyn Entropy) -> Result<Self, PasswordError> {
        let mut nobody_knows = Zeroizing::new([0; 32]);
        entropy.fill(&mut *nobody_knows);
        let password =
            Zeroizing::new(nobody_knows.iter().map(|byte| char::from(byte >> 1)).collect::<String>());
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let at_once = (cores / 2).clamp(1, MAX_AT_ONCE);
        let memory = vec![vec![Block::new(); Params::default().block_count()]; at_once];
        Ok(Self {
            turns: Queue::new(at_once, WAITING, WAITING_PER_SOURCE, TIMEOUT),
            memory: Arc::new(Mutex::new(memory)),
            stand_in: hash_password(&password, entropy)?,
        })
    }

    /// Whether the password is the one of that hash. Errors: too many wait for that.
    pub(crate) async fn fits(
        &self,
        password: Zeroizing<String>,
        hash: Option<String>,
        source: &Source,
        is_shared: bool,
    ) -> Result<bool, Full> {
        let turn = self.turns.turn(source, is_shared).await?;
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.stand_in.clone());
        let pool = self.memory.clone();
        let compared = tokio::task::spawn_blocking(move || {
            // It stays taken if the caller goes away: the work goes on.
            let _turn = turn;
            let lent = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut memory = lent.unwrap_or_default();
            let fits = fits(&password, &hash, &mut memory);
            pool.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            fits
        });
        Ok(compared.await.unwrap_or(false) && is_known)
    }
}

/// False for what is no hash of Argon2, too.
fn fits(password: &str, hash: &str, memory: &mut Memory) -> bool {
    let mut compare = || {
        let hash = PasswordHash::new(hash).ok()?;
        let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(&hash).ok()?;
        if memory.len() < params.block_count() {
            memory.resize(params.block_count(), Block::new());
        }
        let mut computed = Zeroizing::new([0; MAX_HASH_BYTES]);
        let computed = computed.get_mut(..expected.len())?;
        let argon2 = Argon2::new(algorithm, version, params);
        argon2
            .hash_password_into_with_memory(password.as_bytes(), salt, computed, memory.as_mut_slice())
            .ok()?;
        verify_slices_are_equal(computed, expected.as_bytes()).ok()
    };
    compare().is_some()
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

    fn here() -> Source {
        Source::of(std::net::Ipv4Addr::LOCALHOST.into())
    }

    #[tokio::test]
    async fn only_the_password_itself_fits() {
        let here = here();
        let hash = hash_password("correct horse battery", &Counter).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let passwords = Passwords::new(&Counter).unwrap();
        assert!(
            passwords.fits(text("correct horse battery"), Some(hash.clone()), &here, false).await.unwrap()
        );
        assert!(!passwords.fits(text("correct horse batterx"), Some(hash), &here, false).await.unwrap());
        assert!(
            !passwords
                .fits(text("correct horse battery"), Some("no hash".into()), &here, false)
                .await
                .unwrap()
        );
        let stand_in: String = (1..=32_u8).map(|byte| char::from(byte >> 1)).collect();
        assert!(
            !passwords.fits(text(&stand_in), None, &here, false).await.unwrap(),
            "nobody has no password"
        );
    }

    /// As many at once as there are places to wait, and as many again.
    #[tokio::test(flavor = "multi_thread")]
    async fn many_at_once_use_the_same_memory_and_the_rest_is_sent_away() {
        let hash = hash_password("correct horse battery", &Counter).unwrap();
        let passwords = Arc::new(Passwords::new(&Counter).unwrap());
        let lent = passwords.memory.lock().unwrap().len();
        let tasks: Vec<_> = (0..200_u8)
            .map(|number| {
                let (passwords, hash) = (passwords.clone(), hash.clone());
                let source = Source::of([192, 0, 2, number % 10].into());
                tokio::spawn(async move {
                    passwords.fits(text("correct horse battery"), Some(hash), &source, false).await
                })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        assert!(answers.contains(&Ok(true)) && answers.iter().any(Result::is_err), "{answers:?}");
        assert!(!answers.contains(&Ok(false)));
        let memory = passwords.memory.lock().unwrap();
        assert_eq!(memory.len(), lent, "made once");
        assert!(memory.iter().all(|memory| memory.len() == Params::default().block_count()));
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        assert_eq!(hash_password(&"x".repeat(11), &Counter), Err(PasswordError::Length));
        assert_eq!(hash_password(&"x".repeat(1025), &Counter), Err(PasswordError::Length));
    }
}
