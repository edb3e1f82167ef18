//! Test kit: a store with an endpoint, a receiver, and a clock.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_embedded::EmbeddedBus;
use domain::{Domain, DomainName, EndpointId, EndpointState, Facts, NoticeKind, Reason, WebhookFormat};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::{ManualClock, open_store};
use runtime::{Config, Context, Health, Listeners, Stop, SystemEntropy, notifier_keys};
use seal::WebhookTarget;
use serde_json::Value;
use store::{Endpoint, Store, WebhookDelivery};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Notifier;

pub(super) const SECRET: &str = "whsec_test";

/// What the receiver does with a request.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Behaviour {
    /// Accepts it.
    Takes,
    /// Accepts it, and answers 500.
    Breaks,
    /// Closes the connection.
    IsAway,
    /// It answers 413 to what tells of `bad.example.com`, and takes the rest.
    RefusesBad,
    /// It answers this status to everything.
    Refuses(&'static str),
    /// It takes it, and never answers.
    Hangs,
}

/// A received request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Received {
    pub(super) fn events(&self) -> Vec<String> {
        let events = self.body["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["subject"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let events = self.body["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }
}

pub(super) struct Receiver {
    pub(super) url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(Behaviour::Takes));
        let received = Arc::new(Mutex::new(Vec::new()));
        let (of, into) = (behaviour.clone(), received.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, of.clone(), into.clone()));
            }
        });
        Self { url, behaviour, received }
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The requests received since the last call.
    pub(super) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

async fn answer(mut stream: TcpStream, behaviour: Arc<Mutex<Behaviour>>, into: Arc<Mutex<Vec<Received>>>) {
    let behaviour = *behaviour.lock().unwrap();
    if behaviour == Behaviour::IsAway {
        return;
    }
    let mut bytes = Vec::new();
    let is_bad = loop {
        let mut part = vec![0; 64 * 1024];
        let read = stream.read(&mut part).await.unwrap_or(0);
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if read == 0 {
                return;
            }
            continue;
        };
        let headers: BTreeMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().unwrap();
        if body.len() >= length {
            let (text, body) = (body.to_owned(), serde_json::from_str(body).unwrap());
            let received = Received { headers, text, body };
            let is_bad = received.events().iter().any(|subject| subject == "bad.example.com");
            into.lock().unwrap().push(received);
            break is_bad;
        }
        if read == 0 {
            return;
        }
    };
    let status = match behaviour {
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Breaks => "500 Broken",
        Behaviour::Refuses(status) => status,
        Behaviour::RefusesBad if is_bad => "413 Content Too Large",
        _ => "200 OK",
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

pub(super) struct World {
    pub(super) context: Context,
    pub(super) clock: Arc<ManualClock>,
    pub(super) receiver: Receiver,
    pub(super) notifier: Notifier,
    _folder: TempDir,
}

impl World {
    /// Starts with an endpoint that selects every kind.
    pub(super) async fn start() -> Self {
        let world = Self::without_endpoint(|_| {}).await;
        world.add_endpoint("all", |_| {}).await;
        world
    }

    pub(super) async fn without_endpoint(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start().await;
        let clock = Arc::new(ManualClock::new("2026-12-01T00:00:00Z".parse::<Timestamp>().unwrap()));
        let mut config = Config::default();
        config.notifier.allow_addresses = vec!["127.0.0.1/32".parse().unwrap()];
        config.notifier.sealing_key_file = folder.path().join("notifier.key");
        change(&mut config);
        let store = open_store(&folder.path().join("hooks.db"), clock.clone()).await.unwrap();
        let context = Context {
            config: Arc::new(config),
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            store,
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            sealing_keys: None,
            stop: Stop::default(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::new(Listeners::default()),
        };
        let notifier = Notifier::new(context.clone()).unwrap();
        Self { context, clock, receiver, notifier, _folder: folder }
    }

    pub(super) fn store(&self) -> &Store {
        &self.context.store
    }

    pub(super) async fn add_endpoint(&self, name: &str, change: impl FnOnce(&mut Endpoint)) {
        let id = EndpointId::new(&*self.context.clock, &*self.context.entropy);
        let keys = notifier_keys(&self.context.config).unwrap();
        let url = rehearsal::Receiver::parse(&self.receiver.url).unwrap().shown();
        let target = WebhookTarget::new(self.receiver.url.clone(), SECRET.to_owned());
        let sealed_target = target.seal(&keys, (id, &url)).await.unwrap();
        let mut endpoint = Endpoint {
            id,
            name: name.to_owned(),
            url,
            sealed_target,
            kinds: NoticeKind::SELECTABLE.to_vec(),
            labels: BTreeMap::new(),
            format: WebhookFormat::Json,
            digest: true,
            state: EndpointState::Enabled,
            state_reason: String::new(),
            created_at: self.context.clock.now(),
            created_by: "test".to_owned(),
            failing_since: None,
            refusing_since: None,
            failures: 0,
            retry_at: None,
            last_error: String::new(),
            delivered_at: None,
        };
        change(&mut endpoint);
        let mut tx = self.store().begin("endpoint").await.unwrap();
        tx.add_endpoint(&endpoint).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) async fn endpoint(&self) -> Endpoint {
        self.store().endpoints().await.unwrap().remove(0)
    }

    pub(super) async fn deliveries(&self) -> Vec<WebhookDelivery> {
        self.store().deliveries(None, None, 5000).await.unwrap()
    }

    /// Adds a domain of that customer.
    pub(super) async fn add(&self, label: &str, customer: &str) -> Domain {
        let name: DomainName = format!("{label}.example.com").parse().unwrap();
        let mut domain = Domain::added(name, self.clock_now());
        customer.clone_into(&mut domain.customer_ref);
        let mut tx = self.store().begin("add").await.unwrap();
        tx.apply(None, &domain, None).await.unwrap();
        tx.commit().await.unwrap();
        self.row(&domain.name).await
    }

    pub(super) async fn row(&self, name: &DomainName) -> Domain {
        let mut tx = self.store().begin("row").await.unwrap();
        tx.domain(name).await.unwrap().unwrap()
    }

    pub(super) fn clock_now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Commits a step that changes facts of that domain; returns the domain as stored.
    pub(super) async fn step(&self, domain: &Domain, change: impl FnOnce(&mut Facts)) -> Domain {
        let mut facts = domain.stored_facts().clone();
        change(&mut facts);
        self.becomes(domain, domain.clone().with_stored_facts(facts)).await
    }

    /// Commits a step of that domain; returns the domain as stored.
    pub(super) async fn becomes(&self, domain: &Domain, after: Domain) -> Domain {
        let mut tx = self.store().begin("step").await.unwrap();
        tx.apply(Some(domain), &after, None).await.unwrap();
        tx.commit().await.unwrap();
        self.row(&domain.name).await
    }

    /// An upload of the domain begins to fail.
    pub(super) async fn fails(&self, domain: &Domain) -> Domain {
        let failing = Some(Reason::UploadFailed { detail: "503".to_owned() });
        self.step(domain, |facts| facts.upload_failing = failing).await
    }

    /// The customer has to act.
    pub(super) async fn blocks(&self, domain: &Domain) -> Domain {
        let block = Some(Reason::PortMissing { missing: vec![443] });
        self.step(domain, |facts| facts.block = block).await
    }

    /// Looks until nothing is in flight; returns the received requests.
    pub(super) async fn look(&mut self) -> Vec<Received> {
        for _ in 0..100 {
            self.notifier.look().await.unwrap();
            self.notifier.settle().await;
            if self.store().due_endpoints().await.unwrap().is_empty() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.receiver.take()
    }

    pub(super) async fn look_after(&mut self, after: SignedDuration) -> Vec<Received> {
        self.clock.advance(after);
        self.look().await
    }
}
