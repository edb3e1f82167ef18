//! `restore check | accept`: compares C4 with a database that was restored from a backup. Works on the store directly.
//! `check` sends nothing and changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::Caller;
use c4::{C4Certificate, C4Client};
use c4_uploader::{Compared, Comparison, ComparisonError, Difference};
use clap::Subcommand;
use domain::{CertificateSummary, Clock, DomainName, Source};
use indicatif::ProgressBar;
use runtime::{Config, SystemClock, chain};
use serde_json::{Value, json};
use store::{AtRisk, Store};

use crate::backend::{open_for_command, sealing_keys_for_command};
use crate::cli::Output;
use crate::client::{listed_names, progress, read_names};
use crate::dispatch::CommandError;
use crate::output::{complain, print, print_done, print_json, table};

const PAGE: u32 = 100;
/// Names of a file that are looked up together.
const NAMES_AT_ONCE: usize = 1000;
/// A backup is taken for another installation's if less than one in this many live names has a certificate at C4 that is
/// stored here.
const FOREIGN_BELOW_ONE_IN: usize = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum RestoreCommand {
    /// Compare the database with C4 and show the differences: 0 if there are none, or 1. Nothing is sent or changed
    Check {
        /// File with all names at C4, one per line, or - for stdin; for a C4 that cannot list them itself
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
    },
    /// Resume uploads although the database is older than C4, without waiting until every name has been compared
    Accept,
}

pub(crate) async fn run(
    command: &RestoreCommand,
    config: &Config,
    output: Output,
) -> Result<(), CommandError> {
    let store = open_for_command(config).await?;
    match command {
        RestoreCommand::Check { names } => check(config, store, names.as_deref(), output).await,
        RestoreCommand::Accept => accept(&store, output).await,
    }
}

async fn accept(store: &Store, output: Output) -> Result<(), CommandError> {
    let mut tx = store.begin("restore_accept").await?;
    let is_released = tx.release_restore_guard(None).await?;
    if is_released {
        let by = Caller::at_the_machine("AcceptRestore");
        tx.append_audit(by.line(SystemClock.now(), "", audit::OK, "the guard after a restore is released"));
    }
    tx.commit().await?;
    let sentence = if is_released {
        "Uploads go on. Each name is still compared before it is uploaded."
    } else {
        "Nothing to accept: uploads are not kept back."
    };
    print_done(output, sentence, &json!({ "released": is_released }))
}

async fn check(
    config: &Config,
    store: Arc<Store>,
    names: Option<&Path>,
    output: Output,
) -> Result<(), CommandError> {
    let given = names.map(read_names).transpose()?;
    let keys = Arc::new(sealing_keys_for_command(config)?);
    let c4 = Arc::new(c4_uploader::client(config).map_err(crate::run::RunError::from)?);
    let comparison = Comparison::new(store.clone(), c4.clone(), keys, Arc::new(SystemClock));
    let mut report = Report::default();
    report.compare(&store, &comparison).await?;
    report.are_strangers_known = match given {
        Some(text) => report.strangers_among(&comparison, &text).await.map(|()| true)?,
        None => report.strangers_at(&comparison, &c4).await?,
    };
    match output {
        Output::Json => print_json(&report.json())?,
        _ => report.print()?,
    }
    report.verdict()
}

/// The differences.
#[derive(Debug, Default)]
struct Report {
    same: Vec<DomainName>,
    /// A name stands in each list that it belongs to.
    lists: BTreeMap<Difference, Vec<Compared>>,
    differing: usize,
    /// Live names that C4 knows with a certificate, or does not know at all.
    live: usize,
    /// Those of them whose certificate at C4 is stored here.
    live_with_ours: usize,
    /// Whether names that C4 has and the database does not were looked for.
    are_strangers_known: bool,
}

impl Report {
    async fn compare(&mut self, store: &Store, comparison: &Comparison) -> Result<(), CommandError> {
        let now = SystemClock.now();
        let counted = store.summary(now, AtRisk::at(now)).await?;
        let length: u64 = counted.statuses.iter().map(|(_, count)| count).sum();
        let progress = progress(usize::try_from(length).unwrap_or_default());
        let mut after = String::new();
        loop {
            let page = store.listed_after(&after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.domain.name.to_string();
            self.add(comparison.compare(&page).await?, &progress);
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Names that C4 lists itself; false if it does not have that call.
    async fn strangers_at(&mut self, comparison: &Comparison, c4: &C4Client) -> Result<bool, CommandError> {
        let progress = ProgressBar::hidden();
        let mut after = String::new();
        loop {
            let page = c4.domains_after(&after).await;
            let page = page.map_err(|error| CommandError::new("UNAVAILABLE", chain(&error)))?;
            let Some(page) = page else { return Ok(false) };
            // A domain without a certificate is one that has its HTTPS switched off.
            let held: Vec<_> = page.domains.into_iter().filter(|(_, held)| held.is_some()).collect();
            self.add(comparison.strangers(&held, true).await?, &progress);
            let Some(next) = page.next else { return Ok(true) };
            after = next;
        }
    }

    async fn strangers_among(&mut self, comparison: &Comparison, text: &str) -> Result<(), CommandError> {
        let mut names = Vec::new();
        for name in listed_names(text) {
            match DomainName::parse(&name) {
                Ok(name) => names.push((name, None)),
                Err(error) => complain(format_args!("{name:?} is left out: {error}")),
            }
        }
        let progress = progress(names.len());
        for names in names.chunks(NAMES_AT_ONCE) {
            let found = comparison.strangers(names, false).await?;
            self.add(found, &ProgressBar::hidden());
            progress.inc(names.len() as u64);
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn add(&mut self, compared: Vec<Compared>, progress: &ProgressBar) {
        progress.inc(compared.len() as u64);
        for compared in compared {
            let is_unknown = compared.differences.contains(&Difference::UnknownToC4);
            if compared.live.is_some() && (compared.held.is_some() || is_unknown) {
                self.live += 1;
                self.live_with_ours += usize::from(compared.is_stored);
            }
            if compared.differences.is_empty() {
                self.same.push(compared.name);
                continue;
            }
            self.differing += 1;
            for difference in &compared.differences {
                self.lists.entry(*difference).or_default().push(compared.clone());
            }
        }
    }

    /// Whether C4 holds next to nothing that is stored here.
    fn looks_foreign(&self) -> bool {
        self.live_with_ours * FOREIGN_BELOW_ONE_IN < self.live
    }

    fn json(&self) -> Value {
        let mut report = json!({
            "same": self.same,
            "names_of_c4_known": self.are_strangers_known,
            "looks_foreign": self.looks_foreign(),
        });
        for difference in Difference::ALL {
            let list = self.lists.get(&difference).map_or(&[][..], Vec::as_slice);
            report[difference.as_str()] = list.iter().map(row).collect();
        }
        report
    }

    fn print(&self) -> Result<(), CommandError> {
        for (difference, list) in &self.lists {
            print(format_args!("{} ({}):", title(*difference), list.len()))?;
            let rows: Vec<Value> = list.iter().map(flat_row).collect();
            print(table(&rows, &["name", "here_until", "c4_until", "here", "c4", "detail"]))?;
        }
        print(format_args!("{} names are the same, {} differ.", self.same.len(), self.differing))
    }

    fn verdict(&self) -> Result<(), CommandError> {
        if self.looks_foreign() {
            let sentence = format!(
                "for {} of {} live names C4 holds a certificate that is stored here: this is a backup of another \
                 installation, or older than nearly all certificates at C4; nothing was sent; do not start it before you know \
                 which it is",
                self.live_with_ours, self.live
            );
            return Err(CommandError::new("FOREIGN", sentence));
        }
        if self.differing > 0 {
            let sentence = format!(
                "{} of {} names differ; nothing was sent; docs/OPERATIONS.md, \"After a restore\", says what happens with each",
                self.differing,
                self.differing + self.same.len()
            );
            return Err(CommandError::new("DIFFERENT", sentence));
        }
        if !self.are_strangers_known {
            let sentence = "this C4 does not list its names, so names that are not in the database were not looked for: \
                            repeat this with --names FILE";
            return Err(CommandError::new("NOT_LISTED", sentence));
        }
        Ok(())
    }
}

fn title(difference: Difference) -> &'static str {
    match difference {
        Difference::OlderHere => "Older here: C4 holds a certificate that ends later",
        Difference::NewerHere => "Newer here: C4 holds a certificate that ends earlier, or none",
        Difference::KeyMissing => "C4 holds a certificate whose key is not here",
        Difference::RevokedHere => "C4 holds a certificate that is revoked here",
        Difference::UnknownHere => "C4 holds a certificate for a name that is not in the database",
        Difference::UnknownToC4 => "C4 does not know the name",
        Difference::NotAsked => "C4 gave no answer",
    }
}

fn row(compared: &Compared) -> Value {
    json!({
        "name": compared.name,
        "live": compared.live.as_ref().map(|live| certificate(&live.sha256, live.source, live.not_after)),
        "c4": compared.held.as_ref().map(|held| certificate(&held.sha256, held.source, held.not_after)),
        "stored": compared.is_stored,
        "detail": compared.trouble,
    })
}

fn certificate(sha256: &str, source: Source, not_after: jiff::Timestamp) -> Value {
    json!({ "sha256": sha256, "source": source.as_str(), "not_after": not_after })
}

fn flat_row(compared: &Compared) -> Value {
    let short = |sha256: &str| sha256.chars().take(16).collect::<String>();
    let live: Option<&CertificateSummary> = compared.live.as_ref();
    let held: Option<&C4Certificate> = compared.held.as_ref();
    json!({
        "name": compared.name,
        "here_until": live.map(|live| live.not_after),
        "c4_until": held.map(|held| held.not_after),
        "here": live.map(|live| short(&live.sha256)),
        "c4": held.map(|held| short(&held.sha256)),
        "detail": compared.trouble,
    })
}

impl From<ComparisonError> for CommandError {
    fn from(error: ComparisonError) -> Self {
        match error {
            ComparisonError::Store(error) => error.into(),
            error @ ComparisonError::Keys(_) => Self::new("UNAVAILABLE", chain(&error)),
        }
    }
}
