//! Accepts the connections of every port of every role.
//!
//! Everything that a client can use up before it is authenticated is bounded: connections of a port, connections of a
//! source once the port is half full, the time to the first byte, to the end of a TLS handshake and to the first whole
//! request. Under pressure the oldest silent connection gives way.

mod connection;
mod gate;
mod http;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{Current, Listen, Process, RoleError, descriptors};
use connection::Connection;
use gate::Gate;

pub use connection::{Accepted, Peer};
pub use gate::Places;
pub use http::serve_http;

/// Pause after a failed accept: without descriptors the next one fails as well, and a loop would take a core.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The admin port is for probes and a collector.
const MAX_ADMIN_CONNECTIONS: usize = 64;
/// Even where descriptors are short, a source may have so many.
const MIN_PER_SOURCE: usize = 8;

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To its first byte.
    pub first_byte: Duration,
    /// From the accept to the end of a TLS handshake.
    pub handshake: Duration,
    /// From its first byte to the end of its first request's headers.
    pub first_request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A bound port.
pub struct Listener {
    socket: TcpListener,
    gate: Arc<Gate>,
    tls: Option<Current<ServerConfig>>,
    patience: Patience,
}

impl Listener {
    /// Takes the socket that was bound for this; with `tls`, connections begin with a handshake by what it is then.
    pub fn new(
        process: &Process,
        what: Listen,
        tls: Option<Current<ServerConfig>>,
    ) -> Result<Self, RoleError> {
        let settings = &process.config.connections;
        let share = descriptors::share(descriptors::descriptors(), process.listeners.bound());
        let most = if what == Listen::Admin { MAX_ADMIN_CONNECTIONS } else { settings.max as usize };
        let connections = most.min(share);
        let mut shared_sources = settings.shared_sources.clone();
        shared_sources.extend(&process.config.cdn.addresses);
        if what == Listen::ChallengeResponder {
            shared_sources.extend(&process.config.challenge_responder.trusted_proxies);
        }
        let per_source = (settings.max_per_source as usize).min((connections / 4).max(MIN_PER_SOURCE));
        let places = Places { connections, per_source, shared_sources };
        tracing::info!(port = what.port(), connections, per_source, "connections of a port");
        let socket = process.listeners.take(what)?;
        let gate = Gate::new(what.port(), places, process.health.clone());
        Ok(Self::with(socket, gate, tls, Patience::default()))
    }

    fn with(
        socket: TcpListener,
        gate: Arc<Gate>,
        tls: Option<Current<ServerConfig>>,
        patience: Patience,
    ) -> Self {
        Self { socket, gate, tls, patience }
    }

    /// A listener with limits of its own, for tests.
    pub fn custom(
        socket: TcpListener,
        places: Places,
        patience: Patience,
        tls: Option<ServerConfig>,
        health: crate::Health,
    ) -> Self {
        Self::with(socket, Gate::new("custom", places, health), tls.map(Current::new), patience)
    }

    /// Accepts until the stop, and hands each connection that got a place, and shook hands in time, to `serve`, in a
    /// task made by `spawn`.
    pub async fn serve<F>(
        self,
        stop: CancellationToken,
        spawn: impl Fn(Task),
        serve: impl Fn(Accepted) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, client)) => {
                    let Some(connection) = self.admit(stream, client) else { continue };
                    let tls = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.get()));
                    let (within, serve) = (self.patience.handshake, serve.clone());
                    let stop = stop.clone();
                    spawn(Box::pin(async move {
                        let accepted = tokio::select! {
                            accepted = shake_hands(connection, tls, within) => accepted,
                            () = stop.cancelled() => None,
                        };
                        if let Some(accepted) = accepted {
                            serve(accepted).await;
                        }
                    }));
                }
                Err(error) => self.pause(&error).await,
            }
        }
    }

    fn admit(&self, stream: TcpStream, client: SocketAddr) -> Option<Connection> {
        let place = self.gate.enter(client.ip())?;
        // An answer of more than a packet would wait some 40 ms for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        Some(Connection::new(stream, client, place, self.patience))
    }

    async fn pause(&self, error: &io::Error) {
        tracing::debug!(error = error as &dyn std::error::Error, "connection not accepted");
        self.gate.refused("accept");
        tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
    }
}

async fn shake_hands(connection: Connection, tls: Option<TlsAcceptor>, within: Duration) -> Option<Accepted> {
    let Some(tls) = tls else {
        return Some(Accepted::clear(connection));
    };
    let place = connection.place.clone();
    match tokio::time::timeout(within, tls.accept(connection)).await {
        Ok(Ok(stream)) => Some(Accepted::tls(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS handshake");
            None
        }
        Err(_) => {
            place.refuse("handshake");
            None
        }
    }
}
