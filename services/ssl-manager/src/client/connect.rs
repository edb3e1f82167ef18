//! The connection to the API: endpoint, trust, token.

use std::time::Duration;

use proto::v1::domains_client::DomainsClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::dispatch::Failure;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);
const TOKEN_VARIABLE: &str = "SSL_MANAGER_TOKEN";

/// A client that says who it is.
pub(crate) type Client = DomainsClient<InterceptedService<Channel, Bearer>>;

/// Adds the token to every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub(crate) async fn connect(global: &Global) -> Result<Client, Failure> {
    let url = &global.endpoint;
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| {
            Failure::usage(format!("--endpoint {url:?} is no URL: write http://HOST:PORT or https://…"))
        })?
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE);
    let endpoint = if url.starts_with("https://") {
        let mut tls = ClientTlsConfig::new().with_native_roots();
        if let Some(path) = &global.ca_file {
            let pem = std::fs::read(path).map_err(|error| {
                Failure::usage(format!("--ca-file: cannot read {}: {error}", path.display()))
            })?;
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        endpoint.tls_config(tls).map_err(|error| Failure::usage(format!("--ca-file: {error}")))?
    } else {
        endpoint
    };
    let bearer = bearer(global)?;
    let channel = endpoint.connect().await.map_err(|_| {
        Failure::new(
            "UNAVAILABLE",
            format!("no API answers at {url}: is it running? --endpoint says where it is"),
        )
    })?;
    Ok(DomainsClient::with_interceptor(channel, bearer))
}

/// The token, from its file or the environment; none is sent where there is none, and the server says so.
fn bearer(global: &Global) -> Result<Bearer, Failure> {
    let text = match &global.token_file {
        Some(path) => Some(Zeroizing::new(std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("--token-file: cannot read {}: {error}", path.display()))
        })?)),
        None => std::env::var(TOKEN_VARIABLE).ok().map(Zeroizing::new),
    };
    let Some(text) = text else { return Ok(Bearer(None)) };
    let header = Zeroizing::new(format!("Bearer {}", text.trim()));
    let mut value: MetadataValue<Ascii> =
        header.parse().map_err(|_| Failure::usage("the token has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}
