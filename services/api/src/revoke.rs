//! Revocation: checks the request and runs the command.

use audit::Caller;
use domain::{Action, RevocationReason};
use proto::v1;
use tonic::{Request, Status};

use crate::error::invalid;
use crate::service::{DomainsService, name};

impl DomainsService {
    pub(crate) async fn revoke(
        &self,
        request: Request<v1::RevokeCertificateRequest>,
    ) -> Result<v1::RevokeCertificateResponse, Status> {
        let revoke = async |by: &Caller, asked: v1::RevokeCertificateRequest| {
            let name = name(&asked.name)?;
            let reason = reason(asked.reason())?;
            let sha256 = sha256(&asked.sha256)?;
            let revoking = self.commands.revoke(&name, sha256, reason, by).await?;
            Ok(v1::RevokeCertificateResponse {
                domain: revoking.domain.as_ref().map(|view| self.shown(view)),
                sha256: revoking.sha256,
            })
        };
        self.audited("RevokeCertificate", Action::Revoke, request, |asked| &asked.name, revoke).await
    }
}

fn reason(reason: v1::RevocationReason) -> Result<RevocationReason, Status> {
    match reason {
        v1::RevocationReason::Unspecified => Err(invalid(
            "REVOCATION_REASON_REQUIRED",
            "say why: key compromise, affiliation changed, superseded or cessation of operation",
        )),
        v1::RevocationReason::KeyCompromise => Ok(RevocationReason::KeyCompromise),
        v1::RevocationReason::AffiliationChanged => Ok(RevocationReason::AffiliationChanged),
        v1::RevocationReason::Superseded => Ok(RevocationReason::Superseded),
        v1::RevocationReason::CessationOfOperation => Ok(RevocationReason::CessationOfOperation),
    }
}

/// None for the live certificate.
fn sha256(text: &str) -> Result<Option<&str>, Status> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match text {
        "" => Ok(None),
        text if is_hash => Ok(Some(text)),
        _ => Err(invalid(
            "SHA256_INVALID",
            "sha256 is the 64 lower-case hexadecimal digits that ListCertificates shows, or empty for the live certificate",
        )),
    }
}
