//! The [`Store`] on SQLite: one file, for one process or a few on one machine.
//!
//! One connection writes, a few read. A transaction begins IMMEDIATE: one that read first and wrote later would fail
//! whenever another wrote in between. Commits are durable (`synchronous = FULL`), because an order that the CA took,
//! or a key that it certified, must survive a power cut.

mod accounts;
mod audit;
mod buckets;
mod certificates;
mod db;
mod domains;
mod history;
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
use sqlx::SqlitePool;
use store::{
    Account, AuditEntry, AuditSeal, Certificate, CertificatePlace, CertificateRecord, Challenge, Change,
    DomainView, ListFilter, ListQuery, Message, Overview, Result, Revocation, SealedKey, SealedPlace,
    SessionRecord, Store, Summary, TokenRecord, Tx, User,
};
use tokio::sync::watch;

use crate::db::failed;
use crate::tx::SqliteTx;

/// See the crate's documentation.
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    published: watch::Sender<u64>,
}

impl SqliteStore {
    async fn write(&self, name: &'static str) -> Result<SqliteTx> {
        let inner = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(name))?;
        Ok(SqliteTx {
            name,
            began: Instant::now(),
            inner,
            published: self.published.clone(),
            has_published: false,
        })
    }
}

/// One statement group in a transaction of its own.
macro_rules! in_transaction {
    ($store:expr, $name:literal, $call:path $(, $argument:expr)*) => {{
        let mut tx = $store.write($name).await?;
        let result = $call(&mut *tx.inner $(, $argument)*).await?;
        Box::new(tx).commit().await?;
        Ok(result)
    }};
}

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self, name: &'static str) -> Result<Box<dyn Tx>> {
        Ok(Box::new(self.write(name).await?))
    }

    async fn clock(&self) -> Result<Option<Timestamp>> {
        domains::position(&self.readers).await?;
        Ok(None)
    }

    async fn check_schema(&self) -> Result<()> {
        self.check_migrations().await
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    async fn domain(&self, name: &DomainName) -> Result<Option<DomainView>> {
        domains::view(&self.readers, name).await
    }

    async fn domains(&self, query: &ListQuery) -> Result<Vec<DomainView>> {
        list::page(&self.readers, query).await
    }

    async fn count(&self, filter: &ListFilter, most: u32) -> Result<u64> {
        list::count(&self.readers, filter, most).await
    }

    async fn summary(&self, ends_before: Timestamp) -> Result<Summary> {
        summary::summary(&self.readers, ends_before).await
    }

    async fn overview(&self, overdue_since: Timestamp, now: Timestamp) -> Result<Overview> {
        overview::read(&self.readers, overdue_since, now).await
    }

    async fn fold_tallies(&self, _limit: u32) -> Result<u64> {
        Ok(0)
    }

    async fn keys_to_destroy(&self, deleted_by: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
        retention::keys_to_destroy(&self.readers, deleted_by, limit).await
    }

    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
        domains::expired(&self.readers, now, limit).await
    }

    async fn is_rechecked(&self, day: Date) -> Result<bool> {
        recheck::is_complete(&self.readers, day).await
    }

    async fn history(&self, name: &DomainName, limit: u32) -> Result<Vec<HistoryEntry>> {
        history::of(&self.readers, name, limit).await
    }

    async fn changes(&self, after: i64, name: Option<&DomainName>, limit: u32) -> Result<Vec<Change>> {
        domains::changes(&self.readers, after, name, limit).await
    }

    async fn position(&self) -> Result<i64> {
        domains::position(&self.readers).await
    }

    async fn key_authorization(&self, host: &DomainName, token: &str) -> Result<Option<String>> {
        orders::key_authorization(&self.readers, host, token).await
    }

    async fn challenges(&self, host: &DomainName) -> Result<Vec<Challenge>> {
        orders::challenges(&self.readers, host).await
    }

    async fn bucket(&self, key: &str) -> Result<Option<Timestamp>> {
        buckets::get(&self.readers, key).await
    }

    async fn certificate(&self, id: CertificateId) -> Result<Option<Certificate>> {
        certificates::get(&self.readers, id).await
    }

    async fn certificates(
        &self,
        name: &DomainName,
        after: Option<CertificatePlace>,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>> {
        certificates::of(&self.readers, name, after, limit).await
    }

    async fn revocations(&self, name: &DomainName) -> Result<Vec<Revocation>> {
        revocations::of(&self.readers, name).await
    }

    async fn accounts(&self) -> Result<Vec<Account>> {
        accounts::all(&self.readers).await
    }

    async fn account(&self, issuer: &str, directory_url: &str) -> Result<Option<Account>> {
        accounts::get(&self.readers, issuer, directory_url).await
    }

    async fn account_url(&self, issuer: &str, directory_url: &str) -> Result<Option<String>> {
        accounts::url(&self.readers, issuer, directory_url).await
    }

    async fn sealed_keys(
        &self,
        place: SealedPlace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SealedKey>> {
        sealed::page(&self.readers, place, after, limit).await
    }

    async fn live_order(&self, name: &DomainName) -> Result<Option<Order>> {
        orders::live(&self.readers, name).await
    }

    async fn work(&self, name: &DomainName) -> Result<Vec<Work>> {
        work::all(&self.readers, name).await
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>> {
        tokens::by_hash(&self.readers, hash).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        tokens::all(&self.readers).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>> {
        people::user(&self.readers, name).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        people::users(&self.readers).await
    }

    async fn session(&self, hash: &[u8; 32]) -> Result<Option<SessionRecord>> {
        people::session(&self.readers, hash).await
    }

    async fn audit(&self, subject: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>> {
        audit::newest(&self.readers, subject, limit).await
    }

    async fn sealed_audit(&self, after: i64, limit: u32) -> Result<Vec<(AuditSeal, AuditEntry)>> {
        audit::sealed(&self.readers, after, limit).await
    }

    async fn audit_head(&self) -> Result<AuditSeal> {
        audit::head(&self.readers).await
    }

    async fn unsealed_audit(&self) -> Result<u64> {
        audit::count_unsealed(&self.readers).await
    }

    async fn claim_batch(
        &self,
        kind: WorkKind,
        names: &[DomainName],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Lease>> {
        in_transaction!(self, "claim", work::claim, kind, names, now, until)
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<()> {
        work::renew(&self.writer, lease, until).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        work::release(&self.writer, lease).await
    }

    async fn free_all_leases(&self) -> Result<()> {
        in_transaction!(self, "free_all_leases", work::free_all)
    }

    async fn take_messages(
        &self,
        kinds: &[&'static str],
        limit: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Message>> {
        if !messages::any_waiting(&self.readers, kinds, now).await? {
            return Ok(Vec::new());
        }
        in_transaction!(self, "take_messages", messages::take, kinds, limit, now, until)
    }

    async fn keep_messages(&self, messages: &[Message], until: Timestamp) -> Result<()> {
        in_transaction!(self, "keep_messages", messages::keep, messages, until)
    }

    async fn delete_messages(&self, messages: &[Message]) -> Result<()> {
        in_transaction!(self, "delete_messages", messages::delete, messages)
    }

    async fn delay_message(&self, message: &Message, due_at: Timestamp) -> Result<()> {
        in_transaction!(self, "delay_message", messages::delay, message, due_at)
    }

    async fn bury_message(&self, message: &Message, why: &str) -> Result<()> {
        in_transaction!(self, "bury_message", messages::bury, message, why)
    }

    async fn message_counts(&self) -> Result<(u64, u64)> {
        messages::counts(&self.readers).await
    }
}
