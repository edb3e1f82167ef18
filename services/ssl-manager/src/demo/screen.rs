//! What the demo prints: how to take part, the year that passes, every change from then on, and what to try.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use super::cast::{CAST, Fate, Row};
use super::{PASSWORD, PERSON};
use crate::terminal::{Cell, Look, grid};

#[derive(Default)]
pub(super) struct Screen {
    /// What was last told of each domain.
    told: HashMap<&'static str, String>,
    days_ago: Option<i64>,
    is_today: bool,
}

impl Screen {
    /// What this is and how to take part.
    pub(super) fn hello(page: &str, endpoint: &str, folder: &Path, token: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "SSL Manager demo: every role, and a CA, C4, edge and DNS of its own, on loopback.")?;
        writeln!(out, "Data: {} (removed at the end). Ctrl-C stops it.\n", folder.display())?;
        writeln!(out, "SSL Management:  {page}  (sign in as {PERSON}, password {PASSWORD})")?;
        writeln!(out, "Another terminal, with these lines:")?;
        for line in environment(endpoint, token, std::env::current_exe().ok().as_deref()) {
            writeln!(out, "  {line}")?;
        }
        writeln!(out)?;
        out.flush()
    }

    /// The year that passes, then a line for each domain that changed.
    pub(super) fn show(&mut self, days_ago: Option<i64>, rows: &[Row]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Some(days) = days_ago {
            let before = self.days_ago.replace(days);
            if before.is_none() {
                write!(out, "A year passes:")?;
            }
            if before != Some(days) {
                write!(out, " {days} days ago,")?;
            }
            return out.flush();
        }
        if self.days_ago.is_none() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_today, true) {
            writeln!(out, " today.\n")?;
        }
        for row in rows.iter().filter(|row| row.domain.is_some()) {
            let (status, why) = (proto::status_word(row.status()), row.why());
            let why = if why == "idle" { "" } else { why };
            let now = format!("{:<34}  {status:<9}  {why}", row.name);
            let now = now.trim_end().to_owned();
            if self.told.get(row.name) != Some(&now) {
                writeln!(out, "{now}")?;
                self.told.insert(row.name, now);
            }
        }
        out.flush()
    }

    /// One domain of each kind, and what to do with them.
    pub(super) fn settled(page: &str, rows: &[Row]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\n{} domains are there. One of each kind:\n", rows.len())?;
        writeln!(out, "{}", one_of_each(rows))?;
        writeln!(out, "\nThree things to try:")?;
        writeln!(
            out,
            "1. Why has elsewhere.example.com no certificate, and what does its owner have to do?"
        )?;
        writeln!(out, "     ssl-manager domain show elsewhere.example.com")?;
        writeln!(out, "2. A year of renewals of one name, and which domains need a person first:")?;
        writeln!(out, "     ssl-manager domain history shop.example.com")?;
        writeln!(out, "     ssl-manager domain list --order attention --limit 20")?;
        writeln!(out, "3. Replace a pasted certificate that ends in days by one that renews itself:")?;
        writeln!(out, "     ssl-manager domain generate pay.example.org")?;
        writeln!(out, "     ssl-manager domain watch pay.example.org")?;
        writeln!(out, "The same on the page: {page}\n")?;
        out.flush()
    }

    /// Says which sample domains are where they should be.
    pub(super) fn verdict(rows: &[Row], settled: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for row in rows.iter().filter(|row| !settled(row.name)) {
            let (wanted, why) = row.fate.wanted();
            let (wanted, status) = (proto::status_word(wanted), proto::status_word(row.status()));
            writeln!(out, "{} should be {wanted} {why} and is {status} {}", row.name, row.why())?;
        }
        let count = rows.iter().filter(|row| settled(row.name)).count();
        writeln!(out, "{count} of {} sample domains have reached the status they should.", CAST.len())?;
        out.flush()
    }
}

/// What makes `ssl-manager` a command that asks this demo, in any shell of Unix.
fn environment(endpoint: &str, token: &str, program: Option<&Path>) -> Vec<String> {
    let mut lines = vec![format!("export SSL_MANAGER_ENDPOINT={endpoint} SSL_MANAGER_TOKEN={token}")];
    let folder = program.and_then(Path::parent);
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = folder.filter(|folder| !std::env::split_paths(&path).any(|other| other == **folder))
    {
        lines.push(format!("export PATH=\"{}:$PATH\"", folder.display()));
    }
    lines
}

fn one_of_each(rows: &[Row]) -> String {
    let is_first = |row: &&Row| {
        let first = CAST.iter().find(|sample| sample.fate == row.fate);
        first.is_some_and(|first| first.name == row.name) || row.fate == Fate::PointedElsewhere
    };
    let shown: Vec<Vec<Cell>> = rows
        .iter()
        .filter(is_first)
        .map(|row| {
            let why = if row.why() == "idle" { "" } else { row.why() };
            vec![row.name.into(), Cell::status(row.status()), why.into()]
        })
        .collect();
    grid(&["name", "status", "why"], &shown, Look::of_stdout())
}
