//! Domains: rows, list, changes.

use domain::{CertificateSummary, Domain, DomainName, Facts, InvalidChallenges, Live, Missing, Who};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Change, Columns, DomainView, Result, reversed};

use crate::db::{
    expect_one, failed, failed_or_taken, maybe_micros, maybe_time, micros, reason, time, to_json,
};

#[derive(FromRow)]
pub(crate) struct DomainRow {
    name: String,
    revision: i64,
    source: String,
    created_at: i64,
    deleted_at: Option<i64>,
    unknown_to_c4: bool,
    upload_failing: Option<String>,
    live_certificate_id: Option<String>,
    live_not_after: Option<i64>,
    block: Option<String>,
    waiting: Option<String>,
    status: String,
    activity: String,
    upload_revision: i64,
    version: i64,
    previous_certificate_id: Option<String>,
    missing_first_at: Option<i64>,
    missing_last_at: Option<i64>,
    missing_answers: u32,
    invalid_challenges: u32,
    invalid_challenges_dns: String,
}

impl TryFrom<DomainRow> for Domain {
    type Error = store::StoreError;

    fn try_from(row: DomainRow) -> Result<Self> {
        let columns = Columns { table: "domains", id: &row.name };
        let live = match (&row.live_certificate_id, row.live_not_after) {
            (Some(id), Some(not_after)) => Some(Live {
                certificate: columns.parse("live_certificate_id", id)?,
                not_after: time(&columns, "live_not_after", not_after)?,
            }),
            (None, None) => None,
            _ => return Err(columns.bad("live_not_after")),
        };
        let missing = match (row.missing_first_at, row.missing_last_at) {
            (Some(first_at), Some(last_at)) => Some(Missing {
                first_at: time(&columns, "missing_first_at", first_at)?,
                last_at: time(&columns, "missing_last_at", last_at)?,
                answers: row.missing_answers,
            }),
            (None, None) => None,
            _ => return Err(columns.bad("missing_last_at")),
        };
        let previous = row.previous_certificate_id.as_deref();
        Ok(Self {
            name: columns.name(&row.name)?,
            revision: row.revision,
            source: columns.parse("source", &row.source)?,
            created_at: time(&columns, "created_at", row.created_at)?,
            deleted_at: maybe_time(&columns, "deleted_at", row.deleted_at)?,
            facts: Facts {
                unknown_to_c4: row.unknown_to_c4,
                missing,
                upload_failing: reason(&columns, "upload_failing", row.upload_failing.as_deref())?,
                live,
                block: reason(&columns, "block", row.block.as_deref())?,
            },
            recorded: columns.parse("status", &row.status)?,
            previous: columns.maybe_parse("previous_certificate_id", previous)?,
            invalid_challenges: InvalidChallenges {
                count: row.invalid_challenges,
                dns: row.invalid_challenges_dns,
            },
            activity: columns.parse("activity", &row.activity)?,
            waiting: reason(&columns, "waiting", row.waiting.as_deref())?,
            upload_revision: row.upload_revision,
            version: row.version,
        })
    }
}

/// A domain's row, its live certificate and its next attempt, as the list and the API show them.
#[derive(FromRow)]
pub(crate) struct ViewRow {
    #[sqlx(flatten)]
    domain: DomainRow,
    position: i64,
    changed_at: i64,
    next_attempt_at: Option<i64>,
    failed_attempts: u32,
    sha256: Option<String>,
    serial: Option<String>,
    issuer: Option<String>,
    not_before: Option<i64>,
    certificate_source: Option<String>,
}

impl TryFrom<ViewRow> for Change {
    type Error = store::StoreError;

    fn try_from(row: ViewRow) -> Result<Self> {
        let name = row.domain.name.clone();
        let columns = Columns { table: "domains", id: &name };
        let next_attempt_at = maybe_time(&columns, "next_attempt_at", row.next_attempt_at)?;
        let domain = Domain::try_from(row.domain)?;
        let certificate = match (domain.facts.live, row.sha256, row.serial, row.issuer) {
            (Some(live), Some(sha256), Some(serial), Some(issuer)) => Some(CertificateSummary {
                id: live.certificate,
                sha256,
                serial,
                issuer,
                not_before: time(&columns, "not_before", row.not_before.unwrap_or_default())?,
                not_after: live.not_after,
                source: columns
                    .parse("certificate_source", row.certificate_source.as_deref().unwrap_or(""))?,
            }),
            (None, ..) => None,
            _ => return Err(columns.bad("live_certificate_id")),
        };
        let at = time(&columns, "changed_at", row.changed_at)?;
        Ok(Self {
            position: row.position,
            at,
            view: DomainView { domain, certificate, next_attempt_at, failed_attempts: row.failed_attempts },
        })
    }
}

/// The statement of that name over the columns of [`ViewRow`].
macro_rules! select_views {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "\nSELECT d.name, d.revision, d.source, d.created_at, d.deleted_at, d.unknown_to_c4, d.upload_failing,
                d.live_certificate_id, d.live_not_after, d.block, d.waiting, d.status, d.activity,
                d.upload_revision, d.version, d.previous_certificate_id, d.missing_first_at, d.missing_last_at,
                d.missing_answers, d.invalid_challenges, d.invalid_challenges_dns, d.position, d.changed_at,
                (SELECT min(CASE w.cause WHEN 'renewal_info' THEN c.renewal_at ELSE w.due_at END) FROM work w
                    WHERE w.name = d.name AND w.cause <> 'compare' AND w.kind <> 'revoke') AS next_attempt_at,
                (SELECT coalesce(max(w.attempts), 0) FROM work w
                    WHERE w.name = d.name AND w.cause <> 'compare' AND w.kind <> 'revoke') AS failed_attempts,
                c.sha256, c.serial, c.issuer, c.not_before, c.source AS certificate_source
            FROM domains d LEFT JOIN certificates c ON c.id = d.live_certificate_id ",
            $rest
        )
    };
}
pub(crate) use select_views;

pub(crate) async fn view(db: impl SqliteExecutor<'_>, name: &DomainName) -> Result<Option<DomainView>> {
    let row: Option<ViewRow> =
        sqlx::query_as(select_views!("domain_view", "WHERE d.name = $1 AND d.deleted_at IS NULL"))
            .bind(name.as_str())
            .fetch_optional(db)
            .await
            .map_err(failed("domain_view"))?;
    row.map(|row| Change::try_from(row).map(|change| change.view)).transpose()
}

pub(crate) async fn changes(
    db: impl SqliteExecutor<'_>,
    after: i64,
    name: Option<&DomainName>,
    limit: u32,
) -> Result<Vec<Change>> {
    // Two statements: one that served both would walk through every domain's change to find one domain's.
    let statement = match name {
        None => select_views!("domain_changes", "WHERE d.position > $1 ORDER BY d.position LIMIT $2"),
        Some(_) => select_views!("domain_changes_of", "WHERE d.position > $1 AND d.name = $3 LIMIT $2"),
    };
    let rows: Vec<ViewRow> = sqlx::query_as(statement)
        .bind(after)
        .bind(limit)
        .bind(name.map(DomainName::as_str))
        .fetch_all(db)
        .await
        .map_err(failed("domain_changes"))?;
    rows.into_iter().map(Change::try_from).collect()
}

pub(crate) async fn position(db: impl SqliteExecutor<'_>) -> Result<i64> {
    sqlx::query_scalar("-- position\nSELECT value FROM counters WHERE name = 'position'")
        .fetch_one(db)
        .await
        .map_err(failed("position"))
}

pub(crate) async fn expired(
    db: impl SqliteExecutor<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<DomainName>> {
    let names: Vec<String> = sqlx::query_scalar(
        "-- domains_expired
        SELECT name FROM domains
        WHERE deleted_at IS NULL AND status = 'Success' AND live_not_after <= $1
        ORDER BY live_not_after LIMIT $2",
    )
    .bind(micros(now))
    .bind(limit)
    .fetch_all(db)
    .await
    .map_err(failed("domains_expired"))?;
    names.iter().map(|name| Columns { table: "domains", id: name }.name(name)).collect()
}

/// Rows, deleted or not.
pub(crate) async fn rows(db: impl SqliteExecutor<'_>, names: &[DomainName]) -> Result<Vec<Domain>> {
    let names: Vec<&str> = names.iter().map(DomainName::as_str).collect();
    let rows: Vec<DomainRow> = sqlx::query_as(
        "-- domain_rows
        SELECT name, revision, source, created_at, deleted_at, unknown_to_c4, upload_failing, live_certificate_id,
            live_not_after, block, waiting, status, activity, upload_revision, version, previous_certificate_id,
            missing_first_at, missing_last_at, missing_answers, invalid_challenges, invalid_challenges_dns
        FROM domains WHERE name IN (SELECT value FROM json_each($1))",
    )
    .bind(serde_json::Value::from(names).to_string())
    .fetch_all(db)
    .await
    .map_err(failed("domain_rows"))?;
    rows.into_iter().map(Domain::try_from).collect()
}

/// Writes a row that was not there; its stored version is `domain.version + 1`.
pub(crate) async fn insert(db: &mut SqliteConnection, domain: &Domain, now: Timestamp) -> Result<()> {
    let statement = "-- insert_domain
        INSERT INTO domains (revision, source, created_at, deleted_at, unknown_to_c4, upload_failing,
            live_certificate_id, live_not_after, block, waiting, status, activity, upload_revision, position,
            changed_at, name, version, previous_certificate_id, missing_first_at, missing_last_at,
            missing_answers, invalid_challenges, invalid_challenges_dns, who, reversed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
            (SELECT value + 1 FROM counters WHERE counters.name = 'position'), $14, $15, $16 + 1, $17, $18, $19, $20, $21,
            $22, $23, $24)";
    write(db, "insert_domain", statement, domain, now).await.map(drop)
}

/// Writes a row whose stored version is still `domain.version`, and raises that.
pub(crate) async fn update(db: &mut SqliteConnection, domain: &Domain, now: Timestamp) -> Result<()> {
    let statement = "-- update_domain
        UPDATE domains SET revision = $1, source = $2, created_at = $3, deleted_at = $4, unknown_to_c4 = $5,
            upload_failing = $6, live_certificate_id = $7, live_not_after = $8, block = $9, waiting = $10,
            status = $11, activity = $12, upload_revision = $13, changed_at = $14,
            position = (SELECT value + 1 FROM counters WHERE counters.name = 'position'), version = version + 1, previous_certificate_id = $17, missing_first_at = $18, missing_last_at = $19,
            missing_answers = $20, invalid_challenges = $21, invalid_challenges_dns = $22, who = $23, reversed = $24
        WHERE name = $15 AND version = $16";
    let written = write(db, "update_domain", statement, domain, now).await?;
    expect_one("update_domain", &written)
}

async fn write(
    db: &mut SqliteConnection,
    operation: &'static str,
    statement: &'static str,
    domain: &Domain,
    now: Timestamp,
) -> Result<sqlx::sqlite::SqliteQueryResult> {
    let facts = &domain.facts;
    sqlx::query(statement)
        .bind(domain.revision)
        .bind(domain.source.as_str())
        .bind(micros(domain.created_at))
        .bind(maybe_micros(domain.deleted_at))
        .bind(facts.unknown_to_c4)
        .bind(to_json(facts.upload_failing.as_ref())?)
        .bind(facts.live.map(|live| live.certificate.to_string()))
        .bind(facts.live.map(|live| micros(live.not_after)))
        .bind(to_json(facts.block.as_ref())?)
        .bind(to_json(domain.waiting.as_ref())?)
        .bind(domain.status(now).as_str())
        .bind(domain.activity.as_str())
        .bind(domain.upload_revision)
        .bind(micros(now))
        .bind(domain.name.as_str())
        .bind(domain.version)
        .bind(domain.previous.map(|id| id.to_string()))
        .bind(facts.missing.map(|missing| micros(missing.first_at)))
        .bind(facts.missing.map(|missing| micros(missing.last_at)))
        .bind(facts.missing.map_or(0, |missing| missing.answers))
        .bind(domain.invalid_challenges.count)
        .bind(&domain.invalid_challenges.dns)
        .bind(domain.who(now).map(Who::as_str))
        .bind(reversed(domain.name.as_str()))
        .execute(db)
        .await
        .map_err(failed_or_taken(operation))
}
