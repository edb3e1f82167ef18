//! A TCP proxy before a server, which can be cut, hang, or be slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
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
}

/// Stands before a server, or before several of which each connection goes to the first that is there; ends with its last connection once it is dropped.
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
}

impl Proxy {
    /// Listens on loopback, and leads to that server.
    pub async fn before(server: SocketAddr) -> Self {
        Self::before_any(&[server]).await
    }

    /// Listens on loopback, and leads each connection to the first of these servers that accepts it.
    pub async fn before_any(servers: &[SocketAddr]) -> Self {
        let servers: Arc<[SocketAddr]> = servers.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let line = watch::Sender::new(Line::Fine);
        let mut seen = line.subscribe();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((client, _)) = accepted
                            && *seen.borrow() != Line::Cut
                        {
                            tokio::spawn(carry(client, servers.clone(), seen.clone()));
                        }
                    }
                    changed = seen.changed() => if changed.is_err() { return },
                }
            }
        });
        Self { address, line }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the way is like that.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn carry(client: TcpStream, servers: Arc<[SocketAddr]>, line: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(&*servers).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut until_cut = line.clone();
    tokio::select! {
        () = async {
            tokio::join!(
                pump(from_client, to_server, line.clone(), false),
                pump(from_server, to_client, line.clone(), true)
            );
        } => {}
        _ = until_cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

/// Carries one direction to its end. `is_answer`: it is the one that is slow.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    is_answer: bool,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let now = *line.borrow_and_update();
        if let Line::Slow(wait) = now
            && is_answer
        {
            tokio::time::sleep(wait).await;
        }
        if line.wait_for(|line| *line != Line::Hangs).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
    let _ = to.shutdown().await;
}
