//! Which store and which bus: the only place that knows.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus::Bus;
use bus_embedded::EmbeddedBus;
use bus_rabbitmq::{RabbitMqBus, RabbitMqOptions};
use domain::Clock;
use runtime::{Config, RoleName};
use seal::SealingKeys;
use store::{Store, StoreError};
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

use crate::run::RunError;

/// An opened store, and what is held as long as it is used.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    _lock: Option<File>,
}

/// What a store's URL names.
enum Place<'a> {
    File(&'a Path),
    Server(&'a str),
}

fn place(config: &Config) -> Place<'_> {
    let url = config.store.url.as_str();
    match url.strip_prefix("sqlite://") {
        Some(path) => Place::File(Path::new(path)),
        None => Place::Server(url),
    }
}

fn connect(config: &Config, url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(url, config.store.max_connections)
}

/// Opens the store for roles. On SQLite, `all` wants the folder for itself, brings the schema up to date and frees
/// what a dead process had leased; roles of their own share it. On PostgreSQL nothing is asked yet.
pub(crate) async fn open_for_roles(config: &Config, roles: &[RoleName]) -> Result<Backend, RunError> {
    let path = match place(config) {
        Place::File(path) => path,
        Place::Server(url) => {
            return Ok(Backend { store: Arc::new(connect(config, url)?), _lock: None });
        }
    };
    let alone = roles.len() == RoleName::ALL.len();
    let lock = Some(lock_folder(path, alone)?);
    let store = if alone {
        let store = SqliteStore::open_and_migrate(path).await?;
        store.free_all_leases().await?;
        store
    } else {
        SqliteStore::open(path).await?
    };
    Ok(Backend { store: Arc::new(store), _lock: lock })
}

/// Opens the store for a command that works on it directly. A new SQLite file is made, for this may be the first
/// command on a new machine.
pub(crate) async fn open_for_command(config: &Config) -> Result<Arc<dyn Store>, RunError> {
    let store: Arc<dyn Store> = match place(config) {
        Place::Server(url) => Arc::new(connect(config, url)?),
        Place::File(path) => {
            make_folder(path)?;
            let is_new = !path.exists();
            let store = SqliteStore::open(path).await?;
            if is_new {
                store.migrate().await?;
            }
            Arc::new(store)
        }
    };
    store.check_schema().await?;
    Ok(store)
}

/// `db migrate`.
pub(crate) async fn migrate(config: &Config) -> Result<(), RunError> {
    match place(config) {
        Place::Server(url) => {
            let store = connect(config, url)?;
            store.migrate().await?;
            store.close().await;
        }
        Place::File(path) => {
            make_folder(path)?;
            SqliteStore::open_and_migrate(path).await?.close().await;
        }
    }
    Ok(())
}

/// The bus of the configuration, over that store.
pub(crate) fn open_bus(
    config: &Config,
    roles: &[RoleName],
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Bus>, RunError> {
    if config.bus.is_embedded() {
        return Ok(Arc::new(EmbeddedBus::new(store.clone(), clock.clone())));
    }
    let root = &config.bus.root_certificate_file;
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let options = RabbitMqOptions {
        url: config.bus.url.as_str().to_owned(),
        root_certificate_file: (!root.as_os_str().is_empty()).then(|| root.clone()),
        name: format!("ssl-manager {}", names.join(" ")),
        relay: roles.iter().any(|role| role.writes()),
    };
    Ok(Arc::new(RabbitMqBus::new(options, store.clone(), clock.clone())?))
}

/// The sealing keys for roles that hold them. They are made on the first start with a file of our own; beside a
/// database that others share, a fresh key would only be a wrong one.
pub(crate) fn sealing_keys(
    config: &Config,
    roles: &[RoleName],
) -> Result<Option<Arc<SealingKeys>>, RunError> {
    if !roles.iter().any(|role| role.holds_sealing_keys()) {
        return Ok(None);
    }
    let path = &config.keys.sealing_key_file;
    let keys = match place(config) {
        Place::File(_) => SealingKeys::load_or_create(path)?,
        Place::Server(_) => SealingKeys::load(path)?,
    };
    Ok(Some(Arc::new(keys)))
}

/// The database's folder, made for our eyes only if it is not there.
fn make_folder(database: &Path) -> Result<&Path, RunError> {
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| RunError::Folder { path: folder.to_owned(), source })?;
    Ok(folder)
}

/// Locks the store's folder: `all` wants it for itself; roles of their own share it.
fn lock_folder(database: &Path, alone: bool) -> Result<File, RunError> {
    let folder = make_folder(database)?;
    let failed = |source| RunError::Folder { path: folder.to_owned(), source };
    let path: PathBuf = folder.join("ssl-manager.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let locked = if alone { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
