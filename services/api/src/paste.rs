//! Reads, checks and seals the input of `ImportCertificate`.

use domain::{CertificateId, CertificateSummary, DomainName, Source};
use proto::v1;
use runtime::Context;
use seal::{Binding, SealError};
use store::Certificate;
use tonic::Status;
use x509::PastedFiles;
use zeroize::Zeroizing;

use crate::error::{from_seal, internal, invalid};
use crate::service::DomainsService;

/// A certificate and its key as they were sent: wiped after use, and without `Debug`.
pub(crate) struct Paste {
    certificate: Vec<u8>,
    private_key: Zeroizing<Vec<u8>>,
    password: Zeroizing<String>,
}

impl Paste {
    /// Takes each of the two as text or as a file. Errors: `INVALID_ARGUMENT` if one is sent as both.
    pub(crate) fn read(asked: v1::ImportCertificateRequest) -> Result<Self, Status> {
        let text = Zeroizing::new(asked.private_key_pem.into_bytes());
        let file = Zeroizing::new(asked.private_key_file);
        let password = Zeroizing::new(asked.password);
        let both = |field: &str| {
            let sentence = format!("send the {field} as text or as a file, not as both");
            Err(invalid("TEXT_AND_FILE", sentence))
        };
        if !asked.certificate_pem.is_empty() && !asked.certificate_file.is_empty() {
            return both("certificate");
        }
        if !text.is_empty() && !file.is_empty() {
            return both("private key");
        }
        let certificate = if asked.certificate_file.is_empty() {
            asked.certificate_pem.into_bytes()
        } else {
            asked.certificate_file
        };
        Ok(Self { certificate, private_key: if file.is_empty() { text } else { file }, password })
    }

    fn files(&self) -> PastedFiles<'_> {
        PastedFiles {
            certificate: &self.certificate,
            private_key: &self.private_key,
            password: &self.password,
        }
    }
}

impl DomainsService {
    /// Checks and seals what was pasted; with the codes of what is worth telling about it.
    pub(crate) async fn pasted(
        &self,
        name: &DomainName,
        paste: Paste,
    ) -> Result<(Certificate, Vec<String>), Status> {
        let Context { clock, entropy, .. } = &self.context;
        let now = clock.now();
        // Opening a PFX may take seconds of computing, so this is no work for an async thread.
        let checked = {
            let name = name.clone();
            tokio::task::spawn_blocking(move || x509::check_files(paste.files(), &name, now)).await
        };
        let pasted = checked
            .map_err(|problem| internal(&problem))?
            .map_err(|problem| invalid(problem.reason(), problem.to_string()))?;
        let id = CertificateId::new(&**clock, &**entropy);
        let public_key = x509::leaf_public_key_sha256(&pasted.chain_pem);
        let public_key = public_key.ok_or_else(|| from_seal(&SealError::Encryption))?;
        let sealed = self.keys.seal(&Binding::certificate(id, name), &public_key, &pasted.pkcs8).await;
        let sealed_key = sealed.map_err(|problem| from_seal(&problem))?;
        let warnings = pasted.warnings.iter().map(|warning| warning.code().to_owned()).collect();
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: pasted.sha256,
                serial: pasted.serial,
                issuer: pasted.issuer,
                not_before: pasted.not_before,
                not_after: pasted.not_after,
                source: Source::Text,
                trust: Some(pasted.trust),
            },
            name: name.clone(),
            revision: 0,
            chain_pem: pasted.chain_pem,
            sealed_key: Some(sealed_key),
            created_at: now,
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        Ok((certificate, warnings))
    }
}
