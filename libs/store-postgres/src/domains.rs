//! Domains: rows and list.

use domain::{
    CertificateId, CertificateSummary, Domain, DomainName, Facts, InvalidChallenges, Live, Missing, Who,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Change, Columns, DomainView, Result};
use uuid::Uuid;

use crate::db::{expect_one, failed, failed_or_taken, from_json, maybe_jiff, maybe_time, time, to_json};

#[derive(FromRow)]
pub(crate) struct DomainRow {
    name: String,
    revision: i64,
    source: String,
    created_at: jiff_sqlx::Timestamp,
    deleted_at: Option<jiff_sqlx::Timestamp>,
    unknown_to_c4: bool,
    upload_failing: Option<Value>,
    live_certificate_id: Option<Uuid>,
    live_not_after: Option<jiff_sqlx::Timestamp>,
    block: Option<Value>,
    waiting: Option<Value>,
    status: String,
    activity: String,
    upload_revision: i64,
    version: i64,
    previous_certificate_id: Option<Uuid>,
    missing_first_at: Option<jiff_sqlx::Timestamp>,
    missing_last_at: Option<jiff_sqlx::Timestamp>,
    missing_answers: i32,
    invalid_challenges: i32,
    invalid_challenges_dns: String,
}

impl TryFrom<DomainRow> for Domain {
    type Error = store::StoreError;

    fn try_from(row: DomainRow) -> Result<Self> {
        let columns = Columns { table: "domains", id: &row.name };
        let live = match (row.live_certificate_id, row.live_not_after) {
            (Some(id), Some(not_after)) => {
                Some(Live { certificate: id.into(), not_after: not_after.to_jiff() })
            }
            (None, None) => None,
            _ => return Err(columns.bad("live_not_after")),
        };
        let count = |column, number: i32| u32::try_from(number).map_err(|_| columns.bad(column));
        let missing = match (row.missing_first_at, row.missing_last_at) {
            (Some(first_at), Some(last_at)) => Some(Missing {
                first_at: first_at.to_jiff(),
                last_at: last_at.to_jiff(),
                answers: count("missing_answers", row.missing_answers)?,
            }),
            (None, None) => None,
            _ => return Err(columns.bad("missing_last_at")),
        };
        Ok(Self {
            name: columns.name(&row.name)?,
            revision: row.revision,
            source: columns.parse("source", &row.source)?,
            created_at: row.created_at.to_jiff(),
            deleted_at: maybe_jiff(row.deleted_at),
            facts: Facts {
                unknown_to_c4: row.unknown_to_c4,
                missing,
                upload_failing: from_json(&columns, "upload_failing", row.upload_failing)?,
                live,
                block: from_json(&columns, "block", row.block)?,
            },
            recorded: columns.parse("status", &row.status)?,
            previous: row.previous_certificate_id.map(Into::into),
            invalid_challenges: InvalidChallenges {
                count: count("invalid_challenges", row.invalid_challenges)?,
                dns: row.invalid_challenges_dns,
            },
            activity: columns.parse("activity", &row.activity)?,
            waiting: from_json(&columns, "waiting", row.waiting)?,
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
    position: Option<i64>,
    changed_at: jiff_sqlx::Timestamp,
    next_attempt_at: Option<jiff_sqlx::Timestamp>,
    failed_attempts: i32,
    sha256: Option<String>,
    serial: Option<String>,
    issuer: Option<String>,
    not_before: Option<jiff_sqlx::Timestamp>,
    certificate_source: Option<String>,
}

impl TryFrom<ViewRow> for Change {
    type Error = store::StoreError;

    fn try_from(row: ViewRow) -> Result<Self> {
        let name = row.domain.name.clone();
        let columns = Columns { table: "domains", id: &name };
        let domain = Domain::try_from(row.domain)?;
        let summary = (row.sha256, row.serial, row.issuer, row.not_before, row.certificate_source);
        let certificate = match (domain.facts.live, summary) {
            (Some(live), (Some(sha256), Some(serial), Some(issuer), Some(not_before), Some(source))) => {
                Some(CertificateSummary {
                    id: live.certificate,
                    sha256,
                    serial,
                    issuer,
                    not_before: not_before.to_jiff(),
                    not_after: live.not_after,
                    source: columns.parse("certificate_source", &source)?,
                })
            }
            (None, _) => None,
            _ => return Err(columns.bad("live_certificate_id")),
        };
        Ok(Self {
            position: row.position.unwrap_or_default(),
            at: row.changed_at.to_jiff(),
            view: DomainView {
                domain,
                certificate,
                next_attempt_at: maybe_jiff(row.next_attempt_at),
                failed_attempts: row.failed_attempts.unsigned_abs(),
            },
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

pub(crate) async fn view(db: impl PgExecutor<'_>, name: &DomainName) -> Result<Option<DomainView>> {
    let row: Option<ViewRow> =
        sqlx::query_as(select_views!("domain_view", "WHERE d.name = $1 AND d.deleted_at IS NULL"))
            .bind(name.as_str())
            .fetch_optional(db)
            .await
            .map_err(failed("domain_view"))?;
    row.map(|row| Change::try_from(row).map(|change| change.view)).transpose()
}

pub(crate) async fn expired(db: impl PgExecutor<'_>, now: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
    let names: Vec<String> = sqlx::query_scalar(
        "-- domains_expired
        SELECT name FROM domains
        WHERE deleted_at IS NULL AND status = 'Success' AND live_not_after <= $1
        ORDER BY live_not_after LIMIT $2",
    )
    .bind(time(now))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("domains_expired"))?;
    let parse = |name: &String| Columns { table: "domains", id: name }.name(name);
    names.iter().map(parse).collect()
}

/// Rows, deleted or not, locked in the order of their names.
pub(crate) async fn rows(db: impl PgExecutor<'_>, names: &[DomainName]) -> Result<Vec<Domain>> {
    let names: Vec<&str> = names.iter().map(DomainName::as_str).collect();
    let rows: Vec<DomainRow> = sqlx::query_as(
        "-- domain_rows
        SELECT name, revision, source, created_at, deleted_at, unknown_to_c4, upload_failing, live_certificate_id,
            live_not_after, block, waiting, status, activity, upload_revision, version, previous_certificate_id,
            missing_first_at, missing_last_at, missing_answers, invalid_challenges, invalid_challenges_dns
        FROM domains WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE",
    )
    .bind(names)
    .fetch_all(db)
    .await
    .map_err(failed("domain_rows"))?;
    rows.into_iter().map(Domain::try_from).collect()
}

/// Writes rows that were not there; the stored version of each is `domain.version + 1`.
pub(crate) async fn insert(db: &mut PgConnection, domains: &[Domain], now: Timestamp) -> Result<()> {
    let rows: Vec<Value> = domains.iter().map(|domain| to_row(domain, now)).collect();
    sqlx::query(
        "-- insert_domains
        INSERT INTO domains (name, revision, source, created_at, deleted_at, unknown_to_c4, upload_failing,
            live_certificate_id, live_not_after, block, waiting, status, activity, upload_revision, changed_at, version,
            previous_certificate_id, missing_first_at, missing_last_at, missing_answers, invalid_challenges,
            invalid_challenges_dns, who)
        SELECT name, revision, source, created_at, deleted_at, unknown_to_c4, upload_failing, live_certificate_id,
            live_not_after, block, waiting, status, activity, upload_revision, changed_at, version,
            previous_certificate_id, missing_first_at, missing_last_at, missing_answers, invalid_challenges,
            invalid_challenges_dns, who
        FROM jsonb_populate_recordset(NULL::domains, $1)",
    )
    .bind(Value::from(rows))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_domains"))
}

fn to_row(domain: &Domain, now: Timestamp) -> Value {
    let facts = &domain.facts;
    json!({
        "name": domain.name.as_str(),
        "revision": domain.revision,
        "source": domain.source.as_str(),
        "created_at": domain.created_at,
        "deleted_at": domain.deleted_at,
        "unknown_to_c4": facts.unknown_to_c4,
        "upload_failing": facts.upload_failing,
        "live_certificate_id": facts.live.map(|live| live.certificate.as_uuid()),
        "live_not_after": facts.live.map(|live| live.not_after),
        "block": facts.block,
        "waiting": domain.waiting,
        "status": domain.status(now).as_str(),
        "activity": domain.activity.as_str(),
        "upload_revision": domain.upload_revision,
        "changed_at": now,
        "version": domain.version + 1,
        "previous_certificate_id": domain.previous.map(CertificateId::as_uuid),
        "missing_first_at": facts.missing.map(|missing| missing.first_at),
        "missing_last_at": facts.missing.map(|missing| missing.last_at),
        "missing_answers": facts.missing.map_or(0, |missing| missing.answers),
        "invalid_challenges": domain.invalid_challenges.count,
        "invalid_challenges_dns": domain.invalid_challenges.dns,
        "who": domain.who(now).map(Who::as_str),
    })
}

/// Writes a row whose stored version is still `domain.version`, and raises that.
pub(crate) async fn update(db: &mut PgConnection, domain: &Domain, now: Timestamp) -> Result<()> {
    let statement = "-- update_domain
        UPDATE domains SET revision = $1, source = $2, created_at = $3, deleted_at = $4, unknown_to_c4 = $5,
            upload_failing = $6, live_certificate_id = $7, live_not_after = $8, block = $9, waiting = $10,
            status = $11, activity = $12, upload_revision = $13, changed_at = $14, version = version + 1,
            position = NULL, previous_certificate_id = $17, missing_first_at = $18, missing_last_at = $19,
            missing_answers = $20, invalid_challenges = $21, invalid_challenges_dns = $22, who = $23
        WHERE name = $15 AND version = $16";
    let facts = &domain.facts;
    let written = sqlx::query(statement)
        .bind(domain.revision)
        .bind(domain.source.as_str())
        .bind(time(domain.created_at))
        .bind(maybe_time(domain.deleted_at))
        .bind(facts.unknown_to_c4)
        .bind(to_json(facts.upload_failing.as_ref())?)
        .bind(facts.live.map(|live| live.certificate.as_uuid()))
        .bind(facts.live.map(|live| time(live.not_after)))
        .bind(to_json(facts.block.as_ref())?)
        .bind(to_json(domain.waiting.as_ref())?)
        .bind(domain.status(now).as_str())
        .bind(domain.activity.as_str())
        .bind(domain.upload_revision)
        .bind(time(now))
        .bind(domain.name.as_str())
        .bind(domain.version)
        .bind(domain.previous.map(CertificateId::as_uuid))
        .bind(facts.missing.map(|missing| time(missing.first_at)))
        .bind(facts.missing.map(|missing| time(missing.last_at)))
        .bind(facts.missing.map_or(0, |missing| missing.answers as i32))
        .bind(domain.invalid_challenges.count as i32)
        .bind(&domain.invalid_challenges.dns)
        .bind(domain.who(now).map(Who::as_str))
        .execute(db)
        .await
        .map_err(failed("update_domain"))?;
    expect_one("update_domain", &written)
}
