//! Labels: the owner of a domain, in the caller's own words.

use audit::Caller;
use domain::{Domain, DomainName, HistoryKind, LabelChange, label_changes, one_line};
use store::{DomainView, Entry, Tx};

use super::{CommandError, Commands, Step};

/// Of a change, so much is told in the history.
pub(super) const MAX_TOLD: usize = 1000;

/// A domain after a change of its labels, and the change in words.
pub(super) struct Labelled {
    pub(super) domain: Domain,
    pub(super) told: String,
}

impl Commands {
    /// Changes the reference and the labels of a domain on the list.
    pub async fn set_labels(
        &self,
        name: &DomainName,
        change: &LabelChange,
        by: &Caller,
    ) -> Result<DomainView, CommandError> {
        let mut step = self.open("set_domain_labels", name, by).await?;
        let listed = step.before.clone().filter(|domain| domain.deleted_at.is_none());
        let listed = listed.ok_or_else(|| CommandError::NotFound(name.clone()))?;
        self.label_step(&mut step, &listed, change).await?;
        step.commit().await?;
        self.result(name).await
    }

    /// The same as a part of another command, which goes on from the domain as it is then.
    pub(super) async fn label_step(
        &self,
        step: &mut Step<'_>,
        listed: &Domain,
        change: &LabelChange,
    ) -> Result<(), CommandError> {
        if let Some(labelled) = self.label(&mut step.tx, listed, change, step.by).await? {
            step.line.detail = labelled.told;
            step.before = Some(labelled.domain);
        }
        Ok(())
    }

    /// None if nothing changes.
    pub(super) async fn label(
        &self,
        tx: &mut Tx,
        listed: &Domain,
        change: &LabelChange,
        by: &Caller,
    ) -> Result<Option<Labelled>, CommandError> {
        if change.is_empty() {
            return Ok(None);
        }
        let before = tx.labels(&listed.name).await?;
        let labels = change.labels(&before)?;
        let customer_ref = change.customer_ref(&listed.customer_ref);
        let Some(told) = label_changes((&listed.customer_ref, customer_ref), (&before, &labels)) else {
            return Ok(None);
        };
        let told = one_line(&told, MAX_TOLD);
        let after = listed.clone().belongs_to(customer_ref)?;
        if labels != before {
            tx.set_labels(&listed.name, &labels).await?;
        }
        let entry = Entry::new(HistoryKind::LabelsChanged, &by.actor, told.clone());
        tx.apply(Some(listed), &after, Some(entry)).await?;
        let domain = after.as_stored(self.clock.now());
        Ok(Some(Labelled { domain, told }))
    }
}
