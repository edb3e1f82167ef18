//! Add: puts a name on the list.

use audit::Caller;
use domain::{Domain, DomainName, HistoryKind};
use store::{DomainView, Entry};

use super::{CommandError, Commands, Step};

impl Commands {
    /// Adds a domain; answers with the one that is there, and false, if there is one.
    pub async fn add(&self, name: &DomainName, by: &Caller) -> Result<(DomainView, bool), CommandError> {
        let step = self.open("add_domain", name, by).await?;
        let created = self.add_in(step, name, HistoryKind::Added).await?;
        Ok((self.result(name).await?, created))
    }

    pub(super) async fn add_in(
        &self,
        step: Step<'_>,
        name: &DomainName,
        kind: HistoryKind,
    ) -> Result<bool, CommandError> {
        let now = self.clock.now();
        let fresh = match &step.before {
            Some(listed) if listed.deleted_at.is_none() => {
                step.commit().await?;
                return Ok(false);
            }
            Some(deleted) => deleted.clone().added_again(now)?,
            None => Domain::added(name.clone(), now),
        };
        let entry = Entry::new(kind, &step.by.actor, format!("{name} was put under management."));
        self.begin_life(step, fresh, entry).await?;
        Ok(true)
    }
}
