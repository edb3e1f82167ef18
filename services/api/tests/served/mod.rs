//! An API on a port of its own, with a store of its own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{Clock, Role};
use proto::v1::domains_client::DomainsClient;
use runtime::{Config, Context, Health, Listen, Listeners, Stop, SystemClock, SystemEntropy};
use seal::SealingKeys;
use store::{Store, TokenRecord};
use store_sqlite::SqliteStore;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub(crate) struct Served {
    pub(crate) client: DomainsClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) context: Context,
    _folder: TempDir,
}

pub(crate) async fn served() -> Served {
    served_with(|_| {}).await
}

pub(crate) async fn served_with(change: impl FnOnce(&mut Config)) -> Served {
    let mut config = Config::default();
    change(&mut config);
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_and_migrate(&folder.path().join("rpc.db"))
        .await
        .unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listeners = Listeners::default();
    let address = listeners
        .bind(Listen::Api, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let context = Context {
        config: Arc::new(config),
        bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
        store,
        clock,
        entropy: Arc::new(SystemEntropy),
        sealing_keys: Some(Arc::new(
            SealingKeys::load_or_create(&folder.path().join("key")).unwrap(),
        )),
        stop: Stop::default(),
        health: Health::default(),
        listeners: Arc::new(listeners),
    };
    tokio::spawn(api::run(context.clone()));
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    Served {
        client: DomainsClient::new(channel.clone()),
        channel,
        context,
        _folder: folder,
    }
}

impl Served {
    pub(crate) async fn token(&self, role: Role, change: impl FnOnce(&mut TokenRecord)) -> String {
        let text = api::new_token(&SystemEntropy);
        let mut record = TokenRecord {
            name: format!("{role}-{}", &text[4..12]),
            hash: api::hash_token(&text),
            role,
            created_at: self.context.clock.now(),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        change(&mut record);
        let mut tx = self.context.store.begin("token").await.unwrap();
        tx.insert_token(&record).await.unwrap();
        tx.commit().await.unwrap();
        text.to_string()
    }
}

pub(crate) fn signed<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The typed reason stands in the details, in the clear bytes of a google.rpc.ErrorInfo.
pub(crate) fn has_reason(status: &Status, reason: &str) -> bool {
    status
        .details()
        .windows(reason.len())
        .any(|window| window == reason.as_bytes())
}
