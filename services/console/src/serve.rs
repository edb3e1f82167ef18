//! Connections: TLS where it is configured, HTTP/1.1 and HTTP/2, and a bound on everything a client can use up.
//!
//! Why not `axum::serve`: it has no limit on the time a client takes for its headers or its handshake.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use runtime::config::ConsoleTls;
use runtime::{RoleError, Stop};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Open connections of one process; each open page keeps one.
const MOST_CONNECTIONS: usize = 4096;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const MOST_HEADER_BYTES: usize = 64 * 1024;
const MOST_STREAMS: u32 = 64;
/// Pause after a failed accept, which means that the process has no file handles left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What speaks TLS; none where there is none to be spoken.
pub(crate) fn acceptor(tls: Option<&ConsoleTls>) -> Result<Option<TlsAcceptor>, RoleError> {
    let Some(tls) = tls else { return Ok(None) };
    let chain: Vec<CertificateDer<'static>> = read(&tls.certificate_file, "console.tls.certificate_file")?;
    let keys: Vec<PrivateKeyDer<'static>> = read(&tls.key_file, "console.tls.key_file")?;
    let [key] = <[_; 1]>::try_from(keys)
        .map_err(|_| RoleError::setting("console.tls.key_file", "must hold exactly one private key"))?;
    let wrong = |error: rustls::Error| RoleError::setting("console.tls", error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn read<T: PemObject>(path: &Path, setting: &'static str) -> Result<Vec<T>, RoleError> {
    let file = std::fs::File::open(path)
        .map_err(|error| RoleError::setting(setting, format!("cannot read {}: {error}", path.display())))?;
    T::pem_reader_iter(BufReader::new(file))
        .collect::<Result<Vec<T>, _>>()
        .map_err(|error| RoleError::setting(setting, format!("{}: {error}", path.display())))
}

/// Serves until the stop; pages in hand are finished.
pub(crate) async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router, stop: &Stop) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stop.soft().cancelled() => None,
        };
        let Some((place, accepted)) = accepted else { break };
        match accepted {
            Ok((stream, _)) => {
                // A page of more than a packet would wait for the browser's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let (acceptor, router, soft) = (acceptor.clone(), router.clone(), stop.soft().clone());
                stop.spawn(async move {
                    match acceptor {
                        None => connection(stream, router, soft).await,
                        Some(acceptor) => {
                            let handshake =
                                tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await;
                            if let Ok(Ok(stream)) = handshake {
                                connection(stream, router, soft).await;
                            }
                        }
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn connection<S>(stream: S, router: Router, stop: tokio_util::sync::CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MOST_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .max_header_list_size(MOST_HEADER_BYTES as u32)
        .max_concurrent_streams(MOST_STREAMS);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error = &*error as &dyn std::error::Error, "connection ended");
    }
}
