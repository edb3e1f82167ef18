//! Search of the audit log, newest entry first.
//!
//! A search is limited by the entries it reads, not by those it finds: no index supports text within an actor or a
//! subject, and a rare text in a long log must not occupy a connection for minutes. Text is compared literally
//! (`instr`, `strpos`), so it is never a pattern.

use jiff::Timestamp;

use crate::record::{FromRow, Reader, Record};
use crate::sql::Query;
use crate::{AuditEntry, Result, Store};

/// Maximum number of entries read by one search.
const MAX_LOOKED_AT: u32 = 100_000;

/// The search criteria; empty text matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditSearch {
    /// Text within the actor.
    pub actor: String,
    /// The call.
    pub call: String,
    /// Text within the subject.
    pub subject: String,
    /// The outcome.
    pub outcome: String,
    /// Any outcome but this one; empty for any.
    pub not_outcome: String,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// An entry's place in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPlace {
    /// The time.
    pub at: Timestamp,
    /// The row id, among entries of the same time.
    pub id: i64,
}

/// An entry that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAudit {
    /// Its place.
    pub place: AuditPlace,
    /// Its number in the chain; none while it is not chained.
    pub sequence: Option<i64>,
    /// The entry.
    pub entry: AuditEntry,
}

impl FromRow for FoundAudit {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.table = "audit";
        let (id, sequence) = (reader.value()?, reader.value()?);
        let entry = AuditEntry::read(reader)?;
        Ok(Self { place: AuditPlace { at: entry.at, id }, sequence, entry })
    }
}

/// A page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, newest first.
    pub lines: Vec<FoundAudit>,
    /// Entries older than this one were not read; none at the end of the log.
    pub looked_back_to: Option<AuditPlace>,
}

impl Store {
    /// Returns at most `limit` matching entries older than `after`, newest first. Reads at most 100,000 entries: a
    /// page with fewer entries than `limit` is the last one only if [`AuditPage::looked_back_to`] is none.
    pub async fn search_audit(
        &self,
        search: &AuditSearch,
        after: Option<AuditPlace>,
        limit: u32,
    ) -> Result<AuditPage> {
        self.search_audit_within(search, after, limit, MAX_LOOKED_AT).await
    }

    /// Like [`Store::search_audit`], with another limit of entries read.
    pub async fn search_audit_within(
        &self,
        search: &AuditSearch,
        after: Option<AuditPlace>,
        limit: u32,
        looked_at: u32,
    ) -> Result<AuditPage> {
        let until = search.until.map(|at| AuditPlace { at, id: 0 });
        let start = [after, until].into_iter().flatten().min_by_key(|place| (place.at, place.id));
        let start = start.unwrap_or(AuditPlace { at: Timestamp::MAX, id: 0 });
        let from = search.from.unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH);
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = "FROM audit WHERE (at, id) < ($1, $2) AND at >= $3 ORDER BY at DESC, id DESC";
        let columns = AuditEntry::selected("");
        let mut query = db
            .query(
                "search_audit",
                &format!(
                    "SELECT id, sequence, {columns} FROM
                        (SELECT id, sequence, {columns} {text} LIMIT $4) AS looked_at WHERE 1 = 1"
                ),
            )
            .bind(&start.at)
            .bind(&start.id)
            .bind(&from)
            .limit(looked_at);
        conditions(&mut query, search);
        query.push(" ORDER BY at DESC, id DESC LIMIT ").push_bind(&(i64::from(limit) + 1));
        let mut lines: Vec<FoundAudit> = query.once().all().await?;
        if lines.len() > limit as usize {
            lines.truncate(limit as usize);
            let looked_back_to = lines.last().map(|line| line.place);
            return Ok(AuditPage { lines, looked_back_to });
        }
        let text = format!("SELECT at, id {text} LIMIT 1 OFFSET $4");
        let query = db.query("end_of_audit_search", &text).bind(&start.at).bind(&start.id).bind(&from);
        let end: Option<(Timestamp, i64)> = query.limit(looked_at.saturating_sub(1)).optional().await?;
        Ok(AuditPage { lines, looked_back_to: end.map(|(at, id)| AuditPlace { at, id }) })
    }
}

fn conditions(query: &mut Query<'_>, search: &AuditSearch) {
    for (column, text) in [("actor", &search.actor), ("subject", &search.subject)] {
        if !text.is_empty() {
            query.push(format!(" AND {{find}}({column}, ")).push_bind(text).push(") > 0");
        }
    }
    let exact =
        [("call =", &search.call), ("outcome =", &search.outcome), ("outcome <>", &search.not_outcome)];
    for (condition, text) in exact {
        if !text.is_empty() {
            query.push(format!(" AND {condition} ")).push_bind(text);
        }
    }
}
