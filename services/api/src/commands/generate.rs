//! Generate: the dashboard's button. It never orders what is there, under way, or not due, unless it is forced to.

use audit::Caller;
use domain::{Cause, Domain, HistoryKind, Source, Work, WorkKind};
use jiff::SignedDuration;
use store::{DomainView, Entry, Tx};

use super::{Addition, CommandError, Commands, Step};

/// By then the new certificate is usually live, and brings a comparison of its own.
const COMPARE_DELAY: SignedDuration = SignedDuration::from_mins(5);

impl Commands {
    /// Sees to it that a domain has a generated certificate.
    pub async fn generate(
        &self,
        addition: impl Into<Addition>,
        force: bool,
        by: &Caller,
    ) -> Result<DomainView, CommandError> {
        let addition = addition.into();
        let name = &addition.name;
        let mut step = self.open("generate_certificate", name, by).await?;
        match step.before.clone().filter(|domain| domain.deleted_at.is_none()) {
            None => {
                self.put_on_list(&mut step, &addition, HistoryKind::Generated).await?;
                step.commit().await?;
            }
            Some(listed) => {
                self.label_step(&mut step, &listed, &addition.labels).await?;
                let listed = step.before.clone().unwrap_or(listed);
                self.generate_listed(step, listed, force).await?;
            }
        }
        self.result(name).await
    }

    async fn generate_listed(
        &self,
        mut step: Step<'_>,
        listed: Domain,
        force: bool,
    ) -> Result<(), CommandError> {
        if self.joins_order(&mut step, &listed).await? {
            return Ok(step.commit().await?);
        }
        if !force && let Some(kept) = self.keeps(&mut step, &listed).await? {
            self.start_now(&mut step.tx, &listed, WorkKind::Upload, kept.cause, Some(kept.certificate))
                .await?;
            return Ok(step.commit().await?);
        }
        let after = listed.generate()?;
        self.abandon_order(&mut step.tx, &after.name).await?;
        self.keep_comparing(&mut step.tx, &after).await?;
        let entry = Entry::new(HistoryKind::Generated, &step.by.actor, "A certificate was requested.");
        step.apply(&after, entry).await?;
        self.start_now(&mut step.tx, &after, WorkKind::Issue, Cause::Requested, None).await?;
        Ok(step.commit().await?)
    }

    /// What is live goes on serving, and being compared with C4, until the new certificate is; an upload of the past
    /// revision is not wanted any more.
    pub(super) async fn keep_comparing(&self, tx: &mut Tx, after: &Domain) -> Result<(), CommandError> {
        let Some(live) = after.live() else {
            return Ok(tx.cancel(&after.name, WorkKind::Upload).await?);
        };
        let due_at = self.clock.now() + COMPARE_DELAY;
        let compare = Work {
            certificate: Some(live.certificate),
            ..Work::due(after, WorkKind::Upload, Cause::Compare, due_at)
        };
        Ok(tx.schedule(&compare).await?)
    }

    /// An order of this revision that is under way is joined; one that waits goes on now.
    async fn joins_order(&self, step: &mut Step<'_>, listed: &Domain) -> Result<bool, CommandError> {
        let name = &listed.name;
        if step.tx.is_leased(name, WorkKind::Issue).await? {
            return Ok(true);
        }
        if step.tx.live_order(name).await?.is_none() {
            return Ok(false);
        }
        self.start_now(&mut step.tx, listed, WorkKind::Issue, Cause::Requested, None).await?;
        Ok(true)
    }

    /// What is there and need not be ordered again: an issued certificate that was never delivered, or the live one,
    /// which is compared with C4 and uploaded again if that differs.
    async fn keeps(
        &self,
        step: &mut Step<'_>,
        listed: &Domain,
    ) -> Result<Option<ReusedCertificate>, CommandError> {
        let now = self.clock.now();
        if listed.source != Source::C4 {
            return Ok(None);
        }
        let Some(newest) = step.tx.newest_generated(&listed.name, now).await? else {
            return Ok(None);
        };
        if newest.sealed_key.is_none() || newest.withdrawn || !self.is_fresh(&newest, now) {
            return Ok(None);
        }
        let is_live = listed.is_live(newest.id());
        let undelivered = newest.uploaded_at.is_none() && newest.revision == listed.revision;
        let cause = match (is_live, undelivered) {
            (true, _) => Cause::Compare,
            (false, true) => Cause::Requested,
            (false, false) => return Ok(None),
        };
        Ok(Some(ReusedCertificate { certificate: newest.id(), cause }))
    }
}

struct ReusedCertificate {
    certificate: domain::CertificateId,
    cause: Cause,
}
