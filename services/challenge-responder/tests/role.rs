//! The whole role, with the real store and bus: from the stored challenge to the answer on the wire.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use bus_embedded::EmbeddedBus;
use domain::{Domain, DomainName, Event, EventKind, HistoryKind, Order, OrderState};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::{ManualClock, SeededEntropy, open_store, order_key};
use runtime::{Config, Context, Health, Listen, Listeners, Stop};
use store::{Account, Challenge, Entry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const HOST: &str = "shop.example.com";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const ANSWER: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.thumbprint";

struct Running {
    context: Context,
    clock: Arc<ManualClock>,
    address: SocketAddr,
    role: JoinHandle<Result<(), runtime::RoleError>>,
    _folder: TempDir,
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let store = open_store(&path, clock.clone()).await.unwrap();
        let bus = Arc::new(EmbeddedBus::new(store.clone(), clock.clone()));
        let listeners = Listeners::default();
        let address =
            listeners.bind(Listen::ChallengeResponder, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let context = Context {
            config: Arc::new(Config::default()),
            store,
            bus: bus.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            sealing_keys: None,
            stop: Stop::default(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::new(listeners),
        };
        let role = tokio::spawn(challenge_responder::run(context.clone()));
        let stop = context.stop.soft().clone();
        tokio::spawn(async move { bus.run(stop).await });
        Self { context, clock, address, role, _folder: folder }
    }

    /// Stores a challenge as the issuer does; the hint is lost.
    async fn store_challenge(&self) -> Order {
        let Context { store, clock, .. } = &self.context;
        let (now, name) = (clock.now(), name());
        let account = Account {
            id: uuid::Uuid::nil().into(),
            issuer: "test".to_owned(),
            directory_url: "https://ca.example.net/directory".to_owned(),
            sealed_key: Vec::new(),
            url: None,
            created_at: now,
            pending_key: None,
        };
        let order = Order {
            id: uuid::Uuid::nil().into(),
            name: name.clone(),
            revision: 1,
            account: account.id,
            created_at: now,
            state: OrderState::Created { key: order_key() },
        };
        let challenge = Challenge {
            host: name.clone(),
            token: TOKEN.to_owned(),
            key_authorization: ANSWER.to_owned(),
            order: order.id,
            created_at: now,
        };
        let mut tx = store.begin("test").await.unwrap();
        let (domain, entry) = (Domain::added(name, now), Entry::new(HistoryKind::Added, "test", "added"));
        tx.apply(None, &domain, Some(entry)).await.unwrap();
        tx.insert_account(&account).await.unwrap();
        tx.insert_order(&order).await.unwrap();
        tx.put_challenge(&challenge).await.unwrap();
        tx.commit().await.unwrap();
        order
    }

    fn event(&self, kind: EventKind) -> Event {
        let Context { clock, entropy, .. } = &self.context;
        Event { id: domain::EventId::new(&**clock, &**entropy), kind, name: name(), revision: 1 }
    }

    async fn ask(&self) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let path = format!("/.well-known/acme-challenge/{TOKEN}");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn name() -> DomainName {
    DomainName::parse(HOST).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_challenge_is_answered_until_its_order_is_over() {
    let running = Running::start().await;
    assert!(running.ask().await.starts_with("HTTP/1.1 404"));
    let order = running.store_challenge().await;
    assert!(running.ask().await.ends_with(ANSWER));

    let mut tx = running.context.store.begin("test").await.unwrap();
    tx.drop_challenges(order.id).await.unwrap();
    let news = running.event(EventKind::IssueFailed);
    tx.publish(news.kind, &news.name, news.revision);
    tx.commit().await.unwrap();
    // The clock stands still, so only the hint can make the memory forget.
    let forgotten = tokio::time::timeout(Duration::from_secs(20), async {
        while !running.ask().await.starts_with("HTTP/1.1 404") {
            tokio::task::yield_now().await;
        }
    });
    forgotten.await.expect("the answer outlives its order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_within_the_hour_is_answered_without_the_store() {
    let running = Running::start().await;
    running.store_challenge().await;
    assert!(running.ask().await.ends_with(ANSWER));
    running.context.store.close().await;
    running.clock.advance(SignedDuration::from_mins(59));
    assert!(running.ask().await.ends_with(ANSWER));
    running.clock.advance(SignedDuration::from_mins(2));
    assert!(running.ask().await.starts_with("HTTP/1.1 503"), "an hour is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_until_the_hard_stop() {
    let running = Running::start().await;
    running.store_challenge().await;
    running.context.stop.soft().cancel();
    assert!(running.ask().await.ends_with(ANSWER), "an order in hand may need it");
    assert!(running.context.stop.stop().await);
    running.role.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
