//! What an order that has a row costs of the CA's limits, beside what it was charged when it began.

use acme::Wait;
use acme::budget::{self, Exempt, Lane, Purchase};
use domain::{Order, OrderId};
use jiff::Timestamp;
use runtime::JobError;
use store::{Certificate, Tx};

use super::Journal;
use crate::authority::Authority;
use crate::order_terms::exempt;

impl Journal {
    /// An order that was to replace a certificate is an ordinary renewal after all. Errors: there is no room for that.
    pub(crate) async fn charge_renewal(
        &self,
        authority: &Authority,
        order: OrderId,
    ) -> Result<Result<(), Wait>, JobError> {
        let (tx, domain) = self.open("order_charged").await?;
        let purchase = Purchase {
            order,
            issuer: authority.name(),
            name: &domain.name,
            lane: Lane::Renewal,
            exempt: Exempt::Renewal,
            was_promised: false,
            is_asked_again: false,
        };
        self.charge(tx, authority, &purchase).await
    }

    /// The CA did not take the order: until it is asked again, others may have what it reserved.
    pub(crate) async fn not_taken(&self, order: OrderId) -> Result<(), JobError> {
        let mut tx = self.context.store.begin("order_not_taken").await?;
        tx.give_back(order).await?;
        Ok(tx.commit().await?)
    }

    /// An order that the CA has not taken yet is asked for again. Errors: there is no room for that.
    pub(crate) async fn reserve_again(
        &self,
        authority: &Authority,
        order: &Order,
        replaces: Option<&Certificate>,
    ) -> Result<Result<(), Wait>, JobError> {
        let (mut tx, domain) = self.open("order_reserved_again").await?;
        let now = self.context.clock.now();
        let newest = tx.newest_generated(&domain.name, Timestamp::UNIX_EPOCH).await?;
        let purchase = Purchase {
            order: order.id,
            issuer: authority.name(),
            name: &domain.name,
            lane: Lane::New,
            exempt: exempt(newest.as_ref(), replaces, order.account, now),
            was_promised: false,
            is_asked_again: true,
        };
        self.charge(tx, authority, &purchase).await
    }

    async fn charge(
        &self,
        mut tx: Tx,
        authority: &Authority,
        purchase: &Purchase<'_>,
    ) -> Result<Result<(), Wait>, JobError> {
        let now = self.context.clock.now();
        let charged = budget::charge(&mut tx, &authority.limits, purchase, now).await?;
        if let Ok(reserved) = &charged {
            tx.reserve(purchase.order, reserved).await?;
        }
        tx.commit().await?;
        Ok(charged.map(drop))
    }

    /// The CA itself said that there is no room before `until`.
    pub(crate) async fn correct_budget(
        &self,
        authority: &Authority,
        detail: &str,
        until: Timestamp,
    ) -> Result<(), JobError> {
        let mut tx = self.context.store.begin("budget_corrected").await?;
        let name = &self.lease.work.name;
        budget::correct(&mut tx, &authority.limits, authority.name(), name, detail, until).await?;
        Ok(tx.commit().await?)
    }
}
