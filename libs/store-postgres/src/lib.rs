//! The [`Store`] on PostgreSQL, for any number of processes.
//!
//! Rules. Isolation is READ COMMITTED: whatever a transaction decides by, it locks first (`FOR NO KEY UPDATE`), and a
//! name's row is always locked before its work, so that no two transactions wait for each other. What a claim or a
//! sweep looks for skips what others have locked. Every statement begins with its name, so that `pg_stat_statements`
//! shows it.
//!
//! Changes are numbered late: a transaction that changes a domain leaves its position empty, and whoever asks for
//! changes numbers those that have committed, one asker at a time. Why not a sequence inside the transaction: a
//! lower number could become visible after a higher one, and a follower would miss it. Why not a counter row: every
//! transaction would wait for the one before it to reach the disk.

mod accounts;
mod appended;
mod audit;
mod buckets;
mod certificates;
mod changes;
mod db;
mod domains;
mod list;
mod messages;
mod open;
mod orders;
mod overview;
mod people;
mod recheck;
mod retention;
mod revocations;
mod sealed;
mod summary;
mod tokens;
mod tx;
mod work;

use std::time::Instant;

use async_trait::async_trait;
use domain::{CertificateId, DomainName, HistoryEntry, Lease, Order, Work, WorkKind};
use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::PgPool;
use store::{
    Account, AuditEntry, AuditSeal, Certificate, CertificatePlace, CertificateRecord, Challenge, Change,
    DomainView, ListFilter, ListQuery, Message, Overview, Result, Revocation, SealedKey, SealedPlace,
    SessionRecord, Store, Summary, TokenRecord, Tx, User,
};
use tokio::sync::watch;

pub use open::PostgresStore;

use crate::appended::Appended;
use crate::db::{failed, within};
use crate::tx::PostgresTx;

impl PostgresStore {
    async fn write(&self, name: &'static str) -> Result<PostgresTx> {
        let inner = within(async { self.pool.begin().await.map_err(failed(name)) }).await?;
        Ok(PostgresTx {
            name,
            began: Instant::now(),
            inner,
            published: self.published.clone(),
            appended: Appended::default(),
        })
    }

    fn db(&self) -> &PgPool {
        &self.pool
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn begin(&self, name: &'static str) -> Result<Box<dyn Tx>> {
        Ok(Box::new(self.write(name).await?))
    }

    async fn clock(&self) -> Result<Option<Timestamp>> {
        let asked = sqlx::query_scalar("-- clock\nSELECT clock_timestamp()").fetch_one(self.db());
        let now: jiff_sqlx::Timestamp = within(async { asked.await.map_err(failed("clock")) }).await?;
        Ok(Some(now.to_jiff()))
    }

    async fn check_schema(&self) -> Result<()> {
        within(self.check_migrations()).await
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    async fn domain(&self, name: &DomainName) -> Result<Option<DomainView>> {
        within(domains::view(self.db(), name)).await
    }

    async fn domains(&self, query: &ListQuery) -> Result<Vec<DomainView>> {
        within(list::page(self.db(), query)).await
    }

    async fn count(&self, filter: &ListFilter, most: u32) -> Result<u64> {
        within(list::count(self.db(), filter, most)).await
    }

    async fn summary(&self, ends_before: Timestamp) -> Result<Summary> {
        within(summary::summary(self.db(), ends_before)).await
    }

    async fn overview(&self, overdue_since: Timestamp, now: Timestamp) -> Result<Overview> {
        within(overview::read(self.db(), overdue_since, now)).await
    }

    async fn fold_tallies(&self, limit: u32) -> Result<u64> {
        within(overview::fold(self.db(), limit)).await
    }

    async fn keys_to_destroy(&self, deleted_by: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
        within(retention::keys_to_destroy(self.db(), deleted_by, limit)).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
        within(domains::expired(self.db(), now, limit)).await
    }

    async fn is_rechecked(&self, day: Date) -> Result<bool> {
        within(recheck::is_complete(self.db(), day)).await
    }

    async fn history(&self, name: &DomainName, limit: u32) -> Result<Vec<HistoryEntry>> {
        within(changes::history(self.db(), name, limit)).await
    }

    async fn changes(&self, after: i64, name: Option<&DomainName>, limit: u32) -> Result<Vec<Change>> {
        within(changes::number(self.db())).await?;
        within(changes::after(self.db(), after, name, limit)).await
    }

    async fn position(&self) -> Result<i64> {
        within(changes::number(self.db())).await?;
        within(changes::position(self.db())).await
    }

    async fn key_authorization(&self, host: &DomainName, token: &str) -> Result<Option<String>> {
        within(orders::key_authorization(self.db(), host, token)).await
    }

    async fn challenges(&self, host: &DomainName) -> Result<Vec<Challenge>> {
        within(orders::challenges(self.db(), host)).await
    }

    async fn bucket(&self, key: &str) -> Result<Option<Timestamp>> {
        within(buckets::get(self.db(), key)).await
    }

    async fn certificate(&self, id: CertificateId) -> Result<Option<Certificate>> {
        within(certificates::get(self.db(), id)).await
    }

    async fn certificates(
        &self,
        name: &DomainName,
        after: Option<CertificatePlace>,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>> {
        within(certificates::of(self.db(), name, after, limit)).await
    }

    async fn revocations(&self, name: &DomainName) -> Result<Vec<Revocation>> {
        within(revocations::of(self.db(), name)).await
    }

    async fn accounts(&self) -> Result<Vec<Account>> {
        within(accounts::all(self.db())).await
    }

    async fn account(&self, issuer: &str, directory_url: &str) -> Result<Option<Account>> {
        within(accounts::get(self.db(), issuer, directory_url)).await
    }

    async fn account_url(&self, issuer: &str, directory_url: &str) -> Result<Option<String>> {
        within(accounts::url(self.db(), issuer, directory_url)).await
    }

    async fn sealed_keys(
        &self,
        place: SealedPlace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SealedKey>> {
        within(sealed::page(self.db(), place, after, limit)).await
    }

    async fn live_order(&self, name: &DomainName) -> Result<Option<Order>> {
        within(orders::live(self.db(), name)).await
    }

    async fn work(&self, name: &DomainName) -> Result<Vec<Work>> {
        within(work::all(self.db(), name)).await
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>> {
        within(tokens::by_hash(self.db(), hash)).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        within(tokens::all(self.db())).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>> {
        within(people::user(self.db(), name)).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        within(people::users(self.db())).await
    }

    async fn session(&self, hash: &[u8; 32]) -> Result<Option<SessionRecord>> {
        within(people::session(self.db(), hash)).await
    }

    async fn audit(&self, subject: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>> {
        within(audit::newest(self.db(), subject, limit)).await
    }

    async fn sealed_audit(&self, after: i64, limit: u32) -> Result<Vec<(AuditSeal, AuditEntry)>> {
        within(audit::sealed(self.db(), after, limit)).await
    }

    async fn audit_head(&self) -> Result<AuditSeal> {
        within(audit::head(self.db())).await
    }

    async fn unsealed_audit(&self) -> Result<u64> {
        within(audit::count_unsealed(self.db())).await
    }

    async fn claim_batch(
        &self,
        kind: WorkKind,
        names: &[DomainName],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Lease>> {
        within(work::claim(self.db(), kind, names, now, until)).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<()> {
        within(work::renew(self.db(), lease, until)).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        within(work::release(self.db(), lease)).await
    }

    async fn free_all_leases(&self) -> Result<()> {
        within(work::free_all(self.db())).await?;
        within(messages::free_all(self.db())).await
    }

    async fn take_messages(
        &self,
        kinds: &[&'static str],
        limit: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Message>> {
        within(messages::take(self.db(), kinds, limit, now, until)).await
    }

    async fn keep_messages(&self, messages: &[Message], until: Timestamp) -> Result<()> {
        within(messages::keep(self.db(), messages, until)).await
    }

    async fn delete_messages(&self, messages: &[Message]) -> Result<()> {
        within(messages::delete(self.db(), messages)).await
    }

    async fn delay_message(&self, message: &Message, due_at: Timestamp) -> Result<()> {
        within(messages::delay(self.db(), message, due_at)).await
    }

    async fn bury_message(&self, message: &Message, why: &str) -> Result<()> {
        within(messages::bury(self.db(), message, why)).await
    }

    async fn message_counts(&self) -> Result<(u64, u64)> {
        within(messages::counts(self.db())).await
    }
}
