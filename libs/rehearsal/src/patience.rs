//! The time limit of a fetch, and its division between DNS and the site.

use std::future::Future;
use std::time::Duration;

use dns::CouldNotAsk;
use tokio::time::{Instant, timeout_at};

use crate::fetch_error::FetchError;

/// At most half of the time goes to DNS, whose silence says nothing about the site; so a site that is reported as
/// silent had at least the other half.
pub(crate) struct Patience {
    ends: Instant,
    for_dns: Duration,
}

impl Patience {
    pub(crate) fn new(whole: Duration) -> Self {
        Self { ends: Instant::now() + whole, for_dns: whole / 2 }
    }

    pub(crate) async fn with_dns<T>(
        &mut self,
        asking: impl Future<Output = Result<T, CouldNotAsk>>,
    ) -> Result<T, FetchError> {
        let began = Instant::now();
        let answer = timeout_at(self.ends.min(began + self.for_dns), asking).await;
        self.for_dns = self.for_dns.saturating_sub(began.elapsed());
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(CouldNotAsk { detail, .. })) => Err(FetchError::Ours(detail)),
            Err(_) => Err(FetchError::Ours("asking DNS took too long".to_owned())),
        }
    }

    pub(crate) async fn with_site<T>(
        &self,
        asking: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        timeout_at(self.ends, asking).await.unwrap_or_else(|_| Err(FetchError::no_answer()))
    }
}
