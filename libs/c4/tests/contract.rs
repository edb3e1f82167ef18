//! The client against a small server that answers whatever a test tells it to.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use c4::{C4Client, C4Domain, C4Error, C4Options, Upload};
use domain::{CertificateId, DomainName, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls;

const TOKEN: &str = "token-for-the-tests";
const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n-----END PRIVATE KEY-----\n";

#[derive(Clone, Debug)]
struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// What to answer, and what was asked.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::default(),
            requests: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn answers(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, Vec::new(), body.into());
    }

    fn answers_with(&self, status: u16, header: &'static str, value: &str, body: &str) {
        *self.answer.lock().unwrap() = (status, vec![(header, value.to_owned())], body.to_owned());
    }

    fn client(&self) -> C4Client {
        let seconds = Duration::from_secs(10);
        C4Client::with_timeouts(options(&format!("http://{}/c4", self.address)), seconds, seconds).unwrap()
    }

    fn only_request(&self) -> Request {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    server.requests.lock().unwrap().push(Request { method, uri, headers, body });
    let (status, headers, body) = server.answer.lock().unwrap().clone();
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

fn options(base_url: &str) -> C4Options {
    C4Options { base_url: base_url.to_owned(), token: TOKEN.to_owned().into(), root_certificate_pem: None }
}

fn name() -> DomainName {
    DomainName::parse("shop.example.com").unwrap()
}

fn upload() -> Upload<'static> {
    Upload {
        certificate: CertificateId::from(uuid::Uuid::from_u128(7)),
        certificate_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        private_key_pem: KEY,
        sha256: SHA256,
        source: Source::C4,
        revision: 3,
    }
}

fn domain_json(name: &str, certificate: &str) -> String {
    format!(
        r#"{{"name":"{name}","ports":[80,443],"cname":"shop.cdn.example.net","certificate":{certificate},"new":1}}"#
    )
}

fn could_not_ask(result: Result<impl std::fmt::Debug, C4Error>) -> (String, Option<Duration>) {
    match result {
        Err(error @ C4Error::CouldNotAsk { .. }) => {
            assert!(error.may_retry());
            (error.to_string(), error.retry_after())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_known_domain_is_told_with_ports_and_certificate() {
    let server = Server::start().await;
    server.answers(200, domain_json("shop.example.com", "null"));
    let known = server.client().domain(&name()).await.unwrap().unwrap();
    let expected = C4Domain { ports: vec![80, 443], cname: "shop.cdn.example.net".into(), certificate: None };
    assert_eq!(known, expected);
    let request = server.only_request();
    assert_eq!((request.method, request.uri.path()), (Method::GET, "/c4/v1/domains/shop.example.com"));
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));

    let certificate =
        format!(r#"{{"sha256":"{SHA256}","source":"text","not_after":"2027-01-02T03:04:05Z"}}"#);
    server.answers(200, domain_json("shop.example.com", &certificate));
    let held = server.client().domain(&name()).await.unwrap().unwrap().certificate.unwrap();
    assert_eq!((held.sha256.as_str(), held.source), (SHA256, Source::Text));
    assert_eq!(held.not_after, "2027-01-02T03:04:05Z".parse().unwrap());
}

#[tokio::test]
async fn what_is_not_the_contracts_is_no_answer() {
    let server = Server::start().await;
    let bad_hash =
        format!(r#"{{"sha256":"{}","source":"c4","not_after":"2027-01-02T03:04:05Z"}}"#, "AB".repeat(32));
    for (body, expected) in [
        ("<html>".to_owned(), "not the contract's"),
        (String::new(), "not the contract's"),
        ("[".repeat(50_000), "not the contract's"),
        (r#"{"name":"shop.example.com"}"#.to_owned(), "not the contract's"),
        (domain_json("shop.example.com", r#"{"sha256":7}"#), "not the contract's"),
        (domain_json("shop.example.com", &bad_hash), "sha256"),
        (domain_json("other.example.com", "null"), "another domain"),
        (domain_json("shop.example.com", "null").replace("shop.cdn", "<b>"), "cname"),
        (format!("{{\"name\":\"{}", "x".repeat(70_000)), "more than 65536 bytes"),
    ] {
        server.answers(200, body.clone());
        let (detail, _) = could_not_ask(server.client().domain(&name()).await);
        assert!(detail.contains(expected), "{body:.60}: {detail}");
    }
}

#[tokio::test]
async fn only_the_contracts_404_says_that_a_domain_is_unknown() {
    let server = Server::start().await;
    let client = server.client();
    server.answers(404, r#"{"message":"unknown domain"}"#);
    assert_eq!(client.domain(&name()).await, Ok(None));
    assert_eq!(client.put_certificate(&name(), upload()).await, Err(C4Error::UnknownDomain));
    assert_eq!(client.delete_certificate(&name(), 1).await, Err(C4Error::UnknownDomain));

    for body in ["", "<html>not found</html>", "{}", r#"{"message":7}"#, "[]"] {
        server.answers(404, body);
        for result in [
            client.domain(&name()).await.map(|_| ()),
            client.put_certificate(&name(), upload()).await,
            client.delete_certificate(&name(), 1).await,
        ] {
            let (detail, _) = could_not_ask(result);
            assert!(detail.contains("404 without the contract's body"), "{body}: {detail}");
        }
    }
}

#[tokio::test]
async fn statuses_about_the_way_are_no_answer_and_may_ask_to_wait() {
    let server = Server::start().await;
    let client = server.client();
    for status in [401, 403, 408, 429, 500, 502, 503, 504, 202] {
        server.answers_with(status, "retry-after", "120", r#"{"message":"come\u0007 back"}"#);
        for result in [
            client.domain(&name()).await.map(|_| ()),
            client.put_certificate(&name(), upload()).await,
            client.delete_certificate(&name(), 1).await,
        ] {
            let (detail, retry_after) = could_not_ask(result);
            assert!(detail.contains(&format!("status {status}")), "{detail}");
            assert!(!detail.contains('\u{7}'), "{detail}");
            assert_eq!(retry_after, Some(Duration::from_mins(2)));
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (server, trap) = (Server::start().await, Server::start().await);
    trap.answers(200, domain_json("shop.example.com", "null"));
    let client = server.client();
    for status in [301, 302, 303, 307, 308] {
        server.answers_with(
            status,
            "location",
            &format!("http://{}/v1/domains/shop.example.com", trap.address),
            "",
        );
        let (detail, _) = could_not_ask(client.domain(&name()).await);
        assert!(detail.contains("redirects are not followed"), "{detail}");
        could_not_ask(client.put_certificate(&name(), upload()).await);
    }
    assert!(trap.requests.lock().unwrap().is_empty(), "the token must not have travelled on");
}

#[tokio::test]
async fn an_upload_carries_everything_and_each_answer_has_its_meaning() {
    let server = Server::start().await;
    let client = server.client();
    for status in [200, 204] {
        server.answers(status, "");
        assert_eq!(client.put_certificate(&name(), upload()).await, Ok(()));
        let request = server.only_request();
        assert_eq!(
            (request.method, request.uri.path()),
            (Method::PUT, "/c4/v1/domains/shop.example.com/certificate")
        );
        assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(request.headers["idempotency-key"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(request.headers["content-type"], "application/json");
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["private_key_pem"], KEY);
        assert!(body["certificate_pem"].as_str().unwrap().contains("AAAA"));
        assert_eq!(
            (&body["sha256"], &body["source"], &body["revision"]),
            (&SHA256.into(), &"c4".into(), &3.into())
        );
    }

    server.answers(409, r#"{"code":"stale","message":"revision 9 was seen"}"#);
    assert_eq!(client.put_certificate(&name(), upload()).await, Err(C4Error::Stale));
    for status in [409, 422, 400, 413] {
        server.answers(status, r#"{"code":"locked","message":"  frozen by\r\noperations "}"#);
        let refused = client.put_certificate(&name(), upload()).await.unwrap_err();
        assert_eq!(refused, C4Error::Refused { status, message: "frozen by operations".into() });
        assert!(!refused.may_retry());
    }
    server.answers(422, "<html>");
    let refused = client.put_certificate(&name(), upload()).await.unwrap_err();
    assert_eq!(refused, C4Error::Refused { status: 422, message: "no message".into() });
}

#[tokio::test]
async fn a_removal_names_its_revision() {
    let server = Server::start().await;
    let client = server.client();
    server.answers(204, "");
    assert_eq!(client.delete_certificate(&name(), 12).await, Ok(()));
    let request = server.only_request();
    assert_eq!(request.method, Method::DELETE);
    assert_eq!(request.uri.to_string(), "/c4/v1/domains/shop.example.com/certificate?revision=12");
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));

    server.answers(409, r#"{"code":"stale"}"#);
    assert_eq!(client.delete_certificate(&name(), 12).await, Err(C4Error::Stale));
    server.answers(409, r#"{"message":"no"}"#);
    assert!(matches!(
        client.delete_certificate(&name(), 12).await,
        Err(C4Error::Refused { status: 409, .. })
    ));
}

/// A server that echoes its input must not carry a key or the token into the history.
#[tokio::test]
async fn echoed_secrets_are_withheld() {
    let server = Server::start().await;
    let client = server.client();
    let key_line = KEY.lines().nth(1).unwrap();
    for (status, secret) in
        [(422, key_line), (409, TOKEN), (500, TOKEN), (422, "x -----BEGIN PRIVATE KEY----- x")]
    {
        server.answers(status, serde_json::json!({ "message": format!("bad input: {secret}") }).to_string());
        let error = client.put_certificate(&name(), upload()).await.unwrap_err().to_string();
        assert!(error.contains("withheld") && !error.contains(secret), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_silent_is_no_answer() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let short = Duration::from_millis(200);
    let client = C4Client::with_timeouts(options(&format!("http://{nobody}")), short, short).unwrap();
    let (detail, _) = could_not_ask(client.domain(&name()).await);
    assert!(!detail.contains(TOKEN) && !detail.contains("http://"), "{detail}");

    // Takes connections and says nothing: over http the answer is late, over https the handshake is.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok(connection) = silent.accept().await {
            open.push(connection);
        }
    });
    let long = Duration::from_mins(1);
    for (url, connect, total) in
        [(format!("http://{address}"), long, short), (format!("https://{address}"), short, long)]
    {
        let (root, ..) = certificate();
        let options = C4Options { root_certificate_pem: Some(root.into()), ..options(&url) };
        let client = C4Client::with_timeouts(options, connect, total).unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(20), client.domain(&name())).await;
        assert!(could_not_ask(asked.unwrap()).0.contains("no answer in time"));
    }
}

/// The body's bytes may dribble for ever; the total time-out covers them.
#[tokio::test]
async fn a_body_that_never_ends_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{";
        connection.write_all(head).await.unwrap();
        std::future::pending::<()>().await;
    });
    let (long, short) = (Duration::from_mins(1), Duration::from_millis(300));
    let client = C4Client::with_timeouts(options(&format!("http://{address}")), long, short).unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(20), client.domain(&name())).await;
    assert!(could_not_ask(asked.unwrap()).0.contains("no answer in time"));
}

fn certificate()
-> (String, rustls::pki_types::CertificateDer<'static>, rustls::pki_types::PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (made.cert.pem(), made.cert.der().clone(), key)
}

#[tokio::test]
async fn https_needs_a_certificate_that_is_trusted() {
    let (root, leaf, key) = certificate();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // A client that does not trust us ends the handshake.
            let Ok(mut connection) = acceptor.accept(connection).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let body = domain_json("shop.example.com", "null");
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = connection.write_all(head.as_bytes()).await;
            let _ = connection.shutdown().await;
        }
    });
    let url = format!("https://{address}");
    let trusting = C4Options { root_certificate_pem: Some(root.clone().into()), ..options(&url) };
    let known = C4Client::new(trusting).unwrap().domain(&name()).await.unwrap();
    assert_eq!(known.unwrap().ports, [80, 443]);

    let (other_root, ..) = certificate();
    let doubting = C4Options { root_certificate_pem: Some(other_root.into()), ..options(&url) };
    let (detail, _) = could_not_ask(C4Client::new(doubting).unwrap().domain(&name()).await);
    assert!(detail.contains("certificate"), "{detail}");

    // The certificate is trusted, and is for another name.
    let elsewhere = C4Options {
        root_certificate_pem: Some(root.into()),
        ..options(&format!("https://localhost:{}", address.port()))
    };
    let (detail, _) = could_not_ask(C4Client::new(elsewhere).unwrap().domain(&name()).await);
    assert!(detail.contains("not valid for name") && detail.contains("localhost"), "{detail}");
}

#[tokio::test]
async fn the_list_is_optional_and_has_pages() {
    let server = Server::start().await;
    let client = server.client();
    let held = format!(r#"{{"sha256":"{SHA256}","source":"c4","not_after":"2027-01-02T03:04:05Z"}}"#);
    server.answers(200, format!(r#"{{"domains":[{{"name":"shop.example.com","certificate":{held}}}]}}"#));
    let page = client.domains_after("a&b").await.unwrap().unwrap();
    assert_eq!(page.domains[0].0, name());
    assert_eq!(page.domains[0].1.as_ref().unwrap().sha256, SHA256);
    assert_eq!(page.next.as_deref(), Some("shop.example.com"));
    let request = server.only_request();
    assert_eq!(request.uri.to_string(), "/c4/v1/domains?after=a%26b&limit=1000");
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));

    for status in [404, 405, 501] {
        server.answers(status, "");
        assert_eq!(client.domains_after("").await, Ok(None), "{status}");
    }
    for (status, body) in [
        (401, String::new()),
        (503, String::new()),
        (200, "<html>".to_owned()),
        (200, format!(r#"{{"domains":[],"x":"{}"}}"#, "x".repeat(1024 * 1024))),
    ] {
        server.answers(status, body);
        could_not_ask(client.domains_after("").await);
    }
}
