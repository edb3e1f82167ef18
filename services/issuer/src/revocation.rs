//! Revocations: the account that ordered a certificate asks the CA to revoke it (RFC 8555 section 7.6), once the
//! certificate is no longer served.
//!
//! A served certificate waits for its replacement, which was ordered with the revocation request, but not longer than
//! [`domain::RevocationReason::REPLACED_WITHIN`]; the cause of the wait is in the history. Nothing here depends on
//! the name's revision: a name may be added, deleted and rolled back meanwhile, and its certificate is still revoked.
//! So each step is conditional on the revocation's own row. A repeated request, or one after a crash between the CA's
//! answer and our commit, gets the CA's answer that the certificate is already revoked.

use std::sync::Arc;

use acme::{AccountKey, AcmeError, open_account};
use domain::sentence::NamedZone;
use domain::{
    Cause, Domain, HistoryEntry, HistoryKind, Lease, Outbound, Pause, Reason, Retry, RevocationState, Source,
    Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use runtime::{JobError, checkpoint};
use store::{Account, Certificate, Entry, Finished, Revocation, StoreError, Tx};

use crate::IssuerRole;
use crate::issuer::Issuer;

const ACTOR: &str = "issuer";
/// The uploader makes the revocation due when the replacement is live; this interval covers the cases it misses.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// Wait for a rate-limited CA without Retry-After.
const WITHOUT_RETRY_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// The result of one revocation.
enum Outcome {
    /// It has ended, successfully or not.
    Over,
    /// Its replacement is not live yet.
    Waits(Timestamp),
    /// The CA gave no conclusive answer; it is not asked again before that time.
    Again(Option<Timestamp>),
    /// An operator has paused requests to the CA.
    Paused,
}

/// The CA's answer.
enum Answer {
    Revoked,
    Refused(String),
    Again(Option<Timestamp>),
    /// The CA was not asked: an operator has paused requests to it.
    Paused(Box<Pause>),
}

/// An account that may revoke a certificate, and its CA.
struct RevokingAccount<'a> {
    issuer: &'a Issuer,
    account: Arc<AccountKey>,
    /// It is the account used for orders, whose key may have changed.
    is_current: bool,
}

/// Performs the due revocations of a name.
pub(crate) async fn run(role: &IssuerRole, lease: &Lease) -> Result<Finished, JobError> {
    let store = &role.context.store;
    let mut due: Option<Timestamp> = None;
    let mut attempts = 0;
    let mut paused_for = None;
    for revocation in store.revocations(&lease.work.name).await? {
        if revocation.state != RevocationState::Asked {
            continue;
        }
        let one = DueRevocation { role, revocation: &revocation };
        let at = match one.step().await? {
            Outcome::Over => continue,
            Outcome::Waits(at) => at,
            Outcome::Paused => {
                paused_for = Some(Outbound::Ca);
                attempts = attempts.max(lease.work.attempts);
                role.context.clock.now() + Pause::LOOK_AGAIN
            }
            Outcome::Again(not_before) => {
                attempts = lease.work.attempts.saturating_add(1);
                let now = role.context.clock.now();
                let planned = Retry::CouldNotAsk.due(attempts, now).unwrap_or(now);
                not_before.map_or(planned, |not_before| planned.max(not_before))
            }
        };
        due = Some(due.map_or(at, |due| due.min(at)));
    }
    let next =
        due.map(|due_at| Work { cause: Cause::Retry, attempts, due_at: Some(due_at), ..lease.work.clone() });
    let tx = store.begin("revocations_looked_at").await?;
    Ok(tx.end_paused(lease, next.as_ref(), paused_for).await?)
}

/// One revocation.
struct DueRevocation<'a> {
    role: &'a IssuerRole,
    revocation: &'a Revocation,
}

impl DueRevocation<'_> {
    async fn step(&self) -> Result<Outcome, JobError> {
        let Revocation { name, certificate, .. } = self.revocation;
        let stored = self.role.context.store.certificate(name, *certificate).await?;
        let certificate = stored.ok_or_else(|| JobError::Other("the certificate is gone".to_owned()))?;
        if certificate.summary.not_after <= self.now() {
            self.ended(&certificate).await?;
            return Ok(Outcome::Over);
        }
        if let Some(until) = self.waits(&certificate).await? {
            return Ok(Outcome::Waits(until));
        }
        checkpoint("revocation-due").await;
        let answer = self.ask(&certificate).await?;
        checkpoint("revocation-answered").await;
        match answer {
            Answer::Revoked => self.revoked(&certificate).await?,
            Answer::Refused(why) => self.refused(&certificate, &why).await?,
            Answer::Again(not_before) => return Ok(Outcome::Again(not_before)),
            Answer::Paused(pause) => {
                self.paused(&certificate, *pause).await?;
                return Ok(Outcome::Paused);
            }
        }
        checkpoint("revocation-stored").await;
        Ok(Outcome::Over)
    }

    /// The time until which it waits, if the certificate is served and can still be replaced in time; a new reason
    /// for the wait is added to the history.
    async fn waits(&self, certificate: &Certificate) -> Result<Option<Timestamp>, JobError> {
        let (mut tx, domain) = self.open("revocation_looked_at").await?;
        let (now, until) = (self.now(), self.revocation.waits_until);
        if !serves(&domain, certificate) || until <= now {
            return Ok(None);
        }
        let reason = domain.reason();
        let code = reason.as_ref().map_or("", Reason::code);
        if code != self.revocation.waiting_for {
            tx.note_revocation(certificate.id(), code).await?;
            if let Some(reason) = reason {
                let message = format!(
                    "Not revoked yet, for its replacement cannot be had: {} It is revoked on {} all the same.",
                    reason.message(&domain.name),
                    NamedZone::utc().time(until)
                );
                self.tell(&mut tx, &domain, &domain, HistoryKind::RevocationWaiting, message, certificate)
                    .await?;
            }
            tx.commit().await?;
        }
        Ok(Some((now + LOOK_AGAIN).min(until)))
    }

    /// Requests to the CA are paused; added to the history the first time.
    async fn paused(&self, certificate: &Certificate, pause: Pause) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("revocation_paused").await?;
        let reason = Reason::PausedByOperator { pause };
        if reason.code() != self.revocation.waiting_for {
            tx.note_revocation(certificate.id(), reason.code()).await?;
            let message = format!("Not revoked yet. {}", reason.message(&domain.name));
            self.tell(&mut tx, &domain, &domain, HistoryKind::RevocationWaiting, message, certificate)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn ask(&self, certificate: &Certificate) -> Result<Answer, JobError> {
        let by = match self.by(certificate).await? {
            Ok(by) => by,
            Err(answer) => return Ok(answer),
        };
        let now = self.now();
        if let Err(until) = by.issuer.breaker.ask(now) {
            return Ok(Answer::Again(Some(until)));
        }
        let asked = self.ask_by(&by, &by.account, certificate).await;
        let asked = match asked {
            Err(error) if by.is_current && error.may_be_the_accounts_key() => {
                match self.reloaded(&by).await? {
                    Some(fresh) => self.ask_by(&by, &fresh, certificate).await,
                    None => Err(error),
                }
            }
            asked => asked,
        };
        self.answer(by.issuer, asked)
    }

    async fn ask_by(
        &self,
        by: &RevokingAccount<'_>,
        account: &AccountKey,
        certificate: &Certificate,
    ) -> Result<(), AcmeError> {
        let ca = &by.issuer.ca;
        ca.revoke(account, &certificate.chain_pem, self.revocation.reason).await
    }

    async fn reloaded(&self, by: &RevokingAccount<'_>) -> Result<Option<Arc<AccountKey>>, JobError> {
        let IssuerRole { context, keys, .. } = self.role;
        match by.issuer.reloaded(context, keys, &by.account).await {
            Ok(fresh) => Ok(fresh),
            Err(AcmeError::Store(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn answer(&self, issuer: &Issuer, asked: Result<(), AcmeError>) -> Result<Answer, JobError> {
        let error = match asked {
            Ok(()) => {
                issuer.note(None, self.now());
                return Ok(Answer::Revoked);
            }
            Err(AcmeError::Paused(pause)) => return Ok(Answer::Paused(pause)),
            Err(error) => error,
        };
        issuer.note(Some(&error), self.now());
        if error.is_already_revoked() {
            return Ok(Answer::Revoked);
        }
        let wait = error.retry_after().and_then(|wait| SignedDuration::try_from(wait).ok());
        let wait = wait.or_else(|| error.is_rate_limited().then_some(WITHOUT_RETRY_AFTER));
        let not_before = wait.map(|wait| self.now().saturating_add(wait).unwrap_or(Timestamp::MAX));
        match error {
            AcmeError::Store(error) => Err(error.into()),
            // A person must act at the CA; after that a retry succeeds, without a new revocation request.
            AcmeError::Problem(problem) if problem.kind == "userActionRequired" => {
                Ok(Answer::Again(Some(issuer.refused(&problem, self.now()))))
            }
            error if error.is_refusal() => Ok(Answer::Refused(error.to_string())),
            error => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    issuer = issuer.name(),
                    "not revoked yet"
                );
                Ok(Answer::Again(not_before))
            }
        }
    }

    /// Returns the account that ordered the certificate, even if another account has replaced it.
    async fn by(&self, certificate: &Certificate) -> Result<Result<RevokingAccount<'_>, Answer>, JobError> {
        let refused = |why: &str| Ok(Err(Answer::Refused(why.to_owned())));
        let IssuerRole { context, keys, .. } = self.role;
        let accounts = context.store.accounts().await?;
        let row = accounts.into_iter().find(|row| Some(row.id) == certificate.account);
        let Some(row) = row else {
            return refused("it is not known with which account it was ordered");
        };
        let Some(issuer) = self.role.issuer_at(&row) else {
            let why = format!("no acme.issuers has the directory {} any more", row.directory_url);
            return Ok(Err(Answer::Refused(why)));
        };
        let is_current = is_account_of(&row, issuer);
        let account = if is_current {
            issuer.account(context, keys).await
        } else {
            open_account(&row, keys).await.map(Arc::new)
        };
        match account {
            Ok(account) => Ok(Ok(RevokingAccount { issuer, account, is_current })),
            Err(AcmeError::Store(error)) => Err(error.into()),
            Err(AcmeError::Paused(pause)) => Ok(Err(Answer::Paused(pause))),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    issuer = issuer.name(),
                    "the account cannot be used, nothing is revoked"
                );
                Ok(Err(Answer::Again(None)))
            }
        }
    }

    async fn revoked(&self, certificate: &Certificate) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("revocation_revoked").await?;
        let now = self.now();
        tx.end_revocation(certificate.id(), RevocationState::Revoked).await?;
        let reason = self.revocation.reason.in_words();
        let mut message = format!("Revoked at the certificate authority, as {reason}.");
        let mut after = domain.clone();
        if serves(&domain, certificate) {
            after = domain.clone().revoked(now)?;
            message.push_str(" Nothing has replaced it: browsers may refuse what is served.");
            self.want_another(&mut tx, &domain).await?;
        }
        self.tell(&mut tx, &domain, &after, HistoryKind::Revoked, message, certificate).await?;
        tx.commit().await?;
        metrics::counter!("ssl_manager_revocations_total", "result" => "revoked").increment(1);
        tracing::info!(domain = %domain.name, sha256 = certificate.summary.sha256, "certificate revoked");
        Ok(())
    }

    /// Makes the next certificate due, unless an issuance is already scheduled.
    async fn want_another(&self, tx: &mut Tx, domain: &Domain) -> Result<(), JobError> {
        if domain.source != Source::C4 || tx.work(&domain.name, WorkKind::Issue).await?.is_some() {
            return Ok(());
        }
        let due = Work {
            name: domain.name.clone(),
            kind: WorkKind::Issue,
            revision: domain.revision,
            cause: Cause::Renewal,
            attempts: 0,
            due_at: Some(self.now()),
            certificate: None,
        };
        Ok(tx.schedule(&due).await?)
    }

    /// A retry would not help: operations must act, then request the revocation again.
    async fn refused(&self, certificate: &Certificate, why: &str) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("revocation_refused").await?;
        tx.end_revocation(certificate.id(), RevocationState::Refused).await?;
        let message = format!(
            "Not revoked: {why}. Operations must act (OPERATIONS.md, \"A certificate is not revoked\"), then ask again."
        );
        self.tell(&mut tx, &domain, &domain, HistoryKind::RevocationFailed, message, certificate).await?;
        tx.commit().await?;
        metrics::counter!("ssl_manager_revocations_total", "result" => "refused").increment(1);
        tracing::error!(
            domain = %domain.name,
            sha256 = certificate.summary.sha256,
            why,
            "the CA does not revoke a certificate"
        );
        Ok(())
    }

    /// The certificate ended by itself.
    async fn ended(&self, certificate: &Certificate) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("revocation_ended").await?;
        tx.end_revocation(certificate.id(), RevocationState::Ended).await?;
        let message = "It ended before it could be revoked.".to_owned();
        self.tell(&mut tx, &domain, &domain, HistoryKind::RevocationFailed, message, certificate).await?;
        Ok(tx.commit().await?)
    }

    async fn open(&self, step: &'static str) -> Result<(Tx, Domain), JobError> {
        let mut tx = self.role.context.store.begin(step).await?;
        let domain = tx.domain(&self.revocation.name).await?;
        let domain = domain.ok_or_else(|| JobError::Other("the name is gone".to_owned()))?;
        Ok((tx, domain))
    }

    /// Adds the history entry, also for a name that is off the list, whose row stays unchanged.
    async fn tell(
        &self,
        tx: &mut Tx,
        before: &Domain,
        after: &Domain,
        kind: HistoryKind,
        message: String,
        certificate: &Certificate,
    ) -> Result<(), StoreError> {
        let sha256 = Some(certificate.summary.sha256.clone());
        if before.deleted_at.is_none() {
            let entry = Entry { kind, actor: ACTOR, message, certificate_sha256: sha256 };
            return tx.apply(Some(before), after, Some(entry)).await;
        }
        tx.append_history(HistoryEntry {
            name: before.name.clone(),
            at: self.now(),
            kind,
            actor: ACTOR.to_owned(),
            status_from: None,
            status_to: before.status(self.now()),
            message,
            certificate_sha256: sha256,
        });
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.role.context.clock.now()
    }
}

/// Whether the certificate is served to visitors, as far as known.
fn serves(domain: &Domain, certificate: &Certificate) -> bool {
    let is_live = domain.facts.live.is_some_and(|live| live.certificate == certificate.id());
    is_live && domain.deleted_at.is_none()
}

fn is_account_of(row: &Account, issuer: &Issuer) -> bool {
    row.issuer == issuer.name() && row.directory_url == issuer.ca.directory_url()
}
