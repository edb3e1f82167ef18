//! Output for people: as wide as the terminal, in colour unless `NO_COLOR` is set. A pipe gets whole lines without
//! colour. Nothing is cut: cells that do not fit go to their own line.

use std::fmt::Write;
use std::io::IsTerminal;

use domain::printable;
use proto::v1;
use terminal_size::{Width, terminal_size_of};

/// What a colour's number comes after (ECMA-48, CSI).
const INTRODUCER: &str = "\u{1b}[";
/// Ends a colour.
const PLAIN: u8 = 0;
const GAP: usize = 2;
const MIN_COLUMN: usize = 8;

/// The abilities of stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Columns; without end where there is no terminal.
    pub(crate) width: usize,
    pub(crate) is_coloured: bool,
}

impl Look {
    pub(crate) fn of_stdout() -> Self {
        let out = std::io::stdout();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            width: terminal_size_of(&out).map_or(usize::MAX, |(Width(columns), _)| columns.into()),
            is_coloured: out.is_terminal() && !is_set("NO_COLOR") && !is_dumb,
        }
    }

    /// The text in that colour, if there are colours.
    pub(crate) fn paint(self, text: &str, colour: Option<Colour>) -> String {
        match colour {
            Some(colour) if self.is_coloured => {
                format!("{INTRODUCER}{}m{text}{INTRODUCER}{PLAIN}m", colour as u8)
            }
            _ => text.to_owned(),
        }
    }
}

/// Colours that read on light and dark, by their numbers in ECMA-48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Reversed: look now.
    Alarm = 7,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Grey = 90,
}

impl Colour {
    fn is_ours(number: u8) -> bool {
        let all = [Self::Alarm, Self::Red, Self::Green, Self::Yellow, Self::Grey];
        number == PLAIN || all.into_iter().any(|colour| colour as u8 == number)
    }

    pub(crate) fn of(status: v1::Status) -> Option<Self> {
        match status {
            v1::Status::Success => Some(Self::Green),
            v1::Status::Pending => Some(Self::Yellow),
            v1::Status::Failure | v1::Status::Expired => Some(Self::Red),
            v1::Status::Discard => Some(Self::Grey),
            v1::Status::Emergency => Some(Self::Alarm),
            v1::Status::Unspecified => None,
        }
    }
}

/// Text of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) colour: Option<Colour>,
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: printable(text.as_ref()), colour: None }
    }
}

impl Cell {
    pub(crate) fn status(status: v1::Status) -> Self {
        Self { text: proto::status_word(status).to_owned(), colour: Colour::of(status) }
    }
}

/// A line as it may reach a terminal: nothing unfit in it but the colours that [`Look::paint`] sets.
pub(crate) fn fit(line: &str) -> String {
    let mut pieces = line.split(INTRODUCER);
    let mut out = printable(pieces.next().unwrap_or_default());
    for piece in pieces {
        let colour = piece.split_once('m').and_then(|(number, _)| number.parse::<u8>().ok());
        out.push_str(if colour.is_some_and(Colour::is_ours) { INTRODUCER } else { " [" });
        out.push_str(&printable(piece));
    }
    out
}

/// Characters, which for all but a few scripts are columns.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Rows below their heads, aligned, without a newline at the end.
pub(crate) fn grid(heads: &[&str], rows: &[Vec<Cell>], look: Look) -> String {
    let heads: Vec<Cell> =
        heads.iter().map(|head| Cell::from(head.replace('_', " ").to_uppercase())).collect();
    let rows: Vec<&[Cell]> = std::iter::once(&heads[..]).chain(rows.iter().map(Vec::as_slice)).collect();
    let widths = widths(&rows, look.width);
    let lines: Vec<String> = rows.iter().map(|row| line(row, &widths, look)).collect();
    lines.join("\n")
}

/// How wide each column is: as its widest cell, and where that is too much the widest columns yield.
fn widths(rows: &[&[Cell]], room: usize) -> Vec<usize> {
    let count = rows.first().map_or(0, |row| row.len());
    let widest = |index: usize| rows.iter().map(|row| columns(&row[index].text)).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..count).map(widest).collect();
    loop {
        let over = (widths.iter().sum::<usize>() + GAP * count.saturating_sub(1)).saturating_sub(room);
        match widths.iter_mut().max() {
            Some(widest) if over > 0 && *widest > MIN_COLUMN => *widest -= 1,
            _ => return widths,
        }
    }
}

/// One row. A cell that is wider than its column has the rest of the line, and its neighbours the next one.
fn line(row: &[Cell], widths: &[usize], look: Look) -> String {
    let (mut out, mut used, mut offset) = (String::new(), 0, 0);
    for (cell, width) in row.iter().zip(widths) {
        // A word that is too long for what is right of its column begins left of it.
        let longest = cell.text.split_whitespace().map(columns).max().unwrap_or(0);
        let start = offset.min(look.width.saturating_sub(longest));
        let pieces = wrap(&cell.text, look.width.saturating_sub(start));
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            if used > 0 && used + GAP > start {
                out.push('\n');
                used = 0;
            }
            let pad = start - used;
            let _ = write!(out, "{:pad$}{}", "", look.paint(piece, cell.colour));
            used = start + columns(piece);
        }
        offset += width + GAP;
    }
    out
}

/// Lines of at most that many columns, broken between words; a word that is longer stands whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Look = Look { width: 30, is_coloured: false };

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(Cell::from("a\u{1b}[31mb\u{9b}c\u{202e}d").text, "a [31mb c d");
        let painted = Look { width: 30, is_coloured: true }.paint("a", Some(Colour::Red));
        assert_eq!(fit(&painted), painted);
        assert_eq!(fit("a\u{1b}[2Jb\u{1b}]0;c\u{7}\u{1b}[31;5md"), "a [2Jb ]0;c  [31;5md");
    }

    #[test]
    fn what_fits_is_a_line_and_nothing_is_cut() {
        let row = |cells: [&str; 3]| cells.map(Cell::from).to_vec();
        let rows = [
            row(["a.example.com", "fine", ""]),
            row(["a-rather-long-name.example.com", "blocked", "words that go on and on"]),
        ];
        let shown = grid(&["name", "step", "found"], &rows, NARROW);
        let expected = "\
NAME        STEP     FOUND
a.example.com
            fine
a-rather-long-name.example.com
            blocked  words
                     that go
                     on and on";
        assert_eq!(shown, expected);
        let wide = grid(&["name", "step", "found"], &rows[..1], Look { width: usize::MAX, ..NARROW });
        assert_eq!(wide, "NAME           STEP  FOUND\na.example.com  fine");
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        let rows = [vec![Cell::status(v1::Status::Emergency), Cell::from("x")]];
        let plain = grid(&["status", "x"], &rows, NARROW);
        assert_eq!(plain, "STATUS     X\nEmergency  x");
        let coloured = grid(&["status", "x"], &rows, Look { is_coloured: true, ..NARROW });
        assert_eq!(coloured, "STATUS     X\n\u{1b}[7mEmergency\u{1b}[0m  x");
    }
}
