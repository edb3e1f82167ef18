//! Changes of an endpoint: what is asked for, and the line of the audit log that names each changed field.

use audit::Caller;
use domain::{EndpointState, NoticeKind, WebhookFormat};
use proto::v1;
use rehearsal::Receiver;
use seal::WebhookTarget;
use store::{Endpoint, StoreError, Tx};
use tonic::Status;
use zeroize::Zeroizing;

use super::{NotificationsService, format, kinds, not_found, shown};
use crate::error::{from_seal, from_store};

/// The changes that a request asks for; what is absent stays as it is.
struct Changes {
    /// Sealed anew.
    target: Option<NewTarget>,
    kinds: Option<Vec<NoticeKind>>,
    format: Option<WebhookFormat>,
    alone: Option<bool>,
    enabled: Option<bool>,
}

struct NewTarget {
    /// As it was when the other half of it was opened.
    before: Vec<u8>,
    sealed: Vec<u8>,
    url: String,
    /// Of a new URL.
    host: Option<String>,
    /// Of a new secret.
    secret: Option<Zeroizing<String>>,
}

impl NotificationsService {
    pub(super) async fn update(
        &self,
        by: &Caller,
        asked: v1::UpdateEndpointRequest,
    ) -> Result<v1::UpdateEndpointResponse, Status> {
        let changes = Changes {
            kinds: if asked.kinds.is_empty() { None } else { Some(kinds(&asked.kinds)?) },
            format: asked.format.as_deref().map(format).transpose()?,
            alone: asked.alone,
            enabled: asked.enabled,
            target: self.new_target(&asked).await?,
        };
        let change = async |tx: &mut Tx, before: Endpoint| {
            let mut endpoint = before.clone();
            let fields = changes.apply(&mut endpoint, &by.actor)?;
            tx.update_endpoint(&endpoint).await?;
            Ok((endpoint, fields.join(", ")))
        };
        let endpoint = self.change((by, &asked.name), change).await?;
        let secret = changes.target.and_then(|target| target.secret);
        Ok(v1::UpdateEndpointResponse {
            endpoint: Some(shown(&endpoint)),
            secret: secret.map(|secret| secret.to_string()).unwrap_or_default(),
        })
    }

    /// The target with a new URL, a new secret, or both; the rest of it is opened and sealed again.
    async fn new_target(&self, asked: &v1::UpdateEndpointRequest) -> Result<Option<NewTarget>, Status> {
        let receiver: Option<Receiver> = asked.url.as_deref().map(|text| self.receiver(text)).transpose()?;
        if receiver.is_none() && !asked.renew_secret {
            return Ok(None);
        }
        let stored = self.context.store.endpoints().await.map_err(|problem| from_store(&problem))?;
        let found = stored.into_iter().find(|endpoint| endpoint.name == asked.name);
        let endpoint = found.ok_or_else(|| not_found(&asked.name))?;
        let row = (endpoint.id, endpoint.url.as_str());
        let mut target = match (&receiver, asked.renew_secret) {
            // Nothing of the old one is needed, so one that no line of the key file opens is mended by this.
            (Some(_), true) => WebhookTarget::new("", ""),
            _ => WebhookTarget::unseal(&*self.keys()?, row, &endpoint.sealed_target)
                .await
                .map_err(|problem| from_seal(&problem))?,
        };
        let secret = asked.renew_secret.then(|| self.new_secret());
        if let Some(secret) = &secret {
            target.secret = secret.clone();
        }
        let mut url = endpoint.url.clone();
        if let Some(receiver) = &receiver {
            target.url = Zeroizing::new(receiver.as_str().to_owned());
            url = receiver.shown();
        }
        let sealed = self.sealed(&target, &Endpoint { url: url.clone(), ..endpoint.clone() }).await?;
        let host = receiver.map(|receiver| receiver.host());
        Ok(Some(NewTarget { before: endpoint.sealed_target, sealed, url, host, secret }))
    }
}

impl Changes {
    /// Makes the changes; returns what changed, in words for the audit log. [`StoreError::Conflict`] if the target was
    /// changed after it was opened.
    fn apply(&self, endpoint: &mut Endpoint, actor: &str) -> Result<Vec<String>, StoreError> {
        let mut changed = Vec::new();
        if let Some(target) = &self.target {
            if endpoint.sealed_target != target.before {
                return Err(StoreError::Conflict { operation: "update_endpoint" });
            }
            endpoint.sealed_target.clone_from(&target.sealed);
            endpoint.url.clone_from(&target.url);
            if let Some(host) = &target.host {
                changed.push(format!("URL at {host}"));
                works_again(endpoint);
            }
            if target.secret.is_some() {
                changed.push("new secret".to_owned());
            }
        }
        if let Some(kinds) = self.kinds.as_ref().filter(|kinds| **kinds != endpoint.kinds) {
            endpoint.kinds.clone_from(kinds);
            let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            changed.push(format!("kinds {}", words.join(" ")));
        }
        if let Some(format) = self.format.filter(|format| *format != endpoint.format) {
            endpoint.format = format;
            changed.push(format!("format {}", format.as_str()));
        }
        if let Some(alone) = self.alone.filter(|alone| *alone == endpoint.digest) {
            endpoint.digest = !alone;
            changed.push(if alone { "each notice alone" } else { "in digests" }.to_owned());
        }
        if let Some(enabled) = self.enabled {
            changed.push(if enabled { "enabled" } else { "disabled" }.to_owned());
            switch(endpoint, enabled, actor);
        }
        Ok(changed)
    }
}

fn switch(endpoint: &mut Endpoint, enabled: bool, actor: &str) {
    if enabled {
        (endpoint.state, endpoint.state_reason) = (EndpointState::Enabled, String::new());
        works_again(endpoint);
    } else {
        endpoint.state = EndpointState::Disabled;
        endpoint.state_reason = format!("switched off by {actor}");
    }
}

/// Ends a series of failures.
fn works_again(endpoint: &mut Endpoint) {
    (endpoint.failing_since, endpoint.refusing_since) = (None, None);
    (endpoint.failures, endpoint.retry_at) = (0, None);
}
