//! How long a fetch may take, and whose time it is.

use std::future::Future;
use std::time::Duration;

use dns::CouldNotAsk;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;

/// At most half of the time goes to DNS, whose silence blames nobody; so a site that is blamed for its silence had at
/// least the other half.
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
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let answer = timeout_at(self.ends.min(began + self.for_dns), asking).await;
        self.for_dns = self.for_dns.saturating_sub(began.elapsed());
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(CouldNotAsk { detail, .. })) => Err(Failure::Ours(detail)),
            Err(_) => Err(Failure::Ours("asking DNS took too long".to_owned())),
        }
    }

    pub(crate) async fn with_site<T>(
        &self,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout_at(self.ends, asking).await.unwrap_or_else(|_| Err(Failure::no_answer()))
    }
}
