//! Wiring: opens the store and the bus that the settings name, binds every socket, then starts the roles.
//!
//! Everything that can be wrong with the surroundings is found before the first role starts. A role that ends by
//! itself takes the process down; a signal stops all of them in order.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{Clock, Entropy};
use metrics_exporter_prometheus::PrometheusHandle;
use runtime::{Config, Context, Health, Listen, Listeners, RoleError, Stop, SystemEntropy, serve_admin};
use seal::SealingKeys;
use store::{Store, StoreError};
use store_sqlite::SqliteStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};

/// A role of its own process, or one of `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoleName {
    Api,
    Issuer,
    ChallengeResponder,
    Scheduler,
    C4Uploader,
}

impl RoleName {
    pub(crate) const ALL: [Self; 5] = [
        Self::Api,
        Self::Issuer,
        Self::ChallengeResponder,
        Self::Scheduler,
        Self::C4Uploader,
    ];

    fn holds_sealing_keys(self) -> bool {
        matches!(self, Self::Api | Self::Issuer | Self::C4Uploader)
    }
}

/// Why the process cannot start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{path}: another ssl-manager works on this folder; stop it first")]
    Locked { path: PathBuf },
    #[error("cannot use {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("keys.sealing_key_file: {0}")]
    SealingKey(#[from] seal::KeyFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("a role died")]
    Died(#[from] JoinError),
    #[error("work was still in hand when the time to stop was over; it goes on with the next start")]
    StillRunning,
}

/// The roles at work.
pub(crate) struct Running {
    pub(crate) context: Context,
    tasks: JoinSet<Result<(), RoleError>>,
    /// Held as long as the process works on the store's folder.
    _lock: File,
}

/// Runs roles until SIGTERM or Ctrl-C.
pub(crate) async fn roles(
    config: Config,
    roles: &[RoleName],
    metrics: PrometheusHandle,
) -> Result<(), RunError> {
    let running = Running::start(config, roles, Arc::new(runtime::SystemClock), metrics).await?;
    running.until(signalled()).await
}

impl Running {
    /// Opens and binds everything, then starts the roles.
    pub(crate) async fn start(
        config: Config,
        roles: &[RoleName],
        clock: Arc<dyn Clock>,
        metrics: PrometheusHandle,
    ) -> Result<Self, RunError> {
        let alone = roles.len() == RoleName::ALL.len();
        let path = sqlite_path(&config).to_owned();
        let lock = lock_folder(&path, alone)?;
        let store: Arc<dyn Store> = if alone {
            let store = SqliteStore::open_and_migrate(&path).await?;
            // Nobody else works on this store, so whatever is leased was leased by a process that is gone.
            store.free_all_leases().await?;
            Arc::new(store)
        } else {
            let store = SqliteStore::open(&path).await?;
            store.check_schema().await?;
            Arc::new(store)
        };
        let sealing_keys = if roles.iter().any(|role| role.holds_sealing_keys()) {
            Some(Arc::new(SealingKeys::load_or_create(
                &config.keys.sealing_key_file,
            )?))
        } else {
            None
        };
        let listeners = bind(&config, roles).await?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let context = Context {
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            config: Arc::new(config),
            store,
            clock,
            entropy,
            sealing_keys,
            stop: Stop::default(),
            health: Health::default(),
            listeners: Arc::new(listeners),
        };
        let tasks = spawn(&context, roles, metrics)?;
        tracing::info!(roles = ?roles, version = env!("CARGO_PKG_VERSION"), "started");
        Ok(Self {
            context,
            tasks,
            _lock: lock,
        })
    }

    /// Works until `end` completes or a role ends by itself; then stops everything in order.
    pub(crate) async fn until(mut self, end: impl Future<Output = ()>) -> Result<(), RunError> {
        let ended = tokio::select! {
            () = end => None,
            ended = self.tasks.join_next() => ended,
        };
        tracing::info!("stopping");
        let in_time = self.context.stop.stop().await;
        let mut result = match ended {
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(died)) => Err(died.into()),
            // Nothing but the stop ends a role without an error.
            Some(Ok(Ok(()))) | None => Ok(()),
        };
        while let Some(ended) = self.tasks.join_next().await {
            result = result.and(
                ended
                    .map_err(RunError::from)
                    .and_then(|ended| ended.map_err(RunError::from)),
            );
        }
        tracing::info!("stopped");
        if in_time {
            result
        } else {
            result.and(Err(RunError::StillRunning))
        }
    }
}

fn spawn(
    context: &Context,
    roles: &[RoleName],
    metrics: PrometheusHandle,
) -> Result<JoinSet<Result<(), RoleError>>, RunError> {
    let mut tasks = JoinSet::new();
    let admin = context.listeners.take(Listen::Admin)?;
    tasks.spawn(serve_admin(
        admin,
        context.health.clone(),
        context.store.clone(),
        metrics,
        context.stop.clone(),
    ));
    let (bus, hard) = (context.bus.clone(), context.stop.hard().clone());
    tasks.spawn(async move { Ok(bus.run(hard).await?) });
    for role in roles {
        let context = context.clone();
        match role {
            RoleName::Api => tasks.spawn(api::run(context)),
            RoleName::Issuer => tasks.spawn(issuer::run(context)),
            RoleName::ChallengeResponder => tasks.spawn(challenge_responder::run(context)),
            RoleName::Scheduler => tasks.spawn(scheduler::run(context)),
            RoleName::C4Uploader => tasks.spawn(c4_uploader::run(context)),
        };
    }
    Ok(tasks)
}

async fn bind(config: &Config, roles: &[RoleName]) -> Result<Listeners, RoleError> {
    let listeners = Listeners::default();
    listeners.bind(Listen::Admin, config.admin.listen).await?;
    if roles.contains(&RoleName::Api) {
        listeners.bind(Listen::Api, config.api.listen).await?;
    }
    if roles.contains(&RoleName::ChallengeResponder) {
        listeners
            .bind(Listen::ChallengeResponder, config.challenge_responder.listen)
            .await?;
    }
    Ok(listeners)
}

/// The file of an `sqlite://` URL.
pub(crate) fn sqlite_path(config: &Config) -> &Path {
    let url = config.store.url.as_str();
    Path::new(url.strip_prefix("sqlite://").unwrap_or(url))
}

/// The database's folder, made for our eyes only if it is not there.
pub(crate) fn make_folder(database: &Path) -> Result<&Path, RunError> {
    let folder = match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| RunError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    Ok(folder)
}

/// Locks the store's folder: `all` wants it for itself; roles of their own share it.
fn lock_folder(database: &Path, alone: bool) -> Result<File, RunError> {
    let folder = make_folder(database)?;
    let failed = |source| RunError::Folder {
        path: folder.to_owned(),
        source,
    };
    let path = folder.join("ssl-manager.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    let locked = if alone {
        file.try_lock()
    } else {
        file.try_lock_shared()
    };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Completes on SIGTERM or Ctrl-C.
pub(crate) async fn signalled() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "SIGTERM is not heard, Ctrl-C is"
                );
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
