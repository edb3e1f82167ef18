//! The c4-uploader: makes C4 hold what it should hold, and looks again whether it still does.
//!
//! It takes `cert-issued` hints (upload, compare) and `domain-deleted` hints (remove), claims the work and runs it
//! under its lease. An upload counts as done only once C4 itself shows our certificate; a certificate whose upload was
//! interrupted is found that way too, and is not sent twice. Where edges are verified (`cdn.edge_addresses`), they have to
//! serve it as well, daily too. What is not fresh is uploaded only if its CA has not revoked it. Key bytes are unsealed for the one request that needs
//! them and wiped after it.
//!
//! After a restore from a backup nothing is sent until all names were compared ([`Guard`]).
//!
//! Before a request that changes something the store is told (`upload_revision` is raised), so that C4 can refuse
//! whatever a stalled copy of this role sends late.

mod comparison;
mod decide;
mod guard;
mod journal;
mod remove;
mod revocation;
mod upload;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bus::Queue;
use c4::{C4Client, C4Options};
use domain::{Lease, WorkKind};
use edge::Edges;
use runtime::{Config, Context, Job, JobError, RoleError, Worker};
use seal::SealingKeys;
use store::Finished;
use tokio::sync::Semaphore;

pub use crate::comparison::{Compared, Comparison, ComparisonError, Difference};
pub use crate::guard::{Guard, GuardError, Round};
use crate::remove::Removal;
use crate::revocation::Revocations;
use crate::upload::Upload;

/// Who stands in the history.
const ACTOR: &str = "c4-uploader";

/// What all work of this process shares.
pub(crate) struct Uploader {
    pub(crate) context: Context,
    pub(crate) c4: Arc<C4Client>,
    pub(crate) keys: Arc<SealingKeys>,
    pub(crate) edges: Edges,
    pub(crate) guard: Arc<Guard>,
    pub(crate) revocations: Revocations,
}

impl Uploader {
    fn new(context: Context) -> Result<Self, RoleError> {
        let c4 = Arc::new(client(&context.config)?.behind(context.brake()));
        let token = c4.token();
        context.follow_c4_token(move |fresh| token.replace(&fresh).map_err(|error| error.to_string()));
        let keys = context.require_sealing_keys()?;
        let edges = Edges::new(context.config.cdn.edge_addresses.clone())
            .map_err(|error| RoleError::setting("cdn.edge_addresses", error.to_string()))?;
        let (store, clock) = (context.store.clone(), context.clock.clone());
        let comparison = Comparison::new(store, c4.clone(), keys.clone(), clock);
        let guard = Arc::new(Guard::new(context.clone(), comparison));
        let revocations = Revocations::new(&context.config)?;
        Ok(Self { context, c4, keys, edges, guard, revocations })
    }
}

/// A client of C4 by these settings.
pub fn client(config: &Config) -> Result<C4Client, RoleError> {
    let settings = &config.c4;
    let options = C4Options {
        base_url: settings.base_url.clone(),
        token: settings.bearer_token()?,
        root_certificate_pem: settings.root_certificate_pem()?,
    };
    C4Client::new(options).map_err(|error| RoleError::setting("c4", error.to_string()))
}

/// Runs the uploader until the stop.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.expect("c4-uploader");
    let GuardedJobs { uploads, removals, guard } = GuardedJobs::new(&context)?;
    guard.first_look().await;
    let permits = Arc::new(Semaphore::new(usize::from(context.config.uploader.max_in_flight)));
    context.health.ok("c4-uploader");
    tokio::try_join!(
        consume(&context, "cert-issued", WorkKind::Upload, permits.clone(), uploads),
        consume(&context, "domain-deleted", WorkKind::Remove, permits, removals),
        async {
            guard.watch().await;
            Ok(())
        },
    )?;
    Ok(())
}

/// What is done with claimed work, and the guard that keeps it back until its first round.
pub struct GuardedJobs {
    /// With a claimed upload.
    pub uploads: Arc<dyn Job>,
    /// With a claimed removal.
    pub removals: Arc<dyn Job>,
    /// Keeps both back after a restore.
    pub guard: Arc<Guard>,
}

impl GuardedJobs {
    /// Checks the settings; nothing is asked yet.
    pub fn new(context: &Context) -> Result<Self, RoleError> {
        let uploader = Arc::new(Uploader::new(context.clone())?);
        Ok(Self {
            uploads: Arc::new(UploadJob(uploader.clone())),
            guard: uploader.guard.clone(),
            removals: Arc::new(RemoveJob(uploader)),
        })
    }
}

/// The jobs alone, for tests that drive them by hand on a store that is known not to be restored.
pub fn jobs(context: &Context) -> Result<[Arc<dyn Job>; 2], RoleError> {
    let GuardedJobs { uploads, removals, guard } = GuardedJobs::new(context)?;
    guard.set_looked();
    Ok([uploads, removals])
}

async fn consume(
    context: &Context,
    kind: &'static str,
    work: WorkKind,
    permits: Arc<Semaphore>,
    job: Arc<dyn Job>,
) -> Result<(), RoleError> {
    let queue = Queue { role: ACTOR, kind, prefetch: context.config.uploader.max_in_flight };
    let worker = Worker::new(context.clone(), work, permits, job);
    Ok(context.bus.consume(queue, Arc::new(worker), context.stop.soft().clone()).await?)
}

struct UploadJob(Arc<Uploader>);

#[async_trait]
impl Job for UploadJob {
    async fn perform(&self, lease: &Lease) -> Result<Finished, JobError> {
        Box::pin(Upload::new(&self.0, lease).run()).await
    }
}

struct RemoveJob(Arc<Uploader>);

#[async_trait]
impl Job for RemoveJob {
    async fn perform(&self, lease: &Lease) -> Result<Finished, JobError> {
        Removal::new(&self.0, lease).run().await
    }
}
