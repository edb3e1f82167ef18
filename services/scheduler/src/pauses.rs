//! Pauses as gauges, and the work that a lifted pause left behind.
//!
//! Lifting a pause makes the work due that waits for it. Work that was being put aside in that very moment is not among it,
//! so all of it is brought back again twice within the next seconds.

use std::collections::BTreeSet;

use domain::Outbound;
use runtime::Context;
use store::StoreError;

/// Looks after the one that found a pause lifted.
const BROUGHT_BACK_AFTER: [u8; 2] = [3, 10];

/// What was found when it was looked at last.
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
            if BROUGHT_BACK_AFTER.contains(looks) {
                context.store.resume_work(*target).await?;
            }
        }
        self.lifted.retain(|(_, looks)| *looks < BROUGHT_BACK_AFTER[1]);
        context.store.release_paused_work().await
    }
}
