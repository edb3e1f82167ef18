//! Add: puts a name, or many, on the list, and starts its first certificate.

use std::collections::btree_map::Entry as Entries;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use audit::Caller;
use domain::{
    Activity, Cause, Domain, DomainName, HistoryKind, LabelChange, WorkKind, label_changes, one_line,
};
use store::{DomainView, Entry, Tx};

use super::labels::MAX_TOLD;
use super::{CommandError, Commands, Step};

/// A name to put on the list, and its owner.
#[derive(Clone, Debug)]
pub struct Addition {
    /// The name.
    pub name: DomainName,
    /// Its labels.
    pub labels: LabelChange,
}

/// A name of which nothing else is said.
impl From<&DomainName> for Addition {
    fn from(name: &DomainName) -> Self {
        Self { name: name.clone(), labels: LabelChange::default() }
    }
}

impl Commands {
    /// Adds a domain; answers with the one that is there, and false, if there is one.
    pub async fn add(
        &self,
        addition: impl Into<Addition>,
        by: &Caller,
    ) -> Result<(DomainView, bool), CommandError> {
        let addition = addition.into();
        let name = &addition.name;
        let mut step = self.open("add_domain", name, by).await?;
        let created = self.put_on_list(&mut step, &addition, HistoryKind::Added).await?;
        step.commit().await?;
        Ok((self.result(name).await?, created))
    }

    /// Adds all of these in one transaction; which of them were not there, in their order.
    pub async fn add_all(&self, additions: &[Addition], by: &Caller) -> Result<Vec<bool>, CommandError> {
        let mut tx = self.store.begin("add_domains").await?;
        let now = self.clock.now();
        let names: Vec<DomainName> = additions.iter().map(|addition| addition.name.clone()).collect();
        for name in &names {
            tx.append_audit(by.line(now, name.as_str(), audit::OK, ""));
        }
        let mut wanted: BTreeMap<&DomainName, &Addition> = BTreeMap::new();
        let mut repeated = Vec::new();
        for addition in additions {
            match wanted.entry(&addition.name) {
                Entries::Vacant(free) => _ = free.insert(addition),
                Entries::Occupied(_) => repeated.push(addition),
            }
        }
        let known = tx.domains(&names).await?.into_iter();
        let known: HashMap<DomainName, Domain> = known.map(|domain| (domain.name.clone(), domain)).collect();
        let mut missing = BTreeSet::new();
        let mut never_here = Vec::new();
        // All writers use the order of the names, or two batches could wait for each other.
        for (name, addition) in wanted {
            match known.get(name) {
                Some(listed) if listed.deleted_at.is_none() => {
                    self.label(&mut tx, listed, &addition.labels, by).await?;
                    continue;
                }
                Some(deleted) => {
                    self.begin_again(&mut tx, deleted, &addition.labels, HistoryKind::Added, by).await?;
                }
                None => never_here.push(addition),
            }
            missing.insert(name);
        }
        self.begin_first(&mut tx, &never_here, HistoryKind::Added, by).await?;
        for addition in repeated.into_iter().filter(|addition| !addition.labels.is_empty()) {
            if let Some(listed) = tx.domain(&addition.name).await? {
                self.label(&mut tx, &listed, &addition.labels, by).await?;
            }
        }
        tx.commit().await?;
        Ok(names.iter().map(|name| missing.remove(name)).collect())
    }

    /// False if it is there already.
    pub(super) async fn put_on_list(
        &self,
        step: &mut Step<'_>,
        addition: &Addition,
        kind: HistoryKind,
    ) -> Result<bool, CommandError> {
        match step.before.clone() {
            Some(listed) if listed.deleted_at.is_none() => {
                self.label_step(step, &listed, &addition.labels).await?;
                return Ok(false);
            }
            Some(deleted) => {
                self.begin_again(&mut step.tx, &deleted, &addition.labels, kind, step.by).await?;
            }
            None => self.begin_first(&mut step.tx, &[addition], kind, step.by).await?,
        }
        Ok(true)
    }

    /// Puts names on the list that were never here.
    async fn begin_first(
        &self,
        tx: &mut Tx,
        additions: &[&Addition],
        kind: HistoryKind,
        by: &Caller,
    ) -> Result<(), CommandError> {
        if additions.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let added = |addition: &&Addition| {
            let customer_ref = addition.labels.customer_ref("");
            Domain::added(addition.name.clone(), now).belongs_to(customer_ref)
        };
        let domains: Vec<Domain> = additions.iter().map(added).collect::<Result<_, _>>()?;
        let due = |domain: &Domain| self.due_now(domain, WorkKind::Issue, Cause::Requested, None);
        tx.insert_domains(&domains).await?;
        let work: Vec<domain::Work> = domains.iter().map(due).collect();
        tx.schedule_all(&work).await?;
        for ((addition, domain), work) in additions.iter().zip(&domains).zip(&work) {
            let labels = addition.labels.labels(&BTreeMap::new())?;
            tx.add_labels(&domain.name, &labels).await?;
            tx.record(None, domain, Some(put_under_management(domain, &labels, kind, by)));
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
        labels: &LabelChange,
        kind: HistoryKind,
        by: &Caller,
    ) -> Result<(), CommandError> {
        let customer_ref = labels.customer_ref("");
        let added = deleted.clone().added_again(self.clock.now())?.belongs_to(customer_ref)?;
        // The next life may be another customer's.
        let labels = labels.labels(&BTreeMap::new())?;
        tx.set_labels(&added.name, &labels).await?;
        // A removal that was asked for in the past life must not take the new one's certificate away.
        tx.cancel(&added.name, WorkKind::Remove).await?;
        let (after, work, certificate) = match self.reusable(tx, &added).await? {
            Some(certificate) => {
                let after = added.doing(Activity::Uploading, None)?;
                (after, WorkKind::Upload, Some(certificate))
            }
            None => (added, WorkKind::Issue, None),
        };
        let entry = put_under_management(&after, &labels, kind, by);
        tx.apply(Some(deleted), &after, Some(entry)).await?;
        self.start_now(tx, &after, work, Cause::Requested, certificate).await?;
        Ok(())
    }
}

fn put_under_management<'a>(
    domain: &Domain,
    labels: &BTreeMap<String, String>,
    kind: HistoryKind,
    by: &'a Caller,
) -> Entry<'a> {
    let told = label_changes(("", &domain.customer_ref), (&BTreeMap::new(), labels)).unwrap_or_default();
    let message = format!("{} was added. {told}", domain.name);
    Entry::new(kind, &by.actor, one_line(&message, MAX_TOLD))
}
