//! The target of a webhook: where it is sent and what signs it.
//!
//! The URL is sealed with the secret, because the path of many receivers (Slack's among them) is their only secret. Both are
//! bound to the endpoint and to the part of the URL that is shown, so neither can be replaced without the key.

use domain::EndpointId;
use zeroize::Zeroizing;

use crate::{Binding, NO_PUBLIC_KEY, SealError, SealingKeys};

/// A URL and the secret that signs requests to it. It has no `Debug`.
pub struct WebhookTarget {
    /// The whole URL.
    pub url: Zeroizing<String>,
    /// The secret.
    pub secret: Zeroizing<String>,
}

impl WebhookTarget {
    /// Neither has a line break: that is what parts them.
    pub fn new(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: Zeroizing::new(url.into()), secret: Zeroizing::new(secret.into()) }
    }

    /// Seals it to the row of an endpoint: its id, and the URL that it shows.
    pub async fn seal(&self, keys: &SealingKeys, row: (EndpointId, &str)) -> Result<Vec<u8>, SealError> {
        let text = Zeroizing::new(format!("{}\n{}", *self.secret, *self.url));
        keys.seal(&Binding::webhook(row.0, row.1), &NO_PUBLIC_KEY, text.as_bytes()).await
    }

    /// Opens that of a row.
    pub async fn unseal(
        keys: &SealingKeys,
        row: (EndpointId, &str),
        sealed: &[u8],
    ) -> Result<Self, SealError> {
        let opened = keys.unseal(&Binding::webhook(row.0, row.1), &NO_PUBLIC_KEY, sealed).await?;
        let text = std::str::from_utf8(&opened).map_err(|_| SealError::NotAuthentic)?;
        let (secret, url) = text.split_once('\n').ok_or(SealError::NotAuthentic)?;
        Ok(Self::new(url, secret))
    }
}
