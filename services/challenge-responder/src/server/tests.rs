//! The server over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use jiff::Timestamp;
use runtime::testing::ManualClock;
use runtime::{Health, Patience, Places};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::answers::tests::{FakeStore, TOKEN};

const HOST: &str = "shop.example.com";
const TIMEOUT: Duration = Duration::from_secs(20);
/// For the limit that a test is not about.
const LONG: Duration = Duration::from_hours(1);

struct Running {
    store: Arc<FakeStore>,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(limits: Limits, trusted_proxies: &[&str]) -> Running {
    start_with(limits, trusted_proxies, 1024).await
}

async fn start_with(limits: Limits, trusted_proxies: &[&str], connections: usize) -> Running {
    let store = FakeStore::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let answers = Arc::new(Answers::new(store.clone(), clock));
    let hosts = Hosts::new(trusted_proxies.iter().map(|net| net.parse().unwrap()).collect());
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let places = Places { connections, per_source: connections / 4, shared_sources: Vec::new() };
    let listener = Listener::custom(socket, places, Patience::default(), None, Health::default());
    let stop = CancellationToken::new();
    let server = Arc::new(Server::new(answers, hosts, limits));
    let task = tokio::spawn(server.serve(listener, stop.clone()));
    Running { store, address, stop, task }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own, and returns all that comes back until the server closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        until_closed(&mut stream).await
    }

    async fn get(&self, host: &str, path: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
    }
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer))
        .await
        .expect("the server never closes");
    String::from_utf8(answer).unwrap()
}

fn path(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

#[tokio::test]
async fn the_stored_pair_is_answered() {
    let running = start(Limits::default(), &[]).await;
    let expected = running.store.put(HOST, TOKEN);
    for host in [HOST, "SHOP.example.COM.:80"] {
        let answer = running.get(host, &path(TOKEN)).await;
        assert_eq!(status(&answer), 200);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, expected);
        assert!(head.contains("content-type: application/octet-stream"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
    }
    let request = format!("HEAD {} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n", path(TOKEN));
    let head = running.exchange(&request).await;
    assert_eq!(status(&head), 200);
    assert!(
        head.contains(&format!("content-length: {}", expected.len())) && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn everything_else_is_not_found_and_nothing_comes_back() {
    let running = start(Limits::default(), &[]).await;
    running.store.put(HOST, TOKEN);
    let stored = running.store.questions.load(SeqCst);
    for (host, path) in [
        (HOST, "/".to_owned()),
        (HOST, path("")),
        (HOST, path("short")),
        (HOST, path(&"a".repeat(129))),
        (HOST, format!("{}/", path(TOKEN))),
        (HOST, format!("{}?x=1", path(TOKEN))),
        (HOST, path("%65vaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")),
        ("127.0.0.1", path(TOKEN)),
        ("", path(TOKEN)),
        ("<script>alert(1)</script>", path(TOKEN)),
    ] {
        let answer = running.get(host, &path).await;
        assert_eq!(status(&answer), 404, "{host} {path}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nnot found\n"), "{answer}");
    }
    assert_eq!(running.store.questions.load(SeqCst), stored, "none of these is worth a question");
    let other = running.get("other.example.com", &path(TOKEN)).await;
    assert_eq!(status(&other), 404, "a token belongs to its host");
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let running = start(Limits::default(), &[]).await;
    running.store.put(HOST, TOKEN);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"] {
        let request =
            format!("{method} {} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n", path(TOKEN));
        let answer = running.exchange(&request).await;
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.contains("allow: GET, HEAD") && !answer.contains(TOKEN), "{answer}");
    }
}

#[tokio::test]
async fn a_forwarded_host_counts_from_a_trusted_proxy_only() {
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: edge.example.net\r\nx-forwarded-host: {HOST}\r\nconnection: close\r\n\r\n",
        path(TOKEN)
    );
    for (trusted, expected) in [(&["127.0.0.0/8"][..], 200), (&[], 404), (&["10.0.0.0/8"], 404)] {
        let running = start(Limits::default(), trusted).await;
        running.store.put(HOST, TOKEN);
        assert_eq!(status(&running.exchange(&request).await), expected, "{trusted:?}");
    }
}

#[tokio::test]
async fn large_heads_are_refused() {
    let running = start(Limits::default(), &[]).await;
    let long_header = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx: {}\r\n\r\n", "a".repeat(20_000));
    let long_line = format!("GET /{} HTTP/1.1\r\nhost: {HOST}\r\n\r\n", "a".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n{}\r\n", "x: y\r\n".repeat(200));
    for request in [long_header, long_line, many] {
        // The server may close before everything was sent.
        let mut stream = running.connect().await;
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = until_closed(&mut stream).await;
        assert!(answer.is_empty() || [400, 414, 431].contains(&status(&answer)), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_cut_off() {
    let limits =
        Limits { header_within: Duration::from_millis(100), connection_within: LONG, ..Limits::default() };
    let running = start(limits, &[]).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: sh").await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(!answer.contains("200"), "{answer}");
    until_closed(&mut running.connect().await).await;
}

/// A client that keeps sending requests within every other limit.
#[tokio::test]
async fn a_connection_ends_in_time_and_after_some_requests() {
    let limits =
        Limits { connection_within: Duration::from_millis(300), header_within: LONG, ..Limits::default() };
    let running = start(limits, &[]).await;
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let mut stream = running.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&until_closed(&mut stream).await), 404);

    let limits = Limits { requests_per_connection: 3, ..Limits::default() };
    let running = start(limits, &[]).await;
    let answers = running.exchange(&request.repeat(10)).await;
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 3, "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
}

/// A connection from another address of this machine.
async fn connect_from(host: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Half of the connections say nothing, half of them ask over and over; a CA asks from another address.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_source_leaves_the_cas_question_its_answer() {
    let running = start_with(Limits::default(), &[], 40).await;
    let expected = running.store.put(HOST, TOKEN);
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let mut flood = Vec::new();
    for number in 0..400 {
        let mut stream = connect_from(2, running.address).await;
        if number % 2 == 0 {
            let _ = stream.write_all(request.as_bytes()).await;
        }
        flood.push(stream);
    }
    let mut asked = Vec::new();
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        let mut stream = connect_from(3, running.address).await;
        let question = format!("GET {} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n", path(TOKEN));
        stream.write_all(question.as_bytes()).await.unwrap();
        assert!(until_closed(&mut stream).await.ends_with(&expected));
        asked.push(begun.elapsed());
    }
    assert!(asked.iter().all(|took| *took < Duration::from_secs(10)), "{asked:?}");
    assert_eq!(flood.len(), 400);
}

#[tokio::test]
async fn the_stop_ends_idle_connections_and_the_server() {
    let limits = Limits { header_within: LONG, connection_within: LONG, ..Limits::default() };
    let running = start(limits, &[]).await;
    let mut idle = running.connect().await;
    idle.write_all(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    running.stop.cancel();
    until_closed(&mut idle).await;
    tokio::time::timeout(TIMEOUT, running.task).await.expect("the server goes on").unwrap();
}
