//! What a client of the API waits for at a million domains: one of them, pages of the list, searches, figures, adds and
//! changes; on PostgreSQL and on SQLite.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus_embedded::EmbeddedBus;
use domain::{Clock, Role};
use proto::v1;
use proto::v1::domains_client::DomainsClient;
use runtime::{Config, Context, Health, Listen, Listeners, Stop, SystemClock, SystemEntropy};
use seal::SealingKeys;
use store::{Store, TokenRecord};
use tempfile::TempDir;
use tests::Postgres;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::Channel;

use crate::fill;
use crate::page::Page;
use crate::report::{Report, say};

const BATCH: usize = 20_000;
const WATCHERS: usize = 100;
const CHANGES: usize = 50;
const FAR_DOWN: usize = 200;
const CONNECTIONS: u32 = 20;

/// On both databases, with so many domains.
pub(crate) async fn at(many: usize, report: &mut Report) {
    let postgres = Postgres::start(true).await;
    let database = postgres.database();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let url = postgres.superuser_url(&database);
    report.section(&format!("API and page, {many} domains on PostgreSQL"));
    let store = Store::open_server(&url, CONNECTIONS, clock.clone(), entropy.clone()).unwrap();
    store.migrate().await.unwrap();
    let started = Instant::now();
    fill::postgres(&postgres, &database, many);
    say(&format!("  filled in {:.0} s", started.elapsed().as_secs_f64()));
    measure(Arc::new(store), report).await;
    drop(postgres);

    report.section(&format!("API and page, {many} domains on SQLite"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.db");
    let store = Store::open_file(&file, clock.clone(), entropy.clone()).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let started = Instant::now();
    fill::sqlite(&file, many).await;
    say(&format!("  filled in {:.0} s", started.elapsed().as_secs_f64()));
    measure(Arc::new(Store::open_file(&file, clock, entropy).await.unwrap()), report).await;
}

/// An API on a port of its own, and a token for it.
struct Served {
    client: DomainsClient<Channel>,
    endpoint: String,
    /// Of two principals: one may not watch that often.
    bearers: [String; 2],
    store: Arc<Store>,
    keys: Arc<SealingKeys>,
    stop: Stop,
    _folder: TempDir,
}

impl Served {
    async fn start(store: Arc<Store>) -> Self {
        let mut config = Config::default();
        config.api.requests_per_second = 1_000_000;
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let listeners = Listeners::default();
        let address = listeners.bind(Listen::Api, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let keys = Arc::new(SealingKeys::load_or_create(&folder.path().join("key")).unwrap());
        let context = Context {
            config: Arc::new(config),
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            store: store.clone(),
            clock,
            entropy: Arc::new(SystemEntropy),
            sealing_keys: Some(keys.clone()),
            stop: Stop::default(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::new(listeners),
        };
        let bearers = [bearer(&store, &keys, "bench").await, bearer(&store, &keys, "watcher").await];
        let stop = context.stop.clone();
        let (bus, until) = (context.bus.clone(), stop.hard().clone());
        tokio::spawn(async move { bus.run(until).await });
        tokio::spawn(api::run(context));
        let endpoint = format!("http://{address}");
        let channel = Channel::from_shared(endpoint.clone()).unwrap().connect().await.unwrap();
        Self { keys, client: DomainsClient::new(channel), endpoint, bearers, store, stop, _folder: folder }
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        self.signed_by(0, message)
    }

    fn signed_by<T>(&self, principal: usize, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearers[principal].parse().unwrap());
        request
    }

    async fn list(&self, request: &v1::ListDomainsRequest) -> v1::ListDomainsResponse {
        let answer = self.client.clone().list_domains(self.signed(request.clone())).await;
        answer.unwrap().into_inner()
    }
}

async fn measure(store: Arc<Store>, report: &mut Report) {
    let served = Served::start(store).await;
    let many_names = v1::ListDomainsRequest {
        page_size: 1000,
        order: v1::ListOrder::ByExpiry.into(),
        ..v1::ListDomainsRequest::default()
    };
    let names = served.list(&many_names).await.domains;
    times(report, "GetDomain", 1000, async |number| {
        let name = names[number % names.len()].name.clone();
        let started = Instant::now();
        let request = served.signed(v1::GetDomainRequest { name });
        served.client.clone().get_domain(request).await.unwrap();
        started.elapsed()
    })
    .await;
    pages(&served, report).await;
    times(report, "GetSummary", 200, async |_| {
        let started = Instant::now();
        let request = served.signed(v1::GetSummaryRequest {});
        served.client.clone().get_summary(request).await.unwrap();
        started.elapsed()
    })
    .await;
    batch(&served, report).await;
    fan_out(&served, report).await;
    let page = Page::start(&served.endpoint, &served.store, &served.keys).await;
    page.measure(report, async |name| {
        let request = served.signed(v1::AddDomainRequest { name, ..Default::default() });
        served.client.clone().add_domain(request).await.unwrap();
    })
    .await;
    served.stop.stop().await;
}

async fn pages(served: &Served, report: &mut Report) {
    let none = v1::ListDomainsRequest::default;
    let words = |search: &str| v1::ListDomainsRequest { search: search.to_owned(), ..none() };
    let by = |order: v1::ListOrder| v1::ListDomainsRequest { order: order.into(), ..none() };
    let of = |status: v1::Status| v1::ListDomainsRequest { statuses: vec![status.into()], ..none() };
    let far = far_down(served).await;
    for (what, request) in [
        ("first page", none()),
        (
            "first page by creation, descending",
            v1::ListDomainsRequest { descending: true, ..by(v1::ListOrder::ByCreation) },
        ),
        ("first page by expiry", by(v1::ListOrder::ByExpiry)),
        ("first page by attention", by(v1::ListOrder::ByAttention)),
        ("page far down", far),
        ("last page", v1::ListDomainsRequest { last_page: true, ..none() }),
        ("a rare status", of(v1::Status::Emergency)),
        ("a rare status by creation", v1::ListDomainsRequest { order: 2, ..of(v1::Status::Emergency) }),
        (
            "waits for the customer, by attention",
            v1::ListDomainsRequest { who: "customer".into(), ..by(v1::ListOrder::ByAttention) },
        ),
        (
            "waits for the customer, by expiry, last",
            v1::ListDomainsRequest { who: "customer".into(), last_page: true, ..by(v1::ListOrder::ByExpiry) },
        ),
        (
            "ends within 10 days, by creation",
            v1::ListDomainsRequest {
                expires_before: Some(proto::to_timestamp(
                    SystemClock.now() + jiff::SignedDuration::from_hours(240),
                )),
                ..by(v1::ListOrder::ByCreation)
            },
        ),
        ("search, rare", words("mer-0765432")),
        ("search, some hundred", words("-00077")),
        ("search, common", words("customer")),
        (
            "search, half and a rare status",
            v1::ListDomainsRequest { search: "shop".into(), ..of(v1::Status::Emergency) },
        ),
        ("search, no match", words("mercust-777")),
        ("search by the end", words(".customer-0765432.com")),
        ("search by the end, common", words(".co.uk")),
        (
            "search by one letter, by expiry",
            v1::ListDomainsRequest { search: "w".into(), ..by(v1::ListOrder::ByExpiry) },
        ),
    ] {
        times(report, what, 100, async |_| {
            let started = Instant::now();
            served.list(&request).await;
            started.elapsed()
        })
        .await;
    }
}

async fn far_down(served: &Served) -> v1::ListDomainsRequest {
    let mut far = v1::ListDomainsRequest { page_size: 1000, ..v1::ListDomainsRequest::default() };
    for _ in 0..FAR_DOWN {
        let token = served.list(&far).await.next_page_token;
        if token.is_empty() {
            break;
        }
        far.page_token = token;
    }
    v1::ListDomainsRequest { page_size: 50, ..far }
}

/// Runs it so often.
pub(crate) async fn times(
    report: &mut Report,
    what: &str,
    often: usize,
    run: impl AsyncFn(usize) -> Duration,
) {
    run(0).await;
    let mut times = Vec::new();
    for number in 0..often {
        times.push(run(number).await);
    }
    report.times(what, times);
}

async fn batch(served: &Served, report: &mut Report) {
    let names = (0..BATCH).map(|number| v1::BatchAddDomainsRequest {
        name: format!("batch{number}.example.com"),
        ..Default::default()
    });
    let started = Instant::now();
    let request = served.signed(futures::stream::iter(names.collect::<Vec<_>>()));
    let mut answers = served.client.clone().batch_add_domains(request).await.unwrap().into_inner();
    let mut told = 0;
    while answers.message().await.unwrap().is_some() {
        told += 1;
    }
    assert_eq!(told, BATCH);
    let rate = BATCH as f64 / started.elapsed().as_secs_f64();
    report.row("BatchAddDomains", &format!("{rate:.0}/s"));
}

/// Makes an admin token; what a call shows of it.
async fn bearer(store: &Store, keys: &SealingKeys, name: &str) -> String {
    let text = api::new_token(&SystemEntropy);
    let mut token = TokenRecord {
        name: name.to_owned(),
        hash: api::hash_token(&text),
        roles: Role::Admin.into(),
        created_at: SystemClock.now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        mac: Vec::new(),
    };
    api::signed::sign_token(keys, &mut token).await.unwrap();
    let mut tx = store.begin("token").await.unwrap();
    tx.insert_token(&token).await.unwrap();
    tx.commit().await.unwrap();
    format!("Bearer {}", &*text)
}

/// From a change to the last of all who watch.
async fn fan_out(served: &Served, report: &mut Report) {
    let position = served.store.position().await.unwrap();
    let (told, mut heard) = mpsc::unbounded_channel();
    for watcher in 0..WATCHERS {
        let request =
            v1::WatchDomainsRequest { after_position: Some(position), ..v1::WatchDomainsRequest::default() };
        let request = served.signed_by(watcher % 2, request);
        let mut changes = served.client.clone().watch_domains(request).await.unwrap().into_inner();
        let told = told.clone();
        tokio::spawn(async move {
            while let Ok(Some(change)) = changes.message().await {
                if told.send(change.domain.unwrap_or_default().name).is_err() {
                    return;
                }
            }
        });
    }
    let mut times = Vec::new();
    for number in 0..CHANGES {
        let name = format!("watched{number}.example.com");
        let started = Instant::now();
        let request = served.signed(v1::AddDomainRequest { name: name.clone(), ..Default::default() });
        served.client.clone().add_domain(request).await.unwrap();
        let mut of = 0;
        while of < WATCHERS {
            of += usize::from(heard.recv().await.unwrap() == name);
        }
        times.push(started.elapsed());
    }
    report.times(&format!("a change to the last of {WATCHERS} who watch"), times);
}
