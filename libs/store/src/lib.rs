//! What the system remembers: the [`Store`] trait, the transactions it hands out, and the contract suite that every
//! backend passes.
//!
//! Rules. The database is the truth and messages are hints, so an event is published inside the transaction that
//! changed the state ([`Tx::publish`]). Every write is conditional and its row count is checked: what does not match
//! is [`StoreError::Conflict`] or [`StoreError::LeaseLost`], never silence. No transaction is open across a network
//! call. Time is the caller's.
//!
//! Why a trait of rows rather than one of use cases: the rules of who may change what, and when, are then written
//! once, above this trait, and a backend is nothing but SQL.

mod columns;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod list;
mod missing;
mod overview;
mod people;
mod records;
mod trace;
mod transition;

use async_trait::async_trait;
use domain::{
    CertificateId, Domain, DomainName, Event, HistoryEntry, Lease, Order, RevocationState, Work, WorkKind,
};
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::watch;

pub use columns::Columns;
pub use error::{Result, StoreError};
pub use list::{
    LOOK_THROUGH, ListFilter, ListOrder, ListQuery, Page, Part, Place, Search, after_all, attention, reversed,
};
pub use missing::is_c4s_fault;
pub use overview::{Counted, MOST_OVERDUE, Overview, Past};
pub use people::{PROVIDER_PREFIX, SessionRecord, User};
pub use records::{
    Account, AuditEntry, AuditSeal, Certificate, CertificatePlace, CertificateRecord, Challenge, Change,
    DomainView, Message, ProbeOf, Renewal, Revocation, SealedKey, SealedPlace, Summary, TokenRecord,
    TokenUse, UnsealedAudit,
};
pub use trace::{continue_trace, trace_parent};
pub use transition::{Entry, apply, record};

/// Everything that is remembered.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Opens a transaction that may write. `name` stands in metrics and errors. Dropping it rolls back.
    async fn begin(&self, name: &'static str) -> Result<Box<dyn Tx>>;

    /// The database's own clock, as a sign of life; none where that is this machine's.
    async fn clock(&self) -> Result<Option<Timestamp>>;

    /// Checks that the schema is exactly the one that this program knows. [`StoreError::Schema`] otherwise.
    async fn check_schema(&self) -> Result<()>;

    /// Grows with every commit that published something; wakes the bus.
    fn published(&self) -> watch::Receiver<u64>;

    /// A domain on the list.
    async fn domain(&self, name: &DomainName) -> Result<Option<DomainView>>;

    /// A page of the list, in the order that was asked for.
    async fn domains(&self, query: &ListQuery) -> Result<Vec<DomainView>>;

    /// How many domains fit a filter, counted up to `most`; those of statuses alone are known without counting.
    async fn count(&self, filter: &ListFilter, most: u32) -> Result<u64>;

    /// The list in figures; `expiring` counts what ends before `ends_before`.
    async fn summary(&self, ends_before: Timestamp) -> Result<Summary>;

    /// The state of things, from what is kept as counts; `overdue` is work that has been due since `overdue_since` and
    /// that nobody holds at `now`.
    async fn overview(&self, overdue_since: Timestamp, now: Timestamp) -> Result<Overview>;

    /// Adds up to `limit` changes of figures to them, and returns how many there were. It costs readers when it is not done
    /// for long, and makes no other difference; there is nothing to do where figures are raised in place.
    async fn fold_tallies(&self, limit: u32) -> Result<u64>;

    /// Up to `limit` domains that were deleted by then and whose certificates' keys were not destroyed since, in order of
    /// name.
    async fn keys_to_destroy(&self, deleted_by: Timestamp, limit: u32) -> Result<Vec<DomainName>>;

    /// Domains whose stored status says Success though their certificate ended by `now`.
    async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<DomainName>>;

    /// Whether the daily recheck of that day is complete.
    async fn is_rechecked(&self, day: Date) -> Result<bool>;

    /// A name's history, newest first; empty for a name that was never here.
    async fn history(&self, name: &DomainName, limit: u32) -> Result<Vec<HistoryEntry>>;

    /// The latest change of each domain (of one, if `name` is given) after a position, in order of position.
    async fn changes(&self, after: i64, name: Option<&DomainName>, limit: u32) -> Result<Vec<Change>>;

    /// The position of the latest change; 0 if there was none.
    async fn position(&self) -> Result<i64>;

    /// The key authorization stored for exactly this host and token (RFC 8555 section 8.3).
    async fn key_authorization(&self, host: &DomainName, token: &str) -> Result<Option<String>>;

    /// Every challenge response stored for a host.
    async fn challenges(&self, host: &DomainName) -> Result<Vec<Challenge>>;

    /// The time of a bucket of a CA's budget.
    async fn bucket(&self, key: &str) -> Result<Option<Timestamp>>;

    /// A certificate with its chain and sealed key.
    async fn certificate(&self, id: CertificateId) -> Result<Option<Certificate>>;

    /// A page of a name's certificates, newest first, whatever became of the name; `after` is where the page before ended.
    async fn certificates(
        &self,
        name: &DomainName,
        after: Option<CertificatePlace>,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>>;

    /// Which certificates of a name are to be revoked, or were; the oldest wish first.
    async fn revocations(&self, name: &DomainName) -> Result<Vec<Revocation>>;

    /// Every account, retired ones included, by the issuer's name and directory.
    async fn accounts(&self) -> Result<Vec<Account>>;

    /// The account of ours at a CA, if a row was written for it.
    async fn account(&self, issuer: &str, directory_url: &str) -> Result<Option<Account>>;

    /// The URL of the account of ours at a CA, if it is registered; for who may not read its sealed key.
    async fn account_url(&self, issuer: &str, directory_url: &str) -> Result<Option<String>>;

    /// A page of the keys that are sealed in one place, in order of the row's id; `after` is the last id of the page
    /// before. A page that is not full is the last.
    async fn sealed_keys(
        &self,
        place: SealedPlace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SealedKey>>;

    /// The one live order of a name.
    async fn live_order(&self, name: &DomainName) -> Result<Option<Order>>;

    /// The work rows of a name.
    async fn work(&self, name: &DomainName) -> Result<Vec<Work>>;

    /// An API token by the SHA-256 of its text, revoked ones included.
    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>>;

    /// All API tokens, by name.
    async fn tokens(&self) -> Result<Vec<TokenRecord>>;

    /// A person who may sign in.
    async fn user(&self, name: &str) -> Result<Option<User>>;

    /// All who may sign in, by name.
    async fn users(&self) -> Result<Vec<User>>;

    /// A session by the SHA-256 of its token, ended ones included until they are forgotten.
    async fn session(&self, hash: &[u8; 32]) -> Result<Option<SessionRecord>>;

    /// The audit log, newest first; of one subject, if it is given.
    async fn audit(&self, subject: Option<&str>, limit: u32) -> Result<Vec<AuditEntry>>;

    /// What is sealed of the audit log after a number, in order of number.
    async fn sealed_audit(&self, after: i64, limit: u32) -> Result<Vec<(AuditSeal, AuditEntry)>>;

    /// The seal that was given last.
    async fn audit_head(&self) -> Result<AuditSeal>;

    /// How many lines of the audit log wait for their seal.
    async fn unsealed_audit(&self) -> Result<u64>;

    /// Claims work of one kind of these names, in a transaction of its own: the leases last until `until`. What is not
    /// due, not there, or somebody else's is not among the answers. Nor is a row that makes no sense: it is logged, and
    /// keeps nobody from the others.
    async fn claim_batch(
        &self,
        kind: WorkKind,
        names: &[DomainName],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Lease>>;

    /// Claims work of one kind and name.
    async fn claim(
        &self,
        kind: WorkKind,
        name: &DomainName,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>> {
        let mut leases = self.claim_batch(kind, std::slice::from_ref(name), now, until).await?;
        Ok(leases.pop())
    }

    /// Prolongs a lease. [`StoreError::LeaseLost`] if it is not ours any more.
    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<()>;

    /// Gives work back before its lease ends, due as it was; the lease is lost. Nothing happens if it is not ours any
    /// more.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Frees every lease and forgets which hints were given, of work and of messages. For the start of a process
    /// that is alone on its store.
    async fn free_all_leases(&self) -> Result<()>;

    /// Takes up to `limit` messages of these kinds that are due and free, oldest first; they are nobody else's until
    /// `until`. Kinds are words of [`domain::EventKind::WORDS`].
    async fn take_messages(
        &self,
        kinds: &[&'static str],
        limit: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Message>>;

    /// Keeps taken messages until `until`.
    async fn keep_messages(&self, messages: &[Message], until: Timestamp) -> Result<()>;

    /// Deletes messages that were handled.
    async fn delete_messages(&self, messages: &[Message]) -> Result<()>;

    /// Gives a message back, due at `due_at`, and counts the attempt. Like the other answers, of no effect on a
    /// message that is not ours any more.
    async fn delay_message(&self, message: &Message, due_at: Timestamp) -> Result<()>;

    /// Sets a message aside for a person to look at.
    async fn bury_message(&self, message: &Message, why: &str) -> Result<()>;

    /// How many messages wait to be handled (taken ones included), and how many were set aside.
    async fn message_counts(&self) -> Result<(u64, u64)>;
}

/// An open transaction. What it reads stays as it is until it ends. What it appends (history, audit log, events, what is
/// counted per day) may be written as late as its commit.
#[async_trait]
pub trait Tx: Send {
    /// The rows of those of these names that were ever here, deleted or not, locked in the order of their names.
    async fn domains(&mut self, names: &[DomainName]) -> Result<Vec<Domain>>;

    /// A name's row, deleted or not, locked.
    async fn domain(&mut self, name: &DomainName) -> Result<Option<Domain>> {
        Ok(self.domains(std::slice::from_ref(name)).await?.pop())
    }

    /// Writes rows that were not there, with the version `domain.version + 1`, and makes them the latest changes.
    /// [`StoreError::Conflict`] if one was.
    async fn insert_domains(&mut self, domains: &[Domain], now: Timestamp) -> Result<()>;

    /// Writes a row that was not there.
    async fn insert_domain(&mut self, domain: &Domain, now: Timestamp) -> Result<()> {
        self.insert_domains(std::slice::from_ref(domain), now).await
    }

    /// Writes a row if its version is still `domain.version`, raises the version, stores the status as of `now`, and
    /// makes it the latest change. [`StoreError::Conflict`] otherwise. Callers use [`apply`].
    async fn update_domain(&mut self, domain: &Domain, now: Timestamp) -> Result<()>;

    /// Marks up to `limit` domains as rechecked on `day` and returns them: those of the daily recheck (Failure, Pending or
    /// Expired, to be generated) that were put on the list before `created_before` and are not marked with that day or a
    /// later one. None at all means that the day is complete.
    async fn take_recheck(
        &mut self,
        day: Date,
        created_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<DomainName>>;

    /// Notes that the daily recheck of `day` is complete; `now` is when.
    async fn set_rechecked(&mut self, day: Date, now: Timestamp) -> Result<()>;

    /// Of how many domains with a live certificate C4 said since `since` that it does not know them; and how many domains
    /// with a live certificate there are, counted only as far as it takes to see whether the former are over 1% of them.
    async fn missing_and_live(&mut self, since: Timestamp) -> Result<(u64, u64)>;

    /// Takes back what counts of C4's answers since `since` that it does not know a domain with a live certificate.
    async fn discount_missing(&mut self, since: Timestamp) -> Result<()>;

    /// Adds a line to the history.
    async fn append_history(&mut self, entry: &HistoryEntry) -> Result<()>;

    /// Writes work rows, no two of the same name and kind, whatever they were before; leases on them are lost.
    async fn schedule_all(&mut self, work: &[Work]) -> Result<()>;

    /// Writes a work row, whatever it was before; a lease on it is lost.
    async fn schedule(&mut self, work: &Work) -> Result<()> {
        self.schedule_all(std::slice::from_ref(work)).await
    }

    /// Removes a work row; a lease on it is lost. Nothing happens if there is none.
    async fn cancel(&mut self, name: &DomainName, kind: WorkKind) -> Result<()>;

    /// A name's work row of one kind.
    async fn work(&mut self, name: &DomainName, kind: WorkKind) -> Result<Option<Work>>;

    /// Whether somebody holds an unexpired lease on a name's work.
    async fn is_leased(&mut self, name: &DomainName, kind: WorkKind, now: Timestamp) -> Result<bool>;

    /// The row of a lease's name, if the lease is still ours and of the name's present revision; both stay as they are
    /// until the transaction ends. [`StoreError::LeaseLost`] otherwise, and then the transaction may go on.
    async fn fence(&mut self, lease: &Lease) -> Result<Domain>;

    /// Ends a lease: the row becomes `next`, or goes. [`StoreError::LeaseLost`] if it is not ours any more.
    async fn finish(&mut self, lease: &Lease, next: Option<&Work>) -> Result<()>;

    /// Marks up to `limit` rows of work that are due, free and not hinted at since `hinted_before`, and returns them,
    /// those that have been due longest first.
    async fn mark_due(&mut self, now: Timestamp, hinted_before: Timestamp, limit: u32) -> Result<Vec<Work>>;

    /// Writes an order row. [`StoreError::Conflict`] if the name has a live one.
    async fn insert_order(&mut self, order: &Order) -> Result<()>;

    /// Writes an order's state if the stored one is still `from` (a word of [`domain::OrderState::as_str`]).
    /// [`StoreError::Conflict`] otherwise.
    async fn update_order(&mut self, order: &Order, from: &'static str) -> Result<()>;

    /// The one live order of a name, locked.
    async fn live_order(&mut self, name: &DomainName) -> Result<Option<Order>>;

    /// Stores a challenge response; the same (host, token) again is replaced.
    async fn put_challenge(&mut self, challenge: &Challenge) -> Result<()>;

    /// Forgets the challenge responses of an order.
    async fn drop_challenges(&mut self, order: domain::OrderId) -> Result<()>;

    /// Stores what the rehearsal of a host's challenge path has to find, in place of an earlier one of the same asker; it is
    /// answered like a challenge ([`Store::key_authorization`]).
    async fn put_probe(&mut self, host: &DomainName, of: ProbeOf, token: &str, answer: &str) -> Result<()>;

    /// Forgets a host's probe of that asker.
    async fn drop_probe(&mut self, host: &DomainName, of: ProbeOf) -> Result<()>;

    /// Stores a certificate.
    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<()>;

    /// Destroys the sealed keys of a name's certificates, if it was deleted by then and is not on the list again. How many
    /// there were; none if it was not, or if that was done before. (An order that ended keeps no key anyway.)
    async fn destroy_keys(
        &mut self,
        name: &DomainName,
        deleted_by: Timestamp,
        now: Timestamp,
    ) -> Result<Option<u64>>;

    /// Counts one more on the day of `now`.
    async fn count_day(&mut self, counted: Counted, now: Timestamp) -> Result<()>;

    /// Forgets what says nothing any more, about `limit` of each kind; how many rows that were.
    async fn forget(&mut self, past: Past, limit: u32) -> Result<u64>;

    /// Notes when a certificate was first active at C4.
    async fn mark_uploaded(&mut self, id: CertificateId, now: Timestamp) -> Result<()>;

    /// Stores when a certificate is renewed. [`StoreError::Conflict`] if it is not there.
    async fn set_renewal(&mut self, id: CertificateId, renewal: Renewal) -> Result<()>;

    /// The generated certificate of a name that ends last, if it ends after `now`.
    async fn newest_generated(&mut self, name: &DomainName, now: Timestamp) -> Result<Option<Certificate>>;

    /// A name's certificate by the SHA-256 of its leaf; the newest row, where it was pasted twice.
    async fn certificate_by_sha256(&mut self, name: &DomainName, sha256: &str)
    -> Result<Option<Certificate>>;

    /// The revocation of a certificate, locked.
    async fn revocation(&mut self, certificate: CertificateId) -> Result<Option<Revocation>>;

    /// Writes that a certificate is to be revoked, in place of what was wished for before. [`StoreError::Conflict`] if it
    /// is revoked.
    async fn put_revocation(&mut self, revocation: &Revocation) -> Result<()>;

    /// Ends a revocation that was asked for; a certificate that is revoked is marked as such. [`StoreError::Conflict`] if
    /// it is ended.
    async fn end_revocation(
        &mut self,
        certificate: CertificateId,
        state: RevocationState,
        now: Timestamp,
    ) -> Result<()>;

    /// Notes why the replacement of a certificate that is to be revoked cannot be had. [`StoreError::Conflict`] if the
    /// revocation is ended.
    async fn note_revocation(&mut self, certificate: CertificateId, why: &str) -> Result<()>;

    /// Writes an account row. [`StoreError::Conflict`] if there is one for that issuer and directory.
    async fn insert_account(&mut self, account: &Account) -> Result<()>;

    /// Stores an account's URL once. [`StoreError::Conflict`] if it has another.
    async fn set_account_url(&mut self, id: domain::AccountId, url: &str) -> Result<()>;

    /// Stores the key that an account is about to get. [`StoreError::Conflict`] if it is about to get one already.
    async fn propose_account_key(&mut self, id: domain::AccountId, sealed: &[u8]) -> Result<()>;

    /// Makes the key that an account is about to get its own. [`StoreError::Conflict`] if that is not `pending`, as it was
    /// read.
    async fn adopt_account_key(&mut self, id: domain::AccountId, pending: &[u8]) -> Result<()>;

    /// Puts a key in the place of an account's own, and of one that it is about to get. [`StoreError::Conflict`] if its own
    /// is not `before`, as it was read.
    async fn replace_account_key(
        &mut self,
        id: domain::AccountId,
        before: &[u8],
        sealed: &[u8],
    ) -> Result<()>;

    /// Gives an account's row another name than its issuer's, so that another account can take its place; what was issued
    /// with it goes on referring to it. [`StoreError::Conflict`] if its name is not `from`.
    async fn retire_account(&mut self, id: domain::AccountId, from: &str, to: &str) -> Result<()>;

    /// How many live orders an account has.
    async fn live_orders_of(&mut self, id: domain::AccountId) -> Result<u64>;

    /// Puts `anew` in the place of a sealed key, if that is still as it was read. False if it is not; then the transaction
    /// may go on.
    async fn replace_sealed(&mut self, key: &SealedKey, anew: &[u8]) -> Result<bool>;

    /// The times of these buckets of a CA's budget, in the order of `keys`, which must be sorted, locked; one that was
    /// never there stands at the beginning of time.
    async fn buckets(&mut self, keys: &[String]) -> Result<Vec<Timestamp>>;

    /// Sets a bucket's time.
    async fn set_bucket(&mut self, key: &str, at: Timestamp) -> Result<()>;

    /// Stores an API token's hash. [`StoreError::Conflict`] if the name is taken.
    async fn insert_token(&mut self, token: &TokenRecord) -> Result<()>;

    /// Revokes a token. False if no unrevoked token has that name.
    async fn revoke_token(&mut self, name: &str, now: Timestamp) -> Result<bool>;

    /// Notes that tokens were used. Coarse and late on purpose: callers batch it.
    async fn touch_tokens(&mut self, uses: &[TokenUse]) -> Result<()>;

    /// Stores a person. [`StoreError::Conflict`] if the name is taken.
    async fn insert_user(&mut self, user: &User) -> Result<()>;

    /// Stores a person's role and password hash. False if there is no such person.
    async fn update_user(&mut self, user: &User) -> Result<bool>;

    /// Removes a person and their sessions. False if there is no such person.
    async fn remove_user(&mut self, name: &str) -> Result<bool>;

    /// Stores a session (the role is its user's) and forgets those of the same person that ended.
    async fn insert_session(&mut self, session: &SessionRecord) -> Result<()>;

    /// Stores a session of a person whom an OpenID provider vouches for, with the session's own role, and forgets those of
    /// the same person that ended.
    async fn insert_provider_session(&mut self, session: &SessionRecord) -> Result<()>;

    /// Notes that somebody signs in with the ID token of that hash, and forgets the tokens whose time is over at `now`. False
    /// if somebody did before.
    async fn use_id_token(
        &mut self,
        hash: &[u8; 32],
        forget_after: Timestamp,
        now: Timestamp,
    ) -> Result<bool>;

    /// Notes that a session was used.
    async fn touch_session(&mut self, hash: &[u8; 32], at: Timestamp) -> Result<()>;

    /// Ends a session. False if there is none.
    async fn end_session(&mut self, hash: &[u8; 32]) -> Result<bool>;

    /// Ends every session of a person; how many there were.
    async fn end_sessions(&mut self, user: &str) -> Result<u64>;

    /// Appends a line to the audit log.
    async fn append_audit(&mut self, entry: &AuditEntry) -> Result<()>;

    /// The seal that was given last; whoever asks is the only one who may seal until the transaction ends.
    async fn lock_audit_head(&mut self) -> Result<AuditSeal>;

    /// Lines of the audit log that wait for their seal, oldest first.
    async fn unsealed_audit(&mut self, limit: u32) -> Result<Vec<UnsealedAudit>>;

    /// Gives lines their seals, in order; the last is the head then. [`StoreError::Conflict`] if one of them has a seal.
    async fn seal_audit(&mut self, seals: &[(i64, AuditSeal)]) -> Result<()>;

    /// Publishes an event with this transaction: it is sent if, and only if, the transaction commits. The kinds that
    /// make a worker claim also count as the hint about that work, so that the sweep does not give it again at once.
    async fn publish(&mut self, event: &Event, now: Timestamp) -> Result<()>;

    /// Makes it so.
    async fn commit(self: Box<Self>) -> Result<()>;
}
