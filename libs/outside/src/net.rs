//! Serving HTTP, plain or over TLS, with connections that can be cut before the answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::SandboxError;

/// An answer with this extension is not sent: the request took effect, and the connection is closed.
#[derive(Clone, Copy)]
pub(crate) struct DropAnswer;

/// Marks an answer as one that gets lost.
pub(crate) fn dropped(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(DropAnswer);
    response
}

pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let failed = |source| SandboxError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until `stop`; with `tls`, over TLS.
pub(crate) fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            let _ = stream.set_nodelay(true);
            let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => connection(stream, router, stop).await,
                    Some(acceptor) => {
                        // A client that does not like our certificate is its own business.
                        if let Ok(stream) = acceptor.accept(stream).await {
                            connection(stream, router, stop).await;
                        }
                    }
                }
            });
        }
    });
}

async fn connection<S>(stream: S, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let answered: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            let Ok(response) = answered;
            if response.extensions().get::<DropAnswer>().is_some() {
                return Err(std::io::Error::other("the answer is lost on purpose"));
            }
            Ok(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = served => {}
        () = stop.cancelled() => {}
    }
}

/// A root and a certificate for localhost signed by it, for an API of the sandbox.
pub(crate) fn api_identity(name: &str) -> Result<(String, Arc<ServerConfig>), SandboxError> {
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name
        .push(DnType::CommonName, format!("{name} API root"));
    let root_pem = root.self_signed(&root_key)?.pem();
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?
        .signed_by(&key, &Issuer::from_params(&root, &root_key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf)],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )?;
    Ok((root_pem, Arc::new(config)))
}
