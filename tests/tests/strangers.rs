//! Strangers who reach API, page and responder try to stop them: everything in one process that may open 1,024 files. While
//! each attack runs from one source, an admin adds and lists, a signed-in person's page is shown, and a CA's question is
//! answered. Attacks last 5 s, or `ATTACK_SECONDS`; figures are held to ten times what they should be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::v1::domains_client::DomainsClient;
use proto::v1::{AddDomainRequest, BatchAddDomainsRequest, ListDomainsRequest};
use sandbox::{World, WorldOptions};
use tests::{Console, Mode, SslManager, Surroundings, Visitor, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

const OPEN_FILES: u32 = 1024;
const SILENT: usize = 1200;
/// Ten times the second that an answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const LEAVES_WITHIN: Duration = Duration::from_secs(100);
/// Of a program that is not optimised.
const MAX_MEBIBYTES: u64 = 400;
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

struct Scene {
    console: Console,
    person: Visitor,
    admin: DomainsClient<Channel>,
    token: String,
    added: u32,
}

fn lasts() -> Duration {
    let seconds = std::env::var("ATTACK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

impl Scene {
    async fn new() -> Self {
        runtime::raise_descriptors();
        let world = World::start(WorldOptions::default()).await.unwrap();
        let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
        manager.open_files = Some(OPEN_FILES);
        world.edge.control().set_challenge_upstream(manager.responder());
        manager.start().await;
        let console = Console { world, manager };
        let person = console.visitor("support").await;
        let endpoint = Endpoint::from_shared(console.manager.endpoint()).unwrap();
        let admin = DomainsClient::new(endpoint.connect().await.unwrap());
        let token = console.manager.new_token("support");
        Self { console, person, admin, token, added: 0 }
    }

    fn signed<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    /// What everybody does who is not a stranger; how long each of it took.
    async fn work(&mut self) -> [Duration; 3] {
        let begun = Instant::now();
        self.added += 1;
        let name = format!("d{}.example.com", self.added);
        let add = self.signed(AddDomainRequest { name, ..Default::default() });
        self.admin.add_domain(add).await.unwrap();
        let list = self.signed(ListDomainsRequest::default());
        self.admin.list_domains(list).await.unwrap();
        let api = begun.elapsed();
        let begun = Instant::now();
        assert_eq!(self.person.get("/").await.status, 200);
        let page = begun.elapsed();
        let begun = Instant::now();
        let answer = question(self.console.manager.responder()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer:?}");
        [api, page, begun.elapsed()]
    }

    /// Works while the attack lasts, and looks at the figures.
    async fn withstand(&mut self, name: &str, until: Instant) {
        let mut took: [Vec<Duration>; 3] = Default::default();
        let mut memory = 0;
        while Instant::now() < until {
            for (all, one) in took.iter_mut().zip(self.work().await) {
                all.push(one);
            }
            memory = memory.max(self.console.manager.resident());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (what, mut took) in ["api", "page", "challenge"].into_iter().zip(took) {
            took.sort();
            let p99 = took[(took.len() * 99 / 100).min(took.len() - 1)];
            println!("{name}: {what} {} times, p99 {p99:?}; {memory} MiB", took.len());
            assert!(p99 < ANSWERED_WITHIN, "{name}: {what} {took:?}");
        }
        assert!(memory < MAX_MEBIBYTES, "{name}: {memory} MiB");
    }

    /// A counter's sum over its labels that have this in them.
    async fn counted(&self, metric: &str, label: &str) -> f64 {
        let metrics = self.console.manager.metrics("all").await;
        let lines = metrics.lines().filter(|line| line.starts_with(metric) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Once it is over, nothing is held any more.
    async fn comes_back(&self) {
        wait_for("few connections", LEAVES_WITHIN, || async {
            let open = self.counted("ssl_manager_connections{", "").await;
            if open < 50.0 { Ok(()) } else { Err(open.to_string()) }
        })
        .await;
    }
}

async fn connect(to: SocketAddr) -> Option<TcpStream> {
    // The ports of one address end one day.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from((ATTACKER, 0))).ok()?;
    socket.connect(to).await.ok()
}

async fn question(at: SocketAddr) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let path = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

/// Holds silent connections, and opens one again for each that was closed; returns how many were opened.
async fn hold_silent(to: SocketAddr, until: Instant) -> usize {
    let mut holders = JoinSet::new();
    for _ in 0..SILENT {
        holders.spawn(async move {
            let mut opened = 0;
            while Instant::now() < until {
                let Some(mut stream) = connect(to).await else { continue };
                opened += 1;
                let _ = tokio::time::timeout_at(until.into(), stream.read(&mut [0; 1])).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            opened
        });
    }
    holders.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_to_every_port_stop_nothing() {
    let mut scene = Scene::new().await;
    let manager = &scene.console.manager;
    let ports = [address(&manager.endpoint()), address(&manager.console()), manager.responder()];
    let until = Instant::now() + lasts();
    let attack = ports.map(|port| tokio::spawn(hold_silent(port, until)));
    scene.withstand("silent connections", until).await;
    for attack in attack {
        assert!(attack.await.unwrap() >= SILENT, "so many were opened");
    }
    for port in ["api", "console", "challenge-responder"] {
        let label = format!("port=\"{port}\"");
        assert!(scene.counted("ssl_manager_connections_refused_total", &label).await > 100.0, "{port}");
    }
    scene.comes_back().await;
}

/// Calls without a token and without an end, as many as five connections hold.
async fn call_without_token(endpoint: String, until: Instant) -> usize {
    let mut callers = JoinSet::new();
    for _ in 0..5 {
        let endpoint = Endpoint::from_shared(endpoint.clone()).unwrap();
        let channel = endpoint.local_address(Some(IpAddr::V4(ATTACKER))).connect_lazy();
        for _ in 0..205 {
            let mut client = DomainsClient::new(channel.clone());
            callers.spawn(async move {
                let mut refused = 0;
                while Instant::now() < until {
                    let names = futures::stream::pending::<BatchAddDomainsRequest>();
                    let call = client.batch_add_domains(names);
                    if let Ok(Err(_)) = tokio::time::timeout_at(until.into(), call).await {
                        refused += 1;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                refused
            });
        }
    }
    callers.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_token_stop_nothing() {
    let mut scene = Scene::new().await;
    let until = Instant::now() + lasts();
    let attack = tokio::spawn(call_without_token(scene.console.manager.endpoint(), until));
    scene.withstand("calls without a token", until).await;
    assert!(attack.await.unwrap() > 1000, "so many were refused");
    scene.comes_back().await;
}

/// Guesses at the page, each name and password another one, and forms of which half is missing; until then, and until
/// it is enough.
async fn guess(page: String, until: Instant, enough: Arc<AtomicBool>) -> usize {
    let mut guessers = JoinSet::new();
    let goes_on = move || Instant::now() < until || !enough.load(Ordering::Relaxed);
    for number in 0..100 {
        let (page, goes_on) = (page.clone(), goes_on.clone());
        guessers.spawn(async move {
            let client = reqwest::Client::builder().local_address(IpAddr::V4(ATTACKER)).build().unwrap();
            let mut answered = 0;
            while goes_on() {
                let form = format!("name=n{number}-{answered}&password=wrong-password");
                let request = client.post(format!("{page}/sign-in")).header("origin", &page).body(form);
                answered += usize::from(request.send().await.is_ok());
            }
            answered
        });
    }
    let head = format!(
        "POST /sign-in HTTP/1.1\r\nhost: {0}\r\norigin: http://{0}\r\ncontent-length: 8000\r\n\r\nhalf",
        address(&page)
    );
    for _ in 0..100 {
        let (to, head, goes_on) = (address(&page), head.clone(), goes_on.clone());
        guessers.spawn(async move {
            let mut sent = 0;
            while goes_on() {
                let Some(mut stream) = connect(to).await else { continue };
                sent += usize::from(stream.write_all(head.as_bytes()).await.is_ok());
                let _ = tokio::time::timeout_at(until.into(), stream.read(&mut [0; 64])).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            sent
        });
    }
    guessers.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_and_forms_without_an_end_stop_nothing() {
    let mut scene = Scene::new().await;
    let until = Instant::now() + lasts();
    let enough = Arc::new(AtomicBool::new(false));
    let attack = tokio::spawn(guess(scene.console.manager.console(), until, enough.clone()));
    scene.withstand("guesses and forms", until).await;
    wait_for("refused pages", LEAVES_WITHIN, || async {
        let refused = scene.counted("ssl_manager_pages_refused_total", "").await;
        if refused > 10.0 { Ok(()) } else { Err(refused.to_string()) }
    })
    .await;
    enough.store(true, Ordering::Relaxed);
    assert!(attack.await.unwrap() > 100, "each half of a form was sent, and guesses");
    let another = Visitor::new(scene.console.manager.console(), String::new());
    let entered = another.post("/sign-in", &[("name", "support"), ("password", Console::PASSWORD)]).await;
    assert_eq!(entered.status, 303);
    scene.comes_back().await;
}
