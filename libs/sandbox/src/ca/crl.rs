//! The CA's revocation list (RFC 5280 section 5), over plain http as CAs serve it: created for each request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use super::issue::since_epoch;
use super::state::{State, after};
use crate::SandboxError;
use crate::serve::{DroppedConnection, Reply, Request, Server, Service, empty, reply};
use crate::sync::lock;

/// Real lists count for days.
const CRL_VALIDITY: Duration = Duration::from_hours(7 * 24);

/// A certificate on the list.
#[derive(Clone)]
pub(super) struct RevokedEntry {
    pub(super) serial: Vec<u8>,
    pub(super) at: Timestamp,
    pub(super) reason: Option<u8>,
}

/// Serves the list.
pub(super) struct List {
    state: Arc<State>,
    numbers: AtomicU64,
}

impl List {
    /// Listens on a free port, and has certificates point there.
    pub(super) async fn start(
        listen: SocketAddr,
        host: &str,
        state: &Arc<State>,
    ) -> Result<Server, SandboxError> {
        let list = Arc::new(Self { state: state.clone(), numbers: AtomicU64::new(1) });
        let server = Server::start(SocketAddr::new(listen.ip(), 0), None, list).await?;
        state.issuer.set_crl_url(format!("http://{host}:{}/crl", server.address().port()));
        Ok(server)
    }

    fn der(&self) -> Result<Vec<u8>, rcgen::Error> {
        let now = self.state.now();
        let listed = lock(&self.state.counters.listed).clone();
        let revoked = listed.into_iter().map(|RevokedEntry { serial, at, reason }| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: date_time_ymd(1970, 1, 1) + since_epoch(at),
            reason_code: reason.and_then(reason_of),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_epoch(now),
            next_update: date_time_ymd(1970, 1, 1) + since_epoch(after(now, CRL_VALIDITY)),
            crl_number: SerialNumber::from(self.numbers.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.state.issuer.sign_list(&list)
    }
}

impl Service for List {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Reply, DroppedConnection> {
        if request.uri().path() != "/crl" || self.state.knobs.crl_is_down() {
            return Ok(empty(StatusCode::NOT_FOUND));
        }
        Ok(match self.der() {
            Ok(der) => reply(StatusCode::OK, "application/pkix-crl", der),
            Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
        })
    }
}

fn reason_of(number: u8) -> Option<RevocationReason> {
    Some(match number {
        1 => RevocationReason::KeyCompromise,
        3 => RevocationReason::AffiliationChanged,
        4 => RevocationReason::Superseded,
        5 => RevocationReason::CessationOfOperation,
        _ => return None,
    })
}
