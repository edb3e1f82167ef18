//! Every sealed key, wherever it is, for the rotation of sealing keys.

use domain::CertificateId;

use crate::record::{FromRow, Reader};
use crate::{Result, Store, Tx};

/// Where private keys are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// The keys that our accounts at CAs are about to get.
    PendingAccounts,
    /// The keys of our accounts at CAs.
    Accounts,
    /// The keys of certificates that are not issued yet.
    Orders,
    /// The keys of certificates.
    Certificates,
}

impl SealedPlace {
    /// All, in the order in which a key moves: from pending to the account's own, from its order into its certificate.
    pub const ALL: [Self; 4] = [Self::PendingAccounts, Self::Accounts, Self::Orders, Self::Certificates];

    /// The table, and the column where that has two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingAccounts => "accounts.pending_key",
            Self::Accounts => "accounts",
            Self::Orders => "orders",
            Self::Certificates => "certificates",
        }
    }

    /// The table, the column of the key, and those of the id and the name that it is sealed to.
    fn columns(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::PendingAccounts => ("accounts", "pending_key", "id", "directory_url"),
            Self::Accounts => ("accounts", "sealed_key", "id", "directory_url"),
            Self::Orders => ("orders", "sealed_key", "certificate_id", "name"),
            Self::Certificates => ("certificates", "sealed_key", "id", "name"),
        }
    }
}

/// A sealed key and where it is. It has no `Debug`, like everything with a key in it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Where.
    pub place: SealedPlace,
    /// The row's id.
    pub id: String,
    /// The id that it is sealed to: the row's own, or an order's certificate's.
    pub sealed_to: String,
    /// The name that it is sealed to: a domain's, or an account's directory.
    pub name: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
}

/// A row's id, whatever it is the id of.
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
    // A text that is no id is before every id, and no row's.
    id.parse().unwrap_or(AnyId::from(sqlx::types::Uuid::nil()))
}

impl Store {
    /// A page of the keys that are sealed in one place, in order of the row's id; `after` is the last id of the page
    /// before. A page that is not full is the last.
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
    /// What was sealed last in a place, none if nothing is: which sealing key is used now.
    pub async fn newest_sealed(&self, place: SealedPlace) -> Result<Option<Vec<u8>>> {
        let (table, key, _, _) = place.columns();
        // Ids grow with time.
        let text = format!("SELECT {key} FROM {table} WHERE {key} IS NOT NULL ORDER BY id DESC LIMIT 1");
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let row = db.query("newest_sealed", &text).optional::<(Vec<u8>,)>().await?;
        Ok(row.map(|(sealed,)| sealed))
    }
}

impl Tx {
    /// Puts `anew` in the place of a sealed key, if that is still as it was read. False if it is not; then the
    /// transaction may go on.
    pub async fn replace_sealed(&mut self, key: &SealedKey, anew: &[u8]) -> Result<bool> {
        let (table, column, _, _) = key.place.columns();
        let text = format!("UPDATE {table} SET {column} = $3 WHERE id = $1 AND {column} = $2");
        let mut db = self.db().await?;
        let query = db.query("replace_sealed", &text).bind(&parse(&key.id)).bind(&key.sealed);
        Ok(query.bind(anew).execute().await? == 1)
    }
}
