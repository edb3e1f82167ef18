//! `keys rotate`: wraps every data key under the first line of the sealing-key file, while everything runs; those of
//! webhooks under the first line of the notifier's own.
//!
//! Rules. No private key is opened, only the data key in front of it. A sealed key is replaced only if it is still as
//! it was read, so that no concurrent write is lost. Tables are walked by id, a page at a time, and no transaction is
//! open while keys are wrapped. It may be interrupted and repeated: a sealed key names its line, so no progress has to
//! be stored.
//!
//! Then tokens, users and sessions are signed anew ([`signatures`]).
//!
//! Why several walks: a key sealed by a process before its restart may be stored behind the walk. It is done when a
//! whole walk finds nothing to do; if even the last walk does, a process still seals under an older line.

mod signatures;

use audit::Caller;
use domain::Clock;
use runtime::{Config, RoleError, SystemClock, chain};
use seal::{Binding, Purpose, SealError, SealingKeys};
use serde_json::{Value, json};
use store::{SealedKey, SealedPlace, Store, StoreError};

use crate::backend::open_for_command;
use crate::cli::{KeysCommand, Output};
use crate::dispatch::CommandError;
use crate::output::{complain, print, print_json};
use crate::run::RunError;
use signatures::Signatures;

const PAGE: u32 = 100;
const MAX_WALKS: u32 = 4;
/// How many keys that do not open are named; all are counted.
const MAX_NAMED: usize = 20;
const PROGRESS_INTERVAL: u64 = 10_000;

pub(crate) async fn run(command: KeysCommand, config: &Config, output: Output) -> Result<(), CommandError> {
    let KeysCommand::Rotate = command;
    let path = &config.keys.sealing_key_file;
    let keys = SealingKeys::load(path).map_err(RunError::from)?;
    let store = open_for_command(config).await?;
    // Before anything is done, so that a missing file leaves no half of the work.
    let of_notifier = notifier_keys_in_use(&store, config).await?;
    let mut rotated = rotate(&store, &keys, &SealedPlace::ALL).await?;
    if let Some(keys) = &of_notifier {
        rotated.add(rotate(&store, keys, &[SealedPlace::Webhooks]).await?);
    }
    rotated.signatures = signatures::renew(&store, &keys).await?;
    rotated.note(&store).await?;
    match output {
        Output::Json => print_json(&rotated.json(&keys))?,
        _ => rotated.print(&keys)?,
    }
    rotated.verdict()?;
    if output != Output::Json {
        let mut files = path.display().to_string();
        if of_notifier.is_some() {
            files = format!("{files} and {}", config.notifier.sealing_key_file.display());
        }
        print(format_args!(
            "The older lines may be removed from {files}; keep them with the backups that were made before."
        ))?;
    }
    Ok(())
}

/// The notifier's keys, if there are endpoints of webhooks.
async fn notifier_keys_in_use(store: &Store, config: &Config) -> Result<Option<SealingKeys>, CommandError> {
    if store.sealed_keys(SealedPlace::Webhooks, None, 1).await?.is_empty() {
        return Ok(None);
    }
    let keys = SealingKeys::load(&config.notifier.sealing_key_file);
    let setting = |error| RoleError::setting("notifier.sealing_key_file", chain(&error));
    Ok(Some(keys.map_err(setting).map_err(RunError::from)?))
}

/// What was done, and what the last walk found.
#[derive(Debug, Default)]
struct Rotated {
    rewrapped: u64,
    last: Walk,
    /// Rows of tokens, users and sessions.
    signatures: Signatures,
}

/// What one walk over everything found.
#[derive(Debug, Default)]
struct Walk {
    /// Sealed keys, whatever they were under.
    seen: u64,
    /// Those under an older line.
    older: u64,
    /// Those of them that are under the first line now.
    rewrapped: u64,
    /// Those that no line opens.
    unopened: u64,
    /// The first of those.
    named: Vec<Unopened>,
}

#[derive(Debug)]
struct Unopened {
    place: SealedPlace,
    id: String,
    why: SealError,
}

impl Rotated {
    /// What was done with other keys counts, too.
    fn add(&mut self, other: Self) {
        let last = other.last;
        self.rewrapped += other.rewrapped;
        self.last.seen += last.seen;
        self.last.older += last.older;
        self.last.rewrapped += last.rewrapped;
        self.last.unopened += last.unopened;
        self.last.named.extend(last.named);
        self.last.named.truncate(MAX_NAMED);
    }

    /// That keys were wrapped anew, in the audit log.
    async fn note(&self, store: &Store) -> Result<(), StoreError> {
        let detail = format!("{} wrapped anew, {} under older lines", self.rewrapped, self.last.older);
        let by = Caller::at_the_machine("RotateKeys");
        let mut tx = store.begin("audit_rotation").await?;
        tx.append_audit(by.line(SystemClock.now(), "", audit::OK, &detail));
        tx.commit().await
    }
}

async fn rotate(store: &Store, keys: &SealingKeys, places: &[SealedPlace]) -> Result<Rotated, CommandError> {
    let mut rotated = Rotated::default();
    for _ in 0..MAX_WALKS {
        let mut walk = Walk::default();
        for place in places {
            walk.over(*place, store, keys).await?;
        }
        rotated.rewrapped += walk.rewrapped;
        rotated.last = walk;
        if rotated.last.older == 0 {
            break;
        }
    }
    Ok(rotated)
}

impl Walk {
    async fn over(
        &mut self,
        place: SealedPlace,
        store: &Store,
        keys: &SealingKeys,
    ) -> Result<(), CommandError> {
        let mut after: Option<String> = None;
        loop {
            let page = store.sealed_keys(place, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id.clone());
            let anew = self.rewrap(&page, keys).await?;
            self.replace(store, &anew).await?;
        }
    }

    /// The sealed keys of a page that are under an older line, with what is to stand in their place.
    async fn rewrap<'a>(
        &mut self,
        page: &'a [SealedKey],
        keys: &SealingKeys,
    ) -> Result<Vec<(&'a SealedKey, Vec<u8>)>, CommandError> {
        let mut anew = Vec::new();
        for key in page {
            self.seen += 1;
            match keys.rewrap(&binding(key), &key.sealed).await {
                Ok(None) => {}
                Ok(Some(sealed)) => anew.push((key, sealed)),
                Err(error @ SealError::Unavailable(_)) => {
                    return Err(CommandError::new("UNAVAILABLE", error.to_string()));
                }
                Err(why) => self.does_not_open(key, why),
            }
            if self.seen.is_multiple_of(PROGRESS_INTERVAL) {
                complain(format_args!("{} keys looked at, {} wrapped anew", self.seen, self.rewrapped));
            }
        }
        self.older += anew.len() as u64;
        Ok(anew)
    }

    async fn replace(&mut self, store: &Store, anew: &[(&SealedKey, Vec<u8>)]) -> Result<(), StoreError> {
        if anew.is_empty() {
            return Ok(());
        }
        let mut tx = store.begin("rotate_keys").await?;
        let mut rewrapped = 0;
        for (key, sealed) in anew {
            rewrapped += u64::from(tx.replace_sealed(key, sealed).await?);
        }
        tx.commit().await?;
        self.rewrapped += rewrapped;
        Ok(())
    }

    fn does_not_open(&mut self, key: &SealedKey, why: SealError) {
        self.unopened += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(Unopened { place: key.place, id: key.id.clone(), why });
        }
    }
}

impl Rotated {
    fn json(&self, keys: &SealingKeys) -> Value {
        let named =
            self.last.named.iter().map(
                |key| json!({ "table": key.place.as_str(), "id": key.id, "message": key.why.to_string() }),
            );
        json!({
            "sealing_key": keys.current_key_id().to_string(),
            "rewrapped": self.rewrapped,
            "signed": self.signatures.renewed,
            "unsigned": self.signatures.refused,
            "left": self.last.older + self.signatures.left,
            "unopened": self.last.unopened,
            "unopened_keys": named.collect::<Vec<_>>(),
        })
    }

    fn print(&self, keys: &SealingKeys) -> Result<(), CommandError> {
        let Walk { older, named, .. } = &self.last;
        let key = keys.current_key_id();
        print(format_args!("Rewrapped under the sealing key {key}: {}", self.rewrapped))?;
        print(format_args!("Left under older lines: {}", older + self.signatures.left))?;
        print(format_args!("Signed again, of tokens, users and sessions: {}", self.signatures.renewed))?;
        for row in &self.signatures.refused {
            print(format_args!("Not written by SSL Manager, and ignored: {row}"))?;
        }
        for key in named {
            print(format_args!("Does not open: {} {}: {}", key.place.as_str(), key.id, key.why))?;
        }
        Ok(())
    }

    /// Whether the older lines may go.
    fn verdict(&self) -> Result<(), CommandError> {
        let Walk { older, unopened, named, .. } = &self.last;
        if let Some(first) = named.first() {
            let sentence = format!(
                "no line opens {unopened} sealed keys, the first in {} {}: {}; take no line out of the file",
                first.place.as_str(),
                first.id,
                first.why
            );
            return Err(CommandError::new("UNOPENED", sentence));
        }
        if let Some(row) = self.signatures.unchecked.first() {
            let sentence = format!("{row}; take no line out of the file");
            return Err(CommandError::new("UNOPENED", sentence));
        }
        let left = older + self.signatures.left;
        if left > 0 {
            let sentence = format!(
                "the last of {MAX_WALKS} walks still found {left} keys or signatures under older lines: restart \
                 every process that was started with the older file, then repeat this"
            );
            return Err(CommandError::new("LEFT", sentence));
        }
        Ok(())
    }
}

fn binding(key: &SealedKey) -> Binding {
    let purpose = match key.place {
        SealedPlace::PendingAccounts | SealedPlace::Accounts => Purpose::Account,
        SealedPlace::Orders | SealedPlace::Certificates => Purpose::Certificate,
        SealedPlace::Webhooks => Purpose::Webhook,
    };
    Binding::new(purpose, &key.sealed_to, &key.name)
}

#[cfg(test)]
mod tests;
