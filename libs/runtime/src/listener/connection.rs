//! An accepted connection, in clear or under TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::Patience;
use super::gate::Place;

/// The peer of a connection. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    /// Where it connected from.
    pub address: SocketAddr,
    /// Its client certificate and what came with it, checked in the handshake; empty without.
    pub certificates: Arc<Vec<CertificateDer<'static>>>,
    place: Arc<Place>,
}

impl Peer {
    /// A request came: the connection is no longer a silent one.
    pub fn speaks(&self) {
        self.place.speaks();
    }
}

/// A TCP connection with a place. While it is silent, it is given up at the deadline, and when a newcomer needs its place.
pub(super) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    pub(super) place: Arc<Place>,
    patience: Patience,
    has_sent: bool,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, address: SocketAddr, place: Place, patience: Patience) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + patience.first_byte));
        Self { stream, address, place: Arc::new(place), patience, has_sent: false, deadline }
    }

    fn poll_silent(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let seat = &self.place.seat;
        seat.waker.register(context.waker());
        if seat.is_dropped.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && !self.has_sent {
            self.has_sent = true;
            self.deadline.as_mut().reset(Instant::now() + self.patience.first_request);
        }
        if read.is_pending() && self.deadline.as_mut().poll(context).is_ready() {
            self.place.refuse(if self.has_sent { "slow" } else { "silent" });
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.place.seat.has_spoken.load(Ordering::Relaxed) {
            Pin::new(&mut self.stream).poll_read(context, buffer)
        } else {
            self.poll_silent(context, buffer)
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The stream of a connection, in clear or under TLS.
pub struct Accepted(Transport);

enum Transport {
    Clear(Connection),
    Tls(Box<TlsStream<Connection>>),
}

impl Accepted {
    pub(super) fn clear(connection: Connection) -> Self {
        Self(Transport::Clear(connection))
    }

    pub(super) fn tls(stream: TlsStream<Connection>) -> Self {
        Self(Transport::Tls(Box::new(stream)))
    }

    /// The peer.
    pub fn peer(&self) -> Peer {
        let (connection, certificates) = match &self.0 {
            Transport::Clear(connection) => (connection, None),
            Transport::Tls(stream) => {
                let (connection, session) = stream.get_ref();
                (connection, session.peer_certificates())
            }
        };
        Peer {
            address: connection.address,
            certificates: Arc::new(certificates.unwrap_or_default().to_vec()),
            place: connection.place.clone(),
        }
    }
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer()
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.0 {
            Transport::Clear($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Transport::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Transport::Clear(connection) => connection.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
