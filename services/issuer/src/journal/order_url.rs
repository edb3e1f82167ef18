//! The hook that stores an order's URL as soon as it is known.
//!
//! The URL is known only here: if the work were dropped now, the next attempt would place a second order. So while
//! the database does not answer, the URL is kept in memory and storing it is retried until the store accepts it or
//! the lease is lost.

use std::sync::OnceLock;
use std::time::Duration;

use acme::OrderJournal;
use async_trait::async_trait;
use domain::Order;
use runtime::{JobError, checkpoint};
use store::StoreError;

use super::Journal;
use crate::turn::Turn;

const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Receives the URL; the order's turn ends with that.
pub(crate) struct OrderUrlJournal {
    journal: Journal,
    order: Order,
    turn: Turn,
    placed: OnceLock<Order>,
}

impl OrderUrlJournal {
    pub(super) fn new(journal: &Journal, order: &Order, turn: &Turn) -> Self {
        let (journal, order, turn) = (journal.clone(), order.clone(), turn.clone());
        Self { journal, order, turn, placed: OnceLock::new() }
    }

    /// The order as stored, if the CA returned a URL.
    pub(crate) fn placed(&self) -> Option<Order> {
        self.placed.get().cloned()
    }

    /// Ends with the process's hard stop, like all work.
    async fn store_until_it_is_taken(&self, url: &str) -> Result<Order, JobError> {
        let mut is_told = false;
        loop {
            match self.store(url).await {
                Err(JobError::Store(error)) if error.is_unavailable() => {
                    if !is_told {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(
                            error,
                            order.url = url,
                            "the order's URL is not stored yet, tried again"
                        );
                    }
                    is_told = true;
                }
                stored => return stored,
            }
            self.journal.context.clock.sleep(RETRY_INTERVAL).await;
        }
    }

    async fn store(&self, url: &str) -> Result<Order, JobError> {
        let order = Order { state: self.order.state.clone().placed(url.to_owned())?, ..self.order.clone() };
        self.journal.kept(|decider, domain| Ok(decider.placed(domain, &order))).await?;
        tracing::info!(order.id = %order.id, order.url = url, "order placed");
        Ok(order)
    }
}

#[async_trait]
impl OrderJournal for OrderUrlJournal {
    async fn placed(&self, url: &str) -> Result<(), StoreError> {
        self.turn.taken(self.journal.context.clock.now());
        checkpoint("new-order-answered").await;
        let order = self.store_until_it_is_taken(url).await.map_err(|error| match error {
            JobError::Store(error) => error,
            other => StoreError::Database { operation: "order_placed", source: other.into() },
        })?;
        let _ = self.placed.set(order);
        Ok(())
    }
}
