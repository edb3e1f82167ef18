//! A TCP proxy before a server, which can be cut, hang, be slow, and break connections as networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way to the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// As if there were no proxy.
    Fine,
    /// Connections are broken, and new ones are closed at once.
    Cut,
    /// Nothing gets through, and connections stay as they are.
    Hangs,
    /// What the server sends comes so much later.
    Slow(Duration),
    /// Connections stay open, and what is sent is lost, as behind a firewall that forgot them. Those of this time, new ones
    /// too, stay silent for ever.
    HalfOpen,
    /// Each connection is reset in the middle of the next answer.
    Resets,
}

impl Line {
    fn ends_connections(self) -> bool {
        matches!(self, Self::Cut | Self::HalfOpen)
    }
}

/// Stands before a server, or before several of which each connection goes to the first that is there; ends with its last
/// connection once it is dropped.
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    broken: Arc<AtomicUsize>,
}

/// What each connection needs to know.
#[derive(Clone)]
struct Way {
    servers: Arc<[SocketAddr]>,
    line: watch::Receiver<Line>,
    broken: Arc<AtomicUsize>,
}

/// The connection was reset in the middle of an answer.
struct IsReset;

impl Proxy {
    /// Listens on loopback, and leads to that server.
    pub async fn before(server: SocketAddr) -> Self {
        Self::before_any(&[server]).await
    }

    /// Listens on loopback, and leads each connection to the first of these servers that accepts it.
    pub async fn before_any(servers: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let line = watch::Sender::new(Line::Fine);
        let way = Way { servers: servers.into(), line: line.subscribe(), broken: Arc::default() };
        let (mut seen, broken) = (line.subscribe(), way.broken.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((client, _)) = accepted
                            && *seen.borrow() != Line::Cut
                        {
                            tokio::spawn(carry(client, way.clone()));
                        }
                    }
                    changed = seen.changed() => if changed.is_err() { return },
                }
            }
        });
        Self { address, line, broken }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the way is like that.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// How many connections were cut, half open or reset so far.
    pub fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }
}

async fn carry(mut client: TcpStream, way: Way) {
    if *way.line.borrow() == Line::HalfOpen {
        way.broken.fetch_add(1, Ordering::Relaxed);
        return swallow(client, way.line).await;
    }
    let Some(mut server) = first_of(&way.servers).await else { return };
    let mut ended = way.line.clone();
    let is_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            carried = async {
                tokio::try_join!(
                    pump(from_client, to_server, way.line.clone(), false),
                    pump(from_server, to_client, way.line.clone(), true)
                )
            } => match carried {
                Ok(_) => return,
                Err(IsReset) => true,
            },
            _ = ended.wait_for(|line| line.ends_connections()) => false,
        }
    };
    way.broken.fetch_add(1, Ordering::Relaxed);
    if is_reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    } else if *way.line.borrow() == Line::HalfOpen {
        // The server does not learn of it either.
        swallow(client, way.line).await;
    }
}

async fn first_of(servers: &[SocketAddr]) -> Option<TcpStream> {
    for server in servers {
        if let Ok(connection) = TcpStream::connect(server).await {
            return Some(connection);
        }
    }
    None
}

/// Reads what comes and answers nothing, until the client gives up.
async fn swallow(mut client: TcpStream, mut line: watch::Receiver<Line>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = client.read(&mut bytes) => if !matches!(read, Ok(1..)) { return },
            changed = line.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries one direction to its end. `is_answer`: it is the one that is slow or reset.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
    is_answer: bool,
) -> Result<(), IsReset> {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let now = *line.borrow_and_update();
        match now {
            Line::Slow(wait) if is_answer => tokio::time::sleep(wait).await,
            Line::Resets if is_answer => {
                let _ = to.write_all(&bytes[..count / 2]).await;
                return Err(IsReset);
            }
            _ => {}
        }
        if line.wait_for(|line| *line != Line::Hangs).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return Ok(());
        }
    }
    let _ = to.shutdown().await;
    Ok(())
}
