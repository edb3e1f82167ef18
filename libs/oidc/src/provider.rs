//! The provider's configuration and keys, fetched when needed and cached.
//!
//! They are used for an hour, so that a key which the provider withdrew stops working. An unknown key causes another
//! request to the provider, at most once a minute, because anyone can invent a key id. After an error no request is
//! sent for a few seconds, so that only one caller waits for a provider that is down.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::http::{Http, HttpError};
use crate::keys::KeySet;
use crate::metadata::{Configuration, Metadata, configuration_url};

const METADATA_TTL: SignedDuration = SignedDuration::from_hours(1);
const REFRESH_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
const ERROR_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// Why the provider cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// The configured address is none.
    #[error("issuer_url is no URL")]
    Issuer,
    /// It does not answer, or not as it must.
    #[error("the OpenID provider cannot be used: {0}")]
    Unavailable(String),
}

/// The provider.
pub struct Provider {
    issuer: String,
    configuration_url: Url,
    http: Http,
    clock: Arc<dyn Clock>,
    cache: Mutex<Option<CachedMetadata>>,
    /// Held while the provider is asked, so that one request serves all callers.
    last: tokio::sync::Mutex<LastDiscovery>,
}

#[derive(Clone)]
struct CachedMetadata {
    metadata: Arc<Metadata>,
    at: Timestamp,
}

#[derive(Default)]
struct LastDiscovery {
    at: Option<Timestamp>,
    failure: Option<ProviderError>,
}

impl Provider {
    /// The provider with that issuer identifier. Nothing is asked yet.
    pub fn new(issuer_url: &str, http: Http, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        Ok(Self {
            issuer: issuer_url.to_owned(),
            configuration_url: configuration_url(issuer_url).map_err(|_| ProviderError::Issuer)?,
            http,
            clock,
            cache: Mutex::default(),
            last: tokio::sync::Mutex::default(),
        })
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// Its configuration and keys.
    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        match self.cached() {
            Some(cached) => Ok(cached.metadata),
            None => self.ask(ERROR_PAUSE, None).await,
        }
    }

    /// Its configuration and keys, asked again after `stale`; the same if it was asked less than a minute ago.
    pub(crate) async fn metadata_after(&self, stale: &Arc<Metadata>) -> Result<Arc<Metadata>, ProviderError> {
        self.ask(REFRESH_INTERVAL, Some(stale)).await
    }

    fn cached(&self) -> Option<CachedMetadata> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        cache.clone().filter(|cached| now.duration_since(cached.at) < METADATA_TTL)
    }

    /// Asks, unless another caller did within `pause` or has something else than `stale` by now.
    async fn ask(
        &self,
        pause: SignedDuration,
        stale: Option<&Arc<Metadata>>,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        let is_pausing = last.at.is_some_and(|at| now.duration_since(at) < pause);
        if let Some(cached) = self.cached()
            && (is_pausing || stale.is_none_or(|stale| !Arc::ptr_eq(stale, &cached.metadata)))
        {
            return Ok(cached.metadata);
        }
        if let Some(failure) = last.failure.clone().filter(|_| is_pausing) {
            return Err(failure);
        }
        last.at = Some(now);
        let metadata = self.discover().await;
        last.failure = metadata.as_ref().err().cloned();
        let metadata = Arc::new(metadata?);
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(CachedMetadata { metadata: metadata.clone(), at: now });
        Ok(metadata)
    }

    async fn discover(&self) -> Result<Metadata, ProviderError> {
        self.fetch().await.map_err(|why| {
            tracing::warn!(why, "the OpenID provider cannot be used");
            ProviderError::Unavailable(why)
        })
    }

    /// Fetches configuration and keys; the error says what went wrong, without what the provider sent.
    async fn fetch(&self) -> Result<Metadata, String> {
        let object = self.http.get(&self.configuration_url).await;
        let object = object.map_err(|error| with_causes("its configuration", &error))?;
        let configuration = Configuration::from_json(&object, &self.issuer)?;
        let object = self.http.get(&configuration.jwks_uri).await;
        let object = object.map_err(|error| with_causes("its keys", &error))?;
        let keys = KeySet::from_json(&object).ok_or("its keys are no JSON Web Key Set")?;
        Ok(Metadata { configuration, keys })
    }
}

fn with_causes(what: &str, error: &HttpError) -> String {
    let mut text = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.chars().take(300).collect()
}
