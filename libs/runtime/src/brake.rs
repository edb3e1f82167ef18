//! The brake ([`domain::Gate`]) as the store keeps it: asked before each request to a CA or C4.
//!
//! What was read is used for a second at most, so that a busy process does not ask the database before each of its
//! requests, and a pause holds in every process a second after it was stored. Where the database does not answer, nothing
//! is sent: a pause that cannot be read is not taken for none. The age is measured by the machine's steady clock, which
//! nobody sets back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::{Closed, Gate, Outbound, Pause};
use store::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::chain;

const MAX_AGE: Duration = Duration::from_secs(1);

/// What the store said, or why it did not answer; and when it was asked.
type Asked = (Instant, Result<Vec<Pause>, String>);

/// See the module's documentation.
pub struct Brake {
    store: Arc<Store>,
    /// Held while the store is asked, so that those who wait for the same answer ask once.
    last: Mutex<Option<Asked>>,
}

impl Brake {
    /// Asks that store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, last: Mutex::default() }
    }

    async fn closed_by(&self, target: Outbound, issuer: &str) -> Result<Option<Pause>, String> {
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|(asked_at, _)| asked_at.elapsed() >= MAX_AGE) {
            let asked_at = Instant::now();
            let pauses = self.store.pauses().await.map_err(|error| chain(&error));
            // An error is as old as the answer was late: those who waited for it do not all ask again, one by one.
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
}
