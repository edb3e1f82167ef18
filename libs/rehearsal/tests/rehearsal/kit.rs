//! Sites on loopback that answer whatever a test has them answer, at one port and several addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dns::Nameservers;
use domain::DomainName;
use rehearsal::{Options, Rehearsal, Rehearsed};
use sandbox::{Dns, DnsControl, DnsOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

pub(crate) const NAME: &str = "shop.example.com";
pub(crate) const OTHER_NAME: &str = "other.example.com";
pub(crate) const TOKEN: &str = "probe-token_0";
pub(crate) const PATH: &str = "/.well-known/acme-challenge/probe-token_0";
pub(crate) const BODY: &str = "probe-token_0.thumbprint";
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// DNS in which `NAME` is `HERE` and `OTHER_NAME` is `THERE`, and a client.
pub(crate) struct Outside {
    dns: Dns,
    pub(crate) allow_private_addresses: bool,
    pub(crate) refuse_addresses: Vec<ipnet::IpNet>,
    pub(crate) connect_within: Duration,
    pub(crate) fetch_within: Duration,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let dns = Dns::start(DnsOptions::default()).await.unwrap();
        dns.control().set_a(NAME, &[HERE]);
        dns.control().set_a(OTHER_NAME, &[THERE]);
        Self {
            dns,
            allow_private_addresses: true,
            refuse_addresses: Vec::new(),
            connect_within: Duration::from_secs(5),
            fetch_within: Duration::from_secs(10),
        }
    }

    pub(crate) fn dns(&self) -> DnsControl {
        self.dns.control()
    }

    pub(crate) async fn fetch(&self, http_port: u16) -> Rehearsed {
        self.fetch_token(http_port, TOKEN).await
    }

    pub(crate) async fn fetch_token(&self, http_port: u16, token: &str) -> Rehearsed {
        let rehearsal = self.client(http_port);
        let nameservers = Nameservers::new(vec![self.dns.addr().to_string()]).unwrap();
        let name = DomainName::parse(NAME).unwrap();
        let fetch = rehearsal.fetch(&nameservers, &name, token, BODY);
        tokio::time::timeout(Duration::from_secs(12), fetch).await.unwrap()
    }

    /// A document of at most 1000 bytes.
    pub(crate) async fn document(&self, http_port: u16, url: &str) -> Result<String, String> {
        let nameservers = Nameservers::new(vec![self.dns.addr().to_string()]).unwrap();
        let document = self.client(http_port).document(&nameservers, url, 1000).await?;
        Ok(String::from_utf8(document.to_vec()).unwrap())
    }

    fn client(&self, http_port: u16) -> Rehearsal {
        let options = Options {
            http_port,
            allow_private_addresses: self.allow_private_addresses,
            refuse_addresses: self.refuse_addresses.clone(),
        };
        Rehearsal::with_timeouts(options, self.connect_within, self.fetch_within).unwrap()
    }

    /// What is found to be wrong.
    pub(crate) async fn wrong(&self, http_port: u16) -> String {
        match self.fetch(http_port).await {
            Rehearsed::Wrong { found } => found,
            other => panic!("{other:?}"),
        }
    }
}

/// What to do with a request: an answer as it goes over the wire, by the path that was asked for.
pub(crate) type Answers = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

pub(crate) enum Reply {
    /// This, and the end of the connection.
    Bytes(Vec<u8>),
    /// This over and over again.
    ForEver(Vec<u8>),
    Silence,
}

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) port: u16,
    connections: Arc<Mutex<usize>>,
    heads: Arc<Mutex<Vec<String>>>,
    server_names: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) async fn start(answers: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(HERE.into(), 0, answers).await
    }

    pub(crate) async fn at(
        address: IpAddr,
        port: u16,
        answers: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen((address, port).into(), None, Arc::new(answers)).await
    }

    /// With a certificate that nobody issued, for another name, which ended long ago.
    pub(crate) async fn with_tls(
        address: IpAddr,
        port: u16,
        answers: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        Self::listen((address, port).into(), Some(tls), Arc::new(answers)).await
    }

    async fn listen(address: SocketAddr, tls: Option<TlsAcceptor>, answers: Answers) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let site = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            heads: Arc::default(),
            server_names: Arc::default(),
        };
        let serving = site.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *serving.connections.lock().unwrap() += 1;
                let (serving, answers, tls) = (serving.clone(), answers.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serving.serve(stream, answers).await,
                        Some(tls) => {
                            let stream = tls.accept(stream).await?;
                            let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                            serving.server_names.lock().unwrap().push(name);
                            serving.serve(stream, answers).await
                        }
                    }
                });
            }
        });
        site
    }

    async fn serve(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        answers: Answers,
    ) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.heads.lock().unwrap().push(head);
        match answers(&path) {
            Reply::Bytes(bytes) => {
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            }
            Reply::ForEver(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Reply::Silence => std::future::pending().await,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// The names that were asked for by TLS.
    pub(crate) fn server_names(&self) -> Vec<String> {
        self.server_names.lock().unwrap().clone()
    }

    /// Request lines and headers.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

pub(crate) fn ok(body: &str) -> Reply {
    answer("200 OK", "Content-Type: application/octet-stream\r\n", body)
}

pub(crate) fn redirect(location: &str) -> Reply {
    answer("302 Found", &format!("Location: {location}\r\n"), "over there")
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    Reply::Bytes(text.into_bytes())
}
