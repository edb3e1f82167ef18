//! Calls the API as the signed-in person: every call carries their token, so that the API and its audit log see that
//! person.

use std::path::Path;
use std::time::Duration;

use proto::v1::administration_client::AdministrationClient;
use proto::v1::domains_client::DomainsClient;
use proto::v1::jobs_client::JobsClient;
use proto::v1::notifications_client::NotificationsClient;
use proto::v1::sessions_client::SessionsClient;
use runtime::config::Config;
use runtime::{Current, Process, RoleError, process_proof, show_own_certificate};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use crate::strangers::BROWSER;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Until an answer begins; streams may last.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A certificate for 10 names, a history of a thousand lines: far under this.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A person's bearer token. No `Debug`: it opens everything that the person may do.
#[derive(Clone)]
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// `Domains` as one person.
pub(crate) type Domains = DomainsClient<InterceptedService<Channel, As>>;
/// `Administration` as one person.
pub(crate) type Administration = AdministrationClient<InterceptedService<Channel, As>>;
/// `Jobs` as one person.
pub(crate) type Jobs = JobsClient<InterceptedService<Channel, As>>;
/// `Sessions`, called by a signed-in person or before the sign-in.
pub(crate) type Sessions = SessionsClient<InterceptedService<Channel, As>>;

/// `Notifications` as one person.
pub(crate) type Notifications = NotificationsClient<InterceptedService<Channel, As>>;

/// Adds the caller to every call.
#[derive(Clone)]
pub(crate) struct As {
    bearer: Option<MetadataValue<Ascii>>,
    in_the_background: bool,
    /// Of the browser that made this necessary.
    browser: Option<MetadataValue<Ascii>>,
    /// Of an API in this process.
    proof: Option<MetadataValue<Ascii>>,
}

impl Interceptor for As {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        if self.in_the_background {
            let yes = MetadataValue::from_static("true");
            request.metadata_mut().insert("x-background", yes);
        }
        for (name, value) in [("x-browser-address", &self.browser), ("x-process-proof", &self.proof)] {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        Ok(request)
    }
}

impl As {
    fn new(token: Option<&Token>, in_the_background: bool, proof: Option<MetadataValue<Ascii>>) -> Self {
        let bearer = token.and_then(|token| {
            let header = Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut value: MetadataValue<Ascii> = header.parse().ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let browser = BROWSER.try_with(|browser| browser.address.to_string()).ok();
        let browser = browser.and_then(|address| address.parse().ok());
        Self { bearer, in_the_background, browser, proof }
    }
}

/// The connection to the API; it is made when it is needed, and again after a break.
#[derive(Clone)]
pub(crate) struct Api {
    channels: Current<Channels>,
    proof: Option<MetadataValue<Ascii>>,
}

struct Channels {
    pages: Channel,
    /// Sign-ins do not wait behind pages, nor pages behind sign-ins.
    sign_in: Channel,
}

impl Channels {
    fn new(config: &Config) -> Result<Self, RoleError> {
        let url = url(config);
        let wrong = |error: tonic::transport::Error| RoleError::setting("console.api", error.to_string());
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_while_idle(true);
        if url.starts_with("https://") {
            endpoint = endpoint.tls_config(tls(config)?).map_err(wrong)?;
        }
        Ok(Self { pages: endpoint.connect_lazy(), sign_in: endpoint.connect_lazy() })
    }
}

impl Api {
    /// Connections that are made after a change of the files come with what stands there.
    pub(crate) fn new(process: &Process) -> Result<Self, RoleError> {
        let config = process.config.clone();
        let own = config.api.tls.as_ref().filter(|_| config.console.api.url.is_empty());
        let own = own.map(|tls| tls.certificate_file.clone()).unwrap_or_default();
        let settings = config.console.api.clone();
        let mut files = vec![
            own,
            settings.root_certificate_file,
            settings.client_certificate_file,
            settings.client_key_file.clone(),
        ];
        if !url(&config).starts_with("https://") {
            files.clear();
        }
        let channels = process.reload.keep("console.api", files, move || {
            config.check_secret_file("console.api.client_key_file", &settings.client_key_file)?;
            Channels::new(&config)
        })?;
        // An API elsewhere knows this console by its client certificate.
        let is_own = process.config.console.api.url.is_empty();
        let proof =
            is_own.then(|| process_proof().parse().ok()).flatten().map(|mut proof: MetadataValue<Ascii>| {
                proof.set_sensitive(true);
                proof
            });
        Ok(Self { channels, proof })
    }

    /// As the person of that token.
    pub(crate) fn domains(&self, token: &Token) -> Domains {
        DomainsClient::with_interceptor(self.channels.get().pages.clone(), self.on_behalf(Some(token), false))
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The administration as the person of that token.
    pub(crate) fn administration(&self, token: &Token) -> Administration {
        let channel = self.channels.get().pages.clone();
        AdministrationClient::with_interceptor(channel, self.on_behalf(Some(token), false))
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// As the person of that token.
    pub(crate) fn jobs(&self, token: &Token) -> Jobs {
        JobsClient::with_interceptor(self.channels.get().pages.clone(), self.on_behalf(Some(token), false))
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// As that person, but not because they asked: it keeps no session alive.
    pub(crate) fn domains_in_the_background(&self, token: &Token) -> Domains {
        DomainsClient::with_interceptor(self.channels.get().pages.clone(), self.on_behalf(Some(token), true))
            .max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn notifications(&self, token: &Token) -> Notifications {
        NotificationsClient::with_interceptor(
            self.channels.get().pages.clone(),
            self.on_behalf(Some(token), false),
        )
    }

    pub(crate) fn sessions(&self, token: Option<&Token>) -> Sessions {
        SessionsClient::with_interceptor(self.channels.get().pages.clone(), self.on_behalf(token, false))
    }

    /// For a sign-in.
    pub(crate) fn sign_in(&self) -> Sessions {
        SessionsClient::with_interceptor(self.channels.get().sign_in.clone(), self.on_behalf(None, false))
    }

    fn on_behalf(&self, token: Option<&Token>, in_the_background: bool) -> As {
        As::new(token, in_the_background, self.proof.clone())
    }

    pub(crate) fn sessions_in_the_background(&self, token: &Token) -> Sessions {
        SessionsClient::with_interceptor(self.channels.get().pages.clone(), self.on_behalf(Some(token), true))
    }
}

fn url(config: &Config) -> String {
    let settings = &config.console.api;
    if settings.url.is_empty() { own_url(config) } else { settings.url.clone() }
}

/// The API of the same settings: the address it listens on, or loopback where it listens on all of them.
fn own_url(config: &Config) -> String {
    let mut address = config.api.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

fn tls(config: &Config) -> Result<ClientTlsConfig, RoleError> {
    let settings = &config.console.api;
    let mut tls = ClientTlsConfig::new().with_native_roots();
    if let Some(own) = config.api.tls.as_ref().filter(|_| settings.url.is_empty()) {
        let pem = read(&own.certificate_file, "api.tls.certificate_file")?;
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    if !settings.root_certificate_file.as_os_str().is_empty() {
        let pem = read(&settings.root_certificate_file, "console.api.root_certificate_file")?;
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    if !settings.client_key_file.as_os_str().is_empty() {
        let certificate = read(&settings.client_certificate_file, "console.api.client_certificate_file")?;
        let key = Zeroizing::new(read(&settings.client_key_file, "console.api.client_key_file")?);
        if let Ok(leaf) = CertificateDer::from_pem_slice(&certificate) {
            show_own_certificate(&settings.client_certificate_file, &leaf);
        }
        tls = tls.identity(Identity::from_pem(certificate, &*key));
    }
    if let Some(name) = server_name(config)? {
        tls = tls.domain_name(name);
    }
    Ok(tls)
}

/// The name that is expected in the API's certificate; of the API of the same settings the file says it.
fn server_name(config: &Config) -> Result<Option<String>, RoleError> {
    let settings = &config.console.api;
    if !settings.server_name.is_empty() {
        return Ok(Some(settings.server_name.clone()));
    }
    let Some(api) = config.api.tls.as_ref().filter(|_| settings.url.is_empty()) else {
        return Ok(None);
    };
    let pem = read(&api.certificate_file, "api.tls.certificate_file")?;
    let leaf = CertificateDer::from_pem_slice(&pem)
        .map_err(|error| RoleError::setting("api.tls.certificate_file", error.to_string()))?;
    Ok(x509::alternative_names(&leaf).into_iter().next())
}

fn read(path: &Path, setting: &'static str) -> Result<Vec<u8>, RoleError> {
    std::fs::read(path)
        .map_err(|error| RoleError::setting(setting, format!("cannot read {}: {error}", path.display())))
}
