//! Pauses as gauges, and the work that waited for a lifted pause.
//!
//! Lifting a pause makes the waiting work due. Work that is being put aside at that very moment is missed, so the same
//! is repeated twice within the next seconds.

use std::collections::BTreeSet;

use domain::Outbound;
use runtime::Context;
use store::StoreError;

/// Sweeps after the one that found a pause lifted, in which waiting work is made due again.
const RELEASE_SWEEPS: [u8; 2] = [3, 10];

/// The pauses found by the last sweep.
#[derive(Default)]
pub(crate) struct Pauses {
    standing: BTreeSet<(Outbound, String)>,
    /// Those that have had a gauge, which has to fall once they are lifted.
    shown: BTreeSet<(Outbound, String)>,
    /// Of which a pause was lifted, and how many looks ago.
    lifted: Vec<(Outbound, u8)>,
}

impl Pauses {
    /// Shows what is paused, and brings work back that waits for a pause which is not there any more.
    pub(crate) async fn look(&mut self, context: &Context) -> Result<(), StoreError> {
        let pauses = context.store.pauses().await?;
        let now: BTreeSet<_> = pauses.into_iter().map(|pause| (pause.target, pause.issuer)).collect();
        self.shown.extend(now.iter().cloned());
        for pause in &self.shown {
            let (target, issuer) = (pause.0.as_str(), pause.1.clone());
            let value = if now.contains(pause) { 1.0 } else { 0.0 };
            metrics::gauge!("ssl_manager_paused", "target" => target, "issuer" => issuer).set(value);
        }
        self.lifted.extend(self.standing.difference(&now).map(|(target, _)| (*target, 0)));
        self.standing = now;
        for (target, looks) in &mut self.lifted {
            *looks += 1;
            if RELEASE_SWEEPS.contains(looks) {
                context.store.resume_work(*target).await?;
            }
        }
        self.lifted.retain(|(_, looks)| *looks < RELEASE_SWEEPS[1]);
        context.store.release_paused_work().await
    }
}
