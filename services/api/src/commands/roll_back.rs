//! Roll back: the last known good certificate is uploaded again.

use audit::Caller;
use domain::sentence::NamedZone;
use domain::{Cause, DomainName, HistoryKind, WorkKind};
use jiff::Timestamp;
use store::{Certificate, DomainView, Entry};

use super::{CommandError, Commands};

impl Commands {
    /// Puts the certificate that was live before the present one back.
    pub async fn roll_back(&self, name: &DomainName, by: &Caller) -> Result<DomainView, CommandError> {
        let mut step = self.open("rollback_certificate", name, by).await?;
        let listed = step.before.clone().filter(|domain| domain.deleted_at.is_none());
        let listed = listed.ok_or_else(|| CommandError::NotFound(name.clone()))?;
        let previous = match listed.previous {
            Some(previous) => self.store.certificate(name, previous).await?,
            None => None,
        };
        let previous = self.usable(name, previous)?;
        let after = listed.roll_back(previous.summary.source)?;
        self.abandon_order(&mut step.tx, name).await?;
        step.tx.cancel(name, WorkKind::Issue).await?;
        let entry = Entry {
            kind: HistoryKind::RolledBack,
            actor: &by.actor,
            message: format!(
                "Back to the certificate issued by {}, valid until {}.",
                previous.summary.issuer,
                NamedZone::utc().time(previous.summary.not_after)
            ),
            certificate_sha256: Some(previous.summary.sha256.clone()),
        };
        step.apply(&after, entry).await?;
        let id = Some(previous.id());
        self.start_now(&mut step.tx, &after, WorkKind::Upload, Cause::Requested, id).await?;
        step.commit().await?;
        self.result(name).await
    }

    fn usable(&self, name: &DomainName, previous: Option<Certificate>) -> Result<Certificate, CommandError> {
        let nothing = |why| CommandError::NothingToRollBackTo { name: name.clone(), why };
        let previous = previous.ok_or_else(|| nothing("no certificate was live before the present one"))?;
        match why_not(
            previous.sealed_key.is_some(),
            previous.withdrawn,
            previous.summary.not_after,
            self.clock.now(),
        ) {
            Some(why) => Err(nothing(why)),
            None => Ok(previous),
        }
    }
}

/// Why the certificate before the live one cannot be put back, if it cannot.
pub(crate) fn why_not(
    has_key: bool,
    withdrawn: bool,
    not_after: Timestamp,
    now: Timestamp,
) -> Option<&'static str> {
    if withdrawn {
        Some("the certificate before is revoked, or about to be")
    } else if !has_key {
        Some("the key of the certificate before was destroyed")
    } else if not_after <= now {
        Some("the certificate before has ended")
    } else {
        None
    }
}
