//! PostgreSQL: for any number of processes.
//!
//! Rules. Isolation is READ COMMITTED: a transaction locks the rows it bases decisions on (`FOR NO KEY UPDATE`), and
//! locks a name's row before its work, so that no two transactions wait for each other. Claims and sweeps skip rows
//! that others have locked.
//!
//! Changes are numbered late: a transaction that changes a domain leaves its position empty, and a role that queries
//! changes first numbers the committed ones, one process at a time. Why not a sequence inside the transaction: a
//! lower number could become visible after a higher one, and a follower would miss it. Why not a counter row: every
//! transaction would wait until the previous one has reached the disk.

mod list;
mod open;

pub(super) use open::refuse_shared_sessions;
pub(crate) use open::{begin, connection};

use domain::{DomainName, WorkKind};
use jiff::Timestamp;

use crate::domains::DomainRow;
use crate::messages::MessageRow;
use crate::record::Record as _;
use crate::{Result, Store, Tx};

pub(super) use list::{count, page};

/// Number of changes numbered per statement.
const NUMBER_BATCH: u32 = 10_000;

/// Rows are locked in the order of their names, so that two batches never deadlock. Rows locked by another
/// transaction are waited for rather than skipped: that transaction may be about to make the work due.
pub(super) const CLAIM: &str = "WITH free AS MATERIALIZED (
        SELECT name FROM work
        WHERE name {in 1} AND kind = $2 AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)
        ORDER BY name FOR NO KEY UPDATE)
    UPDATE work SET lease_until = $3, lease_token = nextval('lease_token'), paused_for = ''
    FROM free WHERE work.name = free.name AND work.kind = $2";

pub(super) const TAKE: &str = "WITH taken AS MATERIALIZED (
        SELECT sequence FROM messages
        WHERE kind {in 1} AND dead_reason IS NULL
            AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)
        ORDER BY sequence LIMIT $2 FOR UPDATE SKIP LOCKED),
    token AS MATERIALIZED (SELECT nextval('lease_token') AS value WHERE EXISTS (SELECT 1 FROM taken))
    UPDATE messages SET lease_token = token.value, lease_until = $3
    FROM taken, token WHERE messages.sequence = taken.sequence";

pub(super) const ARE_TAKEN: &str =
    "(sequence, lease_token) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))";

pub(super) const ADD_TALLY: &str = "INSERT INTO tally_changes (what, key, amount) VALUES ($1, $2, $3)";

/// One statement, so that no reader sees a change twice or not at all. A concurrent fold takes other changes or
/// waits, and locks the tallies in the same order.
pub(super) const FOLD_TALLIES: &str = "WITH taken AS (
        DELETE FROM tally_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM tally_changes LIMIT $1))
        RETURNING what, key, amount),
    folded AS (
        INSERT INTO tallies (what, key, amount)
        SELECT what, key, sum(amount) FROM taken GROUP BY what, key ORDER BY what, key
        ON CONFLICT (what, key) DO UPDATE SET amount = tallies.amount + excluded.amount)
    SELECT count(*) FROM taken";

pub(super) fn fence() -> String {
    format!(
        "WITH named AS MATERIALIZED (
            SELECT {} FROM domains WHERE name = $1 AND revision = $4 FOR NO KEY UPDATE)
        SELECT named.* FROM named, work w
        WHERE w.name = named.name AND w.kind = $2 AND w.lease_token = $3 AND w.revision = $4
        FOR NO KEY UPDATE OF w",
        DomainRow::selected("")
    )
}

pub(super) fn fence_all() -> String {
    format!(
        "WITH named AS MATERIALIZED (
            SELECT {} FROM domains WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE SKIP LOCKED)
        SELECT named.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                AS held (name, kind, token, revision)
            JOIN named ON named.name = held.name AND named.revision = held.revision
            JOIN work w ON w.name = held.name AND w.kind = held.kind AND w.lease_token = held.token
                AND w.revision = held.revision
        FOR NO KEY UPDATE OF w SKIP LOCKED",
        DomainRow::selected("")
    )
}

pub(super) async fn publish(tx: &mut Tx, messages: &[MessageRow], hints: &[Option<WorkKind>]) -> Result<()> {
    tx.insert("publish", "", messages, &[], "").await?;
    let hinted = messages.iter().zip(hints).filter_map(|(message, kind)| Some((message, (*kind)?)));
    let (hinted, kinds): (Vec<&MessageRow>, Vec<WorkKind>) = hinted.unzip();
    if hinted.is_empty() {
        return Ok(());
    }
    let names: Vec<DomainName> = hinted.iter().map(|message| message.name.clone()).collect();
    let times: Vec<Timestamp> = hinted.iter().map(|message| message.created_at).collect();
    let text = "UPDATE work SET hinted_at = s.at FROM unnest($1::timestamptz[], $2::text[], $3::text[]) AS s (at, name, kind)
        WHERE work.name = s.name AND work.kind = s.kind";
    let write = tx.write("hint", "", text).await?;
    write.bind_array(&times).bind_array(&names).bind_array(&kinds).keep();
    Ok(())
}

/// Numbers every committed change. Rows that another transaction is changing again are left for the next time.
pub(super) async fn number_changes(store: &Store) -> Result<()> {
    while any_unnumbered(store).await? {
        let mut tx = store.begin("number_changes").await?;
        let mut db = tx.db().await?;
        db.query("numbering", "SELECT position FROM numbered FOR UPDATE").scalar::<i64>().await?;
        let text = "WITH changed AS MATERIALIZED (
                SELECT name, changed_at FROM domains WHERE position IS NULL
                ORDER BY changed_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED),
            counted AS (SELECT name, row_number() OVER (ORDER BY changed_at) AS number FROM changed),
            raised AS (
                UPDATE numbered n SET position = n.position + (SELECT count(*) FROM changed)
                RETURNING n.position - (SELECT count(*) FROM changed) AS before)
            UPDATE domains d SET position = raised.before + counted.number
            FROM counted, raised WHERE d.name = counted.name";
        let numbered = db.query("number_changes", text).limit(NUMBER_BATCH).execute().await?;
        tx.commit().await?;
        if numbered < u64::from(NUMBER_BATCH) {
            break;
        }
    }
    Ok(())
}

/// A check without a write or lock, for when there are no changes.
async fn any_unnumbered(store: &Store) -> Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM domains WHERE position IS NULL)";
    store.reader().await?.db().query("any_unnumbered", text).scalar().await
}
