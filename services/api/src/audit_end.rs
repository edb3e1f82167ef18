//! Signs the end of the audit log, once a second: the API holds the key, the scheduler that makes the chain does not.

use std::sync::Arc;
use std::time::Duration;

use audit::{SignError, Signer};
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use seal::SealingKeys;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum interval between two log lines about a broken chain.
const LOG_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Signs once, then until the stop.
pub(crate) async fn start(context: &Context, keys: Arc<SealingKeys>) {
    let mut end = End { context: context.clone(), keys, signer: Signer::default(), told: None };
    end.sign().await;
    context.stop.spawn(async move {
        loop {
            tokio::select! {
                () = end.context.clock.sleep(POLL_INTERVAL) => {}
                () = end.context.stop.soft().cancelled() => return,
            }
            end.sign().await;
        }
    });
}

struct End {
    context: Context,
    keys: Arc<SealingKeys>,
    signer: Signer,
    told: Option<Timestamp>,
}

impl End {
    async fn sign(&mut self) {
        let now = self.context.clock.now();
        let signed = self.signer.sign(&self.context.store, &self.keys, now).await;
        let is_broken = matches!(signed, Err(SignError::Broken(_) | SignError::Key(_)));
        metrics::gauge!("ssl_manager_audit_broken").set(if is_broken { 1.0 } else { 0.0 });
        let Err(problem) = signed else { return };
        if self.told.is_none_or(|told| now.duration_since(told) >= LOG_INTERVAL) {
            self.told = Some(now);
            let reason = &problem as &dyn std::error::Error;
            tracing::error!(target: "audit", reason, "the end of the audit log was not signed");
        }
    }
}
