//! All that is sealed in the database, for the rotation of sealing keys.

use domain::CertificateId;

use crate::record::{FromRow, Reader};
use crate::{Result, Store, Tx};

/// A column with sealed private keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// The next keys of our accounts at CAs.
    PendingAccounts,
    /// The keys of our accounts at CAs.
    Accounts,
    /// The keys of certificates that are not issued yet.
    Orders,
    /// The keys of certificates.
    Certificates,
    /// The targets of webhooks, which are sealed by the notifier's own key.
    Webhooks,
}

impl SealedPlace {
    /// All places under the certificates' sealing key, in the order in which a key moves: from next to present account key, from its order into its
    /// certificate.
    pub const ALL: [Self; 4] = [Self::PendingAccounts, Self::Accounts, Self::Orders, Self::Certificates];

    /// The table, and the column if the table has two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingAccounts => "accounts.pending_key",
            Self::Accounts => "accounts",
            Self::Orders => "orders",
            Self::Certificates => "certificates",
            Self::Webhooks => "endpoints",
        }
    }

    /// The table, the key's column, and the columns of the id and name that the key is sealed to.
    fn columns(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::PendingAccounts => ("accounts", "pending_key", "id", "directory_url"),
            Self::Accounts => ("accounts", "sealed_key", "id", "directory_url"),
            Self::Orders => ("orders", "sealed_key", "certificate_id", "name"),
            Self::Certificates => ("certificates", "sealed_key", "id", "name"),
            Self::Webhooks => ("endpoints", "sealed_target", "id", "url"),
        }
    }
}

/// A sealed key and its place. It has no `Debug`, like every type with a key in it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// The place.
    pub place: SealedPlace,
    /// The row's id.
    pub id: String,
    /// The id that it is sealed to: the row's own, or that of an order's certificate.
    pub sealed_to: String,
    /// The name that it is sealed to: a domain, an account's directory, or the URL that an endpoint shows.
    pub name: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

/// A row's id, of any table.
type AnyId = CertificateId;

struct Row {
    id: AnyId,
    sealed_to: AnyId,
    name: String,
    sealed: Vec<u8>,
}

impl FromRow for Row {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            id: reader.value()?,
            sealed_to: reader.value()?,
            name: reader.value()?,
            sealed: reader.value()?,
        })
    }
}

fn parse(id: &str) -> AnyId {
    // A text that is not an id sorts before every id, and belongs to no row.
    id.parse().unwrap_or(AnyId::from(sqlx::types::Uuid::nil()))
}

impl Store {
    /// Returns a page of the sealed keys in one place, in order of the row's id; `after` is the last id of the
    /// previous page. A page that is not full is the last one.
    pub async fn sealed_keys(
        &self,
        place: SealedPlace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SealedKey>> {
        let (table, key, sealed_to, name) = place.columns();
        let text = format!(
            "SELECT id, {sealed_to} AS sealed_to, {name} AS name, {key} AS sealed FROM {table}
            WHERE id > $1 AND {key} IS NOT NULL ORDER BY id LIMIT $2"
        );
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.query("sealed_keys", &text).bind(&parse(after.unwrap_or(""))).limit(limit);
        let rows = query.all::<Row>().await?;
        let key = |row: Row| SealedKey {
            place,
            id: row.id.to_string(),
            sealed_to: row.sealed_to.to_string(),
            name: row.name,
            sealed: row.sealed,
        };
        Ok(rows.into_iter().map(key).collect())
    }
}

impl Store {
    /// Returns the newest sealed key in a place, none if it is empty: it shows which sealing key is in use.
    pub async fn newest_sealed(&self, place: SealedPlace) -> Result<Option<Vec<u8>>> {
        let (table, key, _, _) = place.columns();
        // Ids increase with time.
        let text = format!("SELECT {key} FROM {table} WHERE {key} IS NOT NULL ORDER BY id DESC LIMIT 1");
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let row = db.query("newest_sealed", &text).optional::<(Vec<u8>,)>().await?;
        Ok(row.map(|(sealed,)| sealed))
    }
}

impl Tx {
    /// Replaces a sealed key by `anew`, if it is unchanged since it was read. Returns false if it is not; the
    /// transaction may continue then.
    pub async fn replace_sealed(&mut self, key: &SealedKey, anew: &[u8]) -> Result<bool> {
        let (table, column, _, _) = key.place.columns();
        let text = format!("UPDATE {table} SET {column} = $3 WHERE id = $1 AND {column} = $2");
        let mut db = self.db().await?;
        let query = db.query("replace_sealed", &text).bind(&parse(&key.id)).bind(&key.sealed);
        Ok(query.bind(anew).execute().await? == 1)
    }
}
