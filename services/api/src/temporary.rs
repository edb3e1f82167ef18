//! Temporary passwords: made here, shown once, and replaced by the first sign-in.
//!
//! In the column of the hash stands `temporary:`, the second since 1970 in which it ends, a colon, and the hash, all of it
//! under the row's MAC. A program that knows nothing of temporary passwords takes that for no hash and refuses the sign-in.

use domain::Entropy;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

/// How long a temporary password can be used.
pub(crate) const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

const PREFIX: &str = "temporary:";
/// Letters and digits that look like no other.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 100 random bits.
const LETTERS: usize = 20;
const GROUP: usize = 5;

/// What is stored of a person's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredPassword<'a> {
    /// When it ends, of a temporary one.
    pub(crate) until: Option<Timestamp>,
    /// In PHC form.
    pub(crate) hash: &'a str,
}

impl<'a> StoredPassword<'a> {
    /// None for a temporary one whose end cannot be read.
    pub(crate) fn parse(stored: &'a str) -> Option<Self> {
        let Some(rest) = stored.strip_prefix(PREFIX) else {
            return Some(Self { until: None, hash: stored });
        };
        let (second, hash) = rest.split_once(':')?;
        let until = Timestamp::from_second(second.parse().ok()?).ok()?;
        Some(Self { until: Some(until), hash })
    }

    /// Whether it can be used.
    pub(crate) fn lasts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What is stored of a temporary password.
pub(crate) fn stored(hash: &str, until: Timestamp) -> String {
    format!("{PREFIX}{}:{hash}", until.as_second())
}

/// A new temporary password: four groups of five letters and digits.
pub(crate) fn new_password(entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; LETTERS]);
    entropy.fill(&mut *bytes);
    let mut password = Zeroizing::new(String::with_capacity(LETTERS + LETTERS / GROUP));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            password.push('-');
        }
        password.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    password
}

#[cfg(test)]
mod tests {
    use runtime::SystemEntropy;

    use super::*;

    #[test]
    fn what_is_stored_says_until_when() {
        let until = Timestamp::from_second(1_800_000_000).unwrap();
        let text = stored("$argon2id$x", until);
        assert_eq!(text, "temporary:1800000000:$argon2id$x");
        let parsed = StoredPassword::parse(&text).unwrap();
        assert_eq!(parsed, StoredPassword { until: Some(until), hash: "$argon2id$x" });
        assert!(parsed.lasts(until - SignedDuration::from_secs(1)) && !parsed.lasts(until));
        let own = StoredPassword::parse("$argon2id$x").unwrap();
        assert!(own.until.is_none() && own.lasts(until));
        for bad in ["temporary:", "temporary:x:$a", "temporary:1800000000", "temporary:99999999999999999:$a"]
        {
            assert_eq!(StoredPassword::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn passwords_are_long_enough_and_differ() {
        let (one, other) = (new_password(&SystemEntropy), new_password(&SystemEntropy));
        assert_ne!(one, other);
        assert_eq!(one.len(), 23);
        assert!(one.split('-').all(|group| group.len() == 5), "{}", *one);
        assert!(one.bytes().all(|letter| letter == b'-' || ALPHABET.contains(&letter)));
    }
}
