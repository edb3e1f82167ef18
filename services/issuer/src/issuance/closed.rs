//! CAs that get no requests at present: paused by an operator, down, over their limits, or refusing our account.

use std::time::Duration;

use domain::budget::LimitKind;
use jiff::Timestamp;

use super::{Issuance, RELEASE_SPREAD, Stop};
use crate::at_ca::later;
use crate::ending::Ending;
use crate::issuer::Issuer;

impl Issuance<'_> {
    /// Checks whether requests to a CA are paused, before any request or charge.
    pub(super) async fn may_send(&self, issuer: &Issuer) -> Result<(), Stop> {
        let sent = issuer.ca.may_send().await;
        sent.map_err(|error| self.out_of_reach(issuer, &error))
    }

    /// While all CAs are paused, C4 and DNS are not asked either.
    pub(super) async fn must_not_all_be_paused(&self) -> Result<(), Stop> {
        let mut paused = None;
        for issuer in &self.role.issuers {
            match self.may_send(issuer).await {
                Ok(()) => return Ok(()),
                Err(stop) => paused = paused.or(Some(stop)),
            }
        }
        paused.map_or(Ok(()), Err)
    }

    pub(super) fn down(&self, issuer: &Issuer, until: Timestamp) -> Ending {
        let detail = format!("{} does not answer at present", issuer.name());
        // After a short outage few orders are waiting, and after a long one the pause is long.
        let pause = until.duration_since(self.role.context.clock.now()).as_secs();
        let most = u64::try_from(pause).unwrap_or(0).clamp(1, RELEASE_SPREAD);
        Ending::ca_down(detail, Some(self.spread_over(most, until)))
    }

    /// The CA rate-limits our account until `until`.
    pub(super) fn limited(&self, issuer: &Issuer, until: Timestamp) -> Ending {
        Ending::limited(self.spread(until), issuer.name(), Some(LimitKind::NewOrders))
    }

    pub(super) fn refused(&self, issuer: &Issuer, until: Timestamp, problem: &acme::Problem) -> Ending {
        Ending::Waiting { reason: issuer.refuses_us(problem), not_before: Some(self.spread(until)) }
    }

    /// Spreads the return of orders that wait for a CA: the first ones find out whether it works again.
    fn spread(&self, until: Timestamp) -> Timestamp {
        self.spread_over(RELEASE_SPREAD, until)
    }

    fn spread_over(&self, seconds: u64, until: Timestamp) -> Timestamp {
        let spread = self.role.context.entropy.below(seconds);
        later(until, Duration::from_secs(spread))
    }
}
