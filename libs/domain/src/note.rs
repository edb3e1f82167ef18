//! Notes of staff on a domain: added, never edited.

use crate::is_unfit;

/// Maximum number of notes on one domain.
pub const MAX_NOTES: u64 = 200;
const MAX_BYTES: usize = 4 * 1024;

/// Why a note is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// There is no text.
    #[error("a note needs a text")]
    Empty,
    /// The text is too long.
    #[error("a note has at most {MAX_BYTES} bytes")]
    TooLong,
    /// The text has a character that moves, reverses or hides text.
    #[error("a note has no control characters and no invisible characters")]
    BadCharacter,
    /// The domain has too many notes.
    #[error("a domain has at most {MAX_NOTES} notes: delete some first")]
    TooMany,
}

impl NoteError {
    /// Stable code, for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "NOTE_EMPTY",
            Self::TooLong => "NOTE_TOO_LONG",
            Self::BadCharacter => "NOTE_BAD_CHARACTER",
            Self::TooMany => "TOO_MANY_NOTES",
        }
    }
}

/// Normalises a note's text for storage: keeps line breaks, trims surrounding white space.
pub fn note_text(text: &str) -> Result<String, NoteError> {
    if text.len() > MAX_BYTES {
        return Err(NoteError::TooLong);
    }
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    if text.is_empty() {
        return Err(NoteError::Empty);
    }
    if text.chars().any(|character| character != '\n' && is_unfit(character)) {
        return Err(NoteError::BadCharacter);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_text_within_bounds() {
        assert_eq!(note_text(" told\r\nticket 4711\n").unwrap(), "told\nticket 4711");
        assert_eq!(note_text("<b>=1+1 \u{1f512}").unwrap(), "<b>=1+1 \u{1f512}");
        for (bad, error) in [
            (" \n", NoteError::Empty),
            ("a\u{1b}[31m", NoteError::BadCharacter),
            ("a\u{202e}b", NoteError::BadCharacter),
            (&"x".repeat(4097), NoteError::TooLong),
        ] {
            assert_eq!(note_text(bad), Err(error), "{bad:?}");
        }
        assert!(note_text(&"x".repeat(4096)).is_ok());
    }
}
