//! Backups of a simulation's database, and what it does with one that is put back.

use std::path::PathBuf;
use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{Clock, DomainName, Entropy, HistoryEntry, RevocationReason};
use runtime::Context;
use store::{CertificateRecord, Store};
use tempfile::TempDir;

use super::{Roles, Simulation, by};
use crate::{Mode, Postgres, wait_for};

/// What SQLite keeps beside a file while it is open.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Where a store is.
#[derive(Clone)]
pub(super) enum Place {
    File(PathBuf),
    Database(String),
}

/// A copy of the database.
pub struct Backup(Place);

impl Place {
    pub(super) async fn new(mode: Mode, folder: &TempDir) -> Self {
        match mode {
            Mode::Embedded => Self::File(folder.path().join("simulation.db")),
            Mode::Scaled => Self::Database(Postgres::shared().await.database()),
        }
    }

    pub(super) async fn open(&self, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Arc<Store> {
        let store = match self {
            Self::File(path) => Store::open_file(path, clock, entropy).await,
            Self::Database(database) => {
                let url = Postgres::shared().await.superuser_url(database);
                Store::open_server(&url, 4, clock, entropy)
            }
        };
        let store = store.expect("a store");
        store.migrate().await.expect("migrated");
        Arc::new(store)
    }

    /// A copy of a store that is closed.
    async fn copied(&self) -> Self {
        match self {
            Self::File(path) => {
                let copy = path.with_extension("backup");
                for beside in BESIDE {
                    let file = |path: &PathBuf| PathBuf::from(format!("{}{beside}", path.display()));
                    if file(path).exists() {
                        std::fs::copy(file(path), file(&copy)).expect("copied");
                    }
                }
                Self::File(copy)
            }
            Self::Database(database) => {
                let copy = format!("{database}_backup");
                let sql = format!("CREATE DATABASE {copy} TEMPLATE {database}");
                let postgres = Postgres::shared().await;
                // It is refused until the last session on the original has ended.
                wait_for("a copy", crate::simulation::PATIENCE, || {
                    std::future::ready(postgres.psql("postgres", &sql).map(drop))
                })
                .await;
                Self::Database(copy)
            }
        }
    }
}

impl Simulation {
    /// Backs the database up, at a standstill.
    pub async fn back_up(&mut self) -> Backup {
        self.context.store.close().await;
        let copy = self.place.copied().await;
        self.start_on(self.place.clone()).await;
        Backup(copy)
    }

    /// Puts a backup in the database's place, and starts every role on it.
    pub async fn restore(&mut self, backup: Backup) {
        self.context.store.close().await;
        self.start_on(backup.0).await;
        self.roles = Roles::start_guarded(&self.context);
    }

    /// Whether the guard after a restore was raised, whatever became of it.
    pub async fn was_guarded(&self) -> bool {
        self.context.store.restore_guard().await.expect("a guard").raised_at.is_some()
    }

    async fn start_on(&mut self, place: Place) {
        let store = place.open(self.clock.clone(), self.context.entropy.clone()).await;
        let bus = Arc::new(EmbeddedBus::new(store.clone(), self.clock.clone()));
        self.context = Context { store: store.clone(), bus, ..self.context.clone() };
        self.commands.store = store;
        self.roles = Roles::start(&self.context);
        self.place = place;
    }

    /// The key of the live certificate is in other hands.
    pub async fn revoke(&self, name: &DomainName) {
        let reason = RevocationReason::KeyCompromise;
        self.commands.revoke(name, None, reason, &by()).await.expect("to be revoked");
    }

    /// Somebody wants the certificate before the live one back.
    pub async fn roll_back(&self, name: &DomainName) {
        self.commands.roll_back(name, &by()).await.expect("rolled back");
    }

    /// A customer pastes a certificate.
    pub async fn import(&self, name: &DomainName) {
        self.commands.import(self.pasted(name).await, &by()).await.expect("imported");
    }

    /// Somebody takes a domain off the list, and its certificate from C4.
    pub async fn delete_and_remove(&self, name: &DomainName) {
        self.commands.delete(name, true, &by()).await.expect("deleted");
    }

    /// A name's certificates, newest first.
    pub async fn certificates(&self, name: &DomainName) -> Vec<CertificateRecord> {
        self.context.store.certificates(name, None, 1000).await.expect("certificates")
    }

    /// A name's history, newest first.
    pub async fn history(&self, name: &DomainName) -> Vec<HistoryEntry> {
        self.context.store.history(name, 1000).await.expect("a history")
    }
}
