//! The nameservers, and the time limit for all queries about one name.

use std::net::SocketAddr;
use std::time::Duration;

use domain::DomainName;
use hickory_resolver::TokioResolver;

use crate::direct::Direct;
use crate::{CouldNotAsk, DnsError, lookup};

const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 2;
/// For everything that is asked about one name: a slow zone at each of many hops must not hold up the preflight.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks nameservers. Cheap to share.
pub struct Resolver {
    pub(crate) library: TokioResolver,
    pub(crate) direct: Direct,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// Asks these nameservers, or the system's if there are none. Must be called within a tokio runtime.
    pub fn new(nameservers: &[SocketAddr]) -> Result<Self, DnsError> {
        Self::with_timing(nameservers, TIMEOUT, ATTEMPTS)
    }

    /// Like [`Resolver::new`], for tests that cannot wait that long.
    #[doc(hidden)]
    pub fn with_timing(
        nameservers: &[SocketAddr],
        timeout: Duration,
        attempts: usize,
    ) -> Result<Self, DnsError> {
        let (library, direct) = lookup::resolver(nameservers, timeout, attempts)?;
        Ok(Self { library, direct })
    }
}

/// Waits for what is asked about a name, but not for ever.
pub(crate) async fn in_time<T>(
    name: &DomainName,
    asking: impl Future<Output = Result<T, CouldNotAsk>>,
) -> Result<T, CouldNotAsk> {
    tokio::time::timeout(ANSWER_TIMEOUT, asking)
        .await
        .unwrap_or_else(|_| Err(CouldNotAsk::new(format!("asking DNS for {name}: no answer in time"))))
}
