//! A transaction: what it read is locked, so that it stays as it was.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::{
    AccountId, CertificateId, Domain, DomainName, Event, HistoryEntry, Lease, Order, OrderId,
    RevocationState, Work, WorkKind,
};
use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::{PgConnection, Postgres, Transaction};
use store::{
    Account, AuditEntry, AuditSeal, Certificate, Challenge, Counted, Past, ProbeOf, Renewal, Result,
    Revocation, SealedKey, SessionRecord, TokenRecord, TokenUse, Tx, UnsealedAudit, User,
};
use tokio::sync::watch;

use crate::appended::{Appended, Sent};
use crate::db::{failed, within};
use crate::{
    accounts, audit, buckets, certificates, domains, orders, people, recheck, retention, revocations, sealed,
    tokens, work,
};

/// A transaction that held its locks longer than this is worth a line.
const SLOW: Duration = Duration::from_millis(200);

pub(crate) struct PostgresTx {
    pub(crate) name: &'static str,
    pub(crate) began: Instant,
    pub(crate) inner: Transaction<'static, Postgres>,
    pub(crate) published: watch::Sender<u64>,
    pub(crate) appended: Appended,
}

impl PostgresTx {
    fn db(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

#[async_trait]
impl Tx for PostgresTx {
    async fn domains(&mut self, names: &[DomainName]) -> Result<Vec<Domain>> {
        within(domains::rows(self.db(), names)).await
    }

    async fn insert_domains(&mut self, domains: &[Domain], now: Timestamp) -> Result<()> {
        within(domains::insert(self.db(), domains, now)).await
    }

    async fn update_domain(&mut self, domain: &Domain, now: Timestamp) -> Result<()> {
        within(domains::update(self.db(), domain, now)).await
    }

    async fn take_recheck(
        &mut self,
        day: Date,
        created_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<DomainName>> {
        within(recheck::take(self.db(), day, created_before, limit)).await
    }

    async fn set_rechecked(&mut self, day: Date, now: Timestamp) -> Result<()> {
        within(recheck::complete(self.db(), day, now)).await
    }

    async fn missing_and_live(&mut self, since: Timestamp) -> Result<(u64, u64)> {
        within(recheck::missing_and_live(self.db(), since)).await
    }

    async fn discount_missing(&mut self, since: Timestamp) -> Result<()> {
        within(recheck::discount_missing(self.db(), since)).await
    }

    async fn append_history(&mut self, entry: &HistoryEntry) -> Result<()> {
        self.appended.history.push(entry.clone());
        Ok(())
    }

    async fn schedule_all(&mut self, work: &[Work]) -> Result<()> {
        within(work::schedule(self.db(), work)).await
    }

    async fn cancel(&mut self, name: &DomainName, kind: WorkKind) -> Result<()> {
        within(work::cancel(self.db(), name, kind)).await
    }

    async fn work(&mut self, name: &DomainName, kind: WorkKind) -> Result<Option<Work>> {
        within(work::one(self.db(), name, kind)).await
    }

    async fn is_leased(&mut self, name: &DomainName, kind: WorkKind, now: Timestamp) -> Result<bool> {
        within(work::is_leased(self.db(), name, kind, now)).await
    }

    async fn fence(&mut self, lease: &Lease) -> Result<Domain> {
        within(work::fence(self.db(), lease)).await
    }

    async fn finish(&mut self, lease: &Lease, next: Option<&Work>) -> Result<()> {
        within(work::finish(self.db(), lease, next)).await
    }

    async fn mark_due(&mut self, now: Timestamp, hinted_before: Timestamp, limit: u32) -> Result<Vec<Work>> {
        within(work::mark_due(self.db(), now, hinted_before, limit)).await
    }

    async fn insert_order(&mut self, order: &Order) -> Result<()> {
        within(orders::insert(self.db(), order)).await
    }

    async fn update_order(&mut self, order: &Order, from: &'static str) -> Result<()> {
        within(orders::update(self.db(), order, from)).await
    }

    async fn live_order(&mut self, name: &DomainName) -> Result<Option<Order>> {
        within(orders::live_locked(self.db(), name)).await
    }

    async fn put_challenge(&mut self, challenge: &Challenge) -> Result<()> {
        within(orders::put_challenge(self.db(), challenge)).await
    }

    async fn drop_challenges(&mut self, order: OrderId) -> Result<()> {
        within(orders::drop_challenges(self.db(), order)).await
    }

    async fn put_probe(&mut self, host: &DomainName, of: ProbeOf, token: &str, answer: &str) -> Result<()> {
        within(orders::put_probe(self.db(), host, of, token, answer)).await
    }

    async fn drop_probe(&mut self, host: &DomainName, of: ProbeOf) -> Result<()> {
        within(orders::drop_probe(self.db(), host, of)).await
    }

    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<()> {
        within(certificates::insert(self.db(), certificate)).await
    }

    async fn destroy_keys(
        &mut self,
        name: &DomainName,
        deleted_by: Timestamp,
        now: Timestamp,
    ) -> Result<Option<u64>> {
        within(retention::destroy_keys(self.db(), name, deleted_by, now)).await
    }

    async fn count_day(&mut self, counted: Counted, now: Timestamp) -> Result<()> {
        self.appended.counted.push((counted, now));
        Ok(())
    }

    async fn forget(&mut self, past: Past, limit: u32) -> Result<u64> {
        within(retention::forget(self.db(), past, limit)).await
    }

    async fn mark_uploaded(&mut self, id: CertificateId, now: Timestamp) -> Result<()> {
        within(certificates::mark_uploaded(self.db(), id, now)).await
    }

    async fn set_renewal(&mut self, id: CertificateId, renewal: Renewal) -> Result<()> {
        within(certificates::set_renewal(self.db(), id, renewal)).await
    }

    async fn newest_generated(&mut self, name: &DomainName, now: Timestamp) -> Result<Option<Certificate>> {
        within(certificates::newest_generated(self.db(), name, now)).await
    }

    async fn certificate_by_sha256(
        &mut self,
        name: &DomainName,
        sha256: &str,
    ) -> Result<Option<Certificate>> {
        within(certificates::by_sha256(self.db(), name, sha256)).await
    }

    async fn revocation(&mut self, certificate: CertificateId) -> Result<Option<Revocation>> {
        within(revocations::one(self.db(), certificate)).await
    }

    async fn put_revocation(&mut self, revocation: &Revocation) -> Result<()> {
        within(revocations::put(self.db(), revocation)).await
    }

    async fn end_revocation(
        &mut self,
        certificate: CertificateId,
        state: RevocationState,
        now: Timestamp,
    ) -> Result<()> {
        within(revocations::end(self.db(), certificate, state, now)).await
    }

    async fn note_revocation(&mut self, certificate: CertificateId, why: &str) -> Result<()> {
        within(revocations::note(self.db(), certificate, why)).await
    }

    async fn insert_account(&mut self, account: &Account) -> Result<()> {
        within(accounts::insert(self.db(), account)).await
    }

    async fn set_account_url(&mut self, id: AccountId, url: &str) -> Result<()> {
        within(accounts::set_url(self.db(), id, url)).await
    }

    async fn propose_account_key(&mut self, id: AccountId, sealed: &[u8]) -> Result<()> {
        within(accounts::propose_key(self.db(), id, sealed)).await
    }

    async fn adopt_account_key(&mut self, id: AccountId, pending: &[u8]) -> Result<()> {
        within(accounts::adopt_key(self.db(), id, pending)).await
    }

    async fn replace_account_key(&mut self, id: AccountId, before: &[u8], sealed: &[u8]) -> Result<()> {
        within(accounts::replace_key(self.db(), id, before, sealed)).await
    }

    async fn retire_account(&mut self, id: AccountId, from: &str, to: &str) -> Result<()> {
        within(accounts::retire(self.db(), id, from, to)).await
    }

    async fn live_orders_of(&mut self, id: AccountId) -> Result<u64> {
        within(accounts::live_orders(self.db(), id)).await
    }

    async fn replace_sealed(&mut self, key: &SealedKey, anew: &[u8]) -> Result<bool> {
        within(sealed::replace(self.db(), key, anew)).await
    }

    async fn buckets(&mut self, keys: &[String]) -> Result<Vec<Timestamp>> {
        within(buckets::lock(self.db(), keys)).await
    }

    async fn set_bucket(&mut self, key: &str, at: Timestamp) -> Result<()> {
        within(buckets::set(self.db(), key, at)).await
    }

    async fn insert_token(&mut self, token: &TokenRecord) -> Result<()> {
        within(tokens::insert(self.db(), token)).await
    }

    async fn revoke_token(&mut self, name: &str, now: Timestamp) -> Result<bool> {
        within(tokens::revoke(self.db(), name, now)).await
    }

    async fn touch_tokens(&mut self, uses: &[TokenUse]) -> Result<()> {
        within(tokens::touch(self.db(), uses)).await
    }

    async fn insert_user(&mut self, user: &User) -> Result<()> {
        within(people::insert_user(self.db(), user)).await
    }

    async fn update_user(&mut self, user: &User) -> Result<bool> {
        within(people::update_user(self.db(), user)).await
    }

    async fn remove_user(&mut self, name: &str) -> Result<bool> {
        within(people::remove_user(self.db(), name)).await
    }

    async fn insert_session(&mut self, session: &SessionRecord) -> Result<()> {
        within(people::insert_session(self.db(), session)).await
    }

    async fn insert_provider_session(&mut self, session: &SessionRecord) -> Result<()> {
        within(people::insert_provider_session(self.db(), session)).await
    }

    async fn use_id_token(
        &mut self,
        hash: &[u8; 32],
        forget_after: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        within(people::use_id_token(self.db(), hash, forget_after, now)).await
    }

    async fn touch_session(&mut self, hash: &[u8; 32], at: Timestamp) -> Result<()> {
        within(people::touch_session(self.db(), hash, at)).await
    }

    async fn end_session(&mut self, hash: &[u8; 32]) -> Result<bool> {
        within(people::end_session(self.db(), hash)).await
    }

    async fn end_sessions(&mut self, user: &str) -> Result<u64> {
        within(people::end_sessions(self.db(), user)).await
    }

    async fn append_audit(&mut self, entry: &AuditEntry) -> Result<()> {
        self.appended.audit.push(entry.clone());
        Ok(())
    }

    async fn lock_audit_head(&mut self) -> Result<AuditSeal> {
        within(audit::lock_head(self.db())).await
    }

    async fn unsealed_audit(&mut self, limit: u32) -> Result<Vec<UnsealedAudit>> {
        within(audit::unsealed(self.db(), limit)).await
    }

    async fn seal_audit(&mut self, seals: &[(i64, AuditSeal)]) -> Result<()> {
        within(audit::seal(self.db(), seals)).await
    }

    async fn publish(&mut self, event: &Event, now: Timestamp) -> Result<()> {
        self.appended.events.push(Sent {
            event: event.clone(),
            at: now,
            trace_parent: store::trace_parent(),
        });
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let mut inner = self.inner;
        within(self.appended.write(&mut inner)).await?;
        within(async { inner.commit().await.map_err(failed("commit")) }).await?;
        if !self.appended.events.is_empty() {
            self.published.send_modify(|count| *count += 1);
        }
        let took = self.began.elapsed();
        if took > SLOW {
            tracing::debug!(
                transaction = self.name,
                duration_ms = took.as_millis() as u64,
                "slow transaction"
            );
        }
        Ok(())
    }
}
