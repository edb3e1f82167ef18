//! The fetch: hop by hop, each with a lookup and a check of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dns::Nameservers;
use domain::{DomainName, one_line};
use rustls::ClientConfig;

use crate::connect::{NoRoute, Route};
use crate::exchange::{self, Answer};
use crate::fetch_error::FetchError;
use crate::internet::{Reach, Within};
use crate::patience::Patience;
use crate::target::Target;
use crate::{Options, RehearsalError, Rehearsed, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Of what is told of a failure.
const MAX_CHARACTERS: usize = 200;
const MAX_REDIRECTS: usize = 10;
/// A key authorization has 66 to 87 bytes (RFC 8555 section 8.1); Let's Encrypt reads this much.
const MAX_PROBE_BYTES: usize = 128;

/// Fetches probes. Cheap to share.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    http_port: u16,
    reach: Reach,
    connect_within: Duration,
    fetch_within: Duration,
    tls: Arc<ClientConfig>,
}

impl Rehearsal {
    /// Nothing is asked yet.
    pub fn new(options: Options) -> Result<Self, RehearsalError> {
        Self::with_timeouts(options, CONNECT_TIMEOUT, FETCH_TIMEOUT)
    }

    /// Like [`Rehearsal::new`], for tests that cannot wait that long.
    #[doc(hidden)]
    pub fn with_timeouts(
        options: Options,
        connect_within: Duration,
        fetch_within: Duration,
    ) -> Result<Self, RehearsalError> {
        Ok(Self {
            http_port: options.http_port,
            reach: Reach {
                within: if options.allow_private_addresses { Within::Anywhere } else { Within::Internet },
                refused: options.refuse_addresses.into(),
            },
            connect_within,
            fetch_within,
            tls: Arc::new(tls::accepting_any().map_err(RehearsalError)?),
        })
    }

    /// Asks for `http://<name>/.well-known/acme-challenge/<token>` as a CA does (RFC 8555 section 8.3) and compares the
    /// body with what is expected; white space at its end does not count.
    pub async fn fetch(
        &self,
        nameservers: &Nameservers,
        name: &DomainName,
        token: &str,
        expected: &str,
    ) -> Rehearsed {
        let rehearsed = match self.follow(nameservers, name, token, expected).await {
            Ok(()) => Rehearsed::Right,
            Err(failure) => failure.into(),
        };
        tracing::debug!(domain = %name, ?rehearsed, "rehearsed");
        rehearsed
    }

    async fn follow(
        &self,
        nameservers: &Nameservers,
        name: &DomainName,
        token: &str,
        expected: &str,
    ) -> Result<(), FetchError> {
        let mut patience = Patience::new(self.fetch_within);
        let mut target = Target::first(name, self.http_port, token)?;
        let mut passed = Vec::new();
        loop {
            let hop = self.hop(nameservers, &target, expected, &mut patience).await;
            let Some(next) = hop.map_err(|failure| failure.at(&target))? else {
                return Ok(());
            };
            passed.push(target);
            if passed.iter().any(|earlier: &Target| earlier.is_same(&next)) {
                return Err(FetchError::site("its redirects lead in a circle"));
            }
            if passed.len() > MAX_REDIRECTS {
                return Err(FetchError::Site(format!("it redirects over {MAX_REDIRECTS} times")));
            }
            target = next;
        }
    }

    /// Asks for one target; returns where it redirects to, or nothing if the expected body came back.
    async fn hop(
        &self,
        nameservers: &Nameservers,
        target: &Target,
        expected: &str,
        patience: &mut Patience,
    ) -> Result<Option<Target>, FetchError> {
        match self.answer(nameservers, target, MAX_PROBE_BYTES, patience).await? {
            Answer::Body(body) => compare(&body, expected).map(|()| None),
            Answer::Redirect(location) => target.redirected(&location, self.http_port).map(Some),
        }
    }
}

impl Rehearsal {
    async fn answer(
        &self,
        nameservers: &Nameservers,
        target: &Target,
        most_bytes: usize,
        patience: &mut Patience,
    ) -> Result<Answer, FetchError> {
        let asking = nameservers.addresses(target.host().as_ref());
        let addresses = patience.with_dns(asking).await?;
        let route = Route::choose(&addresses, &self.reach).map_err(|none| no_route(&none, target))?;
        let exchange = async {
            let stream = route.connect(target.port(), self.connect_within).await?;
            exchange::ask(stream, target, &self.tls, most_bytes).await
        };
        patience.with_site(exchange).await
    }

    /// A document that is believed for its signature, such as a revocation list, from an `http://` URL that stands in a
    /// certificate: anybody's, so it is fetched like a probe, from the internet alone. Redirects are not followed. Errors: why
    /// not, as a part of a sentence.
    pub async fn document(
        &self,
        nameservers: &Nameservers,
        url: &str,
        most_bytes: usize,
    ) -> Result<Bytes, String> {
        let told = |failure: FetchError| match failure {
            FetchError::Site(found) | FetchError::Ours(found) => one_line(&found, MAX_CHARACTERS),
        };
        let is_any_port = matches!(self.reach.within, Within::Anywhere);
        let target = Target::document(url, self.http_port, is_any_port).map_err(told)?;
        let mut patience = Patience::new(self.fetch_within);
        match self.answer(nameservers, &target, most_bytes, &mut patience).await {
            Ok(Answer::Body(body)) => Ok(body),
            Ok(Answer::Redirect(_)) => Err("the answer is a redirect, which is not followed".to_owned()),
            Err(failure) => Err(told(failure)),
        }
    }
}

/// Behind a redirect the address is withheld: otherwise the sender of the redirect could learn addresses of our
/// network.
fn no_route(none: &NoRoute, target: &Target) -> FetchError {
    FetchError::Site(match none {
        NoRoute::NoAddress => "the name has no address (no A or AAAA record)".to_owned(),
        NoRoute::Refused(kind, address) if target.is_first() => {
            format!("it leads to the {kind} address {address}")
        }
        NoRoute::Refused("refused", _) => "the name leads to an address that is refused here".to_owned(),
        NoRoute::Refused(..) => "the name leads to an address that is not of the internet".to_owned(),
    })
}

fn compare(body: &[u8], expected: &str) -> Result<(), FetchError> {
    match body.trim_ascii_end() {
        body if body == expected.as_bytes() => Ok(()),
        [] => Err(FetchError::site("an empty body came back")),
        _ => Err(FetchError::site("another body came back")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sandbox::{Dns, DnsControl, DnsOptions};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const OUTSIDE: Ipv4Addr = Ipv4Addr::LOCALHOST;
    const INSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    /// Listeners outside and inside; a port that is free on one address may be taken on the other.
    async fn two_at_one_port() -> (TcpListener, TcpListener) {
        loop {
            let outside = TcpListener::bind((OUTSIDE, 0)).await.unwrap();
            let port = outside.local_addr().unwrap().port();
            if let Ok(inside) = TcpListener::bind((INSIDE, port)).await {
                return (outside, inside);
            }
        }
    }

    /// One host that counts as one of the internet, and one within our network at the same port.
    struct Hosts {
        dns: Dns,
        port: u16,
        connections_inside: Arc<AtomicUsize>,
    }

    impl Hosts {
        /// The one outside redirects all requests, and changes DNS before it answers.
        async fn start(location: &'static str, change: impl Fn(&DnsControl) + Send + 'static) -> Self {
            let dns = Dns::start(DnsOptions::default()).await.unwrap();
            let control = dns.control();
            control.set_a("shop.example.com", &[OUTSIDE]);
            control.set_a("inside.example.com", &[INSIDE]);
            let (outside, inside) = two_at_one_port().await;
            let port = outside.local_addr().unwrap().port();
            let connections_inside = Arc::new(AtomicUsize::new(0));
            let counter = connections_inside.clone();
            tokio::spawn(async move {
                while inside.accept().await.is_ok() {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = outside.accept().await {
                    let _ = stream.read(&mut [0; 4096]).await;
                    change(&control);
                    let location = location.replace("PORT", &port.to_string());
                    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
            Self { dns, port, connections_inside }
        }

        async fn fetch(&self) -> String {
            let options = Options { http_port: self.port, ..Options::default() };
            let mut rehearsal = Rehearsal::new(options).unwrap();
            rehearsal.reach.within = Within::InternetAnd(IpAddr::V4(OUTSIDE));
            let nameservers = Nameservers::new(vec![SocketAddr::to_string(&self.dns.addr())]).unwrap();
            let name = DomainName::parse("shop.example.com").unwrap();
            match rehearsal.fetch(&nameservers, &name, "token", "body").await {
                Rehearsed::Wrong { found } => found,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_redirect_into_our_network_is_not_followed_and_tells_no_address() {
        let hosts = Hosts::start("http://inside.example.com:PORT/admin", |_| {}).await;
        let found = hosts.fetch().await;
        assert!(found.ends_with("an address that is not of the internet"), "{found}");
        assert!(!found.contains("127.0.0.2"), "{found}");
        assert_eq!(hosts.connections_inside.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_name_that_moves_into_our_network_between_two_hops_is_not_followed() {
        let move_inside = |control: &DnsControl| control.set_a("shop.example.com", &[INSIDE]);
        let hosts = Hosts::start("/again", move_inside).await;
        let found = hosts.fetch().await;
        assert!(found.ends_with("an address that is not of the internet"), "{found}");
        assert_eq!(hosts.connections_inside.load(Ordering::SeqCst), 0);
    }
}
