//! Strangers at the port: connections that say nothing, half of a handshake, half of a request. Each attack holds real
//! connections, and somebody else is answered all the while.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use ipnet::IpNet;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use runtime::{Health, Listener, Patience, Places, serve_http};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 40;
const PER_SOURCE: usize = 8;
/// Ten times what an answer may take under attack.
const ANSWERED_TIMEOUT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_hours(1);

struct Server {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    stop: CancellationToken,
}

fn patient() -> Patience {
    Patience { first_byte: LONG, handshake: LONG, first_request: LONG }
}

fn start(patience: Patience, with_tls: bool, shared_sources: Vec<IpNet>) -> Server {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TcpListener::from_std(socket).unwrap();
    let address = socket.local_addr().unwrap();
    let (server, client) =
        if with_tls { tls().map_or((None, None), |(a, b)| (Some(a), Some(b))) } else { (None, None) };
    let places = Places { connections: CONNECTIONS, per_source: PER_SOURCE, shared_sources };
    let listener = Listener::custom(socket, places, patience, server, Health::default());
    let stop = CancellationToken::new();
    let end = stop.clone();
    let router = Router::new().route("/", get(|| async { "here" }));
    let serve = move |stream| serve_http(stream, router.clone(), end.clone());
    tokio::spawn(listener.serve(stop.clone(), |task| drop(tokio::spawn(task)), serve));
    Server { address, tls: client, stop }
}

fn tls() -> Option<(ServerConfig, TlsConnector)> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).ok()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).ok()?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some((server, TlsConnector::from(Arc::new(client))))
}

impl Server {
    /// From an address of this machine of the caller's choice.
    async fn connect(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// So many connections from one address, each having sent the same.
    async fn attack(&self, host: u8, count: usize, sent: &[u8]) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut stream = self.connect(host).await;
            // One that was refused may be closed by now.
            let _ = stream.write_all(sent).await;
            streams.push(stream);
        }
        streams
    }

    /// A whole request and its answer, on a connection of its own.
    async fn ask(&self, host: u8) -> String {
        let stream = self.connect(host).await;
        match &self.tls {
            None => exchange(stream).await,
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                match tls.connect(name, stream).await {
                    Ok(stream) => exchange(stream).await,
                    Err(error) => error.to_string(),
                }
            }
        }
    }

    #[track_caller]
    fn is_served(answer: &str, took: Duration) {
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer:?}");
        assert!(took < ANSWERED_TIMEOUT, "{took:?}");
    }

    async fn serves(&self, host: u8) {
        for _ in 0..10 {
            let begun = Instant::now();
            let answer = self.ask(host).await;
            Self::is_served(&answer, begun.elapsed());
        }
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut answer = Vec::new();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    if stream.write_all(request).await.is_ok() {
        let _ = stream.read_to_end(&mut answer).await;
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// How many are open still: nothing came, and no end.
async fn open(streams: &mut [TcpStream]) -> usize {
    let mut count = 0;
    for stream in streams {
        let mut byte = [0; 1];
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
        count += usize::from(read.is_err());
    }
    count
}

async fn all_closed(streams: &mut [TcpStream]) {
    let closed = async {
        for stream in streams {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes).await;
        }
    };
    tokio::time::timeout(ANSWERED_TIMEOUT, closed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_source_keep_nobody_out() {
    let server = start(patient(), false, Vec::new());
    let mut silent = server.attack(2, 10 * CONNECTIONS, b"").await;
    let held = open(&mut silent).await;
    assert!(held >= CONNECTIONS / 2, "{held}: the attack holds half of the port");
    server.serves(3).await;
    server.serves(2).await;
    assert!(open(&mut silent).await <= CONNECTIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_many_sources_give_way() {
    let server = start(patient(), false, Vec::new());
    let mut silent = Vec::new();
    for host in 10..30 {
        silent.extend(server.attack(host, PER_SOURCE, b"").await);
    }
    let full = async {
        // Those that gave way learn of it a little later.
        while open(&mut silent).await > CONNECTIONS {}
    };
    tokio::time::timeout(ANSWERED_TIMEOUT, full).await.unwrap();
    assert_eq!(open(&mut silent).await, CONNECTIONS, "the port is full");
    server.serves(3).await;
}

/// Half of a TLS record, half of a request line, and half of what HTTP/2 begins with.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_cut_off_and_keeps_nobody_out() {
    let hello: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00];
    for (with_tls, sent) in
        [(true, hello), (true, b""), (false, b"GET / HTT".as_slice()), (false, b"PRI * HTTP/2"), (false, b"")]
    {
        let server = start(patient(), with_tls, Vec::new());
        let mut slow = server.attack(2, 4 * CONNECTIONS, sent).await;
        assert!(open(&mut slow).await >= CONNECTIONS / 2, "{sent:?}");
        server.serves(3).await;

        let impatient = Patience { first_byte: SHORT, handshake: SHORT, first_request: SHORT };
        let server = start(impatient, with_tls, Vec::new());
        all_closed(&mut server.attack(2, 4, sent).await).await;
        server.serves(2).await;
    }
}

/// The end of a handshake comes even to who began it; who began a request has longer than who is silent.
#[tokio::test(flavor = "multi_thread")]
async fn handshake_and_first_request_have_times_of_their_own() {
    let server = start(Patience { handshake: SHORT, ..patient() }, true, Vec::new());
    all_closed(&mut server.attack(2, 4, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]).await).await;

    let server = start(Patience { first_byte: SHORT, ..patient() }, false, Vec::new());
    let mut slow = server.connect(2).await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    tokio::time::sleep(3 * SHORT).await;
    slow.write_all(b"connection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    all_closed(&mut [server.connect(2).await]).await;
}

/// Connections that have spoken keep their places: only the share of their source bounds them.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stay_open_after_a_request_leave_half_of_the_port() {
    let server = start(patient(), false, Vec::new());
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut talking = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = server.connect(2).await;
        let mut status = [0; 12];
        if stream.write_all(request).await.is_ok() && stream.read_exact(&mut status).await.is_ok() {
            assert_eq!(&status, b"HTTP/1.1 200");
            talking.push(stream);
        }
    }
    assert_eq!(talking.len(), CONNECTIONS / 2);
    server.serves(3).await;
    drop(talking);
}

/// An office behind one address, or a load balancer.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_source_may_have_all_of_the_port() {
    let server = start(patient(), false, vec!["127.0.0.4/32".parse().unwrap()]);
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut office = server.attack(4, CONNECTIONS, request).await;
    for stream in &mut office {
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }
    assert!(!server.ask(5).await.contains("200"), "every place is taken by somebody who speaks");
    drop(office);
    server.stop.cancel();
}
