//! The issuer: preflight, ACME orders, private keys.
//!
//! It takes `certificate-requested` hints, claims the work, and runs each issuance as one async function (`issuance`,
//! and `at_ca` for the part at one CA) that journals every step before the call it prepares. Which CA that is follows from
//! who is up, whom CAA permits and whose limits leave room (`authority`, `acme::budget`). It hands over to the uploader by
//! storing the certificate; it never talks to C4 beyond asking for a domain.

mod at_ca;
mod authority;
mod ending;
mod issuance;
mod journal;
mod keys;
mod order_terms;
mod renewal;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use acme::{AcmeError, Ca, CaOptions, ExternalAccountBinding};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bus::Queue;
use domain::{AccountId, Cause, Lease, Order, WorkKind};
use jiff::SignedDuration;
use preflight::Preflight;
use runtime::config::AcmeIssuer;
use runtime::{Context, Job, JobError, RoleError, Worker};
use seal::SealingKeys;
use store::Certificate;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::issuance::Issuance;
use crate::journal::Journal;
use crate::renewal::Planned;

/// After so long what found no room in the background asks again.
const GIVES_WAY_FOR: SignedDuration = SignedDuration::from_secs(5);

/// What all issuances of this process share.
pub(crate) struct Issuer {
    pub(crate) context: Context,
    pub(crate) keys: Arc<SealingKeys>,
    /// In order of preference.
    pub(crate) authorities: Vec<Authority>,
    pub(crate) preflight: Preflight,
    /// Room for what nobody waits for.
    background: Semaphore,
}

/// Runs the issuer until the stop.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("issuer");
    let most = context.config.issuer.max_in_flight;
    let issuances = job(&context)?;
    let permits = Arc::new(Semaphore::new(usize::from(most)));
    let worker = Worker::new(context.clone(), WorkKind::Issue, permits, issuances);
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

/// What is done with a claimed issuance; for [`run`], and for whoever drives it by hand.
pub fn job(context: &Context) -> Result<Arc<dyn Job>, RoleError> {
    Ok(Arc::new(Issuer::new(context.clone())?))
}

impl Issuer {
    fn new(context: Context) -> Result<Self, RoleError> {
        let unusable = |error: AcmeError| RoleError::setting("acme.issuers", error.to_string());
        let mut authorities = Vec::new();
        for settings in &context.config.acme.issuers {
            let ca = Ca::new(ca_options(settings)?, context.clock.clone()).map_err(unusable)?;
            authorities.push(Authority::new(ca, settings));
        }
        if authorities.is_empty() {
            return Err(RoleError::setting("acme.issuers", "name a certificate authority"));
        }
        let preflight = Preflight::new(&context.config)?;
        let keys = context.require_sealing_keys()?;
        let background = usize::from(context.config.issuer.max_in_flight).div_ceil(2);
        Ok(Self {
            context,
            keys,
            authorities,
            preflight,
            background: Semaphore::new(background),
        })
    }

    /// The CA that an order was made for; none if it is not configured any more.
    pub(crate) async fn authority_of(&self, order: &Order) -> Result<Option<&Authority>, JobError> {
        self.authority_of_account(order.account).await
    }

    pub(crate) async fn authority_of_account(
        &self,
        account: AccountId,
    ) -> Result<Option<&Authority>, JobError> {
        for authority in &self.authorities {
            let ca = &authority.ca;
            let ours = self.context.store.account(ca.name(), ca.directory_url()).await?;
            if ours.is_some_and(|ours| ours.id == account) {
                return Ok(Some(authority));
            }
        }
        Ok(None)
    }

    /// The CAs in order of preference, the one that issued the live certificate first: only there can an order replace it.
    pub(crate) async fn in_order(&self, live: Option<&Certificate>) -> Result<Vec<&Authority>, JobError> {
        let account = live.filter(|live| live.renewal.is_some_and(|renewal| renewal.window.is_some()));
        let first = match account.and_then(|live| live.account) {
            Some(account) if self.authorities.len() > 1 => self.authority_of_account(account).await?,
            _ => None,
        };
        let is_first = |authority: &&Authority| first.is_some_and(|first| std::ptr::eq(first, *authority));
        let others = self.authorities.iter().filter(|authority| !is_first(authority));
        Ok(first.into_iter().chain(others).collect())
    }
}

#[async_trait]
impl Job for Issuer {
    async fn perform(&self, lease: &Lease) -> Result<(), JobError> {
        if lease.work.cause == Cause::RenewalInfo && renewal::plan(self, lease).await? == Planned::Later {
            return Ok(());
        }
        let mut background = None;
        if lease.work.cause == Cause::Midnight {
            background = self.background.try_acquire().ok();
            if background.is_none() {
                let wait = GIVES_WAY_FOR + SignedDuration::from_secs(self.context.entropy.below(10) as i64);
                return Journal::new(&self.context, lease).give_way(wait).await;
            }
        }
        let done = Issuance::new(self, lease).run().await;
        drop(background);
        done
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
