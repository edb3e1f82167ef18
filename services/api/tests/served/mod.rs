//! An API on a port of its own, with a store of its own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use bytes::{Buf, BufMut};
use domain::{Clock, Role, Roles};
use jiff::SignedDuration;
use proto::v1::domains_client::DomainsClient;
use runtime::testing::open_store;
use runtime::{Config, Context, Health, Listen, Listeners, Stop, SystemClock, SystemEntropy};
use seal::SealingKeys;
use store::{SessionRecord, TokenRecord, User};
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

pub(crate) struct Served {
    pub(crate) client: DomainsClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) context: Context,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
}

pub(crate) async fn served() -> Served {
    served_with(|_| {}).await
}

pub(crate) async fn served_with(change: impl FnOnce(&mut Config)) -> Served {
    connected(serving(change).await).await
}

async fn connected((context, address, folder): (Context, SocketAddr, TempDir)) -> Served {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    Served { client: DomainsClient::new(channel.clone()), channel, context, address, folder }
}

/// On a clock of the test's own.
pub(crate) async fn served_at(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Served {
    connected(serving_at(clock, change).await).await
}

/// An API, and where it listens.
pub(crate) async fn serving(change: impl FnOnce(&mut Config)) -> (Context, SocketAddr, TempDir) {
    serving_at(Arc::new(SystemClock), change).await
}

async fn serving_at(
    clock: Arc<dyn Clock>,
    change: impl FnOnce(&mut Config),
) -> (Context, SocketAddr, TempDir) {
    let mut config = Config::default();
    change(&mut config);
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(&folder.path().join("rpc.db"), clock.clone()).await.unwrap();
    let listeners = Listeners::default();
    let address = listeners.bind(Listen::Api, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let context = Context {
        config: Arc::new(config),
        bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
        store,
        clock,
        entropy: Arc::new(SystemEntropy),
        sealing_keys: Some(Arc::new(SealingKeys::load_or_create(&folder.path().join("key")).unwrap())),
        stop: Stop::default(),
        health: Health::default(),
        reload: runtime::Reload::default(),
        listeners: Arc::new(listeners),
    };
    tokio::spawn(api::run(context.clone()));
    (context, address, folder)
}

impl Served {
    pub(crate) async fn token(
        &self,
        roles: impl Into<Roles>,
        change: impl FnOnce(&mut TokenRecord),
    ) -> String {
        token(&self.context, roles, change).await
    }

    /// A person of the support team with a password.
    pub(crate) async fn person(&self, name: &str, password: &str) {
        let mut user = User {
            name: name.to_owned(),
            roles: Role::Support.into(),
            password_hash: Some(api::hash_password(password, &SystemEntropy).unwrap()),
            created_at: self.context.clock.now(),
            mac: Vec::new(),
        };
        let keys = self.context.require_sealing_keys().unwrap();
        api::signed::sign_user(&keys, &mut user).await.unwrap();
        let mut tx = self.context.store.begin("person").await.unwrap();
        tx.insert_user(&user).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A person with those roles signed in.
    pub(crate) async fn session(
        &self,
        roles: impl Into<Roles>,
        change: impl FnOnce(&mut SessionRecord),
    ) -> String {
        let roles = roles.into();
        let now = self.context.clock.now();
        let text = api::new_token(&SystemEntropy).replacen("slm_", "sls_", 1);
        let mut user = User {
            name: format!("{roles}-{}", &text[4..12]),
            roles,
            password_hash: Some("$argon2id$".to_owned()),
            created_at: now,
            mac: Vec::new(),
        };
        let keys = self.context.require_sealing_keys().unwrap();
        api::signed::sign_user(&keys, &mut user).await.unwrap();
        let mut session = SessionRecord {
            hash: api::hash_token(&text),
            user: user.name.clone(),
            roles,
            created_at: now,
            used_at: now,
            expires_at: now + SignedDuration::from_hours(1),
            mac: Vec::new(),
        };
        change(&mut session);
        api::signed::sign_session(&keys, &mut session, false).await.unwrap();
        let mut tx = self.context.store.begin("session").await.unwrap();
        tx.insert_user(&user).await.unwrap();
        tx.insert_session(&session).await.unwrap();
        tx.commit().await.unwrap();
        text
    }
}

pub(crate) async fn token(
    context: &Context,
    roles: impl Into<Roles>,
    change: impl FnOnce(&mut TokenRecord),
) -> String {
    let roles = roles.into();
    let text = api::new_token(&SystemEntropy);
    let mut record = TokenRecord {
        name: format!("{roles}-{}", &text[4..12]),
        hash: api::hash_token(&text),
        roles,
        created_at: context.clock.now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        mac: Vec::new(),
    };
    change(&mut record);
    let keys = context.require_sealing_keys().unwrap();
    api::signed::sign_token(&keys, &mut record).await.unwrap();
    let mut tx = context.store.begin("token").await.unwrap();
    tx.insert_token(&record).await.unwrap();
    tx.commit().await.unwrap();
    text.to_string()
}

pub(crate) fn signed<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// Takes messages as the bytes that they are on the wire.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// Sends one message to a method of any kind and waits for the first answer, or the end.
pub(crate) async fn send(
    channel: &Channel,
    method: &str,
    message: Vec<u8>,
    token: Option<&str>,
) -> Result<(), Status> {
    let mut answers = send_all(channel, method, vec![message], token).await?;
    answers.message().await.map(drop)
}

/// Sends messages to a method of any kind; its answers.
pub(crate) async fn send_all(
    channel: &Channel,
    method: &str,
    messages: Vec<Vec<u8>>,
    token: Option<&str>,
) -> Result<Streaming<Vec<u8>>, Status> {
    let mut client = Grpc::new(channel.clone()).max_encoding_message_size(usize::MAX);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(tokio_stream::iter(messages));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
    }
    let path = format!("/sslmanager.v1.{method}").parse().unwrap();
    Ok(client.streaming(request, path, Raw).await?.into_inner())
}

/// The typed reason stands in the details, in the clear bytes of a google.rpc.ErrorInfo.
pub(crate) fn has_reason(status: &Status, reason: &str) -> bool {
    status.details().windows(reason.len()).any(|window| window == reason.as_bytes())
}
