//! Text from outside: CAs, C4, nameservers, certificates, providers, callers. It is sanitised on input, and again on
//! output, by these functions only.

use std::borrow::Cow;

/// Whether a character must not appear in a line for people: it moves the cursor or starts an escape sequence (C0,
/// C1), ends the line, is invisible, or changes the text direction.
pub fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns one line of at most `most` characters: unfit characters become spaces, and runs of spaces become one.
pub fn one_line(text: &str, most: usize) -> String {
    let is_gap = |character: char| character.is_whitespace() || is_unfit(character);
    let words: Vec<&str> = text.split(is_gap).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let mut short: String = line.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Returns the text for a terminal or a page, with its line breaks; other unfit characters become spaces.
pub fn printable(text: &str) -> String {
    let fit = |character| if character != '\n' && is_unfit(character) { ' ' } else { character };
    text.chars().map(fit).collect()
}

/// Returns a cell of a CSV file that no spreadsheet reads as a formula: one that would be begins with an apostrophe.
pub fn spreadsheet_cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for start in ['=', '+', '-', '@', '\t', '\r'] {
            assert_eq!(spreadsheet_cell(&format!("{start}1+1")), format!("'{start}1+1"));
        }
        assert_eq!(spreadsheet_cell("shop=1.example.com"), "shop=1.example.com");
    }

    #[test]
    fn nothing_gets_through_that_moves_turns_or_hides() {
        let kinds = [
            ('\0', '\u{1f}'),
            ('\u{7f}', '\u{9f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{2069}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{61c}', '\u{61c}'),
        ];
        for (first, last) in kinds {
            for character in first..=last {
                let text = format!("a{character}b");
                assert_eq!(one_line(&text, 100), "a b", "{character:?}");
                let kept = if character == '\n' { "a\nb" } else { "a b" };
                assert_eq!(printable(&text), kept, "{character:?}");
            }
        }
        for text in ["Grüße, 東京 – “ok” 🔒", "a\u{301}", "עברית"] {
            assert_eq!((one_line(text, 100).as_str(), printable(text).as_str()), (text, text));
        }
    }

    #[test]
    fn a_line_is_short_and_says_where_it_was_cut() {
        assert_eq!(one_line(" a\r\n\tb\u{1b}[31m \u{202e}c ", 100), "a b [31m c");
        for (most, expected) in [(5, "ab cd"), (4, "ab …"), (3, "ab…"), (2, "a…"), (1, "…")] {
            assert_eq!(one_line("ab cd", most), expected);
        }
        let long = one_line(&"ü".repeat(100_000), 200);
        assert_eq!((long.chars().count(), long.chars().last()), (200, Some('…')));
        assert_eq!(one_line("\u{202e}\n", 9), "");
    }
}
