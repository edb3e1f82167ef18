//! A transaction: `BEGIN IMMEDIATE` on the one writing connection, so that what it read stays as it was.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::{
    AccountId, CertificateId, Domain, DomainName, Event, HistoryEntry, Lease, Order, OrderId,
    RevocationState, Work, WorkKind,
};
use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use store::{
    Account, AuditEntry, AuditSeal, Certificate, Challenge, Counted, Past, ProbeOf, Renewal, Result,
    Revocation, SealedKey, SessionRecord, TokenRecord, TokenUse, Tx, UnsealedAudit, User,
};
use tokio::sync::watch;

use crate::db::failed;
use crate::{
    accounts, audit, buckets, certificates, domains, history, messages, orders, overview, people, recheck,
    retention, revocations, sealed, tokens, work,
};

/// A transaction that kept the one writer longer than this is worth a line.
const SLOW: Duration = Duration::from_millis(200);

pub(crate) struct SqliteTx {
    pub(crate) name: &'static str,
    pub(crate) began: Instant,
    pub(crate) inner: Transaction<'static, Sqlite>,
    pub(crate) published: watch::Sender<u64>,
    pub(crate) has_published: bool,
}

impl SqliteTx {
    fn db(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

#[async_trait]
impl Tx for SqliteTx {
    async fn domains(&mut self, names: &[DomainName]) -> Result<Vec<Domain>> {
        domains::rows(self.db(), names).await
    }

    async fn insert_domains(&mut self, domains: &[Domain], now: Timestamp) -> Result<()> {
        for domain in domains {
            domains::insert(self.db(), domain, now).await?;
        }
        Ok(())
    }

    async fn update_domain(&mut self, domain: &Domain, now: Timestamp) -> Result<()> {
        domains::update(self.db(), domain, now).await
    }

    async fn take_recheck(
        &mut self,
        day: Date,
        created_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<DomainName>> {
        recheck::take(self.db(), day, created_before, limit).await
    }

    async fn set_rechecked(&mut self, day: Date, now: Timestamp) -> Result<()> {
        recheck::complete(self.db(), day, now).await
    }

    async fn missing_and_live(&mut self, since: Timestamp) -> Result<(u64, u64)> {
        recheck::missing_and_live(self.db(), since).await
    }

    async fn discount_missing(&mut self, since: Timestamp) -> Result<()> {
        recheck::discount_missing(self.db(), since).await
    }

    async fn append_history(&mut self, entry: &HistoryEntry) -> Result<()> {
        history::append(self.db(), entry).await
    }

    async fn schedule_all(&mut self, work: &[Work]) -> Result<()> {
        for work in work {
            work::schedule(self.db(), work).await?;
        }
        Ok(())
    }

    async fn cancel(&mut self, name: &DomainName, kind: WorkKind) -> Result<()> {
        work::cancel(self.db(), name, kind).await
    }

    async fn work(&mut self, name: &DomainName, kind: WorkKind) -> Result<Option<Work>> {
        Ok(work::all(self.db(), name).await?.into_iter().find(|work| work.kind == kind))
    }

    async fn is_leased(&mut self, name: &DomainName, kind: WorkKind, now: Timestamp) -> Result<bool> {
        work::is_leased(self.db(), name, kind, now).await
    }

    async fn fence(&mut self, lease: &Lease) -> Result<Domain> {
        work::fence(self.db(), lease).await
    }

    async fn finish(&mut self, lease: &Lease, next: Option<&Work>) -> Result<()> {
        work::finish(self.db(), lease, next).await
    }

    async fn mark_due(&mut self, now: Timestamp, hinted_before: Timestamp, limit: u32) -> Result<Vec<Work>> {
        work::mark_due(self.db(), now, hinted_before, limit).await
    }

    async fn insert_order(&mut self, order: &Order) -> Result<()> {
        orders::insert(self.db(), order).await
    }

    async fn update_order(&mut self, order: &Order, from: &'static str) -> Result<()> {
        orders::update(self.db(), order, from).await
    }

    async fn live_order(&mut self, name: &DomainName) -> Result<Option<Order>> {
        orders::live(self.db(), name).await
    }

    async fn put_challenge(&mut self, challenge: &Challenge) -> Result<()> {
        orders::put_challenge(self.db(), challenge).await
    }

    async fn drop_challenges(&mut self, order: OrderId) -> Result<()> {
        orders::drop_challenges(self.db(), order).await
    }

    async fn put_probe(&mut self, host: &DomainName, of: ProbeOf, token: &str, answer: &str) -> Result<()> {
        orders::put_probe(self.db(), host, of, token, answer).await
    }

    async fn drop_probe(&mut self, host: &DomainName, of: ProbeOf) -> Result<()> {
        orders::drop_probe(self.db(), host, of).await
    }

    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<()> {
        certificates::insert(self.db(), certificate).await
    }

    async fn destroy_keys(
        &mut self,
        name: &DomainName,
        deleted_by: Timestamp,
        now: Timestamp,
    ) -> Result<Option<u64>> {
        retention::destroy_keys(self.db(), name, deleted_by, now).await
    }

    async fn count_day(&mut self, counted: Counted, now: Timestamp) -> Result<()> {
        overview::count(self.db(), counted, now).await
    }

    async fn forget(&mut self, past: Past, limit: u32) -> Result<u64> {
        retention::forget(self.db(), past, limit).await
    }

    async fn mark_uploaded(&mut self, id: CertificateId, now: Timestamp) -> Result<()> {
        certificates::mark_uploaded(self.db(), id, now).await
    }

    async fn set_renewal(&mut self, id: CertificateId, renewal: Renewal) -> Result<()> {
        certificates::set_renewal(self.db(), id, renewal).await
    }

    async fn newest_generated(&mut self, name: &DomainName, now: Timestamp) -> Result<Option<Certificate>> {
        certificates::newest_generated(self.db(), name, now).await
    }

    async fn certificate_by_sha256(
        &mut self,
        name: &DomainName,
        sha256: &str,
    ) -> Result<Option<Certificate>> {
        certificates::by_sha256(self.db(), name, sha256).await
    }

    async fn revocation(&mut self, certificate: CertificateId) -> Result<Option<Revocation>> {
        revocations::one(self.db(), certificate).await
    }

    async fn put_revocation(&mut self, revocation: &Revocation) -> Result<()> {
        revocations::put(self.db(), revocation).await
    }

    async fn end_revocation(
        &mut self,
        certificate: CertificateId,
        state: RevocationState,
        now: Timestamp,
    ) -> Result<()> {
        revocations::end(self.db(), certificate, state, now).await
    }

    async fn note_revocation(&mut self, certificate: CertificateId, why: &str) -> Result<()> {
        revocations::note(self.db(), certificate, why).await
    }

    async fn insert_account(&mut self, account: &Account) -> Result<()> {
        accounts::insert(self.db(), account).await
    }

    async fn set_account_url(&mut self, id: AccountId, url: &str) -> Result<()> {
        accounts::set_url(self.db(), id, url).await
    }

    async fn propose_account_key(&mut self, id: AccountId, sealed: &[u8]) -> Result<()> {
        accounts::propose_key(self.db(), id, sealed).await
    }

    async fn adopt_account_key(&mut self, id: AccountId, pending: &[u8]) -> Result<()> {
        accounts::adopt_key(self.db(), id, pending).await
    }

    async fn replace_account_key(&mut self, id: AccountId, before: &[u8], sealed: &[u8]) -> Result<()> {
        accounts::replace_key(self.db(), id, before, sealed).await
    }

    async fn retire_account(&mut self, id: AccountId, from: &str, to: &str) -> Result<()> {
        accounts::retire(self.db(), id, from, to).await
    }

    async fn live_orders_of(&mut self, id: AccountId) -> Result<u64> {
        accounts::live_orders(self.db(), id).await
    }

    async fn replace_sealed(&mut self, key: &SealedKey, anew: &[u8]) -> Result<bool> {
        sealed::replace(self.db(), key, anew).await
    }

    async fn buckets(&mut self, keys: &[String]) -> Result<Vec<Timestamp>> {
        buckets::lock(self.db(), keys).await
    }

    async fn set_bucket(&mut self, key: &str, at: Timestamp) -> Result<()> {
        buckets::set(self.db(), key, at).await
    }

    async fn insert_token(&mut self, token: &TokenRecord) -> Result<()> {
        tokens::insert(self.db(), token).await
    }

    async fn revoke_token(&mut self, name: &str, now: Timestamp) -> Result<bool> {
        tokens::revoke(self.db(), name, now).await
    }

    async fn touch_tokens(&mut self, uses: &[TokenUse]) -> Result<()> {
        tokens::touch(self.db(), uses).await
    }

    async fn insert_user(&mut self, user: &User) -> Result<()> {
        people::insert_user(self.db(), user).await
    }

    async fn update_user(&mut self, user: &User) -> Result<bool> {
        people::update_user(self.db(), user).await
    }

    async fn remove_user(&mut self, name: &str) -> Result<bool> {
        people::remove_user(self.db(), name).await
    }

    async fn insert_session(&mut self, session: &SessionRecord) -> Result<()> {
        people::insert_session(self.db(), session).await
    }

    async fn insert_provider_session(&mut self, session: &SessionRecord) -> Result<()> {
        people::insert_provider_session(self.db(), session).await
    }

    async fn use_id_token(
        &mut self,
        hash: &[u8; 32],
        forget_after: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        people::use_id_token(self.db(), hash, forget_after, now).await
    }

    async fn touch_session(&mut self, hash: &[u8; 32], at: Timestamp) -> Result<()> {
        people::touch_session(self.db(), hash, at).await
    }

    async fn end_session(&mut self, hash: &[u8; 32]) -> Result<bool> {
        people::end_session(self.db(), hash).await
    }

    async fn end_sessions(&mut self, user: &str) -> Result<u64> {
        people::end_sessions(self.db(), user).await
    }

    async fn append_audit(&mut self, entry: &AuditEntry) -> Result<()> {
        audit::append(self.db(), entry).await
    }

    async fn lock_audit_head(&mut self) -> Result<AuditSeal> {
        audit::head(self.db()).await
    }

    async fn unsealed_audit(&mut self, limit: u32) -> Result<Vec<UnsealedAudit>> {
        audit::unsealed(self.db(), limit).await
    }

    async fn seal_audit(&mut self, seals: &[(i64, AuditSeal)]) -> Result<()> {
        audit::seal(self.db(), seals).await
    }

    async fn publish(&mut self, event: &Event, now: Timestamp) -> Result<()> {
        self.has_published = true;
        messages::publish(self.db(), event, now).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.inner.commit().await.map_err(failed("commit"))?;
        if self.has_published {
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
