//! The order journal and the challenge responses of its orders.

use domain::{DomainName, Order, OrderId, OrderState};
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Challenge, Columns, ProbeOf, Result, StoreError};
use uuid::Uuid;

use crate::db::{expect_one, failed, failed_or_taken, time};

#[derive(FromRow)]
struct OrderRow {
    id: Uuid,
    name: String,
    revision: i64,
    account_id: Uuid,
    created_at: jiff_sqlx::Timestamp,
    state: String,
    url: Option<String>,
    certificate_id: Option<Uuid>,
    sealed_key: Option<Vec<u8>>,
    csr: Option<Vec<u8>>,
}

impl TryFrom<OrderRow> for Order {
    type Error = StoreError;

    fn try_from(row: OrderRow) -> Result<Self> {
        let id = row.id.to_string();
        let columns = Columns { table: "orders", id: &id };
        let certificate = row.certificate_id.map(Into::into);
        let state = match (row.state.as_str(), row.url, certificate, row.sealed_key, row.csr) {
            ("created", None, None, None, None) => OrderState::Created,
            ("placed", Some(url), None, None, None) => OrderState::Placed { url },
            ("keyed", Some(url), Some(certificate), Some(sealed_key), Some(csr)) => {
                OrderState::Keyed { url, certificate, sealed_key, csr }
            }
            ("issued", _, Some(certificate), None, _) => OrderState::Issued { certificate },
            ("failed", ..) => OrderState::Failed,
            ("abandoned", ..) => OrderState::Abandoned,
            _ => return Err(columns.bad("state")),
        };
        Ok(Self {
            id: row.id.into(),
            name: columns.name(&row.name)?,
            revision: row.revision,
            account: row.account_id.into(),
            created_at: row.created_at.to_jiff(),
            state,
        })
    }
}

pub(crate) async fn live(db: impl PgExecutor<'_>, name: &DomainName) -> Result<Option<Order>> {
    select_live(
        db,
        name,
        "-- live_order
        SELECT id, name, revision, account_id, created_at, state, url, certificate_id, sealed_key, csr
        FROM orders WHERE name = $1 AND state IN ('created', 'placed', 'keyed')",
    )
    .await
}

pub(crate) async fn live_locked(db: impl PgExecutor<'_>, name: &DomainName) -> Result<Option<Order>> {
    select_live(
        db,
        name,
        "-- live_order_locked
        SELECT id, name, revision, account_id, created_at, state, url, certificate_id, sealed_key, csr
        FROM orders WHERE name = $1 AND state IN ('created', 'placed', 'keyed') FOR NO KEY UPDATE",
    )
    .await
}

async fn select_live(
    db: impl PgExecutor<'_>,
    name: &DomainName,
    statement: &'static str,
) -> Result<Option<Order>> {
    let row: Option<OrderRow> = sqlx::query_as(statement)
        .bind(name.as_str())
        .fetch_optional(db)
        .await
        .map_err(failed("live_order"))?;
    row.map(Order::try_from).transpose()
}

/// The columns that belong to a state. What an ended order no longer needs, its key above all, goes.
struct StateColumns<'a> {
    url: Option<&'a str>,
    certificate_id: Option<Uuid>,
    sealed_key: Option<&'a [u8]>,
    csr: Option<&'a [u8]>,
}

impl<'a> From<&'a OrderState> for StateColumns<'a> {
    fn from(state: &'a OrderState) -> Self {
        let none = Self { url: state.url(), certificate_id: None, sealed_key: None, csr: None };
        match state {
            OrderState::Keyed { certificate, sealed_key, csr, .. } => Self {
                certificate_id: Some(certificate.as_uuid()),
                sealed_key: Some(sealed_key),
                csr: Some(csr),
                ..none
            },
            OrderState::Issued { certificate } => {
                Self { certificate_id: Some(certificate.as_uuid()), ..none }
            }
            _ => none,
        }
    }
}

pub(crate) async fn insert(db: &mut PgConnection, order: &Order) -> Result<()> {
    let columns = StateColumns::from(&order.state);
    sqlx::query(
        "-- insert_order
        INSERT INTO orders (id, name, revision, account_id, created_at, state, url, certificate_id, sealed_key, csr)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(order.id.as_uuid())
    .bind(order.name.as_str())
    .bind(order.revision)
    .bind(order.account.as_uuid())
    .bind(time(order.created_at))
    .bind(order.state.as_str())
    .bind(columns.url)
    .bind(columns.certificate_id)
    .bind(columns.sealed_key)
    .bind(columns.csr)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_order"))
}

pub(crate) async fn update(db: &mut PgConnection, order: &Order, from: &'static str) -> Result<()> {
    let columns = StateColumns::from(&order.state);
    let updated = sqlx::query(
        "-- update_order
        UPDATE orders SET state = $1, url = coalesce($2, url), certificate_id = $3, sealed_key = $4, csr = $5
        WHERE id = $6 AND state = $7 AND revision = $8",
    )
    .bind(order.state.as_str())
    .bind(columns.url)
    .bind(columns.certificate_id)
    .bind(columns.sealed_key)
    .bind(columns.csr)
    .bind(order.id.as_uuid())
    .bind(from)
    .bind(order.revision)
    .execute(db)
    .await
    .map_err(failed("update_order"))?;
    expect_one("update_order", &updated)
}

#[derive(FromRow)]
struct ChallengeRow {
    host: String,
    token: String,
    key_authorization: String,
    order_id: Uuid,
    created_at: jiff_sqlx::Timestamp,
}

impl TryFrom<ChallengeRow> for Challenge {
    type Error = StoreError;

    fn try_from(row: ChallengeRow) -> Result<Self> {
        let columns = Columns { table: "challenges", id: &row.host };
        Ok(Self {
            host: columns.parse("host", &row.host)?,
            order: row.order_id.into(),
            created_at: row.created_at.to_jiff(),
            token: row.token,
            key_authorization: row.key_authorization,
        })
    }
}

pub(crate) async fn challenges(db: impl PgExecutor<'_>, host: &DomainName) -> Result<Vec<Challenge>> {
    let rows: Vec<ChallengeRow> = sqlx::query_as(
        "-- challenges
        SELECT host, token, key_authorization, order_id, created_at FROM challenges WHERE host = $1",
    )
    .bind(host.as_str())
    .fetch_all(db)
    .await
    .map_err(failed("challenges"))?;
    rows.into_iter().map(Challenge::try_from).collect()
}

pub(crate) async fn key_authorization(
    db: impl PgExecutor<'_>,
    host: &DomainName,
    token: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar(
        "-- key_authorization
        SELECT key_authorization FROM challenges WHERE host = $1 AND token = $2
        UNION ALL SELECT answer FROM probes WHERE host = $1 AND token = $2
        LIMIT 1",
    )
    .bind(host.as_str())
    .bind(token)
    .fetch_optional(db)
    .await
    .map_err(failed("key_authorization"))
}

pub(crate) async fn put_challenge(db: &mut PgConnection, challenge: &Challenge) -> Result<()> {
    sqlx::query(
        "-- put_challenge
        INSERT INTO challenges (host, token, key_authorization, order_id, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (host, token) DO UPDATE SET key_authorization = $3, order_id = $4, created_at = $5",
    )
    .bind(challenge.host.as_str())
    .bind(&challenge.token)
    .bind(&challenge.key_authorization)
    .bind(challenge.order.as_uuid())
    .bind(time(challenge.created_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("put_challenge"))
}

pub(crate) async fn drop_challenges(db: &mut PgConnection, order: OrderId) -> Result<()> {
    sqlx::query("-- drop_challenges\nDELETE FROM challenges WHERE order_id = $1")
        .bind(order.as_uuid())
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("drop_challenges"))
}

pub(crate) async fn put_probe(
    db: &mut PgConnection,
    host: &DomainName,
    of: ProbeOf,
    token: &str,
    answer: &str,
) -> Result<()> {
    sqlx::query(
        "-- put_probe
        INSERT INTO probes (host, asker, token, answer) VALUES ($1, $2, $3, $4)
        ON CONFLICT (host, asker) DO UPDATE SET token = excluded.token, answer = excluded.answer",
    )
    .bind(host.as_str())
    .bind(of.as_str())
    .bind(token)
    .bind(answer)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("put_probe"))
}

pub(crate) async fn drop_probe(db: &mut PgConnection, host: &DomainName, of: ProbeOf) -> Result<()> {
    sqlx::query("-- drop_probe\nDELETE FROM probes WHERE host = $1 AND asker = $2")
        .bind(host.as_str())
        .bind(of.as_str())
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("drop_probe"))
}
