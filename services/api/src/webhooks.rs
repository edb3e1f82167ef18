//! The service `sslmanager.v1.Notifications`: endpoints of webhooks and their deliveries, for administrators.
//!
//! The secret of an endpoint is generated here, sealed by the notifier's own key and shown once. The certificates'
//! sealing key does not open it, and the notifier's key opens no certificate key (ADR 0028). The URL is sealed with it
//! and never shown again beyond its host; only to change one of the two is the other opened here.

mod update;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use audit::Caller;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{
    Action, DeliveryState, EndpointId, EndpointState, EventId, NoticeKind, WebhookFormat, printable,
};
use proto::v1::notifications_server::Notifications;
use proto::{to_timestamp, v1};
use rehearsal::{PostAddresses, Poster, Receiver};
use runtime::{Context, notifier_keys};
use seal::{SealingKeys, WebhookTarget};
use store::{DeliveryEvent, Endpoint, StoreError, Tx, WebhookDelivery};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use crate::audited::audited;
use crate::auth::Authenticator;
use crate::error::{error, from_seal, from_store, invalid};
use crate::labels;
use crate::names::named;

/// Limited because each notice is compared with each endpoint.
const MAX_ENDPOINTS: usize = 50;
const MAX_NAME: usize = 60;
const MAX_PAGE: u32 = 200;
const DEFAULT_PAGE: u32 = 50;
const SECRET_BYTES: usize = 32;
const SECRET_PREFIX: &str = "whsec_";

pub(crate) struct NotificationsService {
    context: Context,
    authenticator: Authenticator,
    /// Loaded when the first endpoint is created.
    keys: Mutex<Option<Arc<SealingKeys>>>,
}

impl NotificationsService {
    pub(crate) fn new(context: &Context, authenticator: Authenticator) -> Self {
        Self { context: context.clone(), authenticator, keys: Mutex::default() }
    }

    async fn audited<T, R>(
        &self,
        call: &'static str,
        request: Request<T>,
        subject: impl FnOnce(&T) -> &str,
        work: impl AsyncFnOnce(&Caller, T) -> Result<R, Status>,
    ) -> Result<Response<R>, Status> {
        let who = (&self.context, &self.authenticator);
        audited(who, call, Action::Webhooks, request, subject, work).await.map(Response::new)
    }

    fn keys(&self) -> Result<Arc<SealingKeys>, Status> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*keys {
            return Ok(keys.clone());
        }
        let read = notifier_keys(&self.context.config).map_err(|problem| {
            let sentence = format!("the API cannot seal the secret: {}", runtime::chain(&problem));
            error(Code::FailedPrecondition, "NOTIFIER_KEY_MISSING", sentence)
        })?;
        let read = Arc::new(read);
        *keys = Some(read.clone());
        Ok(read)
    }

    async fn create(
        &self,
        by: &Caller,
        asked: v1::CreateEndpointRequest,
    ) -> Result<v1::CreateEndpointResponse, Status> {
        let id = EndpointId::new(&*self.context.clock, &*self.context.entropy);
        let receiver = self.receiver(&asked.url)?;
        let mut endpoint = self.asked_endpoint(id, by, &asked, receiver.shown())?;
        let target =
            WebhookTarget { url: Zeroizing::new(receiver.as_str().to_owned()), secret: self.new_secret() };
        endpoint.sealed_target = self.sealed(&target, &endpoint).await?;
        let stored = self.context.store.endpoints().await.map_err(|problem| from_store(&problem))?;
        if stored.iter().any(|other| other.name == endpoint.name) {
            return Err(exists(&endpoint.name));
        }
        if stored.len() >= MAX_ENDPOINTS {
            let sentence =
                format!("there are {MAX_ENDPOINTS} endpoints, which is the most: delete one first");
            return Err(error(Code::ResourceExhausted, "TOO_MANY_ENDPOINTS", sentence));
        }
        let stored = async {
            let mut tx = self.context.store.begin("create_endpoint").await?;
            tx.add_endpoint(&endpoint).await?;
            tx.append_audit(by.line(endpoint.created_at, &endpoint.name, audit::OK, &receiver.host()));
            tx.commit().await
        };
        match stored.await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Err(exists(&endpoint.name)),
            Err(problem) => return Err(from_store(&problem)),
        }
        Ok(v1::CreateEndpointResponse { endpoint: Some(shown(&endpoint)), secret: target.secret.to_string() })
    }

    async fn sealed(&self, target: &WebhookTarget, endpoint: &Endpoint) -> Result<Vec<u8>, Status> {
        let sealed = target.seal(&*self.keys()?, (endpoint.id, &endpoint.url)).await;
        sealed.map_err(|problem| from_seal(&problem))
    }

    fn receiver(&self, text: &str) -> Result<Receiver, Status> {
        let config = &self.context.config;
        let addresses = PostAddresses {
            allowed: config.notifier.allow_addresses.clone().into(),
            refused: config.preflight.refuse_addresses.clone().into(),
        };
        url(text, &addresses)
    }

    fn new_secret(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        self.context.entropy.fill(bytes.as_mut());
        Zeroizing::new(format!("{SECRET_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// The endpoint of a request, without its target.
    fn asked_endpoint(
        &self,
        id: EndpointId,
        by: &Caller,
        asked: &v1::CreateEndpointRequest,
        url: String,
    ) -> Result<Endpoint, Status> {
        let name = name(&asked.name)?;
        let labels: BTreeMap<String, String> = labels::wanted_labels(&asked.labels)?.into_iter().collect();
        let format = if asked.format.is_empty() { WebhookFormat::Json } else { format(&asked.format)? };
        let kinds =
            if asked.kinds.is_empty() { NoticeKind::SELECTABLE.to_vec() } else { kinds(&asked.kinds)? };
        Ok(Endpoint {
            id,
            name,
            url,
            sealed_target: Vec::new(),
            kinds,
            labels,
            format,
            digest: !asked.alone,
            state: EndpointState::Enabled,
            state_reason: String::new(),
            created_at: self.context.clock.now(),
            created_by: by.actor.clone(),
            failing_since: None,
            refusing_since: None,
            failures: 0,
            retry_at: None,
            last_error: String::new(),
            delivered_at: None,
        })
    }

    /// Changes an endpoint and writes its audit entry in one transaction; `change` returns its detail, too.
    async fn change<R>(
        &self,
        (by, name): (&Caller, &str),
        change: impl AsyncFnOnce(&mut Tx, Endpoint) -> Result<(R, String), StoreError>,
    ) -> Result<R, Status> {
        let changed = async {
            let mut tx = self.context.store.begin("change_endpoint").await?;
            let Some(endpoint) = tx.endpoint(name).await? else { return Ok(None) };
            let (result, detail) = change(&mut tx, endpoint).await?;
            tx.append_audit(by.line(self.context.clock.now(), name, audit::OK, &detail));
            tx.commit().await?;
            Ok(Some(result))
        };
        changed.await.map_err(|problem: StoreError| from_store(&problem))?.ok_or_else(|| not_found(name))
    }

    async fn test(
        &self,
        by: &Caller,
        asked: v1::TestEndpointRequest,
    ) -> Result<v1::TestEndpointResponse, Status> {
        let Context { clock, entropy, .. } = &self.context;
        let (now, event) = (clock.now(), EventId::new(&**clock, &**entropy));
        let delivery = EventId::new(&**clock, &**entropy);
        let put = async |tx: &mut Tx, endpoint: Endpoint| {
            if endpoint.state != EndpointState::Enabled {
                return Ok((None, String::new()));
            }
            let body = format!(r#"{{"id":"{event}","kind":"test","at":"{now}","subject":""}}"#);
            let event =
                DeliveryEvent { endpoint: endpoint.id, event, delivery, subject: String::new(), body };
            tx.deliver_alone(NoticeKind::Test, event).await?;
            Ok((Some(()), String::new()))
        };
        if self.change((by, &asked.name), put).await?.is_none() {
            let sentence = format!("{} is switched off: enable it first", asked.name);
            return Err(error(Code::FailedPrecondition, "ENDPOINT_OFF", sentence));
        }
        Ok(v1::TestEndpointResponse { delivery: Some(self.shown_delivery(delivery).await?) })
    }

    async fn shown_delivery(&self, id: EventId) -> Result<v1::WebhookDelivery, Status> {
        let found = async {
            let names = names(&self.context.store.endpoints().await?);
            let delivery = self.context.store.delivery(id).await?;
            Ok(delivery.map(|delivery| shown_delivery(&delivery, &names)))
        };
        let found: Result<_, StoreError> = found.await;
        found.map_err(|problem| from_store(&problem))?.ok_or_else(no_delivery)
    }

    async fn list(&self, asked: &v1::ListDeliveriesRequest) -> Result<v1::ListDeliveriesResponse, Status> {
        let store = &self.context.store;
        let endpoints = store.endpoints().await.map_err(|problem| from_store(&problem))?;
        let endpoint = match asked.endpoint.as_str() {
            "" => None,
            name => {
                let found = endpoints.iter().find(|endpoint| endpoint.name == name);
                Some(found.ok_or_else(|| not_found(name))?.id)
            }
        };
        let before = match asked.page_token.as_str() {
            "" => None,
            token => Some(token.parse::<EventId>().map_err(|_| {
                invalid("PAGE_TOKEN_INVALID", "send the next_page_token of the page before, or none")
            })?),
        };
        let size = if asked.page_size == 0 { DEFAULT_PAGE } else { asked.page_size.min(MAX_PAGE) };
        let found = store.deliveries(endpoint, before, size + 1).await;
        let mut found = found.map_err(|problem| from_store(&problem))?;
        let has_more = found.len() > size as usize;
        found.truncate(size as usize);
        let last = found.last().filter(|_| has_more).map(|delivery| delivery.id.to_string());
        let names = names(&endpoints);
        Ok(v1::ListDeliveriesResponse {
            deliveries: found.iter().map(|delivery| shown_delivery(delivery, &names)).collect(),
            next_page_token: last.unwrap_or_default(),
        })
    }

    async fn redeliver(
        &self,
        by: &Caller,
        asked: v1::RedeliverDeliveryRequest,
    ) -> Result<v1::RedeliverDeliveryResponse, Status> {
        let id: EventId = asked.id.parse().map_err(|_| no_delivery())?;
        let done = async {
            let mut tx = self.context.store.begin("redeliver").await?;
            if !tx.redeliver(id).await? {
                return Ok(false);
            }
            tx.append_audit(by.line(self.context.clock.now(), &asked.id, audit::OK, ""));
            tx.commit().await?;
            Ok(true)
        };
        if !done.await.map_err(|problem: StoreError| from_store(&problem))? {
            return Err(no_delivery());
        }
        Ok(v1::RedeliverDeliveryResponse { delivery: Some(self.shown_delivery(id).await?) })
    }
}

#[tonic::async_trait]
impl Notifications for NotificationsService {
    async fn create_endpoint(
        &self,
        request: Request<v1::CreateEndpointRequest>,
    ) -> Result<Response<v1::CreateEndpointResponse>, Status> {
        let work = async |by: &Caller, asked| self.create(by, asked).await;
        self.audited("CreateEndpoint", request, |asked| &asked.name, work).await
    }

    async fn list_endpoints(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        self.authenticator.authorize(&request, Action::Webhooks).await?;
        let endpoints = self.context.store.endpoints().await.map_err(|problem| from_store(&problem))?;
        Ok(Response::new(v1::ListEndpointsResponse { endpoints: endpoints.iter().map(shown).collect() }))
    }

    async fn update_endpoint(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Result<Response<v1::UpdateEndpointResponse>, Status> {
        let work = async |by: &Caller, asked| self.update(by, asked).await;
        self.audited("UpdateEndpoint", request, |asked| &asked.name, work).await
    }

    async fn delete_endpoint(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Result<Response<v1::DeleteEndpointResponse>, Status> {
        let work = async |by: &Caller, asked: v1::DeleteEndpointRequest| {
            let delete = async |tx: &mut Tx, endpoint: Endpoint| {
                Ok((tx.delete_endpoint(endpoint.id).await?, String::new()))
            };
            self.change((by, &asked.name), delete).await?;
            Ok(v1::DeleteEndpointResponse {})
        };
        self.audited("DeleteEndpoint", request, |asked| &asked.name, work).await
    }

    async fn test_endpoint(
        &self,
        request: Request<v1::TestEndpointRequest>,
    ) -> Result<Response<v1::TestEndpointResponse>, Status> {
        let work = async |by: &Caller, asked| self.test(by, asked).await;
        self.audited("TestEndpoint", request, |asked| &asked.name, work).await
    }

    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesResponse>, Status> {
        self.authenticator.authorize(&request, Action::Webhooks).await?;
        self.list(request.get_ref()).await.map(Response::new)
    }

    async fn redeliver_delivery(
        &self,
        request: Request<v1::RedeliverDeliveryRequest>,
    ) -> Result<Response<v1::RedeliverDeliveryResponse>, Status> {
        let work = async |by: &Caller, asked| self.redeliver(by, asked).await;
        self.audited("RedeliverDelivery", request, |asked| &asked.id, work).await
    }
}

fn name(text: &str) -> Result<String, Status> {
    let is_fit = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(is_fit) {
        let sentence = format!("a name has 1 to {MAX_NAME} letters, digits, dots, hyphens and underscores");
        return Err(invalid("ENDPOINT_NAME_INVALID", sentence));
    }
    Ok(text.to_owned())
}

fn url(text: &str, addresses: &PostAddresses) -> Result<Receiver, Status> {
    let bad = |problem: String| invalid("ENDPOINT_URL_INVALID", format!("the URL cannot be used: {problem}"));
    let receiver = Receiver::parse(text).map_err(|problem| bad(problem.to_owned()))?;
    Poster::check(&receiver, addresses).map_err(bad)?;
    Ok(receiver)
}

fn format(text: &str) -> Result<WebhookFormat, Status> {
    text.parse().map_err(|()| invalid("ENDPOINT_FORMAT_INVALID", "format is \"json\" or \"slack\""))
}

fn kinds(words: &[String]) -> Result<Vec<NoticeKind>, Status> {
    let mut kinds = Vec::new();
    for word in words {
        let kind = word.parse().ok().filter(|kind| NoticeKind::SELECTABLE.contains(kind));
        let kind = kind.ok_or_else(|| {
            let all = NoticeKind::SELECTABLE.map(NoticeKind::as_str).join(", ");
            invalid("ENDPOINT_KINDS_INVALID", format!("each kind is one of {all}"))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn exists(name: &str) -> Status {
    let sentence = format!("there is an endpoint {name}: choose another name, or delete it first");
    error(Code::AlreadyExists, "ENDPOINT_EXISTS", sentence)
}

fn not_found(name: &str) -> Status {
    let sentence =
        format!("there is no endpoint named {}: `ssl-manager webhook list` shows all", named(name));
    error(Code::NotFound, "ENDPOINT_NOT_FOUND", sentence)
}

fn no_delivery() -> Status {
    let sentence =
        "there is no delivery of that id that can be sent: `ssl-manager webhook deliveries` shows all";
    error(Code::NotFound, "DELIVERY_NOT_FOUND", sentence)
}

fn names(endpoints: &[Endpoint]) -> BTreeMap<EndpointId, String> {
    endpoints.iter().map(|endpoint| (endpoint.id, endpoint.name.clone())).collect()
}

fn shown(endpoint: &Endpoint) -> v1::WebhookEndpoint {
    let label = |(key, value): (&String, &String)| v1::Label { key: key.clone(), value: value.clone() };
    v1::WebhookEndpoint {
        name: endpoint.name.clone(),
        url: printable(&endpoint.url),
        kinds: endpoint.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        labels: endpoint.labels.iter().map(label).collect(),
        format: endpoint.format.as_str().to_owned(),
        alone: !endpoint.digest,
        state: endpoint.state.as_str().to_owned(),
        state_reason: printable(&endpoint.state_reason),
        created_at: Some(to_timestamp(endpoint.created_at)),
        created_by: printable(&endpoint.created_by),
        failing_since: endpoint.failing_since.or(endpoint.refusing_since).map(to_timestamp),
        last_error: printable(&endpoint.last_error),
        delivered_at: endpoint.delivered_at.map(to_timestamp),
    }
}

fn shown_delivery(delivery: &WebhookDelivery, names: &BTreeMap<EndpointId, String>) -> v1::WebhookDelivery {
    let is_delivered = delivery.state == DeliveryState::Delivered;
    v1::WebhookDelivery {
        id: delivery.id.to_string(),
        endpoint: names.get(&delivery.endpoint).cloned().unwrap_or_default(),
        kind: delivery.kind.as_str().to_owned(),
        events: delivery.events,
        state: delivery.state.as_str().to_owned(),
        created_at: Some(to_timestamp(delivery.created_at)),
        next_attempt_at: delivery.ended_at.is_none().then(|| to_timestamp(delivery.due_at)),
        attempts: delivery.attempts,
        http_status: delivery.http_status.unwrap_or(0),
        last_error: printable(&delivery.last_error),
        delivered_at: delivery.ended_at.filter(|_| is_delivered).map(to_timestamp),
    }
}
