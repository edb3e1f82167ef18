//! Deliveries of webhooks: one request each, with one notice or a digest of several.
//!
//! A digest is open until its time is over and takes notices until then; what is sent never changes after. A delivery is
//! claimed by a lease, and a claim raises the row's token, so whoever was overtaken changes nothing. Of the deliveries to one
//! endpoint that tell of the same domain a later one waits for an earlier one; a digest that is still open holds up none.
//!
//! What failed because the endpoint is down is due when the endpoint takes anything; what the endpoint refused waits for its
//! own time, and after some refusals it has ended and holds up nothing. An endpoint that refuses one delivery may be right; one
//! that takes nothing and refuses several for long is switched off like one that is down. A transaction that changes a delivery and its
//! endpoint locks the endpoint first, as the deletion of an endpoint does.

use domain::{DeliveryState, EndpointId, EventId, NoticeKind};
use jiff::{SignedDuration, Timestamp};

use crate::record::{FromRow, Reader, Record as _, columns};
use crate::{AuditEntry, Result, Store, Tx};

/// Most notices in a digest: at about 1 KB each the body stays under 1 MB, which many servers take at most.
const MAX_EVENTS: u32 = 500;

/// A request to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Its id, the same for every attempt.
    pub id: EventId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The kind of its notices.
    pub kind: NoticeKind,
    /// The key of its digest; empty for a single notice.
    pub digest_key: String,
    /// Its number of notices.
    pub events: u32,
    /// Its state.
    pub state: DeliveryState,
    /// When it was made.
    pub created_at: Timestamp,
    /// The time from which it can be sent; defines the order of deliveries about one domain.
    pub ready_at: Timestamp,
    /// When the next attempt is due.
    pub due_at: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// How many of them the endpoint refused.
    pub refusals: u32,
    /// The status of the last answer; none if there was none.
    pub http_status: Option<u32>,
    /// Why the last attempt failed; empty if it succeeded.
    pub last_error: String,
    /// When it was taken, or given up.
    pub ended_at: Option<Timestamp>,
}

columns!(WebhookDelivery in "deliveries":
    id, endpoint as "endpoint_id", kind, digest_key, events, state, created_at, ready_at, due_at, attempts,
    refusals, http_status, last_error, ended_at);

/// A notice in a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryEvent {
    /// The endpoint; each notice goes to it in one delivery.
    pub endpoint: EndpointId,
    /// The notice's id.
    pub event: EventId,
    /// The delivery.
    pub delivery: EventId,
    /// The domain, or another subject.
    pub subject: String,
    /// The content, JSON.
    pub body: String,
}

columns!(DeliveryEvent in "delivery_events":
    endpoint as "endpoint_id", event as "event_id", delivery as "delivery_id", subject, body);

/// A delivery under our lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// The delivery.
    pub delivery: WebhookDelivery,
    /// Fencing token of this claim.
    pub token: i64,
}

impl FromRow for ClaimedDelivery {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { delivery: WebhookDelivery::read(reader)?, token: reader.value()? })
    }
}

/// A failed attempt and its consequences.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    /// The error in words.
    pub error: String,
    /// The status of the answer, if there was one.
    pub http_status: Option<u32>,
    /// When this delivery is tried again.
    pub due_at: Timestamp,
    /// Whose failure it is.
    pub of: FailureOf,
    /// For the audit log, if it switches the endpoint off.
    pub line: AuditEntry,
}

/// Whose failure an attempt is.
#[derive(Clone, Copy, Debug)]
pub enum FailureOf {
    /// The endpoint's: other deliveries would fail as well.
    Endpoint {
        /// Before that nothing is sent to it.
        retry_at: Timestamp,
        /// An endpoint that has been failing since then is switched off.
        off_if_failing_since: Timestamp,
    },
    /// The delivery's alone: the endpoint refused it.
    Delivery {
        /// Whether it is given up.
        is_last: bool,
        /// Whether the answer says that the endpoint is gone, which switches it off.
        is_gone: bool,
        /// An endpoint that has taken nothing and refused several deliveries since then is switched off.
        off_if_refusing_since: Timestamp,
    },
}

impl Store {
    /// Claims up to `limit` deliveries to an endpoint until `until`: those that are due, if the endpoint is enabled and not
    /// waited for, and behind no earlier one of the same domain.
    pub async fn claim_deliveries(
        &self,
        endpoint: EndpointId,
        limit: u32,
        until: Timestamp,
    ) -> Result<Vec<ClaimedDelivery>> {
        let text = format!(
            "UPDATE deliveries SET state = 'waiting', lease_until = $2, lease_token = lease_token + 1
            WHERE id IN (
                SELECT d.id FROM deliveries d
                WHERE d.endpoint_id = $3 AND d.ended_at IS NULL AND d.due_at <= $1
                    AND (d.lease_until IS NULL OR d.lease_until <= $1)
                    AND EXISTS (SELECT 1 FROM endpoints e
                        WHERE e.id = $3 AND e.state = 'enabled' AND (e.retry_at IS NULL OR e.retry_at <= $1))
                    AND NOT EXISTS (
                        SELECT 1 FROM delivery_events mine
                        JOIN delivery_events other ON other.endpoint_id = mine.endpoint_id
                            AND other.subject = mine.subject AND other.is_waiting
                            AND other.delivery_id <> mine.delivery_id
                        JOIN deliveries o ON o.id = other.delivery_id AND o.ready_at <= $1
                            AND (o.ready_at < d.ready_at OR (o.ready_at = d.ready_at AND o.id < d.id))
                        WHERE mine.delivery_id = d.id AND mine.subject <> '')
                ORDER BY d.due_at, d.id LIMIT $4 {{lock free}})
            RETURNING {}, lease_token",
            WebhookDelivery::selected("")
        );
        let mut writer = self.writer("claim_deliveries").await?;
        let mut db = writer.db();
        let query = db.query("claim_deliveries", &text).bind(&self.now()).bind(&until).bind(&endpoint);
        let claimed = query.limit(limit).all().await?;
        writer.done(claimed).await
    }

    /// The endpoints that are enabled and not waited for, and to which a delivery is due; costs no write.
    pub async fn due_endpoints(&self) -> Result<Vec<EndpointId>> {
        let text = "SELECT e.id FROM endpoints e
            WHERE e.state = 'enabled' AND (e.retry_at IS NULL OR e.retry_at <= $1)
                AND EXISTS (SELECT 1 FROM deliveries d
                    WHERE d.endpoint_id = e.id AND d.ended_at IS NULL AND d.due_at <= $1)
            ORDER BY e.id";
        self.reader().await?.db().query("due_endpoints", text).bind(&self.now()).scalars().await
    }

    /// Returns the notices of a delivery, in the order in which they happened.
    pub async fn delivery_events(&self, delivery: EventId) -> Result<Vec<DeliveryEvent>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.select::<DeliveryEvent>("delivery_events", "WHERE delivery_id = $1 ORDER BY event_id");
        query.bind(&delivery).all().await
    }

    /// Returns up to `limit` deliveries, newest first: of one endpoint if given, and older than `before`.
    pub async fn deliveries(
        &self,
        endpoint: Option<EndpointId>,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let mut query = db.select::<WebhookDelivery>("deliveries", "WHERE 1 = 1");
        if let Some(endpoint) = endpoint {
            query.push(" AND endpoint_id = ").push_bind(&endpoint);
        }
        if let Some(before) = before {
            query.push(" AND id < ").push_bind(&before);
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(&i64::from(limit));
        query.all().await
    }

    /// Returns a delivery.
    pub async fn delivery(&self, id: EventId) -> Result<Option<WebhookDelivery>> {
        let mut reader = self.reader().await?;
        reader.db().select::<WebhookDelivery>("delivery", "WHERE id = $1").bind(&id).optional().await
    }

    /// Returns how many deliveries wait for an enabled endpoint, and since when the oldest of them could have been
    /// sent.
    pub async fn waiting_deliveries(&self) -> Result<(u64, Option<Timestamp>)> {
        let text = "SELECT count(*), min(d.ready_at) FROM deliveries d
            WHERE d.ended_at IS NULL AND d.ready_at <= $1
                AND d.endpoint_id IN (SELECT e.id FROM endpoints e WHERE e.state = 'enabled')";
        let mut reader = self.reader().await?;
        let (waiting, oldest): (i64, Option<Timestamp>) =
            reader.db().query("waiting_deliveries", text).bind(&self.now()).one().await?;
        Ok((waiting.unsigned_abs(), oldest))
    }

    /// Stores that an endpoint took a delivery. What waited for the endpoint, because it failed before, is due now; what it
    /// refused is not. Nothing happens if the claim is not ours any more: the delivery is made again.
    pub async fn delivered(&self, claimed: &ClaimedDelivery, http_status: u32) -> Result<()> {
        let (now, WebhookDelivery { id, endpoint, .. }) = (self.now(), &claimed.delivery);
        let mut tx = self.begin("delivered").await?;
        let Some(failures) = tx.lock_endpoint(*endpoint).await? else { return Ok(()) };
        let mut db = tx.db().await?;
        let text =
            "UPDATE deliveries SET state = 'delivered', ended_at = $3, http_status = $4, last_error = '',
                attempts = attempts + 1, lease_until = NULL
            WHERE id = $1 AND lease_token = $2 AND state = 'waiting'";
        let query = db.query("delivered", text).bind(id).bind(&claimed.token).bind(&now);
        if query.bind(&http_status).execute().await? == 0 {
            return Ok(());
        }
        let text = "UPDATE delivery_events SET is_waiting = $2 WHERE delivery_id = $1";
        db.query("events_delivered", text).bind(id).bind(&false).execute().await?;
        if failures > 0 {
            let text = "UPDATE deliveries SET due_at = $2
                WHERE endpoint_id = $1 AND ended_at IS NULL AND due_at > $2 AND state = 'waiting' AND refusals = 0";
            db.query("deliveries_due", text).bind(endpoint).bind(&now).execute().await?;
        }
        let text =
            "UPDATE endpoints SET failing_since = NULL, refusing_since = NULL, failures = 0, retry_at = NULL, last_error = '',
                delivered_at = $2
            WHERE id = $1";
        db.query("endpoint_works", text).bind(endpoint).bind(&now).execute().await?;
        tx.commit().await
    }

    /// Stores that an attempt failed; returns whether that switched the endpoint off. Of several attempts that fail at once
    /// one counts as a failure of the endpoint. Nothing happens if the claim is not ours any more.
    pub async fn not_delivered(&self, claimed: &ClaimedDelivery, failed: &FailedAttempt) -> Result<bool> {
        let (now, WebhookDelivery { id, endpoint, .. }) = (self.now(), &claimed.delivery);
        let (refusals, is_last) = match failed.of {
            FailureOf::Endpoint { .. } => (0_u32, false),
            FailureOf::Delivery { is_last, .. } => (1, is_last),
        };
        let mut tx = self.begin("not_delivered").await?;
        if tx.lock_endpoint(*endpoint).await?.is_none() {
            return Ok(false);
        }
        let mut db = tx.db().await?;
        let text =
            "UPDATE deliveries SET due_at = $3, http_status = $4, last_error = $5, attempts = attempts + 1,
                refusals = refusals + $6, state = $7, ended_at = $8, lease_until = NULL
            WHERE id = $1 AND lease_token = $2 AND state = 'waiting'";
        let query = db.query("not_delivered", text).bind(id).bind(&claimed.token).bind(&failed.due_at);
        let query = query.bind(&failed.http_status).bind(&failed.error).bind(&refusals);
        let state = if is_last { DeliveryState::Refused } else { DeliveryState::Waiting };
        if query.bind(&state).bind(&is_last.then_some(now)).execute().await? == 0 {
            return Ok(false);
        }
        if is_last {
            let text = "UPDATE delivery_events SET is_waiting = $2 WHERE delivery_id = $1";
            db.query("events_refused", text).bind(id).bind(&false).execute().await?;
        }
        let is_off = tx.endpoint_failed(*endpoint, failed).await?;
        if is_off {
            tx.append_audit(failed.line.clone());
        }
        tx.commit().await?;
        Ok(is_off)
    }

    /// Releases a claim early, without counting an attempt.
    pub async fn release_delivery(&self, claimed: &ClaimedDelivery) -> Result<()> {
        let text = "UPDATE deliveries SET lease_until = NULL WHERE id = $1 AND lease_token = $2";
        let mut writer = self.writer("release_delivery").await?;
        let mut db = writer.db();
        db.query("release_delivery", text).bind(&claimed.delivery.id).bind(&claimed.token).execute().await?;
        writer.done(()).await
    }

    /// Deletes at most `limit` deliveries created up to `made_by`, in any state; returns the number of rows.
    pub async fn forget_deliveries(&self, made_by: Timestamp, limit: u32) -> Result<u64> {
        let mut tx = self.begin("forget_deliveries").await?;
        let mut db = tx.db().await?;
        let text =
            "SELECT id FROM deliveries WHERE created_at <= $1 ORDER BY created_at LIMIT $2 {lock free}";
        let old: Vec<EventId> =
            db.query("old_deliveries", text).bind(&made_by).limit(limit).scalars().await?;
        let text = "DELETE FROM delivery_events WHERE delivery_id {in 1}";
        db.query("forget_events", text).bind_set(&old).execute().await?;
        let text = "DELETE FROM deliveries WHERE id {in 1}";
        let deleted = db.query("forget_deliveries", text).bind_set(&old).execute().await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

impl Tx {
    /// Locks an endpoint and returns how often it failed; none if it was deleted.
    async fn lock_endpoint(&mut self, id: EndpointId) -> Result<Option<i64>> {
        let text = "SELECT failures{bigint} FROM endpoints WHERE id = $1 {lock}";
        let mut db = self.db().await?;
        Ok(db.query("lock_endpoint", text).bind(&id).scalars().await?.pop())
    }

    /// Stores at an endpoint that an attempt failed; returns whether that switched it off.
    async fn endpoint_failed(&mut self, id: EndpointId, failed: &FailedAttempt) -> Result<bool> {
        let (retry_at, off_if_failing_since) = match failed.of {
            FailureOf::Endpoint { retry_at, off_if_failing_since } => (retry_at, off_if_failing_since),
            FailureOf::Delivery { is_gone, off_if_refusing_since, .. } => {
                return self.endpoint_refuses(id, &failed.error, (is_gone, off_if_refusing_since)).await;
            }
        };
        let now = self.now();
        let mut db = self.db().await?;
        // What was in flight when the endpoint began to fail ends while it is waited for already.
        let text = "UPDATE endpoints SET failing_since = coalesce(failing_since, $2), last_error = $4,
                failures = failures + CASE WHEN retry_at > $2 THEN 0 ELSE 1 END,
                retry_at = CASE WHEN retry_at > $2 THEN retry_at ELSE $3 END
            WHERE id = $1";
        let query = db.query("endpoint_fails", text).bind(&id).bind(&now).bind(&retry_at);
        query.bind(&failed.error).execute().await?;
        let text = "UPDATE endpoints SET state = 'failed', state_reason = $3
            WHERE id = $1 AND state = 'enabled' AND failing_since <= $2";
        let query = db.query("endpoint_off", text).bind(&id).bind(&off_if_failing_since);
        Ok(query.bind(&failed.error).execute().await? == 1)
    }

    async fn endpoint_refuses(
        &mut self,
        id: EndpointId,
        error: &str,
        (is_gone, off_since): (bool, Timestamp),
    ) -> Result<bool> {
        let now = self.now();
        let mut db = self.db().await?;
        let text = "UPDATE endpoints SET last_error = $2, refusing_since = coalesce(refusing_since, $3)
            WHERE id = $1";
        db.query("endpoint_refuses", text).bind(&id).bind(error).bind(&now).execute().await?;
        let text = "UPDATE endpoints SET state = 'failed', state_reason = $2
            WHERE id = $1 AND state = 'enabled' AND refusing_since <= $3 AND $4 < (
                SELECT count(*) FROM deliveries d
                WHERE d.endpoint_id = $1 AND d.refusals > 0 AND d.state IN ('waiting', 'refused')
                    AND (d.ended_at IS NULL OR d.ended_at >= endpoints.refusing_since))";
        let (since, others) = if is_gone { (now, 0_i64) } else { (off_since, 1) };
        let query = db.query("endpoint_refused", text).bind(&id).bind(error).bind(&since);
        Ok(query.bind(&others).execute().await? == 1)
    }

    /// Stores a delivery with one notice, to be sent now.
    pub async fn deliver_alone(&mut self, kind: NoticeKind, event: DeliveryEvent) -> Result<()> {
        let now = self.now();
        let delivery = WebhookDelivery::new(&event, kind, (now, now), "", DeliveryState::Waiting);
        self.insert_delivery(&delivery, &[event]).await
    }

    /// Adds notices to the open digest of that key, and to new ones that stay open for so long; each takes 500. An event's
    /// `delivery` is the id of a new one, should it be the first in it. [`crate::StoreError::Conflict`] if another copy opened
    /// one at the same time.
    pub async fn deliver_in_digest(
        &mut self,
        kind: NoticeKind,
        key: &str,
        collected_for: SignedDuration,
        mut events: Vec<DeliveryEvent>,
    ) -> Result<()> {
        while let Some(first) = events.first().cloned() {
            let open = self.open_digest(first.endpoint, key).await?;
            let room = MAX_EVENTS.saturating_sub(open.as_ref().map_or(0, |open| open.events)) as usize;
            let later = events.split_off(room.min(events.len()));
            let id = open.as_ref().map_or(first.delivery, |open| open.id);
            let added: Vec<DeliveryEvent> =
                events.into_iter().map(|event| DeliveryEvent { delivery: id, ..event }).collect();
            if open.is_some() {
                self.grow_digest(id, &added).await?;
            } else {
                let now = self.now();
                let ready_at = now.checked_add(collected_for).unwrap_or(now);
                let delivery = WebhookDelivery::new(&first, kind, (now, ready_at), key, DeliveryState::Open);
                self.insert_delivery(&delivery, &added).await?;
            }
            events = later;
        }
        Ok(())
    }

    /// The digest of that key that takes notices, locked; one whose time is over or that is full is closed.
    async fn open_digest(&mut self, endpoint: EndpointId, key: &str) -> Result<Option<WebhookDelivery>> {
        let now = self.now();
        let mut db = self.db().await?;
        let text = "UPDATE deliveries SET state = 'waiting'
            WHERE endpoint_id = $1 AND digest_key = $2 AND state = 'open' AND (ready_at <= $3 OR events >= $4)";
        let query = db.query("close_digest", text).bind(&endpoint).bind(key);
        query.bind(&now).bind(&MAX_EVENTS).execute().await?;
        let rest = "WHERE endpoint_id = $1 AND digest_key = $2 AND state = 'open' {lock}";
        db.select::<WebhookDelivery>("open_digest", rest).bind(&endpoint).bind(key).optional().await
    }

    async fn grow_digest(&mut self, id: EventId, events: &[DeliveryEvent]) -> Result<()> {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let mut db = self.db().await?;
        let text = "UPDATE deliveries SET events = events + $2 WHERE id = $1 AND state = 'open'";
        db.query("grow_digest", text).bind(&id).bind(&count).execute_one().await?;
        db.insert("add_events", events, &[], "ON CONFLICT DO NOTHING").await
    }

    async fn insert_delivery(&mut self, delivery: &WebhookDelivery, events: &[DeliveryEvent]) -> Result<()> {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let delivery = WebhookDelivery { events: count, ..delivery.clone() };
        let mut db = self.db().await?;
        db.insert("add_delivery", std::slice::from_ref(&delivery), &[], "").await?;
        db.insert("add_events", events, &[], "").await
    }

    /// Makes a delivery due now, whether it was taken, given up or waits; false if there is none of that id.
    pub async fn redeliver(&mut self, id: EventId) -> Result<bool> {
        let now = self.now();
        let mut db = self.db().await?;
        let text = "UPDATE deliveries SET state = 'waiting', due_at = $2, attempts = 0, refusals = 0, ended_at = NULL,
                lease_until = NULL, lease_token = lease_token + 1
            WHERE id = $1 AND state <> 'open'";
        if db.query("redeliver", text).bind(&id).bind(&now).execute().await? == 0 {
            return Ok(false);
        }
        let text = "UPDATE delivery_events SET is_waiting = $2 WHERE delivery_id = $1";
        db.query("redeliver_events", text).bind(&id).bind(&true).execute().await?;
        Ok(true)
    }
}

impl WebhookDelivery {
    fn new(
        event: &DeliveryEvent,
        kind: NoticeKind,
        (now, ready_at): (Timestamp, Timestamp),
        key: &str,
        state: DeliveryState,
    ) -> Self {
        Self {
            id: event.delivery,
            endpoint: event.endpoint,
            kind,
            digest_key: key.to_owned(),
            events: 1,
            state,
            created_at: now,
            ready_at,
            due_at: ready_at,
            attempts: 0,
            refusals: 0,
            http_status: None,
            last_error: String::new(),
            ended_at: None,
        }
    }
}
