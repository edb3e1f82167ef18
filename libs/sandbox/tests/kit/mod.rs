//! What the tests share: a client for the CA, a challenge responder, and an issuance in one call.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, CertificateIdentifier,
    ChallengeType, Error, ExternalAccountKey, HttpClient, Identifier, NewAccount, NewOrder, Order,
    OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::Der;
use sandbox::{Ca, World, WorldOptions};
use serde_json::{Value, json};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::ParsedExtension;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A world, somebody who answers challenges in it, and an account at its CA.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) responder: Responder,
    pub(crate) acme: AcmeHttp,
    pub(crate) account: Account,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(WorldOptions::default()).await
    }

    pub(crate) async fn with(options: WorldOptions) -> Self {
        let world = World::start(options).await.unwrap();
        let responder = Responder::start().await;
        world.edge.control().set_challenge_upstream(responder.address);
        let acme = AcmeHttp::trusting(&world.ca.api_root_pem());
        let (account, _) = create_account(&world.ca, &acme, None).await.unwrap();
        Self { world, responder, acme, account }
    }

    /// Orders, proves control and finalizes.
    pub(crate) async fn issue(&self, name: &str) -> Result<Issued, Error> {
        let identifiers = [Identifier::Dns(name.to_owned())];
        self.issue_as(&NewOrder::new(&identifiers)).await
    }

    pub(crate) async fn issue_as(&self, order: &NewOrder<'_>) -> Result<Issued, Error> {
        let names: Vec<_> =
            order.identifiers().iter().map(|name| name.authorized(false).to_string()).collect();
        let mut order = self.account.new_order(order).await?;
        self.authorize(&mut order).await?;
        let (csr, key_pem) = csr(&names);
        until(&mut order, |status| status != OrderStatus::Pending).await?;
        order.finalize_csr(&csr).await?;
        until(&mut order, |status| status != OrderStatus::Processing).await?;
        let chain_pem = order.certificate().await?.ok_or(Error::Str("no certificate"))?;
        Ok(Issued { chain_pem, key_pem })
    }

    /// Puts the key authorizations where the edge forwards to, and says so to the CA.
    pub(crate) async fn authorize(&self, order: &mut Order) -> Result<(), Error> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization.challenge(ChallengeType::Http01).unwrap();
            let name = challenge.identifier().to_string();
            self.responder.put(&name, &challenge.token, challenge.key_authorization().as_str());
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// The error type and detail of the challenge of an order that failed.
    pub(crate) async fn challenge_error(&self, order: &mut Order) -> (String, String) {
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.unwrap().unwrap();
        authorization.refresh().await.unwrap();
        let error = authorization.challenges[0].error.clone().unwrap();
        (error.r#type.unwrap(), error.detail.unwrap())
    }

    /// Tries to get a certificate, and says why the challenge failed.
    pub(crate) async fn failure(&self, name: &str) -> (String, String) {
        let mut order = self.order(name).await;
        self.authorize(&mut order).await.unwrap();
        until(&mut order, |status| status == OrderStatus::Invalid).await.unwrap();
        self.challenge_error(&mut order).await
    }

    pub(crate) async fn order(&self, name: &str) -> Order {
        self.account.new_order(&NewOrder::new(&[Identifier::Dns(name.to_owned())])).await.unwrap()
    }
}

pub(crate) struct Issued {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

/// The identifier of RFC 9773.
pub(crate) fn certificate_id(issued: &Issued) -> CertificateIdentifier<'static> {
    let der = leaf(&issued.chain_pem);
    let (_, certificate) = parse_x509_certificate(&der).unwrap();
    let authority = certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
            _ => None,
        })
        .unwrap();
    CertificateIdentifier::new(
        Der::from_slice(authority.0),
        Der::from_slice(certificate.tbs_certificate.raw_serial()),
    )
    .into_owned()
}

/// Asks for the order until its status is such; gives up after [`TIMEOUT`].
pub(crate) async fn until(order: &mut Order, done: impl Fn(OrderStatus) -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + TIMEOUT;
    while !done(order.refresh().await?.status) {
        assert!(Instant::now() < deadline, "the order never got there: {:?}", order.state().status);
    }
    Ok(())
}

pub(crate) async fn create_account(
    ca: &Ca,
    acme: &AcmeHttp,
    eab: Option<&ExternalAccountKey>,
) -> Result<(Account, AccountCredentials), Error> {
    let account = NewAccount {
        contact: &["mailto:ssl@example.net"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_http(Box::new(acme.clone()));
    builder.create(&account, ca.directory_url(), eab).await
}

/// A CSR and its key.
pub(crate) fn csr(names: &[String]) -> (Vec<u8>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    (params.serialize_request(&key).unwrap().der().to_vec(), key.serialize_pem())
}

pub(crate) fn problem_type(error: &Error) -> &str {
    match error {
        Error::Api(problem) => problem.r#type.as_deref().unwrap_or_default(),
        _ => panic!("no problem document: {error:?}"),
    }
}

/// Speaks to the CA's API and remembers the last POST, and the Retry-After of the last answer.
#[derive(Clone)]
pub(crate) struct AcmeHttp {
    pub(crate) client: reqwest::Client,
    pub(crate) last: Arc<Mutex<Option<(String, Bytes)>>>,
    retry_after: Arc<Mutex<Option<String>>>,
}

impl AcmeHttp {
    pub(crate) fn trusting(root_pem: &str) -> Self {
        Self { client: https_client(root_pem), last: Arc::default(), retry_after: Arc::default() }
    }

    /// Seconds, of the last answer.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after.lock().unwrap().as_ref()?.parse().ok()
    }

    /// Sends the last POST again, unchanged.
    pub(crate) async fn replay(&self) -> (StatusCode, Value) {
        let (url, body) = self.last.lock().unwrap().clone().unwrap();
        let answer = self.client.post(url).header("content-type", "application/jose+json").body(body);
        let answer = answer.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

pub(crate) fn https_client(root_pem: &str) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(root_pem.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([root]).timeout(TIMEOUT).no_proxy().build().unwrap()
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let body = body.to_bytes();
            if head.method == http::Method::POST {
                *this.last.lock().unwrap() = Some((head.uri.to_string(), body.clone()));
            }
            let request = http::Request::from_parts(head, body);
            let request = reqwest::Request::try_from(request).map_err(|error| Error::Other(error.into()))?;
            let answer = this.client.execute(request).await.map_err(|error| Error::Other(error.into()))?;
            let retry_after = answer.headers().get("retry-after");
            *this.retry_after.lock().unwrap() = retry_after.map(|wait| wait.to_str().unwrap().to_owned());
            Ok(BytesResponse::from(http::Response::<reqwest::Body>::from(answer)))
        })
    }
}

/// Answers challenges for exactly the name and token that were put.
#[derive(Clone)]
pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    answers: Answers,
}

type Answers = Arc<Mutex<HashMap<(String, String), String>>>;

impl Responder {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Answers::default();
        let router = Router::new()
            .route(
                "/.well-known/acme-challenge/{token}",
                axum::routing::get(async |answers, token, headers| Self::answer(answers, token, &headers)),
            )
            .with_state(answers.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, answers }
    }

    pub(crate) fn put(&self, name: &str, token: &str, answer: &str) {
        self.answers.lock().unwrap().insert((name.to_owned(), token.to_owned()), answer.to_owned());
    }

    fn answer(
        State(answers): State<Answers>,
        Path(token): Path<String>,
        headers: &HeaderMap,
    ) -> Result<String, StatusCode> {
        let host = headers["host"].to_str().unwrap();
        let name = host.split(':').next().unwrap().to_owned();
        answers.lock().unwrap().get(&(name, token)).cloned().ok_or(StatusCode::NOT_FOUND)
    }
}

/// Speaks to C4.
pub(crate) struct C4Http {
    client: reqwest::Client,
    base_url: String,
    pub(crate) token: String,
}

impl C4Http {
    pub(crate) fn of(c4: &sandbox::C4) -> Self {
        let client = match c4.root_pem() {
            Some(root_pem) => https_client(&root_pem),
            None => reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        Self { client, base_url: c4.base_url(), token: c4.token().to_owned() }
    }

    pub(crate) async fn get(&self, name: &str) -> (u16, Value) {
        self.send(self.client.get(self.url(name))).await.unwrap()
    }

    pub(crate) async fn put(&self, name: &str, key: &str, body: &Value) -> (u16, Value) {
        self.try_put(name, key, body).await.unwrap()
    }

    pub(crate) async fn try_put(&self, name: &str, key: &str, body: &Value) -> reqwest::Result<(u16, Value)> {
        let url = format!("{}/certificate", self.url(name));
        self.send(self.client.put(url).header("idempotency-key", key).json(body)).await
    }

    pub(crate) async fn delete(&self, name: &str, revision: i64) -> (u16, Value) {
        let url = format!("{}/certificate?revision={revision}", self.url(name));
        self.send(self.client.delete(url)).await.unwrap()
    }

    fn url(&self, name: &str) -> String {
        format!("{}/v1/domains/{name}", self.base_url)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

/// The body of an upload.
pub(crate) fn upload(issued: &Issued, sha256: &str, revision: i64) -> Value {
    json!({
        "certificate_pem": issued.chain_pem,
        "private_key_pem": issued.key_pem,
        "sha256": sha256,
        "source": "c4",
        "revision": revision,
    })
}

pub(crate) fn sha256_of_leaf(chain_pem: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf(chain_pem)))
}

pub(crate) fn leaf(chain_pem: &str) -> Vec<u8> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(chain_pem.as_bytes()).unwrap().to_vec()
}
