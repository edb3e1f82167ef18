//! `DownloadCertificate`: the active certificate and, for authorised callers, its private key.
//!
//! A key is sent as PEM or as a PFX; both need the role and a reason, and are one line in the history and one in the
//! audit log, which are written before the key is sent; a setting can forbid it for all roles. Key, password and PFX
//! are wiped here after use; the copy in the answer belongs to the transport.

use audit::Caller;
use domain::{Action, DomainName, HistoryEntry, HistoryKind, Status as DomainStatus, one_line};
use proto::v1;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use seal::{Binding, SealError};
use store::Certificate;
use tonic::{Code, Request, Status};
use zeroize::Zeroizing;

use crate::error::{error, from_seal, from_store, internal, invalid, not_found};
use crate::pfx::{self, Password};
use crate::service::{DomainsService, name};

const CALL: &str = "DownloadCertificate";
const MAX_REASON: usize = 500;

/// In which forms a private key is asked for, and why.
struct KeyRequest {
    pem: bool,
    /// Asked for with this password.
    pfx: Option<Password>,
    reason: String,
}

impl KeyRequest {
    fn read(asked: &mut v1::DownloadCertificateRequest) -> Result<Self, Status> {
        let password = Zeroizing::new(std::mem::take(&mut asked.pfx_password));
        let reason = one_line(&asked.reason, usize::MAX);
        if reason.is_empty() || reason.len() > MAX_REASON {
            let sentence = format!("say why the key is needed, in at most {MAX_REASON} bytes");
            return Err(invalid("REASON_REQUIRED", sentence));
        }
        let password = asked.include_pfx.then(|| Password::new(password)).transpose();
        Ok(Self {
            pem: asked.include_private_key,
            pfx: password.map_err(|problem| invalid(problem.reason(), problem.to_string()))?,
            reason,
        })
    }

    fn message(&self) -> String {
        let form = match (self.pem, &self.pfx) {
            (_, None) => "",
            (false, Some(_)) => " as a PFX",
            (true, Some(_)) => " as PEM and as a PFX",
        };
        format!("The private key was downloaded{form}: {}", self.reason)
    }
}

/// A private key in the forms that were asked for.
#[derive(Default)]
struct Key {
    pem: Zeroizing<String>,
    pfx: Zeroizing<Vec<u8>>,
}

impl DomainsService {
    pub(crate) async fn download(
        &self,
        request: Request<v1::DownloadCertificateRequest>,
    ) -> Result<v1::DownloadCertificateResponse, Status> {
        let asked = request.get_ref();
        if !asked.include_private_key && !asked.include_pfx {
            self.authenticator.authorize(&request, Action::Read).await?;
            let certificate = self.live_certificate(&name(&asked.name)?).await?;
            return answer(certificate, Key::default());
        }
        let download = async |by: &Caller, asked| self.download_key(by, asked).await;
        self.audited(CALL, Action::ReadKey, request, |asked| &asked.name, download).await
    }

    async fn download_key(
        &self,
        by: &Caller,
        mut asked: v1::DownloadCertificateRequest,
    ) -> Result<v1::DownloadCertificateResponse, Status> {
        let key_request = KeyRequest::read(&mut asked)?;
        if !self.context.config.api.key_downloads {
            let sentence = "downloads of private keys are switched off here: see api.key_downloads";
            return Err(error(Code::FailedPrecondition, "KEY_DOWNLOADS_OFF", sentence));
        }
        let certificate = self.live_certificate(&name(&asked.name)?).await?;
        let message = key_request.message();
        let key = self.private_key(&certificate, key_request).await?;
        self.record(&certificate, by, message).await?;
        answer(certificate, key)
    }

    async fn live_certificate(&self, name: &DomainName) -> Result<Certificate, Status> {
        let store = &self.context.store;
        let view = store.domain(name).await.map_err(|problem| from_store(&problem))?;
        let live = view.ok_or_else(|| not_found(name))?.domain.live();
        let nothing = || {
            let sentence = format!("{name} has no active certificate yet: `domain show` says why");
            error(Code::FailedPrecondition, "NO_CERTIFICATE", sentence)
        };
        let live = live.ok_or_else(nothing)?;
        let certificate =
            store.certificate(name, live.certificate).await.map_err(|problem| from_store(&problem))?;
        certificate.ok_or_else(nothing)
    }

    async fn private_key(&self, certificate: &Certificate, asked: KeyRequest) -> Result<Key, Status> {
        let sealed = certificate.sealed_key.as_ref().ok_or_else(|| {
            error(
                Code::FailedPrecondition,
                "KEY_DESTROYED",
                "the private key was destroyed: generate a new certificate",
            )
        })?;
        let public_key = x509::leaf_public_key_sha256(&certificate.chain_pem);
        let public_key = public_key.ok_or_else(|| from_seal(&SealError::NotAuthentic))?;
        let binding = Binding::certificate(certificate.id(), &certificate.name);
        let pkcs8 = self.keys.unseal(&binding, &public_key, sealed).await;
        let pkcs8 = pkcs8.map_err(|problem| from_seal(&problem))?;
        let mut key = Key::default();
        if asked.pem {
            key.pem = x509::private_key_pem(&pkcs8);
        }
        if let Some(password) = asked.pfx {
            let (alias, chain_pem) = (certificate.name.to_string(), certificate.chain_pem.clone());
            let packing = move || pfx::make(&alias, &pkcs8, &chain_pem, &password);
            let made = tokio::task::spawn_blocking(packing).await;
            key.pfx = made.map_err(|problem| internal(&problem))?.map_err(|problem| internal(&problem))?;
        }
        Ok(key)
    }

    /// The history's line about the download: by whom, and why.
    async fn record(&self, certificate: &Certificate, by: &Caller, message: String) -> Result<(), Status> {
        let now = self.context.clock.now();
        let line = by.line(now, certificate.name.as_str(), audit::OK, &message);
        let recorded = async {
            let mut tx = self.context.store.begin("key_downloaded").await?;
            let status =
                tx.domain(&certificate.name).await?.map_or(DomainStatus::Pending, |domain| domain.recorded);
            tx.append_history(HistoryEntry {
                name: certificate.name.clone(),
                at: now,
                kind: HistoryKind::KeyDownloaded,
                actor: by.actor.clone(),
                status_from: Some(status),
                status_to: status,
                message,
                certificate_sha256: Some(certificate.summary.sha256.clone()),
            });
            tx.append_audit(line);
            tx.commit().await
        };
        recorded.await.map_err(|problem| from_store(&problem))
    }
}

fn answer(certificate: Certificate, mut key: Key) -> Result<v1::DownloadCertificateResponse, Status> {
    Ok(v1::DownloadCertificateResponse {
        certificate: Some((&certificate.summary).into()),
        certificate_pem: leaf_pem(&certificate.chain_pem)?,
        chain_pem: certificate.chain_pem,
        private_key_pem: std::mem::take(&mut *key.pem),
        pfx: std::mem::take(&mut *key.pfx),
    })
}

/// The first certificate of a chain.
fn leaf_pem(chain_pem: &str) -> Result<String, Status> {
    let leaf = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).next();
    match leaf {
        Some(Ok(leaf)) => {
            let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
            Ok(pem::encode_config(&pem::Pem::new("CERTIFICATE", leaf.to_vec()), lines))
        }
        Some(Err(problem)) => Err(internal(&problem)),
        None => Err(error(Code::Internal, "INTERNAL", "the stored chain is empty")),
    }
}
