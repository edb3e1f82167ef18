//! Domains: the one row that a name keeps for ever, and the view of it for the list and the API.

use std::collections::BTreeMap;

use domain::{
    Activity, AheadAtC4, CertificateId, CertificateSummary, Domain, DomainName, Facts, HttpsSwitch, Live,
    Missing, Reason, Source, Status, Who,
};
use jiff::Timestamp;

use crate::dialect;
use crate::record::{FromRow, Reader, Record, columns};
use crate::sql::{Db, Query};
use crate::{Result, Store, StoreError, Tx};

/// A domain with further data for the list and the API.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainView {
    /// The row.
    pub domain: Domain,
    /// The certificate that is active at C4.
    pub certificate: Option<CertificateSummary>,
    /// The number of edges that were asked for it, and served it, when it went live.
    pub edges: u32,
    /// The start of the next attempt: the earliest due work other than a comparison.
    pub next_attempt_at: Option<Timestamp>,
    /// Consecutive failed attempts of that work.
    pub failed_attempts: u32,
    /// Since when the activity is the present one.
    pub activity_since: Timestamp,
    /// Since when its trouble has lasted; also set during an attempt to end it.
    pub(crate) attention_since: Option<Timestamp>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A change of a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Increases with every change.
    pub position: i64,
    /// The time of the change.
    pub at: Timestamp,
    /// The domain after the change; `domain.deleted_at` is set if it was deleted.
    pub view: DomainView,
}

/// A row of `domains`.
pub(crate) struct DomainRow {
    pub(crate) name: DomainName,
    revision: i64,
    source: Source,
    customer_ref: Option<String>,
    created_at: Timestamp,
    deleted_at: Option<Timestamp>,
    unknown_to_c4: bool,
    missing_first_at: Option<Timestamp>,
    missing_last_at: Option<Timestamp>,
    missing_answers: u32,
    https_switch: HttpsSwitch,
    dns_failing_since: Option<Timestamp>,
    upload_failing: Option<Reason>,
    live_certificate_id: Option<CertificateId>,
    live_not_after: Option<Timestamp>,
    previous_certificate_id: Option<CertificateId>,
    block: Option<Reason>,
    waiting: Option<Reason>,
    invalid_challenges: u32,
    invalid_challenges_dns: String,
    status: Status,
    activity: Activity,
    who: Option<Who>,
    upload_revision: i64,
    ahead_sha256: Option<String>,
    ahead_found_at: Option<Timestamp>,
    ahead_revision: Option<i64>,
    version: i64,
    changed_at: Timestamp,
    attention_since: Option<Timestamp>,
    /// None means since the creation.
    activity_since: Option<Timestamp>,
}

columns!(DomainRow in "domains":
    name, revision, source, customer_ref, created_at, deleted_at, unknown_to_c4, missing_first_at, missing_last_at, missing_answers,
    https_switch, dns_failing_since, upload_failing, live_certificate_id, live_not_after, previous_certificate_id, block, waiting, invalid_challenges,
    invalid_challenges_dns, status, activity, who, upload_revision, ahead_sha256, ahead_found_at, ahead_revision, version,
    changed_at, attention_since;
    activity_since = "activity_since");

impl DomainRow {
    /// The row to store at `now`: with the status derived from the facts at that time, and the next version.
    fn next(domain: &Domain, now: Timestamp) -> Self {
        let facts = domain.stored_facts();
        let ahead = domain.ahead_at_c4.as_ref();
        Self {
            name: domain.name.clone(),
            revision: domain.revision,
            source: domain.source,
            customer_ref: Some(domain.customer_ref.clone()).filter(|customer_ref| !customer_ref.is_empty()),
            created_at: domain.created_at,
            deleted_at: domain.deleted_at,
            unknown_to_c4: facts.unknown_to_c4,
            missing_first_at: facts.missing.map(|missing| missing.first_at),
            missing_last_at: facts.missing.map(|missing| missing.last_at),
            missing_answers: facts.missing.map_or(0, |missing| missing.answers),
            https_switch: facts.https,
            dns_failing_since: facts.dns_failing_since,
            upload_failing: facts.upload_failing.clone(),
            live_certificate_id: facts.live.map(|live| live.certificate),
            live_not_after: facts.live.map(|live| live.not_after),
            previous_certificate_id: domain.previous,
            block: facts.block.clone(),
            waiting: domain.waiting.clone(),
            invalid_challenges: domain.invalid_challenges.count,
            invalid_challenges_dns: domain.invalid_challenges.dns.clone(),
            status: domain.status(now),
            activity: domain.activity,
            who: domain.who(now),
            upload_revision: domain.upload_revision,
            ahead_sha256: ahead.and_then(|ahead| ahead.sha256.clone()),
            ahead_found_at: ahead.map(|ahead| ahead.found_at),
            ahead_revision: ahead.map(|ahead| ahead.revision),
            version: domain.version + 1,
            changed_at: now,
            attention_since: domain.needs_person(now).then_some(now),
            activity_since: None,
        }
    }

    fn bad(&self, column: &'static str) -> StoreError {
        StoreError::Inconsistency { table: Self::TABLE, column: column.to_owned(), id: self.name.to_string() }
    }
}

impl TryFrom<DomainRow> for Domain {
    type Error = StoreError;

    fn try_from(row: DomainRow) -> Result<Self> {
        let live = match (row.live_certificate_id, row.live_not_after) {
            (Some(certificate), Some(not_after)) => Some(Live { certificate, not_after }),
            (None, None) => None,
            _ => return Err(row.bad("live_not_after")),
        };
        let missing = match (row.missing_first_at, row.missing_last_at) {
            (Some(first_at), Some(last_at)) => {
                Some(Missing { first_at, last_at, answers: row.missing_answers })
            }
            (None, None) => None,
            _ => return Err(row.bad("missing_last_at")),
        };
        let ahead_at_c4 = match (row.ahead_found_at, row.ahead_revision) {
            (Some(found_at), Some(revision)) => {
                Some(AheadAtC4 { sha256: row.ahead_sha256, found_at, revision })
            }
            (None, None) => None,
            _ => return Err(row.bad("ahead_revision")),
        };
        let facts = Facts {
            unknown_to_c4: row.unknown_to_c4,
            missing,
            upload_failing: row.upload_failing,
            live,
            block: row.block,
            https: row.https_switch,
            dns_failing_since: row.dns_failing_since,
        };
        let mut domain = Self::added(row.name, row.created_at).with_stored_facts(facts);
        domain.revision = row.revision;
        domain.source = row.source;
        domain.customer_ref = row.customer_ref.unwrap_or_default();
        domain.deleted_at = row.deleted_at;
        domain.recorded = row.status;
        domain.previous = row.previous_certificate_id;
        domain.invalid_challenges.count = row.invalid_challenges;
        domain.invalid_challenges.dns = row.invalid_challenges_dns;
        domain.activity = row.activity;
        domain.waiting = row.waiting;
        domain.upload_revision = row.upload_revision;
        domain.ahead_at_c4 = ahead_at_c4;
        domain.version = row.version;
        Ok(domain)
    }
}

/// The start of a statement for [`Change`]: a domain's row, its live certificate and its next attempt.
pub(crate) fn select_changes<'c>(db: &'c mut Db<'_>, operation: &'static str, rest: &str) -> Query<'c> {
    let text = format!(
        "SELECT {}, d.position,
            (SELECT min(CASE w.cause WHEN 'renewal_info' THEN c.renewal_at ELSE w.due_at END) FROM work w
                WHERE w.name = d.name AND w.cause <> 'compare' AND w.kind <> 'revoke') AS next_attempt_at,
            (SELECT coalesce(max(w.attempts), 0) FROM work w
                WHERE w.name = d.name AND w.cause <> 'compare' AND w.kind <> 'revoke') AS failed_attempts,
            {{labels}} AS labels, c.sha256, c.serial, c.issuer, c.not_before, c.source AS certificate_source, c.trust,
            coalesce(c.edges, 0) AS edges
        FROM domains d LEFT JOIN certificates c ON c.id = d.live_certificate_id {rest}",
        DomainRow::selected("d")
    );
    db.query(operation, &text)
}

impl FromRow for Change {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let row = DomainRow::read(reader)?;
        let at = row.changed_at;
        let attention_since = row.attention_since;
        let activity_since = row.activity_since.unwrap_or(row.created_at);
        // None if it is not numbered yet: changes are queried by position, and a view does not use it.
        let position: Option<i64> = reader.value()?;
        let next_attempt_at = reader.value()?;
        let failed_attempts = reader.value()?;
        let labels = reader.value()?;
        let sha256: Option<String> = reader.value()?;
        let domain = Domain::try_from(row)?;
        let certificate = match (domain.live(), sha256) {
            (Some(live), Some(sha256)) => Some(CertificateSummary {
                id: live.certificate,
                sha256,
                serial: reader.value()?,
                issuer: reader.value()?,
                not_before: reader.value()?,
                not_after: live.not_after,
                source: reader.value()?,
                trust: reader.value()?,
            }),
            (None, _) => None,
            (Some(_), None) => return Err(reader.bad_last()),
        };
        let edges = if certificate.is_some() { reader.value()? } else { 0 };
        let view = DomainView {
            domain,
            certificate,
            edges,
            next_attempt_at,
            failed_attempts,
            activity_since,
            attention_since,
            labels,
        };
        Ok(Self { position: position.unwrap_or_default(), at, view })
    }
}

impl Store {
    /// Returns a domain on the list.
    pub async fn domain(&self, name: &DomainName) -> Result<Option<DomainView>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let change = select_changes(&mut db, "domain_view", "WHERE d.name = $1 AND d.deleted_at IS NULL");
        Ok(change.bind(name).optional::<Change>().await?.map(|change| change.view))
    }

    /// Returns domains whose stored status is Success although their certificate has ended.
    pub async fn expired(&self, limit: u32) -> Result<Vec<DomainName>> {
        let mut reader = self.reader().await?;
        let text = "SELECT name FROM domains
            WHERE deleted_at IS NULL AND status = 'Success' AND live_not_after <= $1
            ORDER BY live_not_after LIMIT $2";
        reader.db().query("domains_expired", text).bind(&self.now()).limit(limit).scalars().await
    }

    /// Returns domains whose pasted certificate ends by `before`, and whose customer was not asked for another one
    /// yet.
    pub async fn pasted_ending(&self, before: Timestamp, limit: u32) -> Result<Vec<DomainName>> {
        let mut reader = self.reader().await?;
        let text = "SELECT name FROM domains
            WHERE deleted_at IS NULL AND status = 'Success' AND source = 'text' AND waiting IS NULL
                AND https_switch <> 'off' AND live_not_after <= $1 AND EXISTS (
                    SELECT 1 FROM certificates c WHERE c.id = live_certificate_id AND c.source = 'text')
            ORDER BY live_not_after LIMIT $2";
        reader.db().query("pasted_ending", text).bind(&before).limit(limit).scalars().await
    }

    /// Returns the latest change of each domain (of one, if `name` is given) after a position, in order of position.
    pub async fn changes(&self, after: i64, name: Option<&DomainName>, limit: u32) -> Result<Vec<Change>> {
        dialect::number_changes(self).await?;
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        // Two statements: a combined one would scan every domain's change to find one domain's.
        match name {
            None => {
                let rest = "WHERE d.position > $1 ORDER BY d.position LIMIT $2";
                select_changes(&mut db, "domain_changes", rest).bind(&after).limit(limit).all().await
            }
            Some(name) => {
                let rest = "WHERE d.position > $1 AND d.name = $3 LIMIT $2";
                let query = select_changes(&mut db, "domain_changes_of", rest);
                query.bind(&after).limit(limit).bind(name).all().await
            }
        }
    }

    /// Returns the position of the latest change; 0 if there was none.
    pub async fn position(&self) -> Result<i64> {
        dialect::number_changes(self).await?;
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        db.query("position", "SELECT {position}").scalar().await
    }
}

impl Tx {
    /// Returns the existing rows of these names, deleted or not, locked in the order of their names.
    pub async fn domains(&mut self, names: &[DomainName]) -> Result<Vec<Domain>> {
        let mut db = self.db().await?;
        let query = db.select::<DomainRow>("domain_rows", "WHERE name {in 1} ORDER BY name {lock}");
        let rows = query.bind_set(names).all::<DomainRow>().await?;
        rows.into_iter().map(Domain::try_from).collect()
    }

    /// Returns a name's row, deleted or not, locked.
    pub async fn domain(&mut self, name: &DomainName) -> Result<Option<Domain>> {
        Ok(self.domains(std::slice::from_ref(name)).await?.pop())
    }

    /// Inserts new rows with the version `domain.version + 1`, and makes them the latest changes.
    /// [`StoreError::Conflict`] if a row exists.
    pub async fn insert_domains(&mut self, domains: &[Domain]) -> Result<()> {
        let now = self.now();
        let rows: Vec<DomainRow> = domains.iter().map(|domain| DomainRow::next(domain, now)).collect();
        dialect::insert_domains(self, &rows).await
    }

    /// Inserts a new row.
    pub async fn insert_domain(&mut self, domain: &Domain) -> Result<()> {
        self.insert_domains(std::slice::from_ref(domain)).await
    }

    /// Updates a row if its version is still `domain.version`, raises the version, stores the present status, and
    /// makes it the latest change. [`StoreError::Conflict`] otherwise. Callers use [`Self::apply`].
    pub async fn update_domain(&mut self, domain: &Domain) -> Result<()> {
        let row = DomainRow::next(domain, self.now());
        // All columns but the first, the name.
        let stored = DomainRow::stored();
        let place = |wanted| stored.iter().position(|column| *column == wanted).map_or(0, |index| index + 1);
        let set = stored.iter().enumerate().skip(1).map(|(index, column)| match *column {
            // Kept while the status lasts, and over an attempt that ends as the one before it.
            "attention_since" => format!(
                "attention_since = CASE
                    WHEN ${0} IS NULL THEN CASE WHEN ${2} = 'idle' THEN NULL ELSE attention_since END
                    WHEN status = ${1} OR status = 'Pending' AND ${1} = 'Failure'
                        THEN coalesce(attention_since, ${0})
                    ELSE ${0} END",
                index + 1,
                place("status"),
                place("activity")
            ),
            column => format!("{column} = ${}", index + 1),
        });
        let set: Vec<String> = set.collect();
        let text = format!(
            "UPDATE domains SET {}, position = {{next_position}},
                activity_since = CASE WHEN activity = ${} THEN activity_since ELSE ${} END {{rows}}
            WHERE name = $1 AND version = ${}",
            set.join(", "),
            place("activity"),
            place("changed_at"),
            stored.len() + 1
        );
        let write = self.write("update_domain", domain.name.as_str(), &text).await?;
        write.bind_record(&row).bind(&domain.version).keep_one();
        Ok(())
    }
}
