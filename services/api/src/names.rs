//! Names of people and tokens, which stand in lists, addresses and the audit log.

use domain::is_unfit;
use store::PROVIDER_PREFIX;

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 100;

fn is_printable(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(is_unfit)
}

/// A name for a sentence about what is not there; what could not be a name is not repeated.
pub(crate) fn named(name: &str) -> String {
    if is_printable(name) { format!("{name:?}") } else { "like this".to_owned() }
}

/// Checks the name of a person who is added. Errors: a sentence.
pub fn check_user_name(name: &str) -> Result<(), String> {
    if !is_printable(name) {
        return Err(format!("a person's name has 1 to {MAX_NAME} printable characters"));
    }
    if name.starts_with(PROVIDER_PREFIX) {
        return Err(format!(
            "names that begin with {PROVIDER_PREFIX} are those of the OpenID provider's people"
        ));
    }
    Ok(())
}

/// Checks the name of a token that is made. Errors: a sentence.
pub fn check_token_name(name: &str) -> Result<(), String> {
    if is_printable(name) {
        return Ok(());
    }
    Err(format!("a token's name has 1 to {MAX_NAME} printable characters"))
}
