//! Which store and which bus: the only place that knows.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus::Bus;
use bus_embedded::EmbeddedBus;
use bus_rabbitmq::{RabbitMqBus, RabbitMqOptions};
use domain::Clock;
use runtime::{Config, RoleName, SystemClock, SystemEntropy};
use seal::SealingKeys;
use store::{Store, StoreError};

use crate::run::RunError;

/// An opened store, and what is held as long as it is used.
pub(crate) struct Backend {
    pub(crate) store: Arc<Store>,
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

async fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Store, StoreError> {
    let (clock, entropy) = (clock.clone(), Arc::new(SystemEntropy));
    match place(config) {
        Place::File(path) => Store::open_file(path, clock, entropy).await,
        Place::Server(url) => Store::open_server(url, config.store.max_connections, clock, entropy),
    }
}

/// Opens the store for roles. On SQLite, `all` wants the folder for itself, brings the schema up to date and frees
/// what a dead process had leased; roles of their own share it. On PostgreSQL nothing is asked yet.
pub(crate) async fn open_for_roles(
    config: &Config,
    roles: &[RoleName],
    clock: &Arc<dyn Clock>,
) -> Result<Backend, RunError> {
    let alone = roles.len() == RoleName::ALL.len();
    let lock = match place(config) {
        Place::File(path) => Some(lock_folder(path, alone)?),
        Place::Server(_) => None,
    };
    let store = open(config, clock).await?;
    if alone && lock.is_some() {
        store.migrate().await?;
        store.free_all_leases().await?;
    }
    Ok(Backend { store: Arc::new(store), _lock: lock })
}

/// Opens the store for a command that works on it directly. A new SQLite file is made, for this may be the first
/// command on a new machine.
pub(crate) async fn open_for_command(config: &Config) -> Result<Arc<Store>, RunError> {
    let is_new = make_room(config)?;
    let store = open(config, &system_clock()).await?;
    if is_new {
        store.migrate().await?;
    }
    store.check_schema().await?;
    Ok(Arc::new(store))
}

/// `db migrate`.
pub(crate) async fn migrate(config: &Config) -> Result<(), RunError> {
    make_room(config)?;
    let store = open(config, &system_clock()).await?;
    store.migrate().await?;
    store.close().await;
    Ok(())
}

/// Makes the folder of a database file; returns whether the file is still to be made.
fn make_room(config: &Config) -> Result<bool, RunError> {
    match place(config) {
        Place::File(path) => make_folder(path).map(|_| !path.exists()),
        Place::Server(_) => Ok(false),
    }
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The bus of the configuration, over that store.
pub(crate) fn open_bus(
    config: &Config,
    roles: &[RoleName],
    store: &Arc<Store>,
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
