//! The arguments of a role: its process and, unless it is only a client of the API, the store and the bus.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bus::Bus;
use domain::{Clock, Entropy, Gate};
use seal::SealingKeys;
use store::Store;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::{Brake, Config, Health, Reload, RoleError, Stop};

/// The common parts of every process. Cheap to clone.
#[derive(Clone)]
pub struct Process {
    /// The settings, validated.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The stop that everything here obeys.
    pub stop: Stop,
    /// Where a role says whether it can work.
    pub health: Health,
    /// Sockets, bound before any role started.
    pub listeners: Arc<Listeners>,
    /// Files that are read again when they change.
    pub reload: Reload,
}

/// Everything a role may use. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The settings, validated.
    pub config: Arc<Config>,
    /// The truth.
    pub store: Arc<Store>,
    /// The hints.
    pub bus: Arc<dyn Bus>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Opens and seals private keys; roles that must not hold it get none.
    pub sealing_keys: Option<Arc<SealingKeys>>,
    /// The stop that everything here obeys.
    pub stop: Stop,
    /// Where a role says whether it can work.
    pub health: Health,
    /// Sockets, bound before any role started.
    pub listeners: Arc<Listeners>,
    /// Files that are read again when they change.
    pub reload: Reload,
}

impl Context {
    /// The parts of the process besides store and bus.
    pub fn process(&self) -> Process {
        Process {
            config: self.config.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            stop: self.stop.clone(),
            health: self.health.clone(),
            listeners: self.listeners.clone(),
            reload: self.reload.clone(),
        }
    }

    /// The brake, checked before each request to a CA or C4.
    pub fn brake(&self) -> Arc<dyn Gate> {
        Arc::new(Brake::new(self.store.clone(), self.health.clone()))
    }

    /// The sealing keys, for a role that cannot work without.
    pub fn require_sealing_keys(&self) -> Result<Arc<SealingKeys>, RoleError> {
        self.sealing_keys
            .clone()
            .ok_or_else(|| RoleError::setting("keys.sealing_key_file", "this role needs a sealing key"))
    }

    /// Hands the bearer token of C4 to `replace` when its file changes; a token from the environment stays.
    pub fn follow_c4_token(
        &self,
        replace: impl Fn(Zeroizing<String>) -> Result<(), String> + Send + Sync + 'static,
    ) {
        const SETTING: &str = "c4.token_file";
        let config = self.config.clone();
        let files = vec![config.c4.token_file.clone()];
        self.reload.watch(SETTING, files, move || {
            config.check_secret_file(SETTING, &config.c4.token_file)?;
            replace(config.c4.bearer_token()?).map_err(|problem| RoleError::setting(SETTING, problem))
        });
    }
}

/// The bound sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// gRPC.
    Api,
    /// HTTP-01.
    ChallengeResponder,
    /// The support team's page.
    Console,
    /// Health and metrics.
    Admin,
}

impl Listen {
    fn setting(self) -> &'static str {
        match self {
            Self::Api => "api.listen",
            Self::ChallengeResponder => "challenge_responder.listen",
            Self::Console => "console.listen",
            Self::Admin => "admin.listen",
        }
    }

    /// As metrics, log lines and `/readyz` name the port.
    pub(crate) fn port(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ChallengeResponder => "challenge-responder",
            Self::Console => "console",
            Self::Admin => "admin",
        }
    }
}

/// Bound sockets: all of them before anything starts, so that a taken port starts nothing.
#[derive(Default)]
pub struct Listeners {
    sockets: Mutex<Vec<(Listen, TcpListener)>>,
    bound: AtomicUsize,
}

impl Listeners {
    /// Binds one.
    pub async fn bind(&self, what: Listen, address: SocketAddr) -> Result<SocketAddr, RoleError> {
        let failed = |source| RoleError::Listen { setting: what.setting(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).push((what, listener));
        self.bound.fetch_add(1, Ordering::Relaxed);
        Ok(bound)
    }

    /// How many were bound.
    pub(crate) fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }

    /// Hands a bound socket to its role, once.
    pub fn take(&self, what: Listen) -> Result<TcpListener, RoleError> {
        let mut listeners = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let index = listeners.iter().position(|(listen, _)| *listen == what);
        index
            .map(|index| listeners.swap_remove(index).1)
            .ok_or_else(|| RoleError::setting(what.setting(), "the socket was not bound"))
    }
}
