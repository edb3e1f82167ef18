//! Revoke: a certificate is to be revoked at its CA, and what serves is replaced first.
//!
//! This only writes the wish down and makes work of it; the issuer asks the CA. From here on the certificate is never put
//! back, whatever becomes of the wish.

use audit::Caller;
use domain::sentence::NamedZone;
use domain::{
    Cause, Domain, DomainName, HistoryEntry, HistoryKind, RevocationReason, RevocationState, Source, Work,
    WorkKind,
};
use store::{Certificate, DomainView, Entry, Revocation};

use super::{CommandError, Commands, Step};

/// The certificate to revoke.
#[derive(Clone, Debug)]
pub struct Revoking {
    /// The domain as it is now; none if it is off the list.
    pub domain: Option<DomainView>,
    /// The certificate.
    pub sha256: String,
}

impl Commands {
    /// Has a certificate of a name revoked, the live one if none is named; also of a name that was deleted.
    pub async fn revoke(
        &self,
        name: &DomainName,
        sha256: Option<&str>,
        reason: RevocationReason,
        by: &Caller,
    ) -> Result<Revoking, CommandError> {
        let mut step = self.open("revoke_certificate", name, by).await?;
        let row = step.before.clone();
        let row = row.ok_or_else(|| CommandError::NotFound(name.clone()))?;
        let certificate = self.certificate_of(&mut step, &row, sha256).await?;
        let sha256 = certificate.summary.sha256.clone();
        step.line.detail = format!("{reason} {sha256}");
        let before = step.tx.revocation(certificate.id()).await?;
        if !is_same_wish(before.as_ref(), reason) {
            self.must_be_revocable(&certificate, before.as_ref(), reason)?;
            self.wish(&mut step, &row, &certificate, before, reason).await?;
        }
        step.commit().await?;
        Ok(Revoking { domain: self.store.domain(name).await?, sha256 })
    }

    async fn certificate_of(
        &self,
        step: &mut Step<'_>,
        row: &Domain,
        sha256: Option<&str>,
    ) -> Result<Certificate, CommandError> {
        let found = match (sha256, row.live()) {
            (Some(sha256), _) => step.tx.certificate_by_sha256(&row.name, sha256).await?,
            (None, Some(live)) => self.store.certificate(&row.name, live.certificate).await?,
            (None, None) => None,
        };
        found.ok_or_else(|| CommandError::NoSuchCertificate(row.name.clone()))
    }

    fn must_be_revocable(
        &self,
        certificate: &Certificate,
        before: Option<&Revocation>,
        reason: RevocationReason,
    ) -> Result<(), CommandError> {
        let not = |why: &str| {
            Err(CommandError::NotRevocable {
                sha256: certificate.summary.sha256.clone(),
                why: why.to_owned(),
            })
        };
        if certificate.summary.source == Source::Text {
            return not("it was pasted, so whoever issued it has to revoke it");
        }
        if certificate.summary.not_after <= self.clock.now() {
            return not("it has ended");
        }
        if certificate.account.is_none() {
            return not("it is not known with which account it was ordered");
        }
        match before.map(|before| before.state) {
            Some(RevocationState::Revoked) => not("it is revoked, and its reason stands"),
            // A key in other hands is worse than whatever was thought before.
            Some(RevocationState::Asked) if reason != RevocationReason::KeyCompromise => {
                not("it is about to be revoked for another reason")
            }
            _ => Ok(()),
        }
    }

    async fn wish(
        &self,
        step: &mut Step<'_>,
        row: &Domain,
        certificate: &Certificate,
        before: Option<Revocation>,
        reason: RevocationReason,
    ) -> Result<(), CommandError> {
        let now = self.clock.now();
        let is_under_way = before.is_some_and(|before| before.state == RevocationState::Asked);
        let until = now + RevocationReason::REPLACED_WITHIN;
        let revocation = Revocation {
            certificate: certificate.id(),
            name: row.name.clone(),
            reason,
            state: RevocationState::Asked,
            requested_by: step.by.actor.clone(),
            requested_at: now,
            waits_until: until,
            waiting_for: String::new(),
        };
        step.tx.put_revocation(&revocation).await?;
        let serves = row.is_live(certificate.id());
        let listed = row.deleted_at.is_none();
        let why = reason.in_words();
        let message = if listed && serves {
            let until = NamedZone::utc().time(until);
            format!(
                "To be revoked, as {why}, once another certificate is live, and on {until} at the latest."
            )
        } else {
            format!("To be revoked, as {why}, at once.")
        };
        if listed {
            let replaces = !is_under_way && (serves || self.is_coming(step, certificate).await?);
            self.replace(step, row, certificate, replaces, message).await?;
        } else {
            self.tell_of_deleted(step, row, certificate, message);
        }
        self.start_now(&mut step.tx, row, WorkKind::Revoke, Cause::Requested, None).await?;
        Ok(())
    }

    /// Whether it is about to be uploaded.
    async fn is_coming(&self, step: &mut Step<'_>, certificate: &Certificate) -> Result<bool, CommandError> {
        let upload = step.tx.work(&certificate.name, WorkKind::Upload).await?;
        Ok(upload.is_some_and(|upload| upload.certificate == Some(certificate.id())))
    }

    /// Stores the history's line; and if the certificate `replaces` itself, that another one is wanted now. What is on its
    /// way already will do: it has a key of its own.
    async fn replace(
        &self,
        step: &mut Step<'_>,
        row: &Domain,
        certificate: &Certificate,
        replaces: bool,
        message: String,
    ) -> Result<(), CommandError> {
        let by = step.by;
        let entry = Entry {
            kind: HistoryKind::RevocationRequested,
            actor: &by.actor,
            message,
            certificate_sha256: Some(certificate.summary.sha256.clone()),
        };
        // A pasted certificate that is on its way takes the place of the generated one.
        if !replaces || row.source == Source::Text {
            return Ok(step.apply(row, entry).await?);
        }
        if step.tx.live_order(&row.name).await?.is_some() {
            if self.is_coming(step, certificate).await? {
                self.keep_comparing(&mut step.tx, row).await?;
            }
            step.apply(row, entry).await?;
        } else if self.has_undelivered(step, row).await? {
            return Ok(step.apply(row, entry).await?);
        } else {
            let after = row.clone().generate()?;
            self.keep_comparing(&mut step.tx, &after).await?;
            step.apply(&after, entry).await?;
            return Ok(self.start_now(&mut step.tx, &after, WorkKind::Issue, Cause::Requested, None).await?);
        }
        Ok(self.start_now(&mut step.tx, row, WorkKind::Issue, Cause::Requested, None).await?)
    }

    /// Whether another certificate is issued and on its way to C4.
    async fn has_undelivered(&self, step: &mut Step<'_>, row: &Domain) -> Result<bool, CommandError> {
        let upload = step.tx.work(&row.name, WorkKind::Upload).await?;
        let Some(Work { certificate: Some(id), .. }) = upload else {
            return Ok(false);
        };
        let coming = self.store.certificate(&row.name, id).await?;
        let is_live = row.is_live(id);
        // Of the certificate that is to be revoked, this transaction knows more than the store shows.
        let withdrawn = step.tx.revocation(id).await?.is_some();
        Ok(!is_live && !withdrawn && coming.is_some_and(|coming| coming.sealed_key.is_some()))
    }

    /// A name that is off the list stays as it is.
    fn tell_of_deleted(&self, step: &mut Step<'_>, row: &Domain, certificate: &Certificate, message: String) {
        let now = self.clock.now();
        let entry = HistoryEntry {
            name: row.name.clone(),
            at: now,
            kind: HistoryKind::RevocationRequested,
            actor: step.by.actor.clone(),
            status_from: None,
            status_to: row.status(now),
            message,
            certificate_sha256: Some(certificate.summary.sha256.clone()),
        };
        step.tx.append_history(entry);
    }
}

/// The same was asked for before, and is done or being done.
fn is_same_wish(before: Option<&Revocation>, reason: RevocationReason) -> bool {
    before.is_some_and(|before| {
        before.reason == reason && matches!(before.state, RevocationState::Asked | RevocationState::Revoked)
    })
}
