//! Add: puts a name, or many, on the list, and starts its first certificate.

use std::collections::{BTreeSet, HashMap};

use audit::Caller;
use domain::{Activity, Cause, Domain, DomainName, HistoryKind, WorkKind};
use store::{DomainView, Entry, Tx};

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
        let mut tx = self.store.begin("add_domains").await?;
        let now = self.clock.now();
        for name in names {
            tx.append_audit(by.line(now, name.as_str(), audit::OK, ""));
        }
        let known = tx.domains(names).await?.into_iter();
        let known: HashMap<DomainName, Domain> = known.map(|domain| (domain.name.clone(), domain)).collect();
        let is_listed = |name: &DomainName| known.get(name).is_some_and(|domain| domain.deleted_at.is_none());
        // Everybody writes in the order of the names, or two batches could wait for each other.
        let mut missing: BTreeSet<&DomainName> = names.iter().filter(|name| !is_listed(name)).collect();
        for deleted in missing.iter().filter_map(|name| known.get(*name)) {
            self.begin_again(&mut tx, deleted, HistoryKind::Added, by).await?;
        }
        let never_here = missing.iter().filter(|name| !known.contains_key(**name));
        let never_here: Vec<&DomainName> = never_here.copied().collect();
        self.begin_first(&mut tx, &never_here, HistoryKind::Added, by).await?;
        tx.commit().await?;
        Ok(names.iter().map(|name| missing.remove(name)).collect())
    }

    /// False if it is there already.
    pub(super) async fn put_on_list(
        &self,
        step: &mut Step<'_>,
        name: &DomainName,
        kind: HistoryKind,
    ) -> Result<bool, CommandError> {
        match &step.before {
            Some(listed) if listed.deleted_at.is_none() => return Ok(false),
            Some(deleted) => self.begin_again(&mut step.tx, deleted, kind, step.by).await?,
            None => self.begin_first(&mut step.tx, &[name], kind, step.by).await?,
        }
        Ok(true)
    }

    /// Puts names on the list that were never here.
    async fn begin_first(
        &self,
        tx: &mut Tx,
        names: &[&DomainName],
        kind: HistoryKind,
        by: &Caller,
    ) -> Result<(), CommandError> {
        if names.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let added = |name: &&DomainName| Domain::added((*name).clone(), now);
        let domains: Vec<Domain> = names.iter().map(added).collect();
        let due = |domain: &Domain| self.due_now(domain, WorkKind::Issue, Cause::Requested, None);
        tx.insert_domains(&domains).await?;
        let work: Vec<domain::Work> = domains.iter().map(due).collect();
        tx.schedule_all(&work).await?;
        for (domain, work) in domains.iter().zip(&work) {
            tx.record(None, domain, Some(put_under_management(domain, kind, by)));
            tx.hint(work);
        }
        Ok(())
    }

    /// Puts a name on the list that was deleted from it; its first certificate is the newest one that is there and fresh,
    /// else an order.
    async fn begin_again(
        &self,
        tx: &mut Tx,
        deleted: &Domain,
        kind: HistoryKind,
        by: &Caller,
    ) -> Result<(), CommandError> {
        let added = deleted.clone().added_again(self.clock.now())?;
        // A removal that was asked for in the past life must not take the new one's certificate away.
        tx.cancel(&added.name, WorkKind::Remove).await?;
        let (after, work, certificate) = match self.reusable(tx, &added).await? {
            Some(certificate) => {
                let after = added.doing(Activity::Uploading, None)?;
                (after, WorkKind::Upload, Some(certificate))
            }
            None => (added, WorkKind::Issue, None),
        };
        let entry = put_under_management(&after, kind, by);
        tx.apply(Some(deleted), &after, Some(entry)).await?;
        self.start_now(tx, &after, work, Cause::Requested, certificate).await?;
        Ok(())
    }
}

fn put_under_management<'a>(domain: &Domain, kind: HistoryKind, by: &'a Caller) -> Entry<'a> {
    Entry::new(kind, &by.actor, format!("{} was put under management.", domain.name))
}
