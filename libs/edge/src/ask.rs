//! One ask of one edge. What comes of it instead of a leaf is said as a part of a sentence, for people.

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

/// The SHA-256 (lower-case hex) of the leaf that an edge serves for a name, or what it shows instead.
pub(crate) async fn leaf(edge: &str, name: &DomainName, tls: Arc<ClientConfig>) -> Result<String, String> {
    let server_name = ServerName::try_from(name.as_str().to_owned())
        .map_err(|_| "nothing: the name does not fit into TLS".to_owned())?;
    let addresses: Vec<_> =
        lookup_host(edge).await.map_err(|error| format!("no address ({error})"))?.collect();
    let connection = TcpStream::connect(&*addresses).await.map_err(|error| no_connection(&error))?;
    let session = TlsConnector::from(tls)
        .connect(server_name, connection)
        .await
        .map_err(|error| no_handshake(&error))?;
    let shown = session.get_ref().1.peer_certificates();
    let leaf = shown.and_then(<[_]>::first).ok_or_else(|| NO_CERTIFICATE.to_owned())?;
    Ok(hex::encode(digest::digest(&digest::SHA256, leaf)))
}

fn no_connection(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => NO_ANSWER_IN_TIME.to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => one_line(&format!("no connection ({error})"), MAX_CHARACTERS),
    }
}

fn no_handshake(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
    match cause {
        Some(Error::AlertReceived(alert)) if means_no_certificate(*alert) => NO_CERTIFICATE.to_owned(),
        Some(Error::InvalidCertificate(CertificateError::BadSignature)) => {
            "a certificate whose key it does not hold".to_owned()
        }
        _ => one_line(&format!("no TLS handshake ({error})"), MAX_CHARACTERS),
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
