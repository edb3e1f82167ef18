//! Calls that change something, or take a key out: each leaves a line in the audit log, whatever came of it.
//!
//! A call that does what it was asked to writes its line in its own transaction. One that fails has none, so its line
//! has a transaction of its own, after it; so has one that the caller's role does not permit. Who sends no valid token
//! leaves a line in the process's log only: nobody outside can fill the database.

use audit::Caller;
use domain::{Action, Clock};
use runtime::Context;
use store::{Store, StoreError};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::auth::Authenticator;
use crate::service::DomainsService;

impl DomainsService {
    /// Does `work` for whoever sent the request, if they may do that.
    pub(crate) async fn audited<T, R>(
        &self,
        call: &'static str,
        action: Action,
        request: Request<T>,
        subject: impl FnOnce(&T) -> &str,
        work: impl AsyncFnOnce(&Caller, T) -> Result<R, Status>,
    ) -> Result<R, Status> {
        audited(&self.context, &self.authenticator, call, action, request, subject, work).await
    }
}

/// Does `work` for whoever sent the request, if they may do that.
pub(crate) async fn audited<T, R>(
    context: &Context,
    authenticator: &Authenticator,
    call: &'static str,
    action: Action,
    request: Request<T>,
    subject: impl FnOnce(&T) -> &str,
    work: impl AsyncFnOnce(&Caller, T) -> Result<R, Status>,
) -> Result<R, Status> {
    let principal = authenticator.principal(&request).await?;
    let caller = principal.caller(&request, call);
    let subject = subject(request.get_ref()).to_owned();
    let result = match principal.require(action) {
        Ok(()) => work(&caller, request.into_inner()).await,
        Err(denied) => Err(denied),
    };
    if let Err(status) = &result {
        note_failure(&context.store, &*context.clock, &caller, &subject, status).await;
    }
    result
}

/// Writes the line of a call that failed.
pub(crate) async fn note_failure(
    store: &Store,
    clock: &dyn Clock,
    caller: &Caller,
    subject: &str,
    status: &Status,
) {
    let info = status.get_details_error_info();
    let outcome = info.map_or_else(|| format!("{:?}", status.code()), |info| info.reason);
    let line = caller.line(clock.now(), subject, &outcome, "");
    let noted: Result<(), StoreError> = async {
        let mut tx = store.begin("audit_failure").await?;
        tx.append_audit(line);
        tx.commit().await
    }
    .await;
    if let Err(problem) = noted {
        tracing::error!(
            error = &problem as &dyn std::error::Error,
            call = caller.call,
            actor = caller.actor,
            outcome,
            "a call that failed is not in the audit log"
        );
    }
}
