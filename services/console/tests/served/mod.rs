//! A console before an API, each on a port of its own, with a store, and browsers of people who are signed in.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{Clock, DomainName, Found, HistoryKind, Live, Reason, Role};
use http::HeaderMap;
use proto::v1;
use proto::v1::domains_client::DomainsClient;
use rcgen::{CertificateParams, KeyPair};
use reqwest::redirect::Policy;
use runtime::testing::open_store;
use runtime::{Config, Context, Health, Listen, Listeners, Stop, SystemClock, SystemEntropy};
use seal::SealingKeys;
use store::{Entry, TokenRecord, User};
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::Channel;
use url::form_urlencoded;

pub(crate) const NAME: &str = "shop.example.com";
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Served {
    pub(crate) context: Context,
    pub(crate) page: SocketAddr,
    api: DomainsClient<Channel>,
    token: String,
    _folder: TempDir,
}

pub(crate) async fn served() -> Served {
    served_with(|_| {}).await
}

pub(crate) async fn served_with(change: impl FnOnce(&mut Config)) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pages.db");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(&file, clock.clone()).await.unwrap();
    let listeners = Listeners::default();
    let any = "127.0.0.1:0".parse().unwrap();
    let api = listeners.bind(Listen::Api, any).await.unwrap();
    let page = listeners.bind(Listen::Console, any).await.unwrap();
    let mut config = Config::default();
    config.api.listen = api;
    change(&mut config);
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
    tokio::spawn(console::run(context.process()));
    let channel = Channel::from_shared(format!("http://{api}")).unwrap();
    Served {
        token: token(&context).await,
        api: DomainsClient::new(channel.connect().await.unwrap()),
        context,
        page,
        _folder: folder,
    }
}

async fn token(context: &Context) -> String {
    let text = api::new_token(&SystemEntropy);
    let mut record = TokenRecord {
        name: "test".to_owned(),
        hash: api::hash_token(&text),
        roles: Role::Admin.into(),
        created_at: context.clock.now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        mac: Vec::new(),
    };
    api::signed::sign_token(&context.require_sealing_keys().unwrap(), &mut record).await.unwrap();
    let mut tx = context.store.begin("token").await.unwrap();
    tx.insert_token(&record).await.unwrap();
    tx.commit().await.unwrap();
    text.to_string()
}

/// A certificate for a name, with its key; nobody trusts it.
pub(crate) fn pasted(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl Served {
    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    pub(crate) async fn add(&self, name: &str) {
        let request = v1::AddDomainRequest { name: name.to_owned(), ..Default::default() };
        self.api.clone().add_domain(self.signed(request)).await.unwrap();
    }

    /// A domain with a live certificate that a customer pasted.
    pub(crate) async fn with_live(&self) {
        let (certificate_pem, private_key_pem) = pasted(NAME);
        let request = v1::ImportCertificateRequest {
            name: NAME.to_owned(),
            certificate_pem,
            private_key_pem,
            ..v1::ImportCertificateRequest::default()
        };
        let request = self.signed(request);
        self.api.clone().import_certificate(request).await.unwrap();
        let name = DomainName::parse(NAME).unwrap();
        let store = &self.context.store;
        let work = store.work(&name).await.unwrap();
        let imported = work.iter().find_map(|work| work.certificate).unwrap();
        let certificate = store.certificate(&name, imported).await.unwrap().unwrap();
        let live = Live { certificate: imported, not_after: certificate.summary.not_after };
        self.change(&name, HistoryKind::CertificateUploaded, |domain| domain.uploaded(live).unwrap()).await;
    }

    /// A domain that is not pointed at the CDN.
    pub(crate) async fn block(&self, name: &DomainName) {
        let reason = Reason::NotPointed {
            target: "cdn.example.net".to_owned(),
            addresses: Vec::new(),
            found: Found::Addresses(vec!["203.0.113.7".parse().unwrap()]),
            proxy: None,
        };
        self.change(name, HistoryKind::Blocked, |domain| domain.blocked(reason).unwrap()).await;
    }

    async fn change(
        &self,
        name: &DomainName,
        kind: HistoryKind,
        change: impl FnOnce(domain::Domain) -> domain::Domain,
    ) {
        let mut tx = self.context.store.begin("change").await.unwrap();
        let before = tx.domain(name).await.unwrap().unwrap();
        let after = change(before.clone());
        let entry = Entry::new(kind, "test", "A sentence.");
        tx.apply(Some(&before), &after, Some(entry)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What happened to the domain.
    pub(crate) async fn history(&self) -> Vec<HistoryKind> {
        let name = DomainName::parse(NAME).unwrap();
        let history = self.context.store.history(&name, 100).await.unwrap();
        history.into_iter().map(|entry| entry.kind).collect()
    }

    /// Somebody with that role, signed in.
    pub(crate) async fn browser(&self, role: Role) -> Browser {
        let mut user = User {
            name: format!("ann-{role}"),
            roles: role.into(),
            password_hash: Some(api::hash_password(PASSWORD, &SystemEntropy).unwrap()),
            created_at: self.context.clock.now(),
            mac: Vec::new(),
        };
        let keys = self.context.require_sealing_keys().unwrap();
        api::signed::sign_user(&keys, &mut user).await.unwrap();
        let mut tx = self.context.store.begin("person").await.unwrap();
        tx.insert_user(&user).await.unwrap();
        tx.commit().await.unwrap();
        let mut browser = self.stranger([127, 0, 0, 1]);
        assert_eq!(browser.sign_in(&user.name, PASSWORD).await.status, 303);
        browser
    }

    /// A browser at an address of this machine, before anybody signs in.
    pub(crate) fn stranger(&self, address: [u8; 4]) -> Browser {
        let client = reqwest::Client::builder().redirect(Policy::none()).local_address(IpAddr::from(address));
        let (client, origin) = (client.build().unwrap(), format!("http://{}", self.page));
        Browser { client, origin, cookie: String::new() }
    }

    /// The same browser at another address.
    pub(crate) fn moved(&self, browser: Browser, address: [u8; 4]) -> Browser {
        Browser { cookie: browser.cookie, ..self.stranger(address) }
    }

    /// People who all have one password.
    pub(crate) async fn people(&self, count: usize) -> Vec<String> {
        let hash = api::hash_password(PASSWORD, &SystemEntropy).unwrap();
        let names: Vec<String> = (0..count).map(|number| format!("person-{number}")).collect();
        let keys = self.context.require_sealing_keys().unwrap();
        let mut tx = self.context.store.begin("people").await.unwrap();
        for name in &names {
            let mut user = User {
                name: name.clone(),
                roles: Role::Support.into(),
                password_hash: Some(hash.clone()),
                created_at: self.context.clock.now(),
                mac: Vec::new(),
            };
            api::signed::sign_user(&keys, &mut user).await.unwrap();
            tx.insert_user(&user).await.unwrap();
        }
        tx.commit().await.unwrap();
        names
    }
}

/// What a browser got.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) body: String,
    headers: HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// A browser without script.
pub(crate) struct Browser {
    client: reqwest::Client,
    origin: String,
    cookie: String,
}

impl Browser {
    /// Signs in, and keeps what the page sets.
    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        let entered = self.post("/sign-in", &[("name", name), ("password", password)]).await;
        for set in entered.headers.get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            if !self.cookie.is_empty() {
                self.cookie.push_str("; ");
            }
            self.cookie.push_str(pair);
        }
        entered
    }

    /// The same browser after it looked at a list.
    pub(crate) async fn looking_at(mut self, query: &str) -> Self {
        let list = self.get(&format!("/?{query}")).await;
        let set = list.header("set-cookie").split(';').next().unwrap().to_owned();
        assert!(set.starts_with("list="), "{set}");
        self.cookie = format!("{}; {set}", self.cookie);
        self
    }

    pub(crate) async fn get(&self, address: &str) -> Answer {
        self.answer(self.client.get(format!("{}{address}", self.origin))).await
    }

    /// An answer that may go on for ever.
    pub(crate) async fn open(&self, address: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{address}", self.origin)).header("cookie", &self.cookie);
        request.send().await.unwrap()
    }

    /// Sends a form that no page of ours gave.
    pub(crate) async fn post(&self, address: &str, fields: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .client
            .post(format!("{}{address}", self.origin))
            .header("origin", &self.origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        self.answer(request).await
    }

    /// Sends the form of a page.
    pub(crate) async fn send(&self, page: &str, address: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(page).await;
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").unwrap();
        let (csrf, _) = rest.split_once('"').unwrap();
        let mut fields = fields.to_vec();
        fields.push(("csrf", csrf));
        self.post(address, &fields).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.header("cookie", &self.cookie).send().await.unwrap();
        let headers = answer.headers().clone();
        let location = headers.get("location").map(|to| to.to_str().unwrap().to_owned());
        Answer {
            status: answer.status().as_u16(),
            location: location.unwrap_or_default(),
            headers,
            body: String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned(),
        }
    }
}
