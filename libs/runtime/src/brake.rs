//! The brake ([`domain::Gate`]), stored in the database and checked before each request to a CA or C4.
//!
//! The answer is reused for a second at most, so that a busy process does not query the database before each request,
//! and a pause is in effect in every process a second after it was stored. If the database does not answer, nothing is
//! sent: an unreadable pause does not count as no pause. The age is measured by the machine's monotonic clock.
//!
//! It also has `/readyz` tell whether C4 answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::{Closed, Gate, Outbound, Pause};
use store::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Health, chain};

const MAX_AGE: Duration = Duration::from_secs(1);

/// Said of C4 while it does not answer.
const WORK_WAITS: &str = "not counted: what needs C4 is tried again, and no other copy could do more";

/// Time and result of the last query.
type PauseReading = (Instant, Result<Vec<Pause>, String>);

/// See the module's documentation.
pub struct Brake {
    store: Arc<Store>,
    health: Health,
    /// Locked during a query, so that concurrent callers cause only one.
    last: Mutex<Option<PauseReading>>,
}

impl Brake {
    /// Asks that store, and tells that health.
    pub fn new(store: Arc<Store>, health: Health) -> Self {
        Self { store, health, last: Mutex::default() }
    }

    async fn closed_by(&self, target: Outbound, issuer: &str) -> Result<Option<Pause>, String> {
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|(asked_at, _)| asked_at.elapsed() >= MAX_AGE) {
            let asked_at = Instant::now();
            let pauses = self.store.pauses().await.map_err(|error| chain(&error));
            // The age of an error begins when it arrives, so that waiting callers do not repeat the query one by one.
            *last = Some((if pauses.is_ok() { asked_at } else { Instant::now() }, pauses));
        }
        match last.as_ref() {
            Some((_, Ok(pauses))) => Ok(pauses.iter().find(|pause| pause.stops(target, issuer)).cloned()),
            Some((_, Err(why))) => Err(why.clone()),
            None => Ok(None),
        }
    }
}

impl Gate for Brake {
    fn check<'a>(
        &'a self,
        target: Outbound,
        issuer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), Closed>> + Send + 'a>> {
        Box::pin(async move {
            match self.closed_by(target, issuer).await {
                Ok(None) => Ok(()),
                Ok(Some(pause)) => Err(Closed::Paused(Box::new(pause))),
                Err(why) => Err(Closed::Unknown(why)),
            }
        })
    }

    fn answered(&self, target: Outbound, outcome: Result<(), String>) {
        if target == Outbound::C4 {
            self.health.tell("c4", outcome.map_err(|why| format!("{why} ({WORK_WAITS})")));
        }
    }
}
