//! The server around the service: TLS, health, reflection, limits, and the stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use proto::v1::administration_server::AdministrationServer;
use proto::v1::domains_server::DomainsServer;
use proto::v1::jobs_server::JobsServer;
use proto::v1::notifications_server::NotificationsServer;
use proto::v1::sessions_server::SessionsServer;
use runtime::config::ApiTls;
use runtime::{Accepted, Context, Current, Listen, Listener, RoleError, Stop, show_own_certificate};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use crate::administration::AdministrationService;
use crate::admission::{Admission, MAX_MESSAGE};
use crate::audit_end;
use crate::auth::Authenticator;
use crate::check::Checker;
use crate::commands::Commands;
use crate::guard::GuardLayer;
use crate::jobs::{JobsService, Runner};
use crate::measure::MeasureLayer;
use crate::overview::OverviewCache;
use crate::password::Passwords;
use crate::provider;
use crate::routes::BoundedDomains;
use crate::service::DomainsService;
use crate::sessions::SessionsService;
use crate::webhooks::NotificationsService;

/// A client that wants more at once waits, or opens one more connection.
const MAX_STREAMS_PER_CONNECTION: u32 = 256;
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What a client may send of one body, or of all bodies of a connection, before it is read.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Runs the API until the stop.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("api");
    let tls = context.config.api.tls.as_ref().map(|tls| own_tls(&context, tls)).transpose()?;
    let listener = Listener::new(&context.process(), Listen::Api, tls)?;
    let authenticator = Authenticator::new(&context)?;
    let admission = Admission::new(&context, authenticator.clone());
    let keys = context.require_sealing_keys()?;
    let administration = AdministrationService::new(&context, authenticator.clone(), keys);
    let administration = AdministrationServer::new(administration).max_decoding_message_size(MAX_MESSAGE);
    let notifications = NotificationsService::new(&context, authenticator.clone());
    let notifications = NotificationsServer::new(notifications).max_decoding_message_size(MAX_MESSAGE);
    let Services { domains, jobs, sessions, runner } = services(&context, authenticator)?;
    let health = health(context.stop.clone()).await;
    let mut server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .trace_fn(|request| {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default();
            let span = tracing::info_span!("call", otel.name = method);
            let trace_parent = request.headers().get("traceparent");
            store::continue_trace(&span, trace_parent.and_then(|header| header.to_str().ok()));
            span
        })
        .layer(MeasureLayer)
        .layer(GuardLayer::new(admission));
    // Before the first call, so that no line of a call is older than what is signed.
    audit_end::start(&context, context.require_sealing_keys()?).await;
    runner.start();
    context.health.ok("api");
    let (sender, accepted) = mpsc::channel::<Result<Accepted, Infallible>>(1);
    let hand_over = move |stream| {
        let sender = sender.clone();
        async move {
            // It has no receiver once the server stops.
            let _ = sender.send(Ok(stream)).await;
        }
    };
    let soft = context.stop.soft();
    let accept = listener.serve(soft.clone(), |task| drop(tokio::spawn(task)), hand_over);
    let serve = server
        .add_service(domains)
        .add_service(jobs)
        .add_service(sessions)
        .add_service(administration)
        .add_service(notifications)
        .add_service(health)
        .add_service(reflection(tonic_reflection::server::Builder::build_v1)?)
        .add_service(reflection(tonic_reflection::server::Builder::build_v1alpha)?)
        .serve_with_incoming_shutdown(ReceiverStream::new(accepted), soft.clone().cancelled_owned());
    let ((), ended) = tokio::join!(accept, serve);
    ended.map_err(|source| RoleError::Server { role: "api", source: source.into() })
}

struct Services {
    domains: BoundedDomains,
    jobs: JobsServer<JobsService>,
    sessions: SessionsServer<SessionsService>,
    runner: Runner,
}

fn services(context: &Context, authenticator: Authenticator) -> Result<Services, RoleError> {
    let commands = Commands {
        store: context.store.clone(),
        clock: context.clock.clone(),
        entropy: context.entropy.clone(),
        pre_expiry: context.config.renewal.pre_expiry_days,
        line: None,
    };
    let passwords = Passwords::new(&*context.entropy)
        .map_err(|source| RoleError::Server { role: "api", source: source.into() })?;
    let id_tokens = provider::id_tokens(context)?;
    let keys = context.require_sealing_keys()?;
    let sessions = SessionsService::new(context, authenticator.clone(), passwords, id_tokens, keys.clone());
    let sessions = SessionsServer::new(sessions).max_decoding_message_size(MAX_MESSAGE);
    let runner = Runner::new(context, &commands, &authenticator);
    let jobs = JobsService {
        context: context.clone(),
        authenticator: authenticator.clone(),
        runner: runner.clone(),
    };
    let jobs = JobsServer::new(jobs).max_decoding_message_size(MAX_MESSAGE);
    let service = DomainsService {
        context: context.clone(),
        commands,
        authenticator,
        keys,
        checker: Checker::new(context)?,
        overview: OverviewCache::default(),
    };
    Ok(Services { domains: BoundedDomains::new(service), jobs, sessions, runner })
}

/// `grpc.health.v1`, for clients that choose among copies by it.
async fn health(stop: Stop) -> HealthServer<impl Health> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<DomainsServer<DomainsService>>().await;
    reporter.set_serving::<JobsServer<JobsService>>().await;
    reporter.set_serving::<SessionsServer<SessionsService>>().await;
    reporter.set_serving::<AdministrationServer<AdministrationService>>().await;
    reporter.set_serving::<NotificationsServer<NotificationsService>>().await;
    tokio::spawn(say_that_it_goes(reporter, stop));
    health
}

/// At the drain `grpc.health.v1` says it as `/readyz` does.
async fn say_that_it_goes(reporter: HealthReporter, stop: Stop) {
    stop.drain().cancelled().await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
    reporter.set_not_serving::<DomainsServer<DomainsService>>().await;
    reporter.set_not_serving::<JobsServer<JobsService>>().await;
    reporter.set_not_serving::<SessionsServer<SessionsService>>().await;
    reporter.set_not_serving::<AdministrationServer<AdministrationService>>().await;
    reporter.set_not_serving::<NotificationsServer<NotificationsService>>().await;
}

fn reflection<S>(
    build: impl FnOnce(tonic_reflection::server::Builder<'static>) -> Result<S, tonic_reflection::server::Error>,
) -> Result<S, RoleError> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    build(builder).map_err(|source| RoleError::Server { role: "api", source: source.into() })
}

/// TLS of this port, read again when its files change.
fn own_tls(context: &Context, tls: &ApiTls) -> Result<Current<ServerConfig>, RoleError> {
    let files = vec![tls.certificate_file.clone(), tls.key_file.clone(), tls.client_ca_file.clone()];
    let (config, tls) = (context.config.clone(), tls.clone());
    context.reload.keep("api.tls", files, move || {
        config.check_secret_file("api.tls.key_file", &tls.key_file)?;
        tls_config(&tls)
    })
}

fn tls_config(tls: &ApiTls) -> Result<ServerConfig, RoleError> {
    let identity = tls.identity().map_err(|problems| {
        let told = problems.into_iter().map(|(setting, what)| format!("{setting}: {what}"));
        RoleError::setting("api.tls", told.collect::<Vec<_>>().join("; "))
    })?;
    let wrong = |error: &dyn std::error::Error| RoleError::setting("api.tls", error.to_string());
    let certificates = |pem: &str| -> Result<Vec<CertificateDer<'static>>, RoleError> {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(&error))
    };
    let chain = certificates(&identity.chain_pem)?;
    let leaf = chain.first().cloned();
    let key = PrivateKeyDer::from_pem_slice(identity.private_key_pem.as_bytes());
    let key = key.map_err(|error| wrong(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let client_ca = tls.client_ca_pem().map_err(|(setting, what)| RoleError::setting(setting, what))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(&pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier =
                if tls.client_certificate_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(&error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    if let Some(leaf) = leaf {
        show_own_certificate(&tls.certificate_file, &leaf);
    }
    Ok(config)
}
