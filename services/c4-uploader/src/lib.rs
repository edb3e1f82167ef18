//! The c4-uploader: makes C4 hold the certificates that it should hold, and checks regularly that it still does.
//!
//! It takes `cert-issued` hints (upload, compare) and `domain-deleted` hints (remove), claims the work and runs it
//! under its lease. An upload counts as done only once C4 itself shows our certificate; this also detects an upload
//! that was interrupted after C4 received it, so it is not sent twice. If edges are verified (`cdn.edge_addresses`),
//! they have to serve the certificate as well; this is checked daily, too. A certificate that is not fresh is
//! uploaded only if its CA has not revoked it. A key is unsealed for the one request that needs it and wiped after
//! it.
//!
//! After a restore from a backup nothing is sent until all names have been compared ([`Guard`]).
//!
//! Before a request that changes something at C4, the raised `upload_revision` is stored, so that C4 can reject late
//! requests of a stalled copy of this role.

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

/// The actor of its history entries.
const ACTOR: &str = "c4-uploader";

/// State shared by all work of this process.
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

/// Builds a client of C4 from these settings.
pub fn client(config: &Config) -> Result<C4Client, RoleError> {
    let settings = &config.c4;
    let options = C4Options {
        base_url: settings.base_url.clone(),
        token: settings.bearer_token()?,
        root_certificate_pem: settings.root_certificate_pem()?,
    };
    C4Client::new(options).map_err(|error| RoleError::setting("c4", error.to_string()))
}

/// Runs the uploader until it is stopped.
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

/// The jobs for claimed work, and the guard that holds them back until its first round.
pub struct GuardedJobs {
    /// For a claimed upload.
    pub uploads: Arc<dyn Job>,
    /// For a claimed removal.
    pub removals: Arc<dyn Job>,
    /// Holds both back after a restore.
    pub guard: Arc<Guard>,
}

impl GuardedJobs {
    /// Checks the settings; no request is sent yet.
    pub fn new(context: &Context) -> Result<Self, RoleError> {
        let uploader = Arc::new(Uploader::new(context.clone())?);
        Ok(Self {
            uploads: Arc::new(UploadJob(uploader.clone())),
            guard: uploader.guard.clone(),
            removals: Arc::new(RemoveJob(uploader)),
        })
    }
}

/// The jobs alone, for tests that run them by hand on a store that was not restored.
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
