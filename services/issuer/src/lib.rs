//! The issuer: preflight, ACME orders, private keys.
//!
//! It takes `certificate-requested` hints, claims the work, and runs each issuance as one async function
//! (`issuance`) that journals every step before the call it prepares. It hands over to the uploader by
//! storing the certificate; it never talks to C4 beyond asking for a domain.

mod issuance;
mod journal;
mod keys;
mod preflight;

use std::path::Path;
use std::sync::Arc;

use acme::{AccountKey, AcmeError, Ca, CaOptions, ExternalAccountBinding, ensure_account};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bus::Queue;
use domain::{Lease, WorkKind};
use runtime::config::AcmeIssuer;
use runtime::{Context, Job, JobError, RoleError, Worker};
use seal::SealingKeys;
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

use crate::issuance::Issuance;
use crate::preflight::Preflight;

/// What all issuances of this process share.
pub(crate) struct Issuer {
    pub(crate) context: Context,
    pub(crate) keys: Arc<SealingKeys>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) preflight: Preflight,
    account: OnceCell<AccountKey>,
}

/// Runs the issuer until the stop.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("issuer");
    let most = context.config.issuer.max_in_flight;
    let issuer = Arc::new(Issuer::new(context.clone())?);
    let permits = Arc::new(Semaphore::new(usize::from(most)));
    let worker = Worker::new(context.clone(), WorkKind::Issue, permits, issuer);
    let queue = Queue {
        role: "issuer",
        kind: "certificate-requested",
        prefetch: most,
    };
    context.health.ok("issuer");
    Ok(context
        .bus
        .consume(queue, Arc::new(worker), context.stop.soft().clone())
        .await?)
}

impl Issuer {
    fn new(context: Context) -> Result<Self, RoleError> {
        let first = context.config.acme.issuers.first();
        let settings =
            first.ok_or_else(|| RoleError::setting("acme.issuers", "name a certificate authority"))?;
        let ca = Ca::new(ca_options(settings)?, context.clock.clone())
            .map_err(|error| RoleError::setting("acme.issuers", error.to_string()))?;
        let preflight = Preflight::new(&context.config)?;
        let keys = context.require_sealing_keys()?;
        Ok(Self {
            context,
            keys,
            ca: Arc::new(ca),
            preflight,
            account: OnceCell::new(),
        })
    }

    /// Our account at the CA, registered on first use.
    pub(crate) async fn account(&self) -> Result<&AccountKey, AcmeError> {
        let Context { store, entropy, .. } = &self.context;
        self.account
            .get_or_try_init(|| ensure_account(&self.ca, store, &self.keys, &**entropy))
            .await
    }
}

#[async_trait]
impl Job for Issuer {
    async fn perform(&self, lease: &Lease) -> Result<(), JobError> {
        Issuance::new(self, lease).run().await
    }
}

fn ca_options(settings: &AcmeIssuer) -> Result<CaOptions, RoleError> {
    let external_account_binding = if settings.eab_key_id.is_empty() {
        None
    } else {
        let text = Zeroizing::new(read(&settings.eab_hmac_key_file)?);
        let hmac_key = BASE64_URL_SAFE_NO_PAD
            .decode(text.trim_ascii())
            .map_err(|_| RoleError::setting("acme.issuers.eab_hmac_key_file", "is not base64url"))?;
        Some(ExternalAccountBinding {
            key_id: settings.eab_key_id.clone(),
            hmac_key: Zeroizing::new(hmac_key),
        })
    };
    let root = &settings.root_certificate_file;
    Ok(CaOptions {
        name: settings.name.clone(),
        directory_url: settings.directory_url.clone(),
        contact: settings.contact.clone(),
        profile: Some(settings.profile.clone()).filter(|profile| !profile.is_empty()),
        root_certificate_pem: if root.as_os_str().is_empty() {
            None
        } else {
            Some(read(root)?)
        },
        external_account_binding,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, RoleError> {
    std::fs::read(path).map_err(|error| {
        RoleError::setting("acme.issuers", format!("cannot read {}: {error}", path.display()))
    })
}
