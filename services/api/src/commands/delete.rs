//! Delete: takes a name off the list. History stays; C4 keeps serving unless removal was asked for.

use audit::Caller;
use domain::sentence::{Done, Served};
use domain::{Cause, DomainName, EventKind, HistoryKind, WorkKind};
use store::Entry;

use super::{CommandError, Commands};

impl Commands {
    /// Deletes a domain, and says what that means.
    pub async fn delete(
        &self,
        name: &DomainName,
        remove_from_c4: bool,
        by: &Caller,
    ) -> Result<Done, CommandError> {
        let mut step = self.open("delete_domain", name, by).await?;
        let listed = step.before.clone().filter(|domain| domain.deleted_at.is_none());
        let listed = listed.ok_or_else(|| CommandError::NotFound(name.clone()))?;
        let now = self.clock.now();
        let served = match listed.live() {
            Some(live) if now < live.not_after => Served::Valid,
            Some(_) => Served::Ended,
            None => Served::Nothing,
        };
        let done = Done::deleted(served, remove_from_c4);
        let after = listed.delete(now)?;
        self.abandon_order(&mut step.tx, name).await?;
        step.tx.cancel(name, WorkKind::Issue).await?;
        step.tx.cancel(name, WorkKind::Upload).await?;
        step.apply(&after, Entry::new(HistoryKind::Deleted, &by.actor, done.sentence())).await?;
        if remove_from_c4 {
            self.start_now(&mut step.tx, &after, WorkKind::Remove, Cause::Requested, None).await?;
        } else {
            step.tx.publish(EventKind::DomainDeleted, name, after.revision);
        }
        // Nothing will take the place of what was to be revoked once it is replaced.
        if step.tx.work(name, WorkKind::Revoke).await?.is_some() {
            self.start_now(&mut step.tx, &after, WorkKind::Revoke, Cause::Requested, None).await?;
        }
        step.commit().await?;
        Ok(done)
    }
}
