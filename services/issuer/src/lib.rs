//! The issuer: preflight, ACME orders, private keys, revocations.
//!
//! It takes `certificate-requested` hints, claims the work, and runs each issuance as one async function (`issuance`,
//! and `at_ca` for the part at one CA) that journals every step before the call it prepares. The CA is chosen by
//! availability, CAA and free limits (`issuer`, `breaker`, `acme::budget`). The issuer hands over to the uploader by
//! storing the certificate; its only requests to C4 look up a domain. On `revocation-requested` hints it also has CAs
//! revoke certificates (`revocation`).

mod answers;
mod at_ca;
mod blame;
mod breaker;
mod decide;
mod ending;
mod issuance;
mod issuer;
mod journal;
mod keys;
mod order_terms;
mod renewal;
mod revocation;
mod stop;
mod turn;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acme::{AcmeError, Ca, CaOptions, ExternalAccountBinding};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bus::Queue;
use domain::{AccountId, Cause, Clock, Lease, Order, WorkKind};
use jiff::SignedDuration;
use preflight::Preflight;
use runtime::config::AcmeIssuer;
use runtime::{Context, Job, JobError, RoleError, Worker};
use seal::SealingKeys;
use store::{Account, Certificate, Finished};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::issuance::Issuance;
use crate::issuer::Issuer;
use crate::renewal::Planned;

/// Background work that gets no permit is due again after this time.
const YIELD_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// In addition to the issuances, so revocations never queue behind them.
const REVOCATIONS_IN_FLIGHT: u16 = 8;
const BUDGET_INTERVAL: Duration = Duration::from_secs(30);

/// State shared by all issuances of this process.
pub(crate) struct IssuerRole {
    pub(crate) context: Context,
    pub(crate) keys: Arc<SealingKeys>,
    /// In order of preference.
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) preflight: Preflight,
    /// Permits for background work.
    background: Semaphore,
}

/// Runs the issuer until it is stopped.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("issuer");
    let most = context.config.issuer.max_in_flight;
    let [issuances, revocations] = jobs(&context)?;
    context.health.ok("issuer");
    tokio::try_join!(
        consume(&context, "certificate-requested", WorkKind::Issue, most, issuances),
        consume(&context, "revocation-requested", WorkKind::Revoke, REVOCATIONS_IN_FLIGHT, revocations),
        show_budget(&context),
    )?;
    Ok(())
}

/// Exports the remaining limits of the CAs until the stop. A database error is ignored; the next export tries again.
async fn show_budget(context: &Context) -> Result<(), RoleError> {
    loop {
        for issuer in &context.config.acme.issuers {
            let (limits, now) = (issuer.ca_limits(), context.clock.now());
            let left = acme::budget::left(&context.store, &issuer.name, &limits, now).await;
            for left in left.unwrap_or_default() {
                let labels = [("issuer", issuer.name.clone()), ("limit", left.what.to_owned())];
                metrics::gauge!("ssl_manager_budget_left", &labels).set(f64::from(left.orders));
                metrics::gauge!("ssl_manager_budget_capacity", &labels).set(f64::from(left.capacity));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BUDGET_INTERVAL) => {}
            () = context.stop.soft().cancelled() => return Ok(()),
        }
    }
}

/// Returns the jobs for claimed issuances and claimed revocations; for [`run`], and for callers that run them by
/// hand.
pub fn jobs(context: &Context) -> Result<[Arc<dyn Job>; 2], RoleError> {
    let issuer = Arc::new(IssuerRole::new(context.clone())?);
    Ok([issuer.clone(), Arc::new(RevocationJob(issuer))])
}

async fn consume(
    context: &Context,
    kind: &'static str,
    work: WorkKind,
    most: u16,
    job: Arc<dyn Job>,
) -> Result<(), RoleError> {
    let permits = Arc::new(Semaphore::new(usize::from(most)));
    let worker = Worker::new(context.clone(), work, permits, job);
    let queue = Queue { role: "issuer", kind, prefetch: most };
    Ok(context.bus.consume(queue, Arc::new(worker), context.stop.soft().clone()).await?)
}

struct RevocationJob(Arc<IssuerRole>);

#[async_trait]
impl Job for RevocationJob {
    async fn perform(&self, lease: &Lease) -> Result<Finished, JobError> {
        revocation::run(&self.0, lease).await
    }
}

impl IssuerRole {
    fn new(context: Context) -> Result<Self, RoleError> {
        let brake = context.brake();
        let mut issuers = Vec::new();
        for settings in &context.config.acme.issuers {
            let ca = ca(settings, &context.clock)?.behind(brake.clone());
            issuers.push(Issuer::new(ca, settings));
        }
        if issuers.is_empty() {
            return Err(RoleError::setting("acme.issuers", "name a certificate authority"));
        }
        let preflight = Preflight::new(&context.config)?.behind(brake);
        let token = preflight.c4_token();
        context.follow_c4_token(move |fresh| token.replace(&fresh).map_err(|error| error.to_string()));
        let keys = context.require_sealing_keys()?;
        let background = usize::from(context.config.issuer.max_in_flight).div_ceil(2);
        Ok(Self { context, keys, issuers, preflight, background: Semaphore::new(background) })
    }

    /// Returns the CA that an order was made for; none if it is no longer configured.
    pub(crate) async fn issuer_of(&self, order: &Order) -> Result<Option<&Issuer>, JobError> {
        self.issuer_of_account(order.account).await
    }

    pub(crate) async fn issuer_of_account(&self, account: AccountId) -> Result<Option<&Issuer>, JobError> {
        let accounts = self.context.store.accounts().await?;
        let row = accounts.iter().find(|row| row.id == account);
        Ok(row.and_then(|row| self.issuer_at(row)))
    }

    /// Returns the CA of an account; also of an account that was replaced and no longer has an issuer's name.
    pub(crate) fn issuer_at(&self, row: &Account) -> Option<&Issuer> {
        let is_there = |issuer: &&Issuer| issuer.ca.directory_url() == row.directory_url;
        let mut there = self.issuers.iter().filter(is_there);
        let named = there.clone().find(|issuer| issuer.name() == row.issuer);
        named.or_else(|| there.next())
    }

    /// Returns the CAs in order of preference, but the CA that issued the live certificate first: only there can an
    /// order replace it.
    pub(crate) async fn in_order(&self, live: Option<&Certificate>) -> Result<Vec<&Issuer>, JobError> {
        let account = live.filter(|live| live.renewal.is_some_and(|renewal| renewal.window.is_some()));
        let first = match account.and_then(|live| live.account) {
            Some(account) if self.issuers.len() > 1 => self.issuer_of_account(account).await?,
            _ => None,
        };
        let is_first = |issuer: &&Issuer| first.is_some_and(|first| std::ptr::eq(first, *issuer));
        let others = self.issuers.iter().filter(|issuer| !is_first(issuer));
        Ok(first.into_iter().chain(others).collect())
    }
}

#[async_trait]
impl Job for IssuerRole {
    async fn perform(&self, lease: &Lease) -> Result<Finished, JobError> {
        if lease.work.cause == Cause::RenewalInfo
            && let Planned::Later(finished) = renewal::plan(self, lease).await?
        {
            return Ok(finished);
        }
        let mut background = None;
        if lease.work.cause == Cause::DailyRecheck {
            background = self.background.try_acquire().ok();
            if background.is_none() {
                let wait = YIELD_INTERVAL + SignedDuration::from_secs(self.context.entropy.below(10) as i64);
                let yielded = journal::decider(&self.context, lease).yielded(self.context.clock.now() + wait);
                return journal::end(&self.context, &yielded).await;
            }
        }
        let done = Issuance::perform(self, lease).await;
        drop(background);
        done
    }
}

/// Builds the client of a CA from its settings; for the role, and for commands that send requests to the CA
/// themselves.
pub fn ca(settings: &AcmeIssuer, clock: &Arc<dyn Clock>) -> Result<Ca, RoleError> {
    Ca::new(ca_options(settings)?, clock.clone())
        .map_err(|error: AcmeError| RoleError::setting("acme.issuers", error.to_string()))
}

fn ca_options(settings: &AcmeIssuer) -> Result<CaOptions, RoleError> {
    let external_account_binding = if settings.eab_key_id.is_empty() {
        None
    } else {
        let text = Zeroizing::new(read(&settings.eab_hmac_key_file)?);
        Some(ExternalAccountBinding { key_id: settings.eab_key_id.clone(), hmac_key: hmac_key(&text)? })
    };
    let root = &settings.root_certificate_file;
    Ok(CaOptions {
        name: settings.name.clone(),
        directory_url: settings.directory_url.clone(),
        contact: settings.contact.clone(),
        profile: Some(settings.profile.clone()).filter(|profile| !profile.is_empty()),
        root_certificate_pem: if root.as_os_str().is_empty() { None } else { Some(read(root)?) },
        external_account_binding,
        ..CaOptions::default()
    })
}

/// Decodes the HMAC key of an external account binding in the forms that CAs use: base64url or standard base64,
/// padded or not, with surrounding white space.
fn hmac_key(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, RoleError> {
    let wrong = |what| RoleError::setting("acme.issuers.eab_hmac_key_file", what);
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    plain.extend(text.trim_ascii().iter().map(|byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    }));
    let unpadded = plain.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let key = BASE64_URL_SAFE_NO_PAD.decode(&plain[..unpadded]);
    let key = Zeroizing::new(key.map_err(|_| wrong("is neither base64url nor base64"))?);
    if key.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(key)
}

fn read(path: &Path) -> Result<Vec<u8>, RoleError> {
    std::fs::read(path).map_err(|error| {
        RoleError::setting("acme.issuers", format!("cannot read {}: {error}", path.display()))
    })
}
