//! The commands of people and programs on a domain: each is one transaction with its line in the audit log, and
//! idempotent.

mod add;
mod delete;
mod generate;
mod import;
mod labels;
mod notes;
mod recheck;
mod revoke;
pub(crate) mod roll_back;

use std::sync::Arc;

use audit::Caller;
use domain::{
    Cause, CertificateId, Clock, Domain, DomainName, Entropy, InvalidTransition, LabelError, OrderState,
    PreExpiry, Work, WorkKind, renewal_point,
};
use jiff::Timestamp;
use store::{AuditEntry, Certificate, DomainView, Entry, LineMark, Store, StoreError, Tx};

pub use add::Addition;
pub use revoke::Revoking;

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The name is not on the list.
    #[error("{0} is not on the list")]
    NotFound(DomainName),
    /// There is no certificate before the live one that could be put back.
    #[error("nothing to roll {name} back to: {why}")]
    NothingToRollBackTo {
        /// Of which domain.
        name: DomainName,
        /// Why not.
        why: &'static str,
    },
    /// The name never had that certificate, or has none that is live.
    #[error("{0} has no such certificate")]
    NoSuchCertificate(DomainName),
    /// The certificate cannot be revoked.
    #[error("the certificate {sha256} cannot be revoked: {why}")]
    NotRevocable {
        /// Which.
        sha256: String,
        /// Why not.
        why: String,
    },
    /// The reference or the labels are not kept.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The store failed or the row changed meanwhile.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The row is in a state that the command does not fit.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
}

/// The commands.
#[derive(Clone)]
pub struct Commands {
    /// Where domains live.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// When a certificate is due for renewal.
    pub pre_expiry: PreExpiry,
    /// The line of a job that a command is; it is marked in the command's own transaction.
    pub line: Option<LineMark>,
}

/// The subject of a transaction: the row as it was read, if there was one, and the actor.
struct Step<'a> {
    tx: Tx,
    before: Option<Domain>,
    by: &'a Caller,
    line: AuditEntry,
    mark: Option<LineMark>,
}

impl Step<'_> {
    /// Stores the next row, with its line in the history.
    async fn apply(&mut self, after: &Domain, entry: Entry<'_>) -> Result<(), StoreError> {
        self.tx.apply(self.before.as_ref(), after, Some(entry)).await
    }

    /// Commits, with a line in the audit log: a command that had nothing to do was called, too.
    async fn commit(mut self) -> Result<(), StoreError> {
        self.tx.append_audit(self.line);
        if let Some(mark) = &self.mark {
            let before = self.before.as_ref().filter(|domain| domain.deleted_at.is_none());
            let code = |domain: &Domain| domain.reason().map_or("", |reason| reason.code()).to_owned();
            let before = before.map(|domain| (domain.recorded, code(domain)));
            let before = before.as_ref().map(|(status, code)| (*status, code.as_str()));
            self.tx.act_on_line(mark, before).await?;
        }
        self.tx.commit().await
    }
}

impl Commands {
    async fn open<'a>(
        &self,
        command: &'static str,
        name: &DomainName,
        by: &'a Caller,
    ) -> Result<Step<'a>, CommandError> {
        let mut tx = self.store.begin(command).await?;
        let before = tx.domain(name).await?;
        let line = by.line(self.clock.now(), name.as_str(), audit::OK, "");
        Ok(Step { tx, before, by, line, mark: self.line.clone() })
    }

    /// Makes work due now and tells its worker.
    async fn start_now(
        &self,
        tx: &mut Tx,
        domain: &Domain,
        kind: WorkKind,
        cause: Cause,
        certificate: Option<CertificateId>,
    ) -> Result<(), StoreError> {
        let work = self.due_now(domain, kind, cause, certificate);
        tx.schedule(&work).await?;
        tx.hint(&work);
        Ok(())
    }

    fn due_now(
        &self,
        domain: &Domain,
        kind: WorkKind,
        cause: Cause,
        certificate: Option<CertificateId>,
    ) -> Work {
        Work { certificate, ..Work::due(domain, kind, cause, self.clock.now()) }
    }

    /// Whether a certificate is still before its renewal point.
    fn is_fresh(&self, certificate: &Certificate, now: Timestamp) -> bool {
        let summary = &certificate.summary;
        let configured = certificate.pre_expiry(self.pre_expiry);
        let pre_expiry = renewal_point(summary.not_before, summary.not_after, configured);
        now < certificate.renewal.map_or(pre_expiry, |renewal| renewal.at.min(pre_expiry))
    }

    /// The generated certificate that can be put back instead of ordering another one: a CA allows few of the same
    /// name a week.
    async fn reusable(&self, tx: &mut Tx, domain: &Domain) -> Result<Option<CertificateId>, StoreError> {
        let now = self.clock.now();
        let newest = tx.newest_generated(&domain.name, now).await?;
        let usable = newest.filter(|certificate| {
            certificate.sealed_key.is_some()
                && !certificate.withdrawn
                && !domain.has_overtaken(certificate.created_at)
                && self.is_fresh(certificate, now)
        });
        Ok(usable.map(|certificate| certificate.id()))
    }

    /// Ends the live order of a past revision. What it reserved of the CA's limits is given back, unless the CA may have
    /// issued.
    async fn abandon_order(&self, tx: &mut Tx, name: &DomainName) -> Result<(), CommandError> {
        if let Some(mut order) = tx.live_order(name).await? {
            let from = order.state.as_str();
            if order.state.may_have_issued() {
                tx.spend_later(order.id).await?;
            } else {
                tx.give_back(order.id).await?;
            }
            order.state = OrderState::abandoned(order.state)?;
            tx.update_order(&order, from).await?;
            tx.drop_challenges(order.id).await?;
        }
        Ok(())
    }

    /// The domain as it is after the command.
    async fn result(&self, name: &DomainName) -> Result<DomainView, CommandError> {
        self.store.domain(name).await?.ok_or_else(|| CommandError::NotFound(name.clone()))
    }
}
