//! A delivery is sent and what came of it stored. What fails is tried again, after 30 s, 1, 2, 4 min … a day; an endpoint that
//! took nothing for three days is switched off.
//!
//! An answer 400 to 499 is a refusal of that body, except 408 and 429, which ask for a pause: it says nothing of other
//! deliveries, so they are not waited with. A delivery that was refused 22 times, over three days, is given up. An
//! endpoint that refused several and took none for three days is switched off as well, and one that answers 410 (Gone) at
//! once. That an endpoint is switched off is a line of the audit log.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use audit::Caller;
use bytes::Bytes;
use dns::Nameservers;
use domain::one_line;
use http::HeaderName;
use jiff::SignedDuration;
use rehearsal::{PostError, Poster, Receiver};
use runtime::{Context, RoleError, checkpoint, notifier_keys};
use seal::{SealingKeys, WebhookTarget};
use store::{ClaimedDelivery, Endpoint, FailedAttempt, FailureOf, StoreError};

use crate::{EVENT_ID_HEADER, SIGNATURE_HEADER, body, sign};

/// Longer than the timeout of a request.
pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(30);
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(30);
const MAX_RETRY: SignedDuration = SignedDuration::from_hours(24);
/// Maximum time between attempts at a failing endpoint, over all its deliveries.
const MAX_ENDPOINT_RETRY: SignedDuration = SignedDuration::from_mins(15);
/// The same for what the endpoint refuses, so that it is given up within days.
const MAX_REFUSED_RETRY: SignedDuration = SignedDuration::from_hours(6);
/// A delivery that was refused so often is given up; by then `OFF_AFTER` has passed.
const MAX_REFUSALS: u32 = 22;
/// An endpoint that fails, or refuses everything, for so long is switched off.
const OFF_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);
const GONE: u16 = 410;
const MAX_ERROR: usize = 300;

pub(crate) struct Sender {
    context: Context,
    poster: Poster,
    nameservers: Nameservers,
    /// Loaded when the first delivery is sent: without endpoints no key is needed.
    keys: Mutex<Option<Arc<SealingKeys>>>,
    trouble: Mutex<Option<String>>,
}

impl Sender {
    pub(crate) fn new(context: Context, poster: Poster, nameservers: Nameservers) -> Self {
        Self { context, poster, nameservers, keys: Mutex::default(), trouble: Mutex::default() }
    }

    /// Why nothing can be sent; none if sending works.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a claimed delivery. If the database does not store the result, it is sent again once the lease has
    /// ended.
    pub(crate) async fn send(&self, claimed: &ClaimedDelivery, endpoint: &Endpoint) {
        if let Err(error) = self.try_send(claimed, endpoint).await {
            tracing::error!(error = &error as &dyn Error, delivery = %claimed.delivery.id, "a delivery is not stored");
        }
    }

    async fn try_send(&self, claimed: &ClaimedDelivery, endpoint: &Endpoint) -> Result<(), StoreError> {
        let keys = match self.keys() {
            Ok(keys) => keys,
            Err(problem) => {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime::chain(&problem));
                return self.context.store.release_delivery(claimed).await;
            }
        };
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let result = self.request(claimed, endpoint, &keys).await?;
        checkpoint("delivery-sent").await;
        let outcome = if result.is_ok() { "delivered" } else { "failed" };
        metrics::counter!("ssl_manager_webhook_attempts_total", "outcome" => outcome).increment(1);
        match result {
            Ok(status) => self.context.store.delivered(claimed, u32::from(status)).await,
            Err(error) => self.failed(claimed, endpoint, &error).await,
        }
    }

    fn keys(&self) -> Result<Arc<SealingKeys>, RoleError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*keys {
            return Ok(keys.clone());
        }
        let read = Arc::new(notifier_keys(&self.context.config)?);
        *keys = Some(read.clone());
        Ok(read)
    }

    async fn request(
        &self,
        claimed: &ClaimedDelivery,
        endpoint: &Endpoint,
        keys: &SealingKeys,
    ) -> Result<Result<u16, PostError>, StoreError> {
        let failed = |found: String| Ok(Err(PostError { found, status: None }));
        let target = WebhookTarget::unseal(keys, (endpoint.id, &endpoint.url), &endpoint.sealed_target).await;
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                return failed(format!(
                    "its URL and secret cannot be opened ({error}): delete the endpoint and make it again"
                ));
            }
        };
        let receiver = match Receiver::parse(&target.url) {
            Ok(receiver) => receiver,
            Err(problem) => return failed(format!("the URL cannot be used: {problem}")),
        };
        let events = self.context.store.delivery_events(claimed.delivery.id).await?;
        let body = body::whole(endpoint, &claimed.delivery, &events);
        let headers = [
            (
                HeaderName::from_static(SIGNATURE_HEADER),
                sign(target.secret.as_bytes(), self.context.clock.now(), body.as_bytes()),
            ),
            (HeaderName::from_static(EVENT_ID_HEADER), body::id(&claimed.delivery, &events)),
        ];
        Ok(self.poster.post(&self.nameservers, &receiver, &headers, Bytes::from(body)).await)
    }

    async fn failed(
        &self,
        claimed: &ClaimedDelivery,
        endpoint: &Endpoint,
        error: &PostError,
    ) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let after = retry_after(claimed.delivery.attempts);
        let (after, of) = if error.status.is_some_and(is_refusal) {
            let is_last = claimed.delivery.refusals + 1 >= MAX_REFUSALS;
            let (is_gone, off_if_refusing_since) = (error.status == Some(GONE), now - OFF_AFTER);
            (after.min(MAX_REFUSED_RETRY), FailureOf::Delivery { is_last, is_gone, off_if_refusing_since })
        } else {
            let retry_at = now + retry_after(endpoint.failures).min(MAX_ENDPOINT_RETRY);
            (after, FailureOf::Endpoint { retry_at, off_if_failing_since: now - OFF_AFTER })
        };
        let error_text = one_line(&error.found, MAX_ERROR);
        let line = by_itself().line(now, &endpoint.name, audit::OK, &format!("switched off: {error_text}"));
        let failed = FailedAttempt {
            error: error_text,
            http_status: error.status.map(u32::from),
            due_at: now + after,
            of,
            line,
        };
        if self.context.store.not_delivered(claimed, &failed).await? {
            tracing::error!(endpoint = endpoint.name, error = failed.error, "an endpoint was switched off");
        }
        Ok(())
    }
}

/// The notifier as the one that switches an endpoint off.
fn by_itself() -> Caller {
    Caller {
        actor: "role:notifier".to_owned(),
        peer: "local".to_owned(),
        call: "UpdateEndpoint",
        request_id: String::new(),
    }
}

/// Whether an answer refuses the body, rather than saying that the endpoint takes none at present.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && ![408, 429].contains(&status)
}

/// After so many attempts that failed.
fn retry_after(attempts: u32) -> SignedDuration {
    FIRST_RETRY.checked_mul(1_i32 << attempts.min(20)).map_or(MAX_RETRY, |after| after.min(MAX_RETRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_less_and_less_often() {
        let seconds = |attempts| retry_after(attempts).as_secs();
        assert_eq!([0, 1, 2, 3].map(seconds), [30, 60, 120, 240]);
        assert_eq!([12, 31, u32::MAX].map(seconds), [24 * 3600; 3]);
    }

    #[test]
    fn only_an_answer_about_the_body_is_a_refusal() {
        for status in [400, 404, 413, 499] {
            assert!(is_refusal(status), "{status}");
        }
        for status in [302, 408, 429, 500, 503] {
            assert!(!is_refusal(status), "{status}");
        }
    }
}
