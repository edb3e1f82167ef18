//! Decides whether C4's answer that it does not know a domain is the domain's fault or C4's.

use domain::{Domain, Missing};

use crate::{Result, Store};

impl Store {
    /// Whether so many domains with a live certificate are missing at C4 that C4 itself is broken. Only for domains
    /// that serve a certificate: for the others, C4's answer is believed at once.
    pub async fn is_c4s_fault(&self, domain: &Domain) -> Result<bool> {
        let now = self.now();
        if !domain.serves(now) || domain.is_unknown_to_c4() {
            return Ok(false);
        }
        let mut tx = self.begin("is_c4s_fault").await?;
        let since = now - Missing::WINDOW;
        let (missing, live) = tx.missing_and_live(since).await?;
        let is_counted = domain.missing().is_some_and(|missing| missing.last_at >= since);
        let fault = Missing::is_c4s_fault(missing + u64::from(!is_counted), live);
        if fault {
            // The first of them were counted before there were so many.
            tx.discount_missing(since).await?;
            metrics::counter!("ssl_manager_c4_doubted_total").increment(1);
            tracing::warn!(missing, "C4 does not know so many domains that it is not believed");
        }
        tx.commit().await?;
        Ok(fault)
    }
}
