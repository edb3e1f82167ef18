//! One query of one edge. An error is a part of a sentence, for people.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest;
use domain::{DomainName, one_line};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

pub(crate) const NO_ANSWER_IN_TIME: &str = "no answer in time";
/// Of what a connection or handshake failed with.
const MAX_CHARACTERS: usize = 200;
const NO_CERTIFICATE: &str = "no certificate for the name";

/// The error of an edge that served no certificate.
pub(crate) struct NoChain {
    /// As a part of a sentence.
    pub(crate) shows: String,
    /// It gave no answer, so nothing is known of what it serves.
    pub(crate) is_silent: bool,
}

/// The SHA-256 (lower-case hex) of each certificate that an edge serves for a name, the leaf first.
pub(crate) async fn chain(
    edge: &str,
    name: &DomainName,
    tls: Arc<ClientConfig>,
) -> Result<Vec<String>, NoChain> {
    let server_name = ServerName::try_from(name.as_str().to_owned())
        .map_err(|_| NoChain::silent("nothing: the name does not fit into TLS".to_owned()))?;
    let found = lookup_host(edge).await;
    let addresses: Vec<_> =
        found.map_err(|error| NoChain::silent(format!("no address ({error})")))?.collect();
    let connection = TcpStream::connect(&*addresses).await;
    let connection = connection.map_err(|error| NoChain::silent(no_connection(&error)))?;
    let session = TlsConnector::from(tls)
        .connect(server_name, connection)
        .await
        .map_err(|error| no_handshake(&error))?;
    let shown = session.get_ref().1.peer_certificates();
    let shown = shown.filter(|chain| !chain.is_empty());
    let chain = shown.ok_or_else(|| NoChain { shows: NO_CERTIFICATE.to_owned(), is_silent: false })?;
    Ok(chain.iter().map(|der| hex::encode(digest::digest(&digest::SHA256, der))).collect())
}

impl NoChain {
    pub(crate) fn silent(shows: String) -> Self {
        Self { shows, is_silent: true }
    }
}

fn no_connection(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => NO_ANSWER_IN_TIME.to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => one_line(&format!("no connection ({error})"), MAX_CHARACTERS),
    }
}

fn no_handshake(error: &io::Error) -> NoChain {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
    let told = |shows: &str| NoChain { shows: shows.to_owned(), is_silent: false };
    match cause {
        Some(Error::AlertReceived(alert)) if means_no_certificate(*alert) => told(NO_CERTIFICATE),
        Some(Error::InvalidCertificate(CertificateError::BadSignature)) => {
            told("a certificate whose key it does not hold")
        }
        _ => NoChain::silent(one_line(&format!("no TLS handshake ({error})"), MAX_CHARACTERS)),
    }
}

/// RFC 6066 section 3 has an alert for a name that a server does not know; servers send these others, too.
fn means_no_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::UnrecognisedName
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure
    )
}
