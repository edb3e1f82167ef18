//! Endpoints of webhooks: the targets of notices, and their recent results.

use std::collections::BTreeMap;

use domain::{EndpointId, EndpointState, NoticeKind, WebhookFormat};
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// A target of notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id; the target is sealed to it and to the URL that is shown.
    pub id: EndpointId,
    /// Its name, which is unique.
    pub name: String,
    /// Its URL as it is shown: without path and query, which may be a secret.
    pub url: String,
    /// The whole URL and the secret that signs requests, sealed by the notifier's own key.
    pub sealed_target: Vec<u8>,
    /// The kinds of notices that it selects.
    pub kinds: Vec<NoticeKind>,
    /// Selects only domains with all of these labels; empty selects every domain.
    pub labels: BTreeMap<String, String>,
    /// The format of a body.
    pub format: WebhookFormat,
    /// Whether notices are collected into digests.
    pub digest: bool,
    /// Its state.
    pub state: EndpointState,
    /// Why it is not enabled; may be empty.
    pub state_reason: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The principal who created it.
    pub created_by: String,
    /// Since when it has been failing; none while it works.
    pub failing_since: Option<Timestamp>,
    /// Since when it has refused deliveries and taken none.
    pub refusing_since: Option<Timestamp>,
    /// Consecutive failed attempts.
    pub failures: u32,
    /// Nothing is sent before this time.
    pub retry_at: Option<Timestamp>,
    /// Why the last attempt failed; empty if it succeeded.
    pub last_error: String,
    /// When it last accepted a delivery.
    pub delivered_at: Option<Timestamp>,
}

columns!(Endpoint in "endpoints":
    id, name, url, sealed_target, kinds, labels, format, digest, state, state_reason, created_at, created_by,
    failing_since, refusing_since, failures, retry_at, last_error, delivered_at);

impl Store {
    /// Returns all endpoints, by name.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        self.reader().await?.db().select::<Endpoint>("endpoints", "ORDER BY name").all().await
    }

    /// Returns the number of endpoints in that state.
    pub async fn count_endpoints(&self, state: EndpointState) -> Result<u64> {
        let text = "SELECT count(*) FROM endpoints WHERE state = $1";
        self.reader().await?.db().query("count_endpoints", text).bind(&state).count().await
    }
}

impl Tx {
    /// Stores a new endpoint. [`crate::StoreError::Conflict`] if the name is taken.
    pub async fn add_endpoint(&mut self, endpoint: &Endpoint) -> Result<()> {
        self.db().await?.insert("add_endpoint", std::slice::from_ref(endpoint), &[], "").await
    }

    /// Returns an endpoint by its name, locked.
    pub async fn endpoint(&mut self, name: &str) -> Result<Option<Endpoint>> {
        let mut db = self.db().await?;
        db.select::<Endpoint>("endpoint", "WHERE name = $1 {lock}").bind(name).optional().await
    }

    /// Stores the fields of an endpoint that an administrator may change: URL and secret, kinds, labels, format, digest, and
    /// its state and series of failures.
    pub async fn update_endpoint(&mut self, endpoint: &Endpoint) -> Result<()> {
        let text = "UPDATE endpoints SET kinds = $2, labels = $3, format = $4, digest = $5, state = $6,
                state_reason = $7, failing_since = $8, failures = $9, retry_at = $10, refusing_since = $11, url = $12,
                sealed_target = $13
            WHERE id = $1";
        let mut db = self.db().await?;
        let query = db.query("update_endpoint", text).bind(&endpoint.id).bind(&endpoint.kinds);
        let query = query.bind(&endpoint.labels).bind(&endpoint.format).bind(&endpoint.digest);
        let query = query.bind(&endpoint.state).bind(&endpoint.state_reason).bind(&endpoint.failing_since);
        let query = query.bind(&endpoint.failures).bind(&endpoint.retry_at).bind(&endpoint.refusing_since);
        query.bind(&endpoint.url).bind(&endpoint.sealed_target).execute_one().await
    }

    /// Deletes an endpoint with its deliveries.
    pub async fn delete_endpoint(&mut self, id: EndpointId) -> Result<()> {
        let mut db = self.db().await?;
        // As all others do: the delivery before its notices.
        let text = "SELECT count(*) FROM (SELECT id FROM deliveries WHERE endpoint_id = $1 ORDER BY id {lock}) AS locked";
        db.query("lock_deliveries", text).bind(&id).count().await?;
        for (operation, text) in [
            ("delete_events", "DELETE FROM delivery_events WHERE endpoint_id = $1"),
            ("delete_deliveries", "DELETE FROM deliveries WHERE endpoint_id = $1"),
        ] {
            db.query(operation, text).bind(&id).execute().await?;
        }
        db.query("delete_endpoint", "DELETE FROM endpoints WHERE id = $1").bind(&id).execute_one().await
    }
}
