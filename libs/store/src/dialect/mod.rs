//! The parts in which the two databases differ: opening and migrating, claiming, numbering changes, inserting many
//! rows at once, and finding a page of the list by index. All other statements are common to both.

mod postgres;
mod sqlite;

pub(crate) use postgres::{begin, connection};
pub(crate) use sqlite::{Member, OpenedFile, Writer};

use domain::WorkKind;

use crate::domains::DomainRow;
use crate::messages::MessageRow;
use crate::sql::Db;
use crate::{Change, ListFilter, ListQuery, Pools, Result, Store, Tx};

/// Rejects pooled sessions that are shared with other clients; a file has none.
pub(crate) async fn refuse_shared_sessions(store: &Store) -> Result<()> {
    match &store.pools {
        Pools::Sqlite { .. } => Ok(()),
        Pools::Postgres(pool) => postgres::refuse_shared_sessions(pool, &*store.entropy).await,
    }
}

/// Numbers every committed change.
pub(crate) async fn number_changes(store: &Store) -> Result<()> {
    match &store.pools {
        // A change is numbered when it is written: there is only one writer.
        Pools::Sqlite { .. } => Ok(()),
        Pools::Postgres(_) => postgres::number_changes(store).await,
    }
}

/// Inserts new rows.
pub(crate) async fn insert_domains(tx: &mut Tx, rows: &[DomainRow]) -> Result<()> {
    if tx.is_sqlite() {
        sqlite::insert_domains(tx, rows).await
    } else {
        tx.insert("insert_domains", "", rows, &[], "").await
    }
}

/// An `UPDATE` that leases work: `$1` names, `$2` kind, `$3` end of the lease, `$4` now.
pub(crate) fn claim(db: &Db<'_>) -> &'static str {
    match db {
        Db::Sqlite(_) => sqlite::CLAIM,
        Db::Postgres(_) => postgres::CLAIM,
    }
}

/// A `SELECT` of the domain that a lease is for, locked with its work: `$1` name, `$2` kind, `$3` token, `$4` revision.
pub(crate) fn fence(db: &Db<'_>) -> String {
    match db {
        Db::Sqlite(_) => sqlite::fence(),
        Db::Postgres(_) => postgres::fence(),
    }
}

/// A `SELECT` of the domains that the leases of a group are for, locked with their work, on PostgreSQL: arrays of `$1`
/// names, `$2` kinds, `$3` tokens, `$4` revisions.
pub(crate) fn fence_all() -> String {
    postgres::fence_all()
}

/// Stores messages, and marks the work rows that they are about as hinted.
pub(crate) async fn publish(tx: &mut Tx, messages: &[MessageRow], hints: &[Option<WorkKind>]) -> Result<()> {
    if tx.is_sqlite() {
        sqlite::publish(tx, messages, hints).await
    } else {
        postgres::publish(tx, messages, hints).await
    }
}

/// Returns false if there is no message of these kinds.
pub(crate) async fn may_take(store: &Store, kinds: &[&'static str]) -> Result<bool> {
    match &store.pools {
        Pools::Sqlite { .. } => sqlite::may_take(store, kinds).await,
        Pools::Postgres(_) => Ok(true),
    }
}

/// An `UPDATE` that takes messages: `$1` kinds, `$2` maximum number, `$3` end of the lease, `$4` now.
pub(crate) fn take(db: &Db<'_>) -> &'static str {
    match db {
        Db::Sqlite(_) => sqlite::TAKE,
        Db::Postgres(_) => postgres::TAKE,
    }
}

/// A condition on messages: their numbers are in the set `$1`, with their tokens at the same positions in `$2`.
pub(crate) fn are_taken(db: &Db<'_>) -> &'static str {
    match db {
        Db::Sqlite(_) => sqlite::ARE_TAKEN,
        Db::Postgres(_) => postgres::ARE_TAKEN,
    }
}

/// An `INSERT` that raises the tally `$1` of the key `$2` by `$3`.
pub(crate) fn add_tally(is_sqlite: bool) -> &'static str {
    if is_sqlite { sqlite::ADD_TALLY } else { postgres::ADD_TALLY }
}

/// See [`Store::fold_tallies`].
pub(crate) async fn fold_tallies(store: &Store, limit: u32) -> Result<u64> {
    match &store.pools {
        Pools::Sqlite { .. } => Ok(0),
        Pools::Postgres(_) => {
            let mut writer = store.writer("fold_tallies").await?;
            let folded =
                writer.db().query("fold_tallies", postgres::FOLD_TALLIES).limit(limit).count().await?;
            writer.done(folded).await
        }
    }
}

/// Returns a page of the list, unordered.
pub(crate) async fn page(store: &Store, query: &ListQuery) -> Result<Vec<Change>> {
    match &store.pools {
        Pools::Sqlite { readers, .. } => sqlite::page(readers, query).await,
        Pools::Postgres(_) => postgres::page(&mut store.reader().await?.db(), query).await,
    }
}

/// Returns the number of domains that match a filter, counted up to `most`.
pub(crate) async fn count(store: &Store, filter: &ListFilter, most: u32) -> Result<u64> {
    let mut reader = store.reader().await?;
    let mut db = reader.db();
    match db {
        Db::Sqlite(_) => sqlite::count(&mut db, filter, most).await,
        Db::Postgres(_) => postgres::count(&mut db, filter, most).await,
    }
}
