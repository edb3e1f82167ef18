use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use sandbox::{Dns, DnsOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const SHORT: Duration = Duration::from_millis(1500);

fn nets(allowed: &[&str], refused: &[&str]) -> PostAddresses {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    PostAddresses { allowed: nets(allowed), refused: nets(refused) }
}

fn loopback() -> PostAddresses {
    nets(&["127.0.0.1/32"], &[])
}

/// A receiver that answers every request with that; counts connections.
async fn receiver(answer: impl Into<Vec<u8>>, is_endless: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (counter, answer) = (connections.clone(), answer.into());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = [0; 8192];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(&answer).await;
                while is_endless && stream.write_all(&[b'x'; 4096]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
    });
    (address, connections)
}

async fn post_with(poster: Poster, dns: &Dns, url: &str) -> Result<u16, PostError> {
    let nameservers = Nameservers::new(vec![dns.addr().to_string()]).unwrap();
    let header = (HeaderName::from_static("x-test"), "1".to_owned());
    let body = Bytes::from_static(b"{}");
    poster.within(SHORT).post(&nameservers, &Receiver::parse(url).unwrap(), &[header], body).await
}

async fn post(addresses: PostAddresses, url: &str) -> Result<u16, PostError> {
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    post_with(Poster::new(addresses, None).unwrap(), &dns, url).await
}

fn found(result: Result<u16, PostError>) -> String {
    result.unwrap_err().found
}

#[tokio::test]
async fn what_the_receiver_answers_is_its_status() {
    for (answer, expected) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Ok(204)),
        ("HTTP/1.1 500 x\r\n\r\n", Err("the answer was 500")),
        (
            "HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:1/\r\n\r\n",
            Err("the answer was 302, a redirect, which is not followed"),
        ),
        ("nonsense\r\n\r\n", Err("the answer is not HTTP/1.1")),
        ("", Err("the connection was closed without an answer")),
    ] {
        let (address, connections) = receiver(answer, false).await;
        let result = post(loopback(), &format!("http://{address}/hook?a=1")).await;
        assert_eq!(result.as_ref().map_err(|error| error.found.as_str()), expected.as_ref().map_err(|e| *e));
        assert_eq!(connections.load(Ordering::SeqCst), 1, "one request, whatever the answer");
    }
}

#[tokio::test]
async fn an_endless_answer_holds_nobody_up() {
    let began = std::time::Instant::now();
    let (address, _) = receiver("HTTP/1.1 200 OK\r\n\r\n", true).await;
    assert_eq!(post(loopback(), &format!("http://{address}/")).await, Ok(200));
    let (address, _) = receiver("HTTP/1.1 200 OK\r\n", true).await;
    assert!(found(post(loopback(), &format!("http://{address}/")).await).contains("headers"));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_silent_receiver_is_waited_for_a_while() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    assert_eq!(found(post(loopback(), &url).await), "no answer in time");
}

#[tokio::test]
async fn addresses_within_are_refused_unless_they_are_allowed() {
    let (address, connections) = receiver("HTTP/1.1 200 OK\r\n\r\n", false).await;
    let port = address.port();
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    dns.control().set_a("hooks.example.com", &[Ipv4Addr::LOCALHOST]);
    for url in [format!("https://127.0.0.1:{port}/"), format!("https://hooks.example.com:{port}/")] {
        let refused =
            found(post_with(Poster::new(PostAddresses::default(), None).unwrap(), &dns, &url).await);
        assert!(refused.contains("loopback address 127.0.0.1"), "{refused}");
    }
    assert!(found(post(loopback(), "https://169.254.169.254/").await).contains("link-local"));
    assert!(found(post(loopback(), "https://[fd00::1]/").await).contains("private"));
    let plain = format!("http://hooks.example.com:{port}/");
    assert!(
        found(post_with(Poster::new(PostAddresses::default(), None).unwrap(), &dns, &plain).await)
            .contains("use https")
    );
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let allowed = Poster::new(loopback(), None).unwrap();
    assert_eq!(post_with(allowed.clone(), &dns, &plain).await, Ok(200));
    dns.control().set_a("hooks.example.com", &[Ipv4Addr::new(10, 0, 0, 1)]);
    let moved = found(post_with(allowed, &dns, &plain).await);
    assert!(moved.contains("use https"), "{moved}");
}

/// `preflight.refuse_addresses` counts here, too, and `notifier.allow_addresses` wins over it.
#[tokio::test]
async fn refused_addresses_get_nothing_unless_they_are_allowed() {
    let (address, connections) = receiver("HTTP/1.1 200 OK\r\n\r\n", false).await;
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    dns.control().set_a("hooks.example.com", &[Ipv4Addr::new(8, 8, 8, 8)]);
    for url in ["https://8.8.8.8/", "https://hooks.example.com/", "https://[64:ff9b::8.8.8.8]/"] {
        let poster = Poster::new(nets(&["127.0.0.1/32"], &["8.8.0.0/16"]), None).unwrap();
        let refused = found(post_with(poster, &dns, url).await);
        assert!(refused.contains("leads to the refused address"), "{url}: {refused}");
    }
    let check = |url: &str, addresses| Poster::check(&Receiver::parse(url).unwrap(), &addresses);
    let refused = check("https://8.8.8.8/", nets(&[], &["8.8.0.0/16"])).unwrap_err();
    assert!(refused.contains("a refused address"), "{refused}");
    assert_eq!(check("https://8.8.8.8/", nets(&["8.8.8.8/32"], &["8.8.0.0/16"])), Ok(()));
    assert_eq!(check("https://8.9.8.8/", nets(&[], &["8.8.0.0/16"])), Ok(()));
    let both = nets(&["127.0.0.1/32"], &["127.0.0.0/8"]);
    assert_eq!(post(both, &format!("http://{address}/")).await, Ok(200));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A root, and a server that shows a certificate of it for `shop.example.com`.
async fn tls_server() -> (SocketAddr, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["shop.example.com".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = [0; 8192];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, root)
}

#[tokio::test]
async fn a_certificate_of_another_name_or_of_nobody_is_refused() {
    let (address, root) = tls_server().await;
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    for name in ["shop.example.com", "hooks.example.com"] {
        dns.control().set_a(name, &[Ipv4Addr::LOCALHOST]);
    }
    let url = |name: &str| format!("https://{name}:{}/", address.port());
    let trusting = Poster::new(loopback(), Some(root.as_bytes())).unwrap();
    assert_eq!(post_with(trusting.clone(), &dns, &url("shop.example.com")).await, Ok(200));
    let other = found(post_with(trusting, &dns, &url("hooks.example.com")).await);
    assert!(other.contains("TLS handshake failed") && other.contains("hooks.example.com"), "{other}");
    let strange = Poster::new(loopback(), None).unwrap();
    let unknown = found(post_with(strange, &dns, &url("shop.example.com")).await);
    assert!(unknown.contains("TLS handshake failed"), "{unknown}");
    assert!(matches!(Poster::new(PostAddresses::default(), Some(b"x")), Err(PosterError::Root(_))));
}

#[test]
fn what_is_no_receiver_says_why() {
    for (text, problem) in [
        ("hooks.example.net", "it is not a URL"),
        ("ftp://hooks.example.net/", "it does not begin with https://"),
        ("https://user:pass@hooks.example.net/", "it contains a user name or a password"),
        ("https://hooks.example.net/#x", "it contains a fragment (#…)"),
        ("https://a_very bad host/", "it is not a URL"),
    ] {
        assert_eq!(Receiver::parse(text), Err(problem), "{text}");
    }
    assert!(Receiver::parse(&format!("https://h.example/{}", "x".repeat(2000))).is_err());
    assert!(Receiver::parse("https://hooks.example.net:8443/a?b=c").is_ok());
}
