//! Compares what C4 holds with what is stored here, name by name, without changing anything. `ssl-manager restore
//! check` prints the result, and the guard after a restore ([`crate::Guard`]) uses it.

use std::sync::Arc;
use std::time::Duration;

use c4::{C4Certificate, C4Client, C4Error};
use domain::{CertificateSummary, Clock, DomainName};
use futures::{StreamExt, stream};
use seal::{Binding, SealError, SealingKeys};
use store::{Certificate, DomainView, Store, StoreError};

/// Number of concurrent requests to C4.
const MAX_IN_FLIGHT: usize = 16;
/// Pauses before C4 is asked again for a name that got no answer.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A difference between the store and C4 for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// C4 holds a certificate that ends later than the live one here, or there is none here.
    OlderHere,
    /// C4 holds a certificate that ends earlier, or none.
    NewerHere,
    /// C4 holds a certificate whose key is not here, or cannot be opened.
    KeyMissing,
    /// C4 holds a certificate that is revoked here, or is to be.
    RevokedHere,
    /// C4 holds a certificate for a name that is not in the store.
    UnknownHere,
    /// C4 does not know the name.
    UnknownToC4,
    /// C4 gave no answer.
    NotAsked,
}

impl Difference {
    /// All of them, in display order.
    pub const ALL: [Self; 7] = [
        Self::OlderHere,
        Self::NewerHere,
        Self::KeyMissing,
        Self::RevokedHere,
        Self::UnknownHere,
        Self::UnknownToC4,
        Self::NotAsked,
    ];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OlderHere => "older_here",
            Self::NewerHere => "newer_here",
            Self::KeyMissing => "key_missing",
            Self::RevokedHere => "revoked_here",
            Self::UnknownHere => "unknown_here",
            Self::UnknownToC4 => "unknown_to_c4",
            Self::NotAsked => "not_asked",
        }
    }
}

/// The comparison of a name.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The name.
    pub name: DomainName,
    /// The live certificate in the store.
    pub live: Option<CertificateSummary>,
    /// The certificate at C4.
    pub held: Option<C4Certificate>,
    /// Whether that certificate is stored here, with or without its key.
    pub is_stored: bool,
    /// The differences; empty if there is none.
    pub differences: Vec<Difference>,
    /// Why C4 gave no answer.
    pub trouble: Option<String>,
}

impl Compared {
    /// Whether C4 holds a later certificate of the same source that is not stored here: this database is older.
    pub(crate) fn shows_older_store(&self) -> bool {
        match (&self.live, &self.held) {
            (Some(live), Some(held)) => {
                !self.is_stored && held.source == live.source && held.not_after > live.not_after
            }
            _ => false,
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.trouble.is_none()
    }
}

/// Compares names in the store with C4.
pub struct Comparison {
    store: Arc<Store>,
    c4: Arc<C4Client>,
    keys: Arc<SealingKeys>,
    clock: Arc<dyn Clock>,
}

impl Comparison {
    /// Compares with this store; `keys` must open its sealed keys.
    pub fn new(store: Arc<Store>, c4: Arc<C4Client>, keys: Arc<SealingKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { store, c4, keys, clock }
    }

    /// Compares these domains, several at a time; returns the results in the order of the domains. Errors: of the
    /// store, and of a service that holds the sealing key.
    pub async fn compare(&self, views: &[DomainView]) -> Result<Vec<Compared>, ComparisonError> {
        let asks: Vec<_> = views.iter().map(|view| self.compare_one(view)).collect();
        let compared: Vec<_> = stream::iter(asks).buffered(MAX_IN_FLIGHT).collect().await;
        compared.into_iter().collect()
    }

    /// Returns names that are not in the store but have a certificate at C4. C4 is asked where `held` is unknown.
    pub async fn strangers(
        &self,
        names: &[(DomainName, Option<C4Certificate>)],
        is_listed: bool,
    ) -> Result<Vec<Compared>, ComparisonError> {
        let all: Vec<DomainName> = names.iter().map(|(name, _)| name.clone()).collect();
        let known = self.store.known_names(&all).await?;
        let strangers = names.iter().filter(|(name, _)| known.binary_search(name).is_err());
        let asks: Vec<_> =
            strangers.map(|(name, held)| self.stranger(name, held.clone(), is_listed)).collect();
        let found: Vec<_> = stream::iter(asks).buffered(MAX_IN_FLIGHT).collect().await;
        Ok(found.into_iter().flatten().collect())
    }

    async fn stranger(
        &self,
        name: &DomainName,
        held: Option<C4Certificate>,
        is_listed: bool,
    ) -> Option<Compared> {
        let answer = if is_listed { Ok(Some(held)) } else { self.held(name).await };
        let compared = Compared {
            name: name.clone(),
            live: None,
            held: None,
            is_stored: false,
            differences: Vec::new(),
            trouble: None,
        };
        match answer {
            Ok(held) => {
                let held = held.flatten()?;
                let differences = vec![Difference::UnknownHere];
                Some(Compared { held: Some(held), differences, ..compared })
            }
            Err(error) => Some(Compared {
                differences: vec![Difference::NotAsked],
                trouble: Some(error.to_string()),
                ..compared
            }),
        }
    }

    async fn compare_one(&self, view: &DomainView) -> Result<Compared, ComparisonError> {
        let name = &view.domain.name;
        let mut compared = Compared {
            name: name.clone(),
            live: view.certificate.clone(),
            held: None,
            is_stored: false,
            differences: Vec::new(),
            trouble: None,
        };
        match self.held(name).await {
            Ok(Some(held)) => {
                let row = match &held {
                    Some(held) => self.store.certificate_by_sha256(name, &held.sha256).await?,
                    None => None,
                };
                let has_key = match &row {
                    Some(row) => self.opens(row).await?,
                    None => false,
                };
                compared.differences =
                    differences(compared.live.as_ref(), held.as_ref(), row.as_ref(), has_key);
                compared.is_stored = row.is_some();
                compared.held = held;
            }
            Ok(None) => compared.differences.push(Difference::UnknownToC4),
            Err(error) => {
                compared.differences.push(Difference::NotAsked);
                compared.trouble = Some(error.to_string());
            }
        }
        Ok(compared)
    }

    /// The certificate at C4; the outer option is none if C4 does not know the name.
    async fn held(&self, name: &DomainName) -> Result<Option<Option<C4Certificate>>, C4Error> {
        let mut pauses = PAUSES.iter();
        loop {
            let error = match self.c4.domain(name).await {
                Ok(known) => return Ok(known.map(|known| known.certificate)),
                Err(error) => error,
            };
            let Some(pause) = pauses.next() else { return Err(error) };
            let wait = error.retry_after().unwrap_or_default().max(*pause);
            if wait > MAX_PAUSE {
                return Err(error);
            }
            self.clock.sleep(wait).await;
        }
    }

    async fn opens(&self, row: &Certificate) -> Result<bool, ComparisonError> {
        let Some(sealed) = &row.sealed_key else { return Ok(false) };
        let Some(public_key) = x509::leaf_public_key_sha256(&row.chain_pem) else { return Ok(false) };
        let binding = Binding::certificate(row.id(), &row.name);
        match self.keys.unseal(&binding, &public_key, sealed).await {
            Ok(_) => Ok(true),
            Err(error @ SealError::Unavailable(_)) => Err(ComparisonError::Keys(error)),
            Err(_) => Ok(false),
        }
    }
}

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service with the sealing key failed.
    #[error("the sealing key cannot be used now")]
    Keys(#[source] SealError),
}

fn differences(
    live: Option<&CertificateSummary>,
    held: Option<&C4Certificate>,
    row: Option<&Certificate>,
    has_key: bool,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let Some(held) = held else {
        found.extend(live.map(|_| Difference::NewerHere));
        return found;
    };
    match live {
        Some(live) if live.sha256 == held.sha256 => {}
        Some(live) if held.not_after < live.not_after => found.push(Difference::NewerHere),
        _ => found.push(Difference::OlderHere),
    }
    if !has_key {
        found.push(Difference::KeyMissing);
    }
    if row.is_some_and(|row| row.withdrawn || row.revoked_at.is_some()) {
        found.push(Difference::RevokedHere);
    }
    found
}

#[cfg(test)]
mod tests;
