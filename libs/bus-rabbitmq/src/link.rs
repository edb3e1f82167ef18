//! The only connection of the process, opened again when a part needs a channel and the connection is lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bus::BusError;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ConnectionStatus, ErrorKind};
use tokio_util::sync::CancellationToken;

use crate::RabbitMqOptions;

const HEARTBEAT_SECONDS: u16 = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that does not come within this will not come: the connection hangs.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Said while the broker blocks publishers (`connection.blocked`): it stops reading from their connections.
const BLOCKED: &str = "the broker takes no messages because it is short of memory or disk: free some there \
                       (`rabbitmqctl status` lists its alarms)";

/// Why a part has to begin again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot connect: {0}")]
    Connect(lapin::Error),
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    #[error("the broker does not answer")]
    Silent,
    #[error("{0}")]
    Other(String),
}

impl LinkError {
    /// What the broker refuses until an administrator changes something there, as a sentence. A connection that is refused is
    /// not among it: its own words say all there is.
    fn refusal(&self) -> Option<String> {
        let Self::Amqp(error) = self else { return None };
        let ErrorKind::ProtocolError(error) = error.kind() else {
            return None;
        };
        match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                Some(format!("{}; give the user of bus.url this permission", error.get_message()))
            }
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
                Some(format!("{}; delete what is there, or use another virtual host", error.get_message()))
            }
            _ => None,
        }
    }

    pub(crate) fn in_a_sentence(&self) -> String {
        self.refusal().unwrap_or_else(|| self.to_string())
    }
}

pub(crate) struct Link {
    uri: Mutex<AMQPUri>,
    tls: OwnedTLSConfig,
    name: String,
    connection: tokio::sync::Mutex<Option<Connection>>,
    /// Of the newest connection.
    status: Mutex<Option<ConnectionStatus>>,
    trouble: Mutex<BTreeMap<String, String>>,
}

impl Link {
    pub(crate) fn new(options: RabbitMqOptions) -> Result<Self, BusError> {
        let cert_chain = match &options.root_certificate_file {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                BusError::Setting(format!(
                    "bus.root_certificate_file: cannot read {}: {error}",
                    path.display()
                ))
            })?),
        };
        Ok(Self {
            uri: Mutex::new(parse(&options.url)?),
            tls: OwnedTLSConfig { identity: None, cert_chain },
            name: options.name,
            connection: tokio::sync::Mutex::new(None),
            status: Mutex::default(),
            trouble: Mutex::default(),
        })
    }

    pub(crate) fn use_url(&self, url: &str) -> Result<(), BusError> {
        *self.uri.lock().unwrap_or_else(PoisonError::into_inner) = parse(url)?;
        Ok(())
    }

    /// A fresh channel.
    pub(crate) async fn channel(&self) -> Result<Channel, LinkError> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take().filter(|connection| connection.status().connected()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let connection = slot.insert(connection);
        answer(connection.create_channel()).await
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        let properties = ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let runtime = lapin::runtime::default_runtime()?;
        let uri = self.uri.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connecting = Connection::connect_uri_with_config(uri, properties, self.tls.clone(), runtime);
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| LinkError::Silent)?
            .map_err(LinkError::Connect)?;
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.status().clone());
        tracing::info!("connected to the broker");
        Ok(connection)
    }

    pub(crate) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // It ends with the process anyway.
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, connection.close(200, "stopping".into())).await;
        }
    }

    fn works(&self, part: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.remove(part).is_some() {
            tracing::info!(part, "working again");
        }
    }

    fn note(&self, part: &str, reason: &str) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.insert(part.to_owned(), reason.to_owned()).as_deref() != Some(reason)
    }

    fn is_blocked(&self) -> bool {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.as_ref().is_some_and(|status| status.connected() && status.blocked())
    }

    /// The parts that are not connected, with reasons, or why the broker blocks us.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.is_blocked() {
            return Some(BLOCKED.to_owned());
        }
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<String> = trouble.iter().map(|(part, reason)| format!("{part}: {reason}")).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The sessions of a part, one after the other.
    pub(crate) fn attempts<'a>(&'a self, part: &'a str, stop: &'a CancellationToken) -> Attempts<'a> {
        self.note(part, "not connected yet");
        Attempts { link: self, part, stop, pause: FIRST_PAUSE, has_worked: false }
    }
}

/// The URL is not repeated in the error, because it holds a password.
fn parse(url: &str) -> Result<AMQPUri, BusError> {
    let mut uri: AMQPUri = url.parse().map_err(|_| {
        BusError::Setting("bus.url is not amqp(s)://USER:PASSWORD@HOST:PORT/VHOST".to_owned())
    })?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

/// A part's sessions: `while attempts.go_on() { match session().await { … } }`.
pub(crate) struct Attempts<'a> {
    link: &'a Link,
    part: &'a str,
    stop: &'a CancellationToken,
    pause: Duration,
    has_worked: bool,
}

impl Attempts<'_> {
    /// Whether there is to be another session.
    pub(crate) fn go_on(&self) -> bool {
        !self.stop.is_cancelled()
    }

    /// The part works: the session got through.
    pub(crate) fn works(&mut self) {
        self.pause = FIRST_PAUSE;
        self.has_worked = true;
        self.link.works(self.part);
    }

    /// Notes why a session ended, and waits a while. What the broker refuses to a part that never worked is an error: the
    /// process was set up wrong, and its start should say so. From a part that did work a right was taken, which is given back
    /// at the broker; until then it is a line in `/readyz`.
    pub(crate) async fn failed(&mut self, error: LinkError) -> Result<(), BusError> {
        if let Some(refusal) = error.refusal()
            && !self.has_worked
        {
            return Err(BusError::Refused(refusal));
        }
        let reason = if matches!(error, LinkError::Silent) && self.link.is_blocked() {
            BLOCKED.to_owned()
        } else {
            error.in_a_sentence()
        };
        if self.link.note(self.part, &reason) {
            tracing::warn!(part = self.part, reason, "not working, it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = self.stop.cancelled() => {}
        }
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Ok(())
    }
}

/// Waits for an answer of the broker, but not for ever.
pub(crate) async fn answer<T>(asked: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, LinkError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answered) => Ok(answered?),
        Err(_) => Err(LinkError::Silent),
    }
}
