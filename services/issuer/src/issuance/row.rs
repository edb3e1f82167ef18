//! The row of an order, before its CA hears of it: charged to the CA's limits, with the key of the certificate-to-be.

use domain::budget::{Charge, Wait};
use domain::{AccountId, Order, OrderId, OrderState, Reason};
use jiff::Timestamp;
use runtime::{JobError, checkpoint};
use store::{Certificate, Finished};

use super::{Issuance, Stop};
use crate::issuer::Issuer;
use crate::order_terms::{exempt, is_undelivered, is_withdrawn, lane, pre_expiry};
use crate::stop::local;
use crate::{IssuerRole, keys};

/// The result of writing an order's row for one CA.
pub(super) enum OrderRow {
    Written(Order),
    AlreadyIssued(Finished),
    /// The CA's limits have no room yet.
    NoRoom(Wait),
}

impl Issuance<'_> {
    /// Requests an order again that the CA has not accepted yet. Errors: the limits have no room for it.
    pub(super) async fn charge_again(
        &self,
        issuer: &Issuer,
        order: &Order,
        replaces: Option<&Certificate>,
    ) -> Result<Result<(), Wait>, JobError> {
        let now = self.role.context.clock.now();
        let newest = self.newest().await?;
        let charge = Charge {
            exempt: exempt(newest.as_ref(), replaces, order.account, now),
            is_asked_again: true,
            ..issuer.charge(order.id, self.name)
        };
        self.journal.charge(&charge).await
    }

    /// Writes the order's row with its key, charged to the CA's limits. The key is made once there seems to be room.
    pub(super) async fn order_row(
        &self,
        issuer: &Issuer,
        account: AccountId,
        live: Option<&Certificate>,
        replaces: Option<&Certificate>,
    ) -> Result<OrderRow, Stop> {
        let IssuerRole { context, keys, .. } = self.role;
        let (now, domain) = (context.clock.now(), self.journal.domain());
        let newest = self.newest().await?;
        if let Some(certificate) = &newest
            && is_undelivered(certificate, &domain, now)
        {
            let finished = self.journal.already_issued(&certificate.summary).await?;
            return Ok(OrderRow::AlreadyIssued(finished));
        }
        let pre_expiry = pre_expiry(newest.as_ref(), context.config.renewal.pre_expiry_days);
        let charge = Charge {
            lane: lane(&domain, &self.lease.work, is_withdrawn(live), pre_expiry, now),
            exempt: exempt(newest.as_ref(), replaces, account, now),
            was_promised: matches!(domain.waiting, Some(Reason::CaLimited { until, .. }) if until <= now),
            ..issuer.charge(OrderId::new(&*context.clock, &*context.entropy), self.name)
        };
        let room = context.store.look_for_room(&charge, now).await.map_err(JobError::from)?;
        if room.is_err()
            && let Some(wait) = context.store.stand_in_line(&charge, now).await.map_err(JobError::from)?
        {
            self.journal.cleared().await?;
            return Ok(OrderRow::NoRoom(wait));
        }
        let key = keys::for_order(context, keys, self.name).await.map_err(|error| local(&error))?;
        checkpoint("key-sealed").await;
        let state = OrderState::Created { key };
        let (name, revision) = (self.name.clone(), domain.revision);
        let order = Order { id: charge.order, name, revision, account, created_at: now, state };
        match self.journal.started(&order, &charge).await? {
            Ok(()) => Ok(OrderRow::Written(order)),
            Err(wait) => {
                self.journal.cleared().await?;
                Ok(OrderRow::NoRoom(wait))
            }
        }
    }

    /// Returns the generated certificate of the name with the latest end.
    async fn newest(&self) -> Result<Option<Certificate>, JobError> {
        let store = &self.role.context.store;
        Ok(store.newest_generated(self.name, Timestamp::UNIX_EPOCH).await?)
    }
}
