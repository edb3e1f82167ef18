//! Add: puts a name, or many, on the list.

use audit::Caller;
use domain::{Domain, DomainName, HistoryKind};
use store::{DomainView, Entry};

use super::{CommandError, Commands, Step};

impl Commands {
    /// Adds a domain; answers with the one that is there, and false, if there is one.
    pub async fn add(&self, name: &DomainName, by: &Caller) -> Result<(DomainView, bool), CommandError> {
        let mut step = self.open("add_domain", name, by).await?;
        let created = self.put_on_list(&mut step, name, HistoryKind::Added).await?;
        step.commit().await?;
        Ok((self.result(name).await?, created))
    }

    /// Adds all of these in one transaction; which of them were not there, in the order of `names`.
    pub async fn add_all(&self, names: &[DomainName], by: &Caller) -> Result<Vec<bool>, CommandError> {
        // Everybody locks in the same order, or two batches could wait for each other.
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|index| &names[*index]);
        let mut created = vec![false; names.len()];
        let mut step: Option<Step<'_>> = None;
        for index in order {
            let name = &names[index];
            let mut here = match step.take() {
                None => self.open("add_domains", name, by).await?,
                Some(mut before) => {
                    before.go_on(name, self.clock.now()).await?;
                    before
                }
            };
            created[index] = self.put_on_list(&mut here, name, HistoryKind::Added).await?;
            step = Some(here);
        }
        if let Some(step) = step {
            step.commit().await?;
        }
        Ok(created)
    }

    /// False if it is there already.
    pub(super) async fn put_on_list(
        &self,
        step: &mut Step<'_>,
        name: &DomainName,
        kind: HistoryKind,
    ) -> Result<bool, CommandError> {
        let now = self.clock.now();
        let fresh = match &step.before {
            Some(listed) if listed.deleted_at.is_none() => return Ok(false),
            Some(deleted) => deleted.clone().added_again(now)?,
            None => Domain::added(name.clone(), now),
        };
        let entry = Entry::new(kind, &step.by.actor, format!("{name} was put under management."));
        self.begin_life(step, fresh, entry).await?;
        Ok(true)
    }
}
