//! The hook through which an order's URL is stored the moment it is known.

use std::sync::OnceLock;

use acme::OrderJournal;
use async_trait::async_trait;
use domain::{HistoryKind, Order};
use runtime::{JobError, checkpoint};
use store::StoreError;

use super::Journal;
use crate::turn::Turn;

/// What hears of the URL; the order's turn ends with that.
pub(crate) struct Placing {
    journal: Journal,
    order: Order,
    turn: Turn,
    placed: OnceLock<Order>,
}

impl Placing {
    pub(super) fn new(journal: &Journal, order: &Order, turn: &Turn) -> Self {
        let (journal, order, turn) = (journal.clone(), order.clone(), turn.clone());
        Self { journal, order, turn, placed: OnceLock::new() }
    }

    /// The order as it is stored, if the CA gave it a URL.
    pub(crate) fn placed(&self) -> Option<Order> {
        self.placed.get().cloned()
    }

    async fn store(&self, url: &str) -> Result<Order, JobError> {
        let (mut tx, domain) = self.journal.open("order_placed").await?;
        let mut order = self.order.clone();
        let next = order.state.clone().placed(url.to_owned())?;
        self.journal.update_order(&mut tx, &mut order, next).await?;
        let message = "The certificate authority took the order.";
        let entry = self.journal.entry(HistoryKind::OrderPlaced, message);
        tx.apply(Some(&domain), &domain, Some(entry)).await?;
        tx.commit().await?;
        tracing::info!(order.id = %order.id, order.url = url, "order placed");
        Ok(order)
    }
}

#[async_trait]
impl OrderJournal for Placing {
    async fn placed(&self, url: &str) -> Result<(), StoreError> {
        self.turn.taken(self.journal.context.clock.now());
        checkpoint("new-order-answered").await;
        let order = self.store(url).await.map_err(|error| match error {
            JobError::Store(error) => error,
            other => StoreError::Database { operation: "order_placed", source: other.into() },
        })?;
        let _ = self.placed.set(order);
        Ok(())
    }
}
