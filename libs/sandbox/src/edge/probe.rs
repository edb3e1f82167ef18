//! Reads the certificate of an edge by real TLS handshakes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::c4::sha256;
use crate::{SandboxError, tls};

/// The leaf that an edge shows for a name, whatever it is; none if the edge has no certificate for the name.
pub async fn served_leaf(
    edge: SocketAddr,
    name: &str,
) -> Result<Option<CertificateDer<'static>>, SandboxError> {
    match connect(edge, name, tls::client_accepting_any()?).await {
        Ok(leaf) => Ok(Some(leaf)),
        Err(SandboxError::Handshake { source, .. }) if is_alert(&source) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lower-case hex SHA-256 of what [`served_leaf`] finds.
pub async fn served_sha256(edge: SocketAddr, name: &str) -> Result<Option<String>, SandboxError> {
    Ok(served_leaf(edge, name).await?.map(|leaf| sha256(&leaf)))
}

/// The leaf that an edge shows for a name; an error unless its chain and name verify against that root, by the
/// system's clock.
pub async fn handshake(
    edge: SocketAddr,
    name: &str,
    root_pem: &str,
) -> Result<CertificateDer<'static>, SandboxError> {
    connect(edge, name, tls::client_trusting(root_pem)?).await
}

async fn connect(
    edge: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> Result<CertificateDer<'static>, SandboxError> {
    let server_name =
        ServerName::try_from(name.to_owned()).map_err(|_| SandboxError::Name(name.to_owned()))?;
    let stream =
        TcpStream::connect(edge).await.map_err(|source| SandboxError::Connect { address: edge, source })?;
    let failed = |source| SandboxError::Handshake { address: edge, name: name.to_owned(), source };
    let stream = TlsConnector::from(Arc::new(config)).connect(server_name, stream).await.map_err(failed)?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
    leaf.map(CertificateDer::into_owned)
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "the edge showed no certificate")))
}

fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}
