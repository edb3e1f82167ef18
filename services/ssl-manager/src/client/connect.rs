//! The connection to the API: endpoint, trust, token.

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use proto::v1::domains_client::DomainsClient;
use proto::v1::jobs_client::JobsClient;
use proto::v1::notifications_client;
use runtime::chain;
use tonic::codegen::http::uri::Authority;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::files;
use crate::cli::Global;
use crate::dispatch::CommandError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);
const HTTP: &str = "http://";
const HTTPS: &str = "https://";
const TOKEN_VARIABLE: &str = "SSL_MANAGER_TOKEN";

/// A client that says who it is.
pub(crate) type Client = DomainsClient<InterceptedService<Channel, Bearer>>;

/// The same for webhooks.
pub(crate) type NotificationsClient =
    notifications_client::NotificationsClient<InterceptedService<Channel, Bearer>>;

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

/// The same for jobs.
pub(crate) type Jobs = JobsClient<InterceptedService<Channel, Bearer>>;

/// Connects. Errors: `USAGE` if the endpoint is no URL that can be used; `UNAVAILABLE` with the cause if no server
/// answers there, or not as an API does.
pub(crate) async fn connect(global: &Global) -> Result<Client, CommandError> {
    let (channel, bearer) = channel(global).await?;
    Ok(DomainsClient::with_interceptor(channel, bearer))
}

/// Connects as [`connect`] does, to the service of webhooks.
pub(crate) async fn connect_notifications(global: &Global) -> Result<NotificationsClient, CommandError> {
    let (channel, bearer) = channel(global).await?;
    Ok(notifications_client::NotificationsClient::with_interceptor(channel, bearer))
}

/// Connects, as [`connect`] does, to the service of jobs.
pub(crate) async fn connect_to_jobs(global: &Global) -> Result<Jobs, CommandError> {
    let (channel, bearer) = channel(global).await?;
    Ok(JobsClient::with_interceptor(channel, bearer))
}

async fn channel(global: &Global) -> Result<(Channel, Bearer), CommandError> {
    let url = checked(&global.endpoint)?;
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| no_url(url, &chain(&error)))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE);
    let endpoint = if url.starts_with(HTTPS) {
        let mut tls = ClientTlsConfig::new().with_native_roots();
        if let Some(path) = &global.ca_file {
            tls = tls.ca_certificate(Certificate::from_pem(root(path)?));
        }
        endpoint
            .tls_config(tls)
            .map_err(|error| CommandError::usage(format!("--ca-file: {}", chain(&error))))?
    } else {
        endpoint
    };
    let bearer = bearer(global)?;
    if bearer.0.is_some() && url.starts_with(HTTP) && !endpoint.uri().host().is_some_and(is_loopback) {
        return Err(in_clear(url));
    }
    let channel = endpoint.connect().await.map_err(|error| unreachable(url, &chain(&error)))?;
    Ok((channel, bearer))
}

/// What is wrong with a connection that broke under a call; none where the server itself answered.
pub(crate) fn broken(status: &Status) -> Option<CommandError> {
    let cause = cause(&chain(status.source()?));
    let advice = advice(&cause).unwrap_or("try again; --endpoint says where the API is");
    Some(CommandError::new("UNAVAILABLE", format!("the connection to the API broke ({cause}): {advice}")))
}

/// The URL, if its scheme is one that the API can have.
fn checked(url: &str) -> Result<&str, CommandError> {
    let url = url.trim();
    let told = |what: String| CommandError::usage(format!("--endpoint {url:?} {what}"));
    match url.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() && !rest.starts_with(['/', ':']) => Ok(url),
        Some(("http" | "https", _)) => {
            Err(told("has no host: write http://HOST:PORT or https://HOST:PORT".to_owned()))
        }
        Some((scheme, rest)) => Err(told(format!(
            "has the unknown scheme {scheme:?}: did you mean {}{rest}?",
            likely_scheme(rest)
        ))),
        None if url.is_empty() => {
            Err(told("is empty: write http://HOST:PORT or https://HOST:PORT".to_owned()))
        }
        None => Err(told(format!("has no scheme: did you mean {}{url}?", likely_scheme(url)))),
    }
}

/// The API speaks plain text on loopback only, unless it is told otherwise.
fn likely_scheme(authority: &str) -> &'static str {
    let host = authority.parse::<Authority>();
    if host.is_ok_and(|authority| is_loopback(authority.host())) { HTTP } else { HTTPS }
}

/// Whether what is sent to that host stays on this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn in_clear(url: &str) -> CommandError {
    CommandError::usage(format!(
        "--endpoint {url:?}: over plain http everybody on the way could read the token, so it is sent to this machine \
         only; write https://HOST:PORT (the API's [api.tls])"
    ))
}

fn no_url(url: &str, cause: &str) -> CommandError {
    CommandError::usage(format!(
        "--endpoint {url:?} is no URL ({cause}): write http://HOST:PORT or https://HOST:PORT"
    ))
}

fn unreachable(url: &str, told: &str) -> CommandError {
    let cause = cause(told);
    let advice = advice(&cause).unwrap_or("is it the API? --endpoint says where it is");
    CommandError::new("UNAVAILABLE", format!("no API answers at {url} ({cause}): {advice}"))
}

/// What a library says, without the words that say nothing.
fn cause(told: &str) -> String {
    let cause = ["transport error: ", "client error (Connect): ", "tcp connect error: "]
        .iter()
        .fold(told.to_owned(), |told, words| told.replacen(words, "", 1));
    cause.trim().to_owned()
}

/// What to do about a cause.
fn advice(cause: &str) -> Option<&'static str> {
    const ADVICE: [(&[&str], &str); 9] = [
        (&["Connection refused"], "nothing listens there: is the API running? --endpoint says where it is"),
        (
            &["InvalidContentType", "corrupt message", "WrongVersion"],
            "the server there does not speak TLS: did you mean http:// in --endpoint?",
        ),
        (
            &["UnknownIssuer", "self-signed", "SelfSigned", "CaUsedAsEndEntity"],
            "its certificate is not trusted here: --ca-file FILE names an additional root to trust",
        ),
        (
            &["NotValidForName", "not valid for name"],
            "its certificate is for another name: write the name that it is for in --endpoint",
        ),
        (&["certificate expired", "Expired"], "its certificate has ended: renew it at the API ([api.tls])"),
        (
            &["CertificateRequired", "certificate required", "HandshakeFailure", "BadCertificate"],
            "the API asks for a client certificate, which this client has none of: see api.tls.client_certificate_optional",
        ),
        (
            &["lookup address", "dns error"],
            "the name in --endpoint cannot be resolved: check it, and the network",
        ),
        (
            &["deadline has elapsed", "timed out"],
            "it takes too long to answer: check address, network and firewall",
        ),
        (
            &[
                "frame with invalid size",
                "FRAME_SIZE_ERROR",
                "PROTOCOL_ERROR",
                "connection closed",
                "reset by peer",
                "not a result of an error",
                "broken pipe",
                "Broken pipe",
            ],
            "that is no API, or one that speaks TLS: did you mean https:// in --endpoint? If the API was stopped, start it and try again",
        ),
    ];
    ADVICE.iter().find(|(signs, _)| signs.iter().any(|sign| cause.contains(sign))).map(|(_, advice)| *advice)
}

/// One more root to trust, as PEM, from a file of any form.
fn root(path: &Path) -> Result<String, CommandError> {
    let bytes = files::read(path)?;
    x509::only_certificates(&bytes).ok_or_else(|| {
        CommandError::usage(format!(
            "--ca-file: {} has no readable certificate, or other content too",
            path.display()
        ))
    })
}

/// The token, from its file or the environment; none is sent where there is none, and the server says so.
fn bearer(global: &Global) -> Result<Bearer, CommandError> {
    let text = match &global.token_file {
        Some(path) => Some(files::token(path, global.config.as_deref())?),
        None => std::env::var(TOKEN_VARIABLE).ok().map(Zeroizing::new),
    };
    let Some(text) = text else { return Ok(Bearer(None)) };
    let header = Zeroizing::new(format!("Bearer {}", text.trim()));
    let mut value: MetadataValue<Ascii> =
        header.parse().map_err(|_| CommandError::usage("the token has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_endpoint_says_what_is_wrong_with_it() {
        for fine in ["http://127.0.0.1:50051", "https://ssl.example.net", " http://[::1]:1 "] {
            assert_eq!(checked(fine).expect(fine), fine.trim());
        }
        for (url, told) in [
            ("127.0.0.1:50051", "has no scheme: did you mean http://127.0.0.1:50051?"),
            ("localhost:50051", "did you mean http://localhost:50051?"),
            ("ssl.example.net:50051", "has no scheme: did you mean https://ssl.example.net:50051?"),
            (
                "grpc://ssl.example.net",
                "has the unknown scheme \"grpc\": did you mean https://ssl.example.net?",
            ),
            ("http://", "has no host"),
            ("https:///x", "has no host"),
            ("http://:50051", "has no host"),
            ("", "is empty"),
        ] {
            let failure = format!("{:?}", checked(url).expect_err(url)).replace('\\', "");
            assert!(failure.contains(told), "{told} in {failure}");
        }
    }

    #[test]
    fn loopback_is_this_machine_and_no_name_that_looks_like_it() {
        let host =
            |url: &str| Endpoint::from_shared(url.to_owned()).unwrap().uri().host().unwrap().to_owned();
        for url in ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://LocalHost:1"] {
            assert!(is_loopback(&host(url)), "{url}");
        }
        for url in [
            "http://127.0.0.1.evil.example:1",
            "http://localhost.evil.example",
            "http://127.0.0.1@evil.example:1",
            "http://10.0.0.1:1",
            "http://[::2]:1",
            "http://0.0.0.0:1",
        ] {
            assert!(!is_loopback(&host(url)), "{url}");
        }
    }

    /// Nobody may read it: it is looked at what arrives at an address of this machine that is not loopback.
    #[tokio::test]
    async fn a_token_does_not_leave_this_machine_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "slm_secret").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let endpoint = format!("http://0.0.0.0:{}", listener.local_addr().unwrap().port());
        let global = |token_file| Global {
            config: None,
            output: crate::cli::Output::Table,
            endpoint: endpoint.clone(),
            token_file,
            ca_file: None,
        };
        let refused = connect(&global(Some(token))).await.err().unwrap();
        let refused = format!("{refused:?}");
        assert!(refused.contains("exit: 64") && refused.contains("over plain http"), "{refused}");
        let nothing = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nothing.is_err(), "not even a connection");
    }
}
