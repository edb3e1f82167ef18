//! Revocations: the account that ordered a certificate asks the CA to revoke it (RFC 8555 section 7.6), once the
//! certificate is no longer served.
//!
//! A served certificate waits for its replacement, which was ordered with the revocation request, but not longer than
//! [`domain::RevocationReason::REPLACED_WITHIN`]; the cause of the wait is in the history. Nothing here depends on
//! the name's revision: a name may be added, deleted and rolled back meanwhile, and its certificate is still revoked.
//! So each step is conditional on the revocation's own row. A repeated request, or one after a crash between the CA's
//! answer and our commit, gets the CA's answer that the certificate is already revoked. What is stored is decided in
//! `revocation/decide.rs`.

mod decide;

use std::sync::Arc;

use acme::{AccountKey, AcmeError, open_account};
use domain::{Domain, HistoryEntry, InvalidTransition, Lease, Pause, RevocationState};
use jiff::{SignedDuration, Timestamp};
use runtime::{JobError, checkpoint};
use store::{Account, Certificate, Entry, Finished, Revocation, StoreError, Tx};

use crate::IssuerRole;
use crate::issuer::Issuer;
use crate::revocation::decide::{Change, Outcome, RevocationDecider, RevocationStep};

const ACTOR: &str = "issuer";
/// Wait for a rate-limited CA without Retry-After.
const WITHOUT_RETRY_AFTER: SignedDuration = SignedDuration::from_mins(1);

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
    let mut outcomes = Vec::new();
    for revocation in store.revocations(&lease.work.name).await? {
        if revocation.state == RevocationState::Asked {
            outcomes.push(DueRevocation { role, revocation: &revocation }.step().await?);
        }
    }
    let (next, paused_for) = decide::next(&lease.work, &outcomes, role.context.clock.now());
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
            self.commit(&certificate, |_, domain| Ok(Some(RevocationDecider::ended(domain)))).await?;
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
                let paused = |decider: &RevocationDecider<'_>, domain: &Domain| {
                    Ok(decider.paused(domain, (*pause).clone()))
                };
                self.commit(&certificate, paused).await?;
                return Ok(Outcome::Paused);
            }
        }
        checkpoint("revocation-stored").await;
        Ok(Outcome::Over)
    }

    /// The time until which it waits; a new reason for the wait is added to the history.
    async fn waits(&self, certificate: &Certificate) -> Result<Option<Timestamp>, JobError> {
        let mut until = None;
        let waiting = |decider: &RevocationDecider<'_>, domain: &Domain| {
            until = decider.waits_until(domain);
            Ok(until.and_then(|_| decider.waiting(domain)))
        };
        self.commit(certificate, waiting).await?;
        Ok(until)
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
        self.commit(certificate, |decider, domain| decider.revoked(domain).map(Some)).await?;
        metrics::counter!("ssl_manager_revocations_total", "result" => "revoked").increment(1);
        let name = &self.revocation.name;
        tracing::info!(domain = %name, sha256 = certificate.summary.sha256, "certificate revoked");
        Ok(())
    }

    async fn refused(&self, certificate: &Certificate, why: &str) -> Result<(), JobError> {
        self.commit(certificate, |_, domain| Ok(Some(RevocationDecider::refused(domain, why)))).await?;
        metrics::counter!("ssl_manager_revocations_total", "result" => "refused").increment(1);
        tracing::error!(
            domain = %self.revocation.name,
            sha256 = certificate.summary.sha256,
            why,
            "the CA does not revoke a certificate"
        );
        Ok(())
    }

    /// Commits the decision about the name's present row, if there is anything to store.
    async fn commit(
        &self,
        certificate: &Certificate,
        decide: impl FnOnce(&RevocationDecider<'_>, &Domain) -> Result<Option<RevocationStep>, InvalidTransition>,
    ) -> Result<(), JobError> {
        let mut tx = self.role.context.store.begin("revocation").await?;
        let domain = tx.domain(&self.revocation.name).await?;
        let domain = domain.ok_or_else(|| JobError::Other("the name is gone".to_owned()))?;
        let decider = RevocationDecider { revocation: self.revocation, certificate, now: self.now() };
        let Some(step) = decide(&decider, &domain)? else { return Ok(()) };
        match step.change {
            Change::Ends(state) => tx.end_revocation(certificate.id(), state).await?,
            Change::WaitsFor(code) => tx.note_revocation(certificate.id(), code).await?,
        }
        if let Some(renewal) = &step.renewal {
            tx.schedule_if_none(renewal).await?;
        }
        self.tell(&mut tx, &domain, step, certificate).await?;
        Ok(tx.commit().await?)
    }

    /// Adds the history entry, also for a name that is off the list, whose row stays unchanged.
    async fn tell(
        &self,
        tx: &mut Tx,
        before: &Domain,
        step: RevocationStep,
        certificate: &Certificate,
    ) -> Result<(), StoreError> {
        let RevocationStep { kind, message, after, .. } = step;
        let certificate_sha256 = Some(certificate.summary.sha256.clone());
        if before.deleted_at.is_none() {
            let entry = Entry { kind, actor: ACTOR, message, certificate_sha256 };
            return tx.apply(Some(before), &after, Some(entry)).await;
        }
        tx.append_history(HistoryEntry {
            name: before.name.clone(),
            at: self.now(),
            kind,
            actor: ACTOR.to_owned(),
            status_from: None,
            status_to: before.status(self.now()),
            message,
            certificate_sha256,
        });
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.role.context.clock.now()
    }
}

fn is_account_of(row: &Account, issuer: &Issuer) -> bool {
    row.issuer == issuer.name() && row.directory_url == issuer.ca.directory_url()
}
