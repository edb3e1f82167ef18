//! Parses pasted names: lists, columns of a spreadsheet and addresses from a browser.

use std::collections::HashSet;

use domain::{DomainName, NameError, host_of};

/// Names of one paste; a million domains are added through the API.
pub(crate) const MAX_LINES: usize = 100_000;
/// Of what is no name, so much is kept.
const MAX_ECHO: usize = 300;

/// A name, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line of the paste, from 1.
    pub(crate) number: u32,
    pub(crate) text: String,
}

/// A line that is not a domain name, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidLine {
    pub(crate) line: Line,
    pub(crate) error: NameError,
}

/// A paste, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Every name once, in the order in which they stood.
    pub(crate) names: Vec<Line>,
    pub(crate) rubbish: Vec<InvalidLine>,
    /// Names that stood there before.
    pub(crate) repeated: Vec<Line>,
}

/// A paste with more than [`MAX_LINES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Lines {
    /// Blank lines, and what stands after a `#` with nothing or a space before it, say nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, TooMany> {
        let mut lines = Self::default();
        let mut seen = HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let pieces = line
                .split(|character: char| character.is_whitespace() || ",;".contains(character))
                .filter(|piece| !piece.is_empty())
                .take_while(|piece| !piece.starts_with('#'));
            for piece in pieces {
                if lines.len() == MAX_LINES {
                    return Err(TooMany);
                }
                let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
                match DomainName::parse(host_of(piece)) {
                    Ok(name) => {
                        let line = Line { number, text: name.to_string() };
                        let is_new = seen.insert(name);
                        if is_new { &mut lines.names } else { &mut lines.repeated }.push(line);
                    }
                    Err(error) => lines.rubbish.push(InvalidLine {
                        line: Line { number, text: piece[..piece.floor_char_boundary(MAX_ECHO)].to_owned() },
                        error,
                    }),
                }
            }
        }
        Ok(lines)
    }

    /// How many pieces there were.
    pub(crate) fn len(&self) -> usize {
        self.names.len() + self.rubbish.len() + self.repeated.len()
    }

    /// All of them, in the order of their lines.
    pub(crate) fn all(self) -> Vec<Line> {
        let rubbish = self.rubbish.into_iter().map(|rubbish| rubbish.line);
        let mut all: Vec<Line> = self.names.into_iter().chain(rubbish).chain(self.repeated).collect();
        all.sort_by_key(|line| line.number);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(u32, String)> {
        let lines = Lines::parse(text).unwrap();
        let pairs = lines.names.into_iter();
        pairs.map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn lists_and_addresses_become_names_with_their_lines() {
        let text = "# ours\n\nshop.example.com # the shop\r\na.example.com, b.example.com;c.example.com\n\
                    https://user:secret@WWW.example.com:8443/path?q=1#top\n  \"d.example.com.\"\nbücher.example/x\n\
                    e.example.com:443\n";
        let expected = [
            (3, "shop.example.com"),
            (4, "a.example.com"),
            (4, "b.example.com"),
            (4, "c.example.com"),
            (5, "www.example.com"),
            (6, "d.example.com"),
            (7, "xn--bcher-kva.example"),
            (8, "e.example.com"),
        ];
        assert_eq!(names(text), expected.map(|(line, name)| (line, name.to_owned())));
    }

    #[test]
    fn rubbish_keeps_its_line_and_its_reason() {
        let lines =
            Lines::parse("a.example.com\n*.example.com\nbob@example.com\n[::1]:80\n=cmd()\n").unwrap();
        let rubbish = lines.rubbish.iter();
        let told: Vec<_> = rubbish
            .map(|rubbish| (rubbish.line.number, rubbish.line.text.as_str(), rubbish.error.reason()))
            .collect();
        assert_eq!(
            told,
            [
                (2, "*.example.com", "NAME_IS_WILDCARD"),
                (3, "bob@example.com", "NAME_BAD_CHARACTER"),
                (4, "[::1]:80", "NAME_BAD_CHARACTER"),
                (5, "=cmd()", "NAME_BAD_CHARACTER"),
            ]
        );
        let long = "ü".repeat(1000);
        let lines = Lines::parse(&long).unwrap();
        assert_eq!(lines.rubbish[0].line.text.len(), MAX_ECHO);
    }

    #[test]
    fn a_name_that_stands_twice_is_added_once() {
        let lines = Lines::parse("a.example.com\nA.EXAMPLE.COM.\nhttp://a.example.com/").unwrap();
        assert_eq!((lines.names.len(), lines.repeated.len(), lines.len()), (1, 2, 3));
        let numbers: Vec<u32> = lines.all().iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }

    #[test]
    fn too_many_are_told_and_not_cut() {
        assert_eq!(Lines::parse(&"x ".repeat(MAX_LINES)).unwrap().len(), MAX_LINES);
        assert_eq!(Lines::parse(&"x ".repeat(MAX_LINES + 1)), Err(TooMany));
    }
}
