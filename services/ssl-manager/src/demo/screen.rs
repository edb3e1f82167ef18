//! The demo's table: redrawn in place on a terminal, printed when something changed elsewhere.

use std::io::{self, Write};
use std::path::Path;

use crossterm::{cursor, queue, terminal};
use proto::v1;

use super::cast::Row;
use super::{PASSWORD, PERSON};
use crate::terminal::{Cell, Look, grid};

pub(super) struct Screen {
    on_terminal: bool,
    last: String,
}

impl Screen {
    pub(super) fn new(on_terminal: bool) -> Self {
        Self { on_terminal, last: String::new() }
    }

    /// What this is and how to take part.
    pub(super) fn hello(page: &str, endpoint: &str, folder: &Path, token: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "SSL Manager demo: every role, and a CA, C4, edge and DNS of its own, on loopback.")?;
        writeln!(out, "Data: {} (removed at the end). Ctrl-C stops it.", folder.display())?;
        writeln!(out, "SSL Management: {page}  (sign in as {PERSON}, password {PASSWORD})")?;
        writeln!(out, "Or in another terminal:")?;
        writeln!(out, "  export SSL_MANAGER_ENDPOINT={endpoint} SSL_MANAGER_TOKEN={token}")?;
        writeln!(out, "  ssl-manager domain list\n  ssl-manager domain history shop.example.com\n")?;
        out.flush()
    }

    pub(super) fn show(&mut self, rows: &[Row]) -> io::Result<()> {
        let text = table(rows);
        if text == self.last {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if self.on_terminal && !self.last.is_empty() {
            let lines = u16::try_from(self.last.lines().count()).unwrap_or(u16::MAX);
            queue!(
                out,
                cursor::MoveToPreviousLine(lines),
                terminal::Clear(terminal::ClearType::FromCursorDown)
            )?;
        }
        writeln!(out, "{text}")?;
        self.last = text;
        out.flush()
    }

    /// Says which sample domains are where they should be.
    pub(super) fn verdict(rows: &[Row]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for row in rows.iter().filter(|row| !row.has_settled()) {
            let wanted = proto::status_word(row.wanted);
            writeln!(out, "{} should be {wanted} and is {}: {}", row.name, row.status(), row.doing())?;
        }
        let settled = rows.iter().filter(|row| row.has_settled()).count();
        writeln!(out, "{settled} of {} sample domains have reached the status they should.", rows.len())?;
        out.flush()
    }
}

fn table(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let served = row.served.as_deref().map_or("-", |sha256| sha256.get(..16).unwrap_or(sha256));
        let status = row.domain.as_ref().map(v1::Domain::status).unwrap_or_default();
        vec![row.name.into(), Cell::status(status), row.doing().into(), served.into()]
    };
    let rows: Vec<Vec<Cell>> = rows.iter().map(row).collect();
    grid(&["domain", "status", "doing or waiting for", "edge shows (SHA-256)"], &rows, Look::of_stdout())
}
