//! The server around the service: TLS, health, reflection, limits, and the stop.

use std::time::Duration;

use proto::v1::domains_server::DomainsServer;
use proto::v1::sessions_server::SessionsServer;
use runtime::config::ApiTls;
use runtime::{Context, Listen, RoleError};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::auth::Authenticator;
use crate::check::Checker;
use crate::commands::Commands;
use crate::guard::GuardLayer;
use crate::overview::OverviewCache;
use crate::password::Passwords;
use crate::provider;
use crate::service::DomainsService;
use crate::sessions::SessionsService;

/// Far over what any call needs, so that who pastes too much is told so and not only cut off.
const MOST_MESSAGE_BYTES: usize = 12 * 1024 * 1024;
const MOST_SESSION_BYTES: usize = 64 * 1024;
/// A client that wants more at once waits, or opens one more connection.
const MOST_STREAMS_PER_CONNECTION: u32 = 256;
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Runs the API until the stop.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("api");
    let listener = context.listeners.take(Listen::Api)?;
    let commands = Commands {
        store: context.store.clone(),
        clock: context.clock.clone(),
        entropy: context.entropy.clone(),
        pre_expiry: context.config.renewal.pre_expiry_days,
    };
    let authenticator = Authenticator::new(&context);
    let passwords = Passwords::new(&*context.entropy)
        .map_err(|source| RoleError::Server { role: "api", source: source.into() })?;
    let id_tokens = provider::id_tokens(&context)?;
    let sessions = SessionsService::new(&context, authenticator.clone(), passwords, id_tokens);
    let sessions = SessionsServer::new(sessions).max_decoding_message_size(MOST_SESSION_BYTES);
    let keys = context.require_sealing_keys()?;
    let service = DomainsService {
        context: context.clone(),
        commands,
        authenticator,
        keys,
        checker: Checker::new(&context)?,
        overview: OverviewCache::default(),
    };
    let domains = DomainsServer::new(service).max_decoding_message_size(MOST_MESSAGE_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<DomainsServer<DomainsService>>().await;
    reporter.set_serving::<SessionsServer<SessionsService>>().await;

    let mut server = Server::builder()
        .max_concurrent_streams(MOST_STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .trace_fn(|request| {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default();
            let span = tracing::info_span!("call", otel.name = method);
            let trace_parent = request.headers().get("traceparent");
            store::continue_trace(&span, trace_parent.and_then(|header| header.to_str().ok()));
            span
        })
        .layer(GuardLayer::new());
    if let Some(tls) = &context.config.api.tls {
        server = server
            .tls_config(tls_config(tls)?)
            .map_err(|error| RoleError::setting("api.tls", error.to_string()))?;
    }
    context.health.ok("api");
    server
        .add_service(domains)
        .add_service(sessions)
        .add_service(health)
        .add_service(reflection(tonic_reflection::server::Builder::build_v1)?)
        .add_service(reflection(tonic_reflection::server::Builder::build_v1alpha)?)
        .serve_with_incoming_shutdown(
            // An answer of more than a packet would wait some 40 ms for the client's delayed acknowledgement.
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            context.stop.soft().clone().cancelled_owned(),
        )
        .await
        .map_err(|source| RoleError::Server { role: "api", source: source.into() })
}

fn reflection<S>(
    build: impl FnOnce(tonic_reflection::server::Builder<'static>) -> Result<S, tonic_reflection::server::Error>,
) -> Result<S, RoleError> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    build(builder).map_err(|source| RoleError::Server { role: "api", source: source.into() })
}

fn tls_config(tls: &ApiTls) -> Result<ServerTlsConfig, RoleError> {
    let identity = tls.identity().map_err(|problems| {
        let told = problems.into_iter().map(|(setting, what)| format!("{setting}: {what}"));
        RoleError::setting("api.tls", told.collect::<Vec<_>>().join("; "))
    })?;
    let identity = Identity::from_pem(identity.chain_pem, &*identity.private_key_pem);
    let config = ServerTlsConfig::new().identity(identity);
    match tls.client_ca_pem().map_err(|(setting, what)| RoleError::setting(setting, what))? {
        None => Ok(config),
        Some(roots) => Ok(config
            .client_ca_root(Certificate::from_pem(roots))
            .client_auth_optional(tls.client_certificate_optional)),
    }
}
