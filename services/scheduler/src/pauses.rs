//! Pauses as gauges, and the work that a lifted pause left behind.

use std::collections::BTreeSet;

use domain::Outbound;
use runtime::Context;
use store::StoreError;

/// The pauses that have had a gauge, which has to fall once they are lifted.
#[derive(Default)]
pub(crate) struct Pauses(BTreeSet<(Outbound, String)>);

impl Pauses {
    /// Shows what is paused, and brings work back that waits for a pause which is not there any more.
    pub(crate) async fn look(&mut self, context: &Context) -> Result<(), StoreError> {
        let pauses = context.store.pauses().await?;
        let now: BTreeSet<_> = pauses.into_iter().map(|pause| (pause.target, pause.issuer)).collect();
        self.0.extend(now.iter().cloned());
        for pause in &self.0 {
            let (target, issuer) = (pause.0.as_str(), pause.1.clone());
            let value = if now.contains(pause) { 1.0 } else { 0.0 };
            metrics::gauge!("ssl_manager_paused", "target" => target, "issuer" => issuer).set(value);
        }
        context.store.release_paused_work().await
    }
}
