//! Sentences of the administration.

/// What was done there, by the word in an address.
pub(crate) fn administered(word: &str) -> Option<&'static str> {
    Some(match word {
        "user-roles" => "The roles are saved. They count from the user's next page on.",
        "user-disabled" => "The user is disabled, and every session has ended.",
        "user-deleted" => "The user is deleted, and every session has ended.",
        "session-ended" => "The session has ended.",
        "sessions-ended" => "Every session of the user has ended.",
        "token-revoked" => "The token is revoked.",
        _ => return None,
    })
}

pub(crate) const NEW_PASSWORDS_DIFFER: &str = "The two new passwords differ. Type the same one twice.";
pub(crate) const CHOOSE_A_PASSWORD: &str =
    "Your password is temporary. Type it once more, and choose one of your own, of 12 characters or more.";
