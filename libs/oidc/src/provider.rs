//! What the provider publishes about itself, asked when it is needed and remembered.
//!
//! It is used for an hour, so that a key which the provider withdrew goes. Keys that are not known make it be asked again,
//! at most once a minute, because anybody can make up the name of a key. After a failure it is left alone for a few seconds,
//! so that a provider which is away costs one caller the wait and not all of them.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::CoreProviderMetadata;
use openidconnect::{DiscoveryError, IssuerUrl};

use crate::http::{Http, HttpError};

const USED_FOR: SignedDuration = SignedDuration::from_hours(1);
const ASKED_EVERY: SignedDuration = SignedDuration::from_mins(1);
const REST_AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(5);

/// Why there is nothing to go by.
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
    issuer: IssuerUrl,
    http: Http,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
    /// Held while it is asked, so that one asks for all.
    asked: tokio::sync::Mutex<Asked>,
}

#[derive(Clone)]
struct Known {
    metadata: Arc<CoreProviderMetadata>,
    at: Timestamp,
}

#[derive(Default)]
struct Asked {
    at: Option<Timestamp>,
    failure: Option<ProviderError>,
}

impl Provider {
    /// The provider with that issuer identifier. Nothing is asked yet.
    pub fn new(issuer_url: &str, http: Http, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        Ok(Self {
            issuer: IssuerUrl::new(issuer_url.to_owned()).map_err(|_| ProviderError::Issuer)?,
            http,
            clock,
            known: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        })
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// What speaks to it.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Its configuration and keys.
    pub async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        match self.known() {
            Some(known) => Ok(known.metadata),
            None => self.ask(REST_AFTER_FAILURE, None).await,
        }
    }

    /// Its configuration and keys, asked again after `stale`; the same if it was asked a moment ago.
    pub async fn metadata_after(
        &self,
        stale: &Arc<CoreProviderMetadata>,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        self.ask(ASKED_EVERY, Some(stale)).await
    }

    fn known(&self) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        known.clone().filter(|known| now.duration_since(known.at) < USED_FOR)
    }

    /// Asks, unless somebody did within `rest` or has something else than `stale` by now.
    async fn ask(
        &self,
        rest: SignedDuration,
        stale: Option<&Arc<CoreProviderMetadata>>,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        let mut asked = self.asked.lock().await;
        let now = self.clock.now();
        let has_rest = asked.at.is_some_and(|at| now.duration_since(at) < rest);
        if let Some(known) = self.known()
            && (has_rest || stale.is_none_or(|stale| !Arc::ptr_eq(stale, &known.metadata)))
        {
            return Ok(known.metadata);
        }
        if let Some(failure) = asked.failure.clone().filter(|_| has_rest) {
            return Err(failure);
        }
        asked.at = Some(now);
        let metadata = self.discover().await;
        asked.failure = metadata.as_ref().err().cloned();
        let metadata = Arc::new(metadata?);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Known { metadata: metadata.clone(), at: now });
        Ok(metadata)
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, ProviderError> {
        let discovered = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await;
        discovered.map_err(|error| {
            let why = why(&error);
            tracing::warn!(why, "the OpenID provider cannot be used");
            ProviderError::Unavailable(why)
        })
    }
}

/// What went wrong, without what the provider sent.
fn why(error: &DiscoveryError<HttpError>) -> String {
    if let DiscoveryError::Response(status, _, _) = error {
        return format!("it answers {status}, or not with JSON");
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.chars().take(300).collect()
}
