//! Import: a pasted certificate becomes the live one, in one step; what was live serves until then.

use audit::Caller;
use domain::sentence::NamedZone;
use domain::{Cause, Domain, DomainName, HistoryKind, Source, WorkKind};
use store::{Certificate, DomainView, Entry};

use super::{CommandError, Commands, Step};

impl Commands {
    /// Stores a checked and sealed certificate and has it uploaded. Its revision is set here. One that is live already is
    /// compared with C4 instead; the same leaf with another chain is a change.
    pub async fn import(
        &self,
        mut certificate: Certificate,
        by: &Caller,
    ) -> Result<DomainView, CommandError> {
        let name = certificate.name.clone();
        let mut step = self.open("import_certificate", &name, by).await?;
        if self.is_live_already(step.before.as_ref(), &certificate).await? {
            return self.compare(step, &name).await;
        }
        let now = self.clock.now();
        let listed = match step.before.clone() {
            None => Domain::added(name.clone(), now),
            Some(deleted) if deleted.deleted_at.is_some() => deleted.added_again(now)?,
            Some(listed) => listed,
        };
        let after = listed.import()?;
        certificate.revision = after.revision;
        self.abandon_order(&mut step.tx, &name).await?;
        step.tx.cancel(&name, WorkKind::Issue).await?;
        step.tx.cancel(&name, WorkKind::Remove).await?;
        let summary = &certificate.summary;
        let entry = Entry {
            kind: HistoryKind::Imported,
            actor: &by.actor,
            message: format!(
                "A certificate was pasted, issued by {}, valid until {}.",
                summary.issuer,
                NamedZone::utc().time(summary.not_after)
            ),
            certificate_sha256: Some(summary.sha256.clone()),
        };
        step.apply(&after, entry).await?;
        step.tx.insert_certificate(&certificate).await?;
        let id = Some(certificate.id());
        self.start_now(&mut step.tx, &after, WorkKind::Upload, Cause::Requested, id).await?;
        step.commit().await?;
        self.result(&name).await
    }

    async fn is_live_already(
        &self,
        before: Option<&Domain>,
        pasted: &Certificate,
    ) -> Result<bool, CommandError> {
        let live = before
            .filter(|domain| domain.deleted_at.is_none() && domain.source == Source::Text)
            .and_then(Domain::live);
        let Some(live) = live else { return Ok(false) };
        let live = self.store.certificate(&pasted.name, live.certificate).await?;
        Ok(live.is_some_and(|live| {
            live.summary.sha256 == pasted.summary.sha256
                && live.chain_pem == pasted.chain_pem
                && live.sealed_key.is_some()
        }))
    }

    async fn compare(&self, mut step: Step<'_>, name: &DomainName) -> Result<DomainView, CommandError> {
        if let Some(listed) = step.before.clone()
            && let Some(live) = listed.live()
        {
            let live = Some(live.certificate);
            self.start_now(&mut step.tx, &listed, WorkKind::Upload, Cause::Compare, live).await?;
        }
        step.commit().await?;
        self.result(name).await
    }
}
