//! Which store and which bus: the only place that knows.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use bus_embedded::EmbeddedBus;
use bus_rabbitmq::{RabbitMqBus, RabbitMqOptions};
use domain::Clock;
use runtime::config::StorePlace;
use runtime::{Config, RoleName, SystemClock, SystemEntropy, chain};
use seal::SealingKeys;
use store::{Rights, Store};
use tokio::net::TcpStream;

use crate::run::RunError;

const POSTGRES_PORT: u16 = 5432;
const REACH_WITHIN: Duration = Duration::from_secs(5);

/// An opened store, and what is held as long as it is used.
pub(crate) struct Backend {
    pub(crate) store: Arc<Store>,
    _lock: Option<File>,
}

fn place(config: &Config) -> Result<StorePlace, RunError> {
    config.store.place().map_err(RunError::StoreUrl)
}

/// Whether something listens where PostgreSQL should. The pool tries again and again for long before it says so.
async fn reach(url: &str) -> Result<(), RunError> {
    let Some(address) = address(url) else { return Ok(()) };
    let reached = tokio::time::timeout(REACH_WITHIN, TcpStream::connect(&address)).await;
    let source = match reached {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(source)) => source,
        Err(_) => io::Error::new(ErrorKind::TimedOut, "it does not answer"),
    };
    Err(RunError::StoreAway { address, source })
}

/// Host and port of a URL of PostgreSQL; none where it is a socket's path, or the options say where it is.
fn address(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.rsplit_once('@').map_or(rest, |(_, place)| place).split('/').next()?;
    let names_place =
        |option: &str| ["host=", "hostaddr=", "port="].iter().any(|key| option.starts_with(key));
    if authority.is_empty() || authority.contains('%') || options.split('&').any(names_place) {
        return None;
    }
    let has_port =
        authority.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    Some(if has_port { authority.to_owned() } else { format!("{authority}:{POSTGRES_PORT}") })
}

async fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Store, RunError> {
    let (clock, entropy) = (clock.clone(), Arc::new(SystemEntropy));
    Ok(match place(config)? {
        StorePlace::File(path) => Store::open_file(&path, clock, entropy).await?,
        StorePlace::Server(url) => Store::open_server(&url, config.store.max_connections, clock, entropy)?,
    })
}

/// Opens the store for roles. On SQLite, `all` wants the folder for itself, brings the schema up to date and frees
/// what a dead process had leased; roles of their own share it. On PostgreSQL nothing is asked yet.
pub(crate) async fn open_for_roles(
    config: &Config,
    roles: &[RoleName],
    clock: &Arc<dyn Clock>,
) -> Result<Backend, RunError> {
    let alone = roles.len() == RoleName::ALL.len();
    let lock = match place(config)? {
        StorePlace::File(path) => Some(lock_folder(&path, alone)?),
        StorePlace::Server(url) => {
            // Roles wait for a store that is away; that it is, they say at once.
            if let Err(error) = reach(&url).await {
                tracing::warn!(reason = chain(&error), "the store is away, it is asked again");
            }
            None
        }
    };
    let store = open(config, clock).await?;
    if alone && lock.is_some() {
        store.migrate().await?;
        store.free_all_leases().await?;
    }
    Ok(Backend { store: Arc::new(store), _lock: lock })
}

/// Opens the store for a command that works on it directly. An SQLite file without a schema gets one: this may be the
/// first command on a new machine, or `all` has made the file a moment ago and is about to.
pub(crate) async fn open_for_command(config: &Config) -> Result<Arc<Store>, RunError> {
    let is_file = make_room(config).await?;
    let store = open(config, &system_clock()).await?;
    if is_file && store.is_empty().await? {
        store.migrate().await?;
    }
    store.check_schema().await?;
    Ok(Arc::new(store))
}

/// Opens the store to look at it; none where its file is not there yet.
pub(crate) async fn open_for_check(config: &Config) -> Result<Option<Arc<Store>>, RunError> {
    match place(config)? {
        StorePlace::File(path) if !path.exists() => return Ok(None),
        StorePlace::File(_) => {}
        StorePlace::Server(url) => reach(&url).await?,
    }
    Ok(Some(Arc::new(open(config, &system_clock()).await?)))
}

/// `db migrate`: the schema, then the rights of the database roles, so that both are there before a process of the new
/// version starts.
pub(crate) async fn migrate(config: &Config) -> Result<Rights, RunError> {
    make_room(config).await?;
    let store = open(config, &system_clock()).await?;
    store.migrate().await?;
    let rights = store.give_rights().await?;
    store.close().await;
    Ok(rights)
}

/// Makes the folder of a database file, or looks whether the server is there; returns whether it is a file.
async fn make_room(config: &Config) -> Result<bool, RunError> {
    match place(config)? {
        StorePlace::File(path) => make_folder(&path).map(|_| true),
        StorePlace::Server(url) => reach(&url).await.map(|()| false),
    }
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// A bus, and the same as a client of a broker, where it is one.
pub(crate) struct OpenedBus {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) broker: Option<Arc<RabbitMqBus>>,
}

/// The bus of the configuration, over that store.
pub(crate) fn open_bus(
    config: &Config,
    roles: &[RoleName],
    store: &Arc<Store>,
    clock: &Arc<dyn Clock>,
) -> Result<OpenedBus, RunError> {
    if config.bus.is_embedded() {
        let bus = Arc::new(EmbeddedBus::new(store.clone(), clock.clone()));
        return Ok(OpenedBus { bus, broker: None });
    }
    let root = &config.bus.root_certificate_file;
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let options = RabbitMqOptions {
        url: config.bus.url.as_str().to_owned(),
        root_certificate_file: (!root.as_os_str().is_empty()).then(|| root.clone()),
        name: format!("ssl-manager {}", names.join(" ")),
        relay: roles.iter().any(|role| role.writes()),
    };
    let bus = Arc::new(RabbitMqBus::new(options, store.clone(), clock.clone())?);
    Ok(OpenedBus { bus: bus.clone(), broker: Some(bus) })
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
    Ok(Some(Arc::new(sealing_keys_for_command(config)?)))
}

/// The sealing keys for a command that signs or seals.
pub(crate) fn sealing_keys_for_command(config: &Config) -> Result<SealingKeys, RunError> {
    let path = &config.keys.sealing_key_file;
    Ok(match place(config)? {
        StorePlace::File(_) => SealingKeys::load_or_create(path)?,
        StorePlace::Server(_) => SealingKeys::load(path)?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_where_the_url_says_it() {
        for (url, expected) in [
            ("postgres://u:p@h:5433/db", Some("h:5433")),
            ("postgres://h/db?sslmode=require", Some("h:5432")),
            ("postgres://u:p@[::1]/db", Some("[::1]:5432")),
            ("postgres://u:p@[::1]:1/db", Some("[::1]:1")),
            ("postgres:///db", None),
            ("postgres://u@%2Frun%2Fpostgresql/db", None),
            ("postgres://h/db?host=/run/postgresql", None),
        ] {
            assert_eq!(address(url).as_deref(), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_told_at_once() {
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address")
        };
        let started = std::time::Instant::now();
        let mut config = Config::default();
        config.store.url = format!("postgres://u:secret@{closed}/db").into();
        let told = chain(&open_for_command(&config).await.err().expect("nothing is there"));
        assert!(told.contains(&format!("nothing answers at {closed} (store.url)")), "{told}");
        assert!(told.contains("Connection refused") && !told.contains("secret"), "{told}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
