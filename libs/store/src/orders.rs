//! The order journal: one row per order, from before the CA has heard of it.

use domain::{AccountId, CertificateId, DomainName, Order, OrderId, OrderState};
use jiff::Timestamp;

use crate::record::{Record, columns};
use crate::sql::Db;
use crate::{Result, Store, StoreError, Tx};

/// A row of `orders`. What an ended order no longer needs, its key above all, goes.
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
            OrderState::Keyed { certificate, sealed_key, csr, .. } => {
                row.certificate_id = Some(*certificate);
                row.sealed_key = Some(sealed_key.clone());
                row.csr = Some(csr.clone());
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
        let state = match (row.state.as_str(), row.url, row.certificate_id, row.sealed_key, row.csr) {
            ("created", None, None, None, None) => OrderState::Created,
            ("placed", Some(url), None, None, None) => OrderState::Placed { url },
            ("keyed", Some(url), Some(certificate), Some(sealed_key), Some(csr)) => {
                OrderState::Keyed { url, certificate, sealed_key, csr }
            }
            ("issued", _, Some(certificate), None, _) => OrderState::Issued { certificate },
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

const LIVE: &str = "WHERE name = $1 AND state IN ('created', 'placed', 'keyed')";

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
    /// The one live order of a name.
    pub async fn live_order(&self, name: &DomainName) -> Result<Option<Order>> {
        live(&mut self.reader().await?.db(), "live_order", LIVE, name).await
    }

    /// The URLs of all orders of a name that have one, ended ones included.
    pub async fn order_urls(&self, name: &DomainName) -> Result<Vec<String>> {
        let text = "SELECT url FROM orders WHERE name = $1 AND url IS NOT NULL";
        self.reader().await?.db().query("order_urls", text).bind(name).scalars().await
    }
}

impl Tx {
    /// Writes an order row. [`StoreError::Conflict`] if the name has a live one.
    pub async fn insert_order(&mut self, order: &Order) -> Result<()> {
        self.insert("insert_order", "", &[OrderRow::from(order)], &[], "").await
    }

    /// Writes an order's state if the stored one is still `from` (a word of [`domain::OrderState::as_str`]).
    /// [`StoreError::Conflict`] otherwise.
    pub async fn update_order(&mut self, order: &Order, from: &'static str) -> Result<()> {
        let row = OrderRow::from(order);
        let text = "UPDATE orders SET state = $1, url = coalesce($2, url), certificate_id = $3, sealed_key = $4, csr = $5
            WHERE id = $6 AND state = $7 AND revision = $8";
        let write = self.write("update_order", "", text).await?;
        let write = write.bind(&row.state).bind(&row.url).bind(&row.certificate_id).bind(&row.sealed_key);
        write.bind(&row.csr).bind(&row.id).bind(from).bind(&row.revision).keep_one();
        Ok(())
    }

    /// The one live order of a name, locked.
    pub async fn live_order(&mut self, name: &DomainName) -> Result<Option<Order>> {
        live(&mut self.db().await?, "live_order_locked", &format!("{LIVE} {{lock}}"), name).await
    }

    /// How many live orders an account has.
    pub async fn live_orders_of(&mut self, id: AccountId) -> Result<u64> {
        let text =
            "SELECT count(*) FROM orders WHERE account_id = $1 AND state IN ('created', 'placed', 'keyed')";
        self.db().await?.query("live_orders_of", text).bind(&id).count().await
    }
}
