//! Certificates: download (RFC 8555 section 7.4.2), revocation (section 7.6), and wrong ones on request.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use http::StatusCode;
use jiff::Timestamp;
use rcgen::{KeyPair, PublicKey, PublicKeyData};
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use x509_parser::parse_x509_certificate;

use super::ari;
use super::crl::RevokedEntry;
use super::issue::Leaf;
use super::orders::{Order, OrderStatus};
use super::problem::Problem;
use super::request::{Authentic, Signer};
use super::state::{State, after};
use super::{Nonsense, RevokedCertificate};
use crate::serve::{Reply, empty, reply};
use crate::sync::lock;

/// How long after now a certificate begins that cannot be used yet.
const LATER: Duration = Duration::from_hours(48);
/// On a certificate that is for another name than was asked.
const OTHER_NAME: &str = "somebody-else.example";

pub(super) struct Certificate {
    /// RFC 9773 section 4.1.
    pub(super) id: String,
    der: CertificateDer<'static>,
    account: u64,
    pub(super) names: Vec<String>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    key: PublicKey,
    fate: Mutex<CertificateFate>,
}

#[derive(Default)]
struct CertificateFate {
    revoked_at: Option<Timestamp>,
    replaced_by: Option<Arc<Order>>,
    told_window_start: Option<Timestamp>,
}

impl Certificate {
    pub(super) fn revoked_at(&self) -> Option<Timestamp> {
        lock(&self.fate).revoked_at
    }

    /// When the window of ARI begins that the client was told last.
    pub(super) fn told_window_start(&self) -> Option<Timestamp> {
        lock(&self.fate).told_window_start
    }

    pub(super) fn note_told_window_start(&self, start: Timestamp) {
        lock(&self.fate).told_window_start = Some(start);
    }

    /// RFC 9773 section 5: an order may replace a certificate of its account and of at least one of its names.
    pub(super) fn may_be_replaced(
        &self,
        state: &State,
        account: u64,
        names: &[String],
    ) -> Result<(), Problem> {
        if self.account != account {
            return Err(Problem::unauthorized("the replaced certificate is another account's"));
        }
        if !names.iter().any(|name| self.names.contains(name)) {
            return Err(Problem::malformed("the replaced certificate has none of the order's names"));
        }
        lock(&self.fate).must_be_free(state)
    }

    /// For an order that [`Certificate::may_be_replaced`] permits; another one may have come first since.
    pub(super) fn replace_by(&self, state: &State, order: &Arc<Order>) -> Result<(), Problem> {
        let mut fate = lock(&self.fate);
        fate.must_be_free(state)?;
        fate.replaced_by = Some(order.clone());
        Ok(())
    }
}

impl CertificateFate {
    /// RFC 9773 section 5: one order replaces a certificate, but an order that came to nothing does not count.
    fn must_be_free(&self, state: &State) -> Result<(), Problem> {
        match &self.replaced_by {
            Some(earlier) if !matches!(earlier.status(state), OrderStatus::Invalid(_)) => {
                let detail = "the certificate is already replaced by another order";
                Err(Problem::new("alreadyReplaced", StatusCode::CONFLICT, detail))
            }
            _ => Ok(()),
        }
    }
}

/// The certificate that a `replaces` names.
pub(super) fn find(state: &State, id: &str) -> Result<Arc<Certificate>, Problem> {
    if !ari::is_certificate_identifier(id) {
        return Err(Problem::malformed("replaces is no certificate identifier of RFC 9773"));
    }
    state.certificates.get(&id.to_owned()).ok_or_else(|| Problem::not_found("certificate to replace"))
}

pub(super) fn issue(
    state: &State,
    account: u64,
    names: &[String],
    key: PublicKey,
    lifetime: Duration,
) -> Result<Arc<Certificate>, rcgen::Error> {
    let Leaf { id, der, not_before, not_after } = state.issuer.sign(names, &key, state.now(), lifetime)?;
    let certificate = Arc::new(Certificate {
        id,
        der,
        account,
        names: names.to_owned(),
        not_before,
        not_after,
        key,
        fate: Mutex::default(),
    });
    state.certificates.insert(certificate.id.clone(), certificate.clone());
    state.counters.certificates.fetch_add(1, Ordering::Relaxed);
    state.ledger.certificate_issued(account, names);
    Ok(certificate)
}

pub(super) fn certificate(state: &State, request: &Authentic, id: &str) -> Result<Reply, Problem> {
    let certificate =
        state.certificates.get(&id.to_owned()).ok_or_else(|| Problem::not_found("certificate"))?;
    if certificate.account != request.account()?.id {
        return Err(Problem::unauthorized("the certificate is another account's"));
    }
    request.must_be_post_as_get()?;
    Ok(chain(state, &certificate.der))
}

fn chain(state: &State, leaf: &CertificateDer<'_>) -> Reply {
    let chain = format!("{}{}", pem(leaf), state.issuer.intermediate_pem());
    reply(StatusCode::OK, "application/pem-certificate-chain", chain)
}

fn pem(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let body = BASE64_STANDARD.encode(der);
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// A well-formed chain that is not what was ordered.
pub(super) fn wrong_chain(state: &State, id: &str, nonsense: Nonsense) -> Option<Reply> {
    let certificate = state.certificates.get(&id.to_owned())?;
    let lifetime = Duration::try_from(certificate.not_after.duration_since(certificate.not_before)).ok()?;
    let sign = |names: &[String], key: &dyn PublicKeyData| {
        state.issuer.sign(names, &key, certificate.not_before, lifetime)
    };
    let own_key: &dyn PublicKeyData = &certificate.key;
    let leaf = match nonsense {
        Nonsense::Shuffled => return Some(shuffled(state, &certificate.der)),
        Nonsense::AddedName => {
            let added = certificate.names.iter().map(|name| format!("www.{name}"));
            sign(&certificate.names.iter().cloned().chain(added).collect::<Vec<_>>(), own_key)
        }
        Nonsense::Later => {
            let begins = after(certificate.not_before, LATER);
            state.issuer.sign(&certificate.names, &own_key, begins, lifetime)
        }
        Nonsense::OtherKey => sign(&certificate.names, &KeyPair::generate().ok()?),
        Nonsense::OtherName => sign(&[OTHER_NAME.to_owned()], &certificate.key),
        Nonsense::TruncatedJson | Nonsense::Html | Nonsense::HugeBody => return None,
    };
    Some(chain(state, &leaf.ok()?.der))
}

/// The chain in no order, with a stranger in it.
fn shuffled(state: &State, leaf: &CertificateDer<'_>) -> Reply {
    let (root, intermediate) = (state.issuer.root_pem(), state.issuer.intermediate_pem());
    let stranger = super::issue::stranger().unwrap_or_default();
    let chain =
        format!("{stranger}{root}{}{intermediate}", pem(leaf)).replace('\r', "").replace('\n', "\r\n");
    reply(StatusCode::OK, "application/pem-certificate-chain", chain)
}

#[derive(Deserialize)]
struct Revocation {
    certificate: String,
    reason: Option<u8>,
}

pub(super) fn revoke_cert(state: &State, request: &Authentic) -> Result<Reply, Problem> {
    let revocation: Revocation = request.payload()?;
    let der = BASE64_URL_SAFE_NO_PAD.decode(&revocation.certificate);
    let der = der.map_err(|_| Problem::malformed("the certificate is not base64url"))?;
    let certificate = ari::identifier_of(&der).and_then(|id| state.certificates.get(&id));
    let certificate = certificate
        .filter(|certificate| *certificate.der == *der)
        .ok_or_else(|| Problem::not_found("certificate"))?;
    let may_revoke = match &request.signer {
        Signer::Account(account) => {
            account.id == certificate.account || holds_all(state, account.id, &certificate)
        }
        Signer::Key(key) => key.point() == certificate.key.der_bytes(),
    };
    if !may_revoke {
        return Err(Problem::unauthorized("neither the account nor the key may revoke that certificate"));
    }
    // RFC 5280 section 5.3.1; 7 is unused, and an ACME client has no business with 2, 6, 8 and 10.
    if !matches!(revocation.reason, None | Some(0 | 1 | 3 | 4 | 5 | 9)) {
        let detail = "that reason is not accepted";
        return Err(Problem::new("badRevocationReason", StatusCode::BAD_REQUEST, detail));
    }
    let mut fate = lock(&certificate.fate);
    if fate.revoked_at.is_some() {
        let detail = "the certificate is already revoked";
        return Err(Problem::new("alreadyRevoked", StatusCode::BAD_REQUEST, detail));
    }
    fate.revoked_at = Some(state.now());
    if let Some((serial, _)) = serial_and_authority(&der) {
        let listed = RevokedEntry { serial, at: state.now(), reason: revocation.reason };
        lock(&state.counters.listed).push(listed);
    }
    lock(&state.counters.revoked).push(RevokedCertificate {
        names: certificate.names.clone(),
        sha256: crate::c4::sha256(&der),
        reason: revocation.reason,
    });
    Ok(empty(StatusCode::OK))
}

/// Whether the account is authorized for every name of the certificate.
fn holds_all(state: &State, account: u64, certificate: &Certificate) -> bool {
    let Some(account) = state.accounts.get(account) else {
        return false;
    };
    certificate.names.iter().all(|name| {
        let authorization = lock(&account.authorized).get(name).cloned();
        authorization.is_some_and(|authorization| authorization.is_valid(state))
    })
}

/// Serial number and authority key identifier, each as DER content.
pub(super) fn serial_and_authority(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    use x509_parser::extensions::ParsedExtension;
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let authority =
        certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                authority.key_identifier.as_ref().map(|identifier| identifier.0.to_vec())
            }
            _ => None,
        })?;
    Some((certificate.tbs_certificate.raw_serial().to_vec(), authority))
}
