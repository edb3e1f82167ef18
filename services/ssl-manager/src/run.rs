//! Wiring: opens the store and the bus that the settings name, binds every socket, then starts the roles.
//!
//! All errors of the environment are found before the first role starts. A role that ends by itself takes the process
//! down; a signal stops all of them in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bus_rabbitmq::RabbitMqBus;
use domain::{Clock, Entropy};
use metrics_exporter_prometheus::PrometheusHandle;
use runtime::{
    Backends, Config, Context, Health, Listen, Listeners, Process, RoleError, RoleName, Stop, SystemEntropy,
    chain, raise_descriptors, register_metrics, serve_admin,
};
#[cfg(feature = "sandbox")]
use store::Store;
use store::StoreError;
use tokio::task::{JoinError, JoinSet};

use crate::backend::{self, Backend, OpenedBus};
use crate::memory;
use crate::passwords::{self, Passwords};
use crate::signals::{Hangups, StopSignals};

const STORE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Why the process cannot start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{path}: another ssl-manager works on this folder; stop it first")]
    Locked { path: PathBuf },
    #[error("cannot use {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("store.url {0}")]
    StoreUrl(String),
    #[error("nothing answers at {address} (store.url): {source}; is PostgreSQL running there?")]
    StoreAway { address: String, source: std::io::Error },
    #[error("keys.sealing_key_file: {0}")]
    SealingKey(#[from] seal::KeyFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] bus::BusError),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("a role died")]
    Died(#[from] JoinError),
    #[error("work was still in hand when the time to stop was over; it goes on with the next start")]
    StillRunning,
}

/// The roles at work.
pub(crate) struct Running {
    process: Process,
    tasks: JoinSet<Result<(), RoleError>>,
    /// Held as long as the roles run.
    backend: Option<Backend>,
    broker: Option<Arc<RabbitMqBus>>,
}

/// Runs roles until SIGTERM or Ctrl-C. `file` is where the settings were read from.
pub(crate) async fn roles(
    config: Config,
    file: Option<&Path>,
    roles: &[RoleName],
    metrics: PrometheusHandle,
) -> Result<(), RunError> {
    memory::close_to_others();
    let running = Running::start(config, roles, Arc::new(runtime::SystemClock), metrics).await?;
    if let Some(file) = file {
        running.follow_passwords(file, roles);
    }
    running.until(StopSignals::new()).await
}

impl Running {
    /// Opens and binds everything, then starts the roles.
    pub(crate) async fn start(
        config: Config,
        roles: &[RoleName],
        clock: Arc<dyn Clock>,
        metrics: PrometheusHandle,
    ) -> Result<Self, RunError> {
        register_metrics(&config, roles);
        if !roles.iter().any(|role| role.needs_store()) {
            return Self::start_without_store(config, roles, clock, metrics).await;
        }
        let backend = backend::open_for_roles(&config, roles, &clock).await?;
        let sealing_keys = backend::sealing_keys(&config, roles)?;
        let OpenedBus { bus, broker } = backend::open_bus(&config, roles, &backend.store, &clock)?;
        let process = process(config, roles, clock).await?;
        let context = Context {
            bus,
            store: backend.store.clone(),
            sealing_keys,
            config: process.config.clone(),
            clock: process.clock.clone(),
            entropy: process.entropy.clone(),
            stop: process.stop.clone(),
            health: process.health.clone(),
            listeners: process.listeners.clone(),
            reload: process.reload.clone(),
        };
        let mut tasks = spawn(&context, roles, metrics);
        tasks.spawn(follow_files(process.clone()));
        tracing::info!(roles = ?roles, version = env!("CARGO_PKG_VERSION"), "started");
        Ok(Self { process, tasks, backend: Some(backend), broker })
    }

    /// The page alone: a client of the API that opens no store and no bus.
    async fn start_without_store(
        config: Config,
        roles: &[RoleName],
        clock: Arc<dyn Clock>,
        metrics: PrometheusHandle,
    ) -> Result<Self, RunError> {
        let process = process(config, roles, clock).await?;
        let mut tasks = JoinSet::new();
        process.health.expect(RoleName::Console.as_str());
        tasks.spawn(serve_admin(process.clone(), None, metrics));
        tasks.spawn(console::run(process.clone()));
        tasks.spawn(follow_files(process.clone()));
        tracing::info!(roles = ?roles, version = env!("CARGO_PKG_VERSION"), "started");
        Ok(Self { process, tasks, backend: None, broker: None })
    }

    /// What the roles work on; none for those that have no store.
    #[cfg(feature = "sandbox")]
    pub(crate) fn store(&self) -> Option<&Store> {
        self.backend.as_ref().map(|backend| &*backend.store)
    }

    /// Passwords that change in the settings file count from the next connection on.
    fn follow_passwords(&self, file: &Path, roles: &[RoleName]) {
        let Some(backend) = &self.backend else { return };
        let passwords = Passwords {
            file: file.to_owned(),
            roles: roles.to_vec(),
            config: self.process.config.clone(),
            store: backend.store.clone(),
            broker: self.broker.clone(),
        };
        self.process.reload.watch(passwords::SETTING, vec![file.to_owned()], move || passwords.read_again());
    }

    /// Works until a signal comes or a role ends by itself; then stops everything in order, after a signal not before
    /// `admin.drain_seconds` or another signal.
    async fn until(mut self, mut signals: StopSignals) -> Result<(), RunError> {
        let mut ended = tokio::select! {
            () = signals.next() => None,
            ended = self.tasks.join_next() => ended,
        };
        let seconds = self.process.config.admin.drain_seconds;
        if ended.is_none() && seconds > 0 {
            tracing::info!(seconds, "not ready any more, the ports stay open (admin.drain_seconds)");
            self.process.stop.drain().cancel();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(seconds.into())) => {}
                () = signals.next() => tracing::info!("a second signal: the rest of the wait is skipped"),
                early = self.tasks.join_next() => ended = early,
            }
        }
        self.stop(ended).await
    }

    /// Stops everything in order; `ended` is how a role ended that did so by itself.
    pub(crate) async fn stop(
        mut self,
        ended: Option<Result<Result<(), RoleError>, JoinError>>,
    ) -> Result<(), RunError> {
        tracing::info!("stopping");
        let in_time = self.process.stop.stop().await;
        let mut result = match ended {
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(died)) => Err(died.into()),
            // Nothing but the stop ends a role without an error.
            Some(Ok(Ok(()))) | None => Ok(()),
        };
        while let Some(ended) = self.tasks.join_next().await {
            result =
                result.and(ended.map_err(RunError::from).and_then(|ended| ended.map_err(RunError::from)));
        }
        tracing::info!("stopped");
        if in_time { result } else { result.and(Err(RunError::StillRunning)) }
    }
}

/// Reads changed files again, at SIGHUP at once.
async fn follow_files(process: Process) -> Result<(), RoleError> {
    let stop = process.stop.soft().clone();
    let mut hangups = Hangups::new();
    let looking = process.reload.clone().run(stop.clone());
    let listening = async {
        loop {
            hangups.next().await;
            tracing::info!("SIGHUP: looking for changed files");
            process.reload.look_now();
        }
    };
    tokio::select! {
        () = looking => {}
        () = listening => {}
    }
    Ok(())
}

fn spawn(context: &Context, roles: &[RoleName], metrics: PrometheusHandle) -> JoinSet<Result<(), RoleError>> {
    let mut tasks = JoinSet::new();
    let backends = Backends {
        store: context.store.clone(),
        bus: context.bus.clone(),
        sealing_keys: context.sealing_keys.clone(),
        roles: roles.to_vec(),
    };
    // Before /readyz answers: a process that expects nothing yet would be ready.
    for role in roles {
        context.health.expect(role.as_str());
    }
    tasks.spawn(serve_admin(context.process(), Some(backends), metrics));
    // A process that may only read the store cannot move what stands there.
    let uses_broker = roles.iter().any(|role| role.uses_bus()) && !context.config.bus.is_embedded();
    if roles.iter().any(|role| role.writes()) || uses_broker {
        let context = context.clone();
        tasks.spawn(async move {
            if !store_is_there(&context).await? {
                return Ok(());
            }
            Ok(context.bus.run(context.stop.hard().clone()).await?)
        });
    }
    for role in roles {
        let (role, context) = (*role, context.clone());
        tasks.spawn(async move {
            if role.needs_store() && !store_is_there(&context).await? {
                return Ok(());
            }
            match role {
                RoleName::Api => api::run(context).await,
                RoleName::Issuer => issuer::run(context).await,
                RoleName::ChallengeResponder => challenge_responder::run(context).await,
                RoleName::Scheduler => scheduler::run(context).await,
                RoleName::C4Uploader => c4_uploader::run(context).await,
                RoleName::Console => console::run(context.process()).await,
                RoleName::Notifier => notifier::run(context).await,
            }
        });
    }
    tasks
}

/// Waits until the store answers and has the schema we know; false if the stop came first. A store that is away is
/// waited for, because it comes back by itself; a schema that is not ours does not.
async fn store_is_there(context: &Context) -> Result<bool, RoleError> {
    let mut said = false;
    loop {
        match context.store.check_schema().await {
            Ok(()) => return Ok(true),
            Err(error @ (StoreError::Schema { .. } | StoreError::SharedSessions)) => return Err(error.into()),
            Err(error) if !said => {
                tracing::warn!(reason = chain(&error), "the store is away, it is asked again");
                said = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(STORE_CHECK_INTERVAL) => {}
            () = context.stop.soft().cancelled() => return Ok(false),
        }
    }
}

/// Binds every socket.
async fn process(config: Config, roles: &[RoleName], clock: Arc<dyn Clock>) -> Result<Process, RunError> {
    raise_descriptors();
    let listeners = bind(&config, roles).await?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    Ok(Process {
        config: Arc::new(config),
        clock,
        entropy,
        stop: Stop::default(),
        health: Health::default(),
        reload: runtime::Reload::default(),
        listeners: Arc::new(listeners),
    })
}

async fn bind(config: &Config, roles: &[RoleName]) -> Result<Listeners, RoleError> {
    let listeners = Listeners::default();
    listeners.bind(Listen::Admin, config.admin.listen).await?;
    if roles.contains(&RoleName::Api) {
        listeners.bind(Listen::Api, config.api.listen).await?;
    }
    if roles.contains(&RoleName::Console) {
        listeners.bind(Listen::Console, config.console.listen).await?;
    }
    if roles.contains(&RoleName::ChallengeResponder) {
        listeners.bind(Listen::ChallengeResponder, config.challenge_responder.listen).await?;
    }
    Ok(listeners)
}

/// Completes on SIGTERM or Ctrl-C.
#[cfg(feature = "sandbox")]
pub(crate) async fn signalled() {
    StopSignals::new().next().await;
}
