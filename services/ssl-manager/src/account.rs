//! `account list | rollover | export | import`: our accounts at CAs; works on the store directly, and asks the CA itself.
//!
//! Rules. A new key is sealed and stored before it is sent to the CA; an export is in the audit log before the key is
//! written to the file; an imported key is stored only if the CA knows the account by it. Running issuers learn from
//! the CA that their key is outdated, and load the account again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acme::{AcmeError, Ca};
use audit::Caller;
use clap::Subcommand;
use domain::{AccountId, Clock};
use runtime::config::AcmeIssuer;
use runtime::{Brake, Config, Health, RoleName, SystemClock, SystemEntropy};
use seal::SealingKeys;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Account, Store};
use zeroize::{Zeroize, Zeroizing};

use crate::backend;
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{print_done, print_many};
use crate::run::RunError;

/// More than the size of any account file.
const MAX_BYTES: u64 = 64 * 1024;
const SECRET: u32 = 0o600;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// List our accounts at CAs (never their keys)
    List,
    /// Replace an account's key while everything runs; if interrupted, run it again to finish
    Rollover {
        /// Name in acme.issuers; optional if there is only one
        #[arg(long, value_name = "NAME")]
        issuer: Option<String>,
    },
    /// Write an account with its private key to a new file (mode 0600); anyone with that file can act as us at the CA
    Export {
        /// Name in acme.issuers
        #[arg(long, value_name = "NAME")]
        issuer: String,
        /// The file; must not exist yet
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Use the account of a file in the format of `export`
    Import {
        /// Name in acme.issuers
        #[arg(long, value_name = "NAME")]
        issuer: String,
        /// The file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Replace the present account; its certificates can still be revoked with it
        #[arg(long)]
        replace: bool,
    },
}

/// Content of an account file.
#[derive(Serialize, Deserialize)]
struct AccountFile {
    directory_url: String,
    url: String,
    /// PKCS #8, ECDSA P-256.
    private_key_pem: String,
}

impl Drop for AccountFile {
    fn drop(&mut self) {
        self.private_key_pem.zeroize();
    }
}

impl From<AcmeError> for CommandError {
    fn from(error: AcmeError) -> Self {
        match error {
            AcmeError::Store(error) => error.into(),
            AcmeError::Local(sentence) => Self::new("FAILED", sentence),
            error @ AcmeError::Paused(_) => Self::new(
                "PAUSED",
                format!("{error}: see `ssl-manager paused`, and try again once it is lifted"),
            ),
            error => Self::new("CA", error.to_string()),
        }
    }
}

pub(crate) async fn run(
    command: &AccountCommand,
    config: &Config,
    output: Output,
) -> Result<(), CommandError> {
    let store = backend::open_for_command(config).await?;
    if let AccountCommand::List = command {
        return list(&store, config, output).await;
    }
    let keys = backend::sealing_keys(config, &[RoleName::Issuer])?;
    let keys = keys.ok_or_else(|| CommandError::new("FAILED", "there is no sealing key"))?;
    let desk = Desk { store, keys };
    match command {
        AccountCommand::List => Ok(()),
        AccountCommand::Rollover { issuer } => {
            let settings = settings(config, issuer.as_deref())?;
            desk.roll_over(settings).await?;
            done(output, &settings.name, "the account has a new key")
        }
        AccountCommand::Export { issuer, file } => {
            desk.export(settings(config, Some(issuer))?, file).await?;
            let written = format!("written to {}: keep it like a private key", file.display());
            done(output, issuer, &written)
        }
        AccountCommand::Import { issuer, file, replace } => {
            let came = desk.import(settings(config, Some(issuer))?, file, *replace).await?;
            done(output, issuer, came)
        }
    }
}

fn done(output: Output, issuer: &str, what: &str) -> Result<(), CommandError> {
    let value = json!({ "issuer": issuer, "result": what });
    print_done(output, format_args!("{issuer}: {what}."), &value)
}

/// The issuer of that name; without a name, the only one.
fn settings<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a AcmeIssuer, CommandError> {
    let issuers = &config.acme.issuers;
    let found = match (name, issuers.as_slice()) {
        (Some(name), _) => issuers.iter().find(|issuer| issuer.name == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        CommandError::usage(format!("say which of acme.issuers with --issuer: {}", names.join(", ")))
    })
}

async fn list(store: &Store, config: &Config, output: Output) -> Result<(), CommandError> {
    let is_used = |account: &Account| {
        let issuers = &config.acme.issuers;
        issuers
            .iter()
            .any(|issuer| issuer.name == account.issuer && issuer.directory_url == account.directory_url)
    };
    let accounts = store.accounts().await?;
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            json!({
                "issuer": account.issuer,
                "directory_url": account.directory_url,
                "url": account.url,
                "created_at": account.created_at,
                "used": is_used(account),
                "rollover_pending": account.pending_key.is_some(),
            })
        })
        .collect();
    let columns = ["issuer", "directory_url", "url", "created_at", "used", "rollover_pending"];
    print_many(output, &rows, &columns)
}

/// What the commands that use a key need.
struct Desk {
    store: Arc<Store>,
    keys: Arc<SealingKeys>,
}

impl Desk {
    async fn roll_over(&self, settings: &AcmeIssuer) -> Result<(), CommandError> {
        let by = Caller::at_the_machine("RolloverAccount");
        let line = by.line(SystemClock.now(), &settings.name, audit::OK, "");
        Ok(acme::roll_over(&self.ca(settings)?, &self.store, &self.keys, &line).await?)
    }

    async fn export(&self, settings: &AcmeIssuer, path: &Path) -> Result<(), CommandError> {
        let row = self.row(settings).await?;
        let row = row.filter(|row| row.url.is_some());
        let row = row.ok_or_else(|| {
            let sentence = format!("there is no registered account at {}", settings.name);
            CommandError::new("NOT_FOUND", sentence)
        })?;
        if row.pending_key.is_some() {
            let sentence = "its key is being changed: run `ssl-manager account rollover` first, to its end";
            return Err(CommandError::new("ROLLOVER_PENDING", sentence));
        }
        let content = self.content(&row).await?;
        let cannot = |error: std::io::Error| {
            CommandError::new("FAILED", format!("cannot write {}: {error}", path.display()))
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(SECRET).open(path).map_err(cannot)?;
        let written = match self.note("ExportAccount", settings, "with its private key").await {
            Ok(()) => file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot),
            Err(error) => Err(error),
        };
        if written.is_err() {
            // Half a key is of no use; the first error is the one to tell.
            let _ = fs::remove_file(path);
        }
        written
    }

    async fn content(&self, row: &Account) -> Result<Zeroizing<String>, CommandError> {
        let pkcs8 = acme::open_key(row, &row.sealed_key, &self.keys).await?;
        let file = AccountFile {
            directory_url: row.directory_url.clone(),
            url: row.url.clone().unwrap_or_default(),
            private_key_pem: x509::private_key_pem(&pkcs8).to_string(),
        };
        let text = serde_json::to_string_pretty(&file);
        let mut text = Zeroizing::new(text.map_err(|error| CommandError::new("FAILED", error.to_string()))?);
        text.push('\n');
        Ok(text)
    }

    /// What came of it.
    async fn import(
        &self,
        settings: &AcmeIssuer,
        path: &Path,
        replace: bool,
    ) -> Result<&'static str, CommandError> {
        let file = read(path)?;
        let pkcs8 = acme::account_key_from_pem(&file.private_key_pem)?;
        if file.directory_url != settings.directory_url {
            let sentence = format!(
                "the account is of {}, but {} is {}",
                file.directory_url, settings.name, settings.directory_url
            );
            return Err(CommandError::new("OTHER_DIRECTORY", sentence));
        }
        let known = acme::find_account(&self.ca(settings)?, &pkcs8).await?;
        let url = known.ok_or_else(|| {
            let sentence =
                "the CA knows no account by this key: it got another key since, or was deactivated";
            CommandError::new("UNKNOWN_ACCOUNT", sentence)
        })?;
        if url != file.url {
            let sentence = format!("by this key the CA knows {url}, not {}", file.url);
            return Err(CommandError::new("OTHER_ACCOUNT", sentence));
        }
        match self.row(settings).await? {
            None => self.insert(settings, &pkcs8, &url, None).await,
            Some(row) if self.is_same(&row, &pkcs8, &url).await => Ok("the account is there already"),
            Some(row) if !replace => {
                let there = row.url.as_deref().unwrap_or("one that is being registered");
                let sentence =
                    format!("there is an account, {there}: say --replace to use the file's instead");
                Err(CommandError::new("ALREADY_EXISTS", sentence))
            }
            Some(row) if row.url.as_ref() == Some(&url) => self.replace_key(settings, &row, &pkcs8).await,
            Some(row) => self.insert(settings, &pkcs8, &url, Some(&row)).await,
        }
    }

    async fn is_same(&self, row: &Account, pkcs8: &[u8], url: &str) -> bool {
        let stored = acme::open_key(row, &row.sealed_key, &self.keys).await;
        row.url.as_deref() == Some(url) && stored.is_ok_and(|stored| *stored == *pkcs8)
    }

    /// The same account by another key, such as one that a backup of the database is too old for.
    async fn replace_key(
        &self,
        settings: &AcmeIssuer,
        row: &Account,
        pkcs8: &[u8],
    ) -> Result<&'static str, CommandError> {
        let sealed = self.sealed(row.id, settings, pkcs8).await?;
        let mut tx = self.store.begin("import_account_key").await?;
        tx.replace_account_key(row.id, &row.sealed_key, &sealed).await?;
        let by = Caller::at_the_machine("ImportAccount");
        tx.append_audit(by.line(SystemClock.now(), &settings.name, audit::OK, "another key"));
        tx.commit().await?;
        Ok("the account has the file's key")
    }

    /// A new row; an account that is there makes room for it and keeps its certificates.
    async fn insert(
        &self,
        settings: &AcmeIssuer,
        pkcs8: &[u8],
        url: &str,
        before: Option<&Account>,
    ) -> Result<&'static str, CommandError> {
        let now = SystemClock.now();
        let id = AccountId::new(&SystemClock, &SystemEntropy);
        let account = Account {
            id,
            issuer: settings.name.clone(),
            directory_url: settings.directory_url.clone(),
            sealed_key: self.sealed(id, settings, pkcs8).await?,
            url: Some(url.to_owned()),
            created_at: now,
            pending_key: None,
        };
        let by = Caller::at_the_machine("ImportAccount");
        let mut tx = self.store.begin("import_account").await?;
        let came = match before {
            Some(before) => {
                let retired = format!("{} (until {now})", before.issuer);
                tx.retire_account(before.id, &before.issuer, &retired).await?;
                let live = tx.live_orders_of(before.id).await?;
                if live > 0 {
                    let sentence = format!(
                        "{live} orders are under way with the account that is there: try again when they are done"
                    );
                    return Err(CommandError::new("LIVE_ORDERS", sentence));
                }
                "the account is the file's now; restart the issuers"
            }
            None => "the account is the file's",
        };
        tx.insert_account(&account).await?;
        tx.append_audit(by.line(now, &settings.name, audit::OK, url));
        tx.commit().await?;
        Ok(came)
    }

    async fn sealed(
        &self,
        id: AccountId,
        settings: &AcmeIssuer,
        pkcs8: &[u8],
    ) -> Result<Vec<u8>, CommandError> {
        Ok(acme::seal_account_key(id, &settings.directory_url, pkcs8, &self.keys).await?)
    }

    /// A paused CA is not asked from here either.
    fn ca(&self, settings: &AcmeIssuer) -> Result<Ca, CommandError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ca = issuer::ca(settings, &clock).map_err(RunError::from)?;
        Ok(ca.behind(Arc::new(Brake::new(self.store.clone(), Health::default()))))
    }

    async fn row(&self, settings: &AcmeIssuer) -> Result<Option<Account>, CommandError> {
        let found = self.store.account(&settings.name, &settings.directory_url);
        Ok(found.await?)
    }

    async fn note(
        &self,
        call: &'static str,
        settings: &AcmeIssuer,
        detail: &str,
    ) -> Result<(), CommandError> {
        let line = Caller::at_the_machine(call).line(SystemClock.now(), &settings.name, audit::OK, detail);
        let mut tx = self.store.begin("audit_account").await?;
        tx.append_audit(line);
        Ok(tx.commit().await?)
    }
}

fn read(path: &Path) -> Result<AccountFile, CommandError> {
    let cannot =
        |error: std::io::Error| CommandError::usage(format!("cannot read {}: {error}", path.display()));
    let text = text_file::read(path, MAX_BYTES).map_err(cannot)?;
    // Not what is wrong with it: that may be a piece of the key.
    serde_json::from_str(&text).map_err(|_| {
        let sentence = format!(
            "{} is no account's file: JSON with directory_url, url and private_key_pem",
            path.display()
        );
        CommandError::new("NOT_AN_ACCOUNT", sentence)
    })
}

#[cfg(all(test, feature = "sandbox"))]
mod tests;
