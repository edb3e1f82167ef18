//! The order journal: one row per order, written before the CA knows of it.

use domain::{AccountId, CertificateId, DomainName, Order, OrderId, OrderKey, OrderState};
use jiff::Timestamp;

use crate::record::{Record, columns};
use crate::sql::Db;
use crate::{Result, Store, StoreError, Tx};

/// A row of `orders`. Data that an ended order no longer needs is erased, above all its key.
struct OrderRow {
    id: OrderId,
    name: DomainName,
    revision: i64,
    account_id: AccountId,
    created_at: Timestamp,
    state: String,
    url: Option<String>,
    certificate_id: Option<CertificateId>,
    sealed_key: Option<Vec<u8>>,
    csr: Option<Vec<u8>>,
}

columns!(OrderRow in "orders":
    id, name, revision, account_id, created_at, state, url, certificate_id, sealed_key, csr);

impl From<&Order> for OrderRow {
    fn from(order: &Order) -> Self {
        let mut row = Self {
            id: order.id,
            name: order.name.clone(),
            revision: order.revision,
            account_id: order.account,
            created_at: order.created_at,
            state: order.state.as_str().to_owned(),
            url: order.state.url().map(str::to_owned),
            certificate_id: None,
            sealed_key: None,
            csr: None,
        };
        match &order.state {
            OrderState::Created { key } | OrderState::Placed { key, .. } => {
                row.certificate_id = Some(key.certificate);
                row.sealed_key = Some(key.sealed.clone());
                row.csr = Some(key.csr.clone());
            }
            OrderState::Issued { certificate } => row.certificate_id = Some(*certificate),
            _ => {}
        }
        row
    }
}

impl TryFrom<OrderRow> for Order {
    type Error = StoreError;

    fn try_from(row: OrderRow) -> Result<Self> {
        let certificate = row.certificate_id;
        let key = certificate.zip(row.sealed_key).zip(row.csr);
        let key = key.map(|((certificate, sealed), csr)| OrderKey { certificate, sealed, csr });
        let state = match (row.state.as_str(), row.url, key, certificate) {
            ("created", None, Some(key), _) => OrderState::Created { key },
            ("placed", Some(url), Some(key), _) => OrderState::Placed { url, key },
            ("issued", _, None, Some(certificate)) => OrderState::Issued { certificate },
            ("failed", ..) => OrderState::Failed,
            ("abandoned", ..) => OrderState::Abandoned,
            _ => {
                let (table, column) = (OrderRow::TABLE, "state".to_owned());
                return Err(StoreError::Inconsistency { table, column, id: row.id.to_string() });
            }
        };
        Ok(Self {
            id: row.id,
            name: row.name,
            revision: row.revision,
            account: row.account_id,
            created_at: row.created_at,
            state,
        })
    }
}

const LIVE: &str = "WHERE name = $1 AND state IN ('created', 'placed')";

async fn live(
    db: &mut Db<'_>,
    operation: &'static str,
    rest: &str,
    name: &DomainName,
) -> Result<Option<Order>> {
    let row = db.select::<OrderRow>(operation, rest).bind(name).optional::<OrderRow>().await?;
    row.map(Order::try_from).transpose()
}

impl Store {
    /// Returns the live order of a name; there is at most one.
    pub async fn live_order(&self, name: &DomainName) -> Result<Option<Order>> {
        live(&mut self.reader().await?.db(), "live_order", LIVE, name).await
    }

    /// Returns the URLs of all orders of a name, ended ones included.
    pub async fn order_urls(&self, name: &DomainName) -> Result<Vec<String>> {
        let text = "SELECT url FROM orders WHERE name = $1 AND url IS NOT NULL";
        self.reader().await?.db().query("order_urls", text).bind(name).scalars().await
    }
}

impl Tx {
    /// Inserts an order. [`StoreError::Conflict`] if the name has a live one.
    pub async fn insert_order(&mut self, order: &Order) -> Result<()> {
        self.insert("insert_order", "", &[OrderRow::from(order)], &[], "").await
    }

    /// Stores an order's state if the stored one is still `from` (a word of [`domain::OrderState::as_str`]).
    /// [`StoreError::Conflict`] otherwise. The sealed key is never written back, because a rotation of the sealing
    /// keys may have sealed it again since it was read; it is erased when the order ends.
    pub async fn update_order(&mut self, order: &Order, from: &'static str) -> Result<()> {
        let text = "UPDATE orders SET state = $1, url = coalesce($2, url),
                sealed_key = CASE WHEN $3 = 1 THEN sealed_key END, csr = CASE WHEN $3 = 1 THEN csr END {rows}
            WHERE id = $4 AND state = $5 AND revision = $6";
        let write = self.write("update_order", "", text).await?;
        let write = write.bind(order.state.as_str()).bind(&order.state.url().map(str::to_owned));
        let write = write.bind(&i64::from(order.state.is_live())).bind(&order.id).bind(from);
        write.bind(&order.revision).keep_one();
        Ok(())
    }

    /// Returns the live order of a name, locked.
    pub async fn live_order(&mut self, name: &DomainName) -> Result<Option<Order>> {
        live(&mut self.db().await?, "live_order_locked", &format!("{LIVE} {{lock}}"), name).await
    }

    /// Returns the number of live orders of an account.
    pub async fn live_orders_of(&mut self, id: AccountId) -> Result<u64> {
        let text = "SELECT count(*) FROM orders WHERE account_id = $1 AND state IN ('created', 'placed')";
        self.db().await?.query("live_orders_of", text).bind(&id).count().await
    }
}
