//! Conversion of our types for the two databases.
//!
//! A type defines once how it is stored on SQLite and on PostgreSQL; then it can be bound to a statement and read
//! from a row like a number. Times are microseconds on SQLite and `timestamptz` on PostgreSQL, ids text and `uuid`,
//! reasons JSON in text and `jsonb`. Words, such as a status, are text on both.
//!
//! Why not sqlx's own traits: they cannot be implemented here for types of `domain` and `jiff`, and each would need one
//! implementation per database instead of one in all.

use std::collections::BTreeMap;

use domain::{
    AccountId, Activity, Cause, CertificateId, DeliveryState, DomainName, EndpointId, EndpointState, EventId,
    HistoryKind, HttpsSwitch, JobId, JobKind, JobParameters, JobState, LineOutcome, MidnightOutcome, NoteId,
    NoticeKind, OrderId, Outbound, Reason, RevocationReason, RevocationState, Roles, Source, Status, Trust,
    WebhookFormat, Who, WorkKind,
};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx;
use sqlx::postgres::PgHasArrayType;
use sqlx::types::Uuid;
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

/// A type that SQLite can bind and read.
pub(crate) trait SqliteValue:
    for<'q> Encode<'q, Sqlite> + for<'r> Decode<'r, Sqlite> + Type<Sqlite> + Send + 'static
{
}
impl<T> SqliteValue for T where
    T: for<'q> Encode<'q, Sqlite> + for<'r> Decode<'r, Sqlite> + Type<Sqlite> + Send + 'static
{
}

/// A type that PostgreSQL can bind, alone and in arrays, and read.
pub(crate) trait PostgresValue:
    for<'q> Encode<'q, Postgres>
    + for<'r> Decode<'r, Postgres>
    + Type<Postgres>
    + PgHasArrayType
    + Send
    + Sync
    + 'static
{
}
impl<T> PostgresValue for T where
    T: for<'q> Encode<'q, Postgres>
        + for<'r> Decode<'r, Postgres>
        + Type<Postgres>
        + PgHasArrayType
        + Send
        + Sync
        + 'static
{
}

/// A value that can be bound to a statement.
pub(crate) trait Bind {
    /// SQLite's representation.
    type Sqlite: SqliteValue;
    /// PostgreSQL's representation.
    type Postgres: PostgresValue;
    /// PostgreSQL's name of that type.
    const POSTGRES_TYPE: &'static str;

    fn to_sqlite(&self) -> Self::Sqlite;
    fn to_postgres(&self) -> Self::Postgres;
}

/// A value that can also be read from a row.
pub(crate) trait Value: Bind + Sized {
    /// None if no program of this version can have written it.
    fn from_sqlite(stored: Self::Sqlite) -> Option<Self>;
    /// None if no program of this version can have written it.
    fn from_postgres(stored: Self::Postgres) -> Option<Self>;
}

/// Types that both databases support.
macro_rules! plain {
    ($($type:ty: $postgres:literal),+) => {$(
        impl Bind for $type {
            type Sqlite = $type;
            type Postgres = $type;
            const POSTGRES_TYPE: &'static str = $postgres;

            fn to_sqlite(&self) -> $type {
                self.clone()
            }
            fn to_postgres(&self) -> $type {
                self.clone()
            }
        }
        impl Value for $type {
            fn from_sqlite(stored: $type) -> Option<Self> {
                Some(stored)
            }
            fn from_postgres(stored: $type) -> Option<Self> {
                Some(stored)
            }
        }
    )+};
}
plain!(bool: "boolean", i16: "smallint", i64: "bigint", String: "text", Vec<u8>: "bytea");

/// Types that are text on both databases: how to format and parse them.
macro_rules! text {
    ($($type:ty: $to:expr, $from:expr;)+) => {$(
        impl Bind for $type {
            type Sqlite = String;
            type Postgres = String;
            const POSTGRES_TYPE: &'static str = "text";

            fn to_sqlite(&self) -> String {
                let to: fn(&Self) -> String = $to;
                to(self)
            }
            fn to_postgres(&self) -> String {
                self.to_sqlite()
            }
        }
        impl Value for $type {
            fn from_sqlite(stored: String) -> Option<Self> {
                let from: fn(&str) -> Option<Self> = $from;
                from(&stored)
            }
            fn from_postgres(stored: String) -> Option<Self> {
                Self::from_sqlite(stored)
            }
        }
    )+};
}

macro_rules! words {
    ($($type:ty),+) => {
        text! { $($type: |word| word.as_str().to_owned(), |text| text.parse().ok();)+ }
    };
}
words!(
    Activity,
    Cause,
    DeliveryState,
    EndpointState,
    HistoryKind,
    HttpsSwitch,
    JobKind,
    JobState,
    LineOutcome,
    MidnightOutcome,
    NoticeKind,
    Outbound,
    RevocationReason,
    RevocationState,
    Source,
    Status,
    Trust,
    WebhookFormat,
    Who,
    WorkKind
);
text! {
    DomainName: |name| name.as_str().to_owned(), |text| text.parse().ok();
    Roles: Roles::to_string, |text| text.parse().ok();
    Date: Date::to_string, |text| text.parse().ok();
    Vec<NoticeKind>: |kinds| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(","),
        |text| text.split(',').map(|word| word.parse().ok()).collect();
    BTreeMap<LineOutcome, u32>:
        |counts| counts.iter().map(|(outcome, lines)| format!("{outcome} {lines}")).collect::<Vec<_>>().join(","),
        |text| {
            let count = |text: &str| {
                let (outcome, lines) = text.split_once(' ')?;
                Some((outcome.parse().ok()?, lines.parse().ok()?))
            };
            text.split_terminator(',').map(count).collect()
        };
    JobParameters: |parameters| serde_json::to_string(parameters).unwrap_or_default(), |text| serde_json::from_str(text).ok();
}

macro_rules! ids {
    ($($id:ty),+) => {$(
        impl Bind for $id {
            type Sqlite = String;
            type Postgres = Uuid;
            const POSTGRES_TYPE: &'static str = "uuid";

            fn to_sqlite(&self) -> String {
                self.to_string()
            }
            fn to_postgres(&self) -> Uuid {
                self.as_uuid()
            }
        }
        impl Value for $id {
            fn from_sqlite(stored: String) -> Option<Self> {
                stored.parse().ok()
            }
            fn from_postgres(stored: Uuid) -> Option<Self> {
                Some(stored.into())
            }
        }
    )+};
}
ids!(AccountId, CertificateId, EndpointId, EventId, JobId, NoteId, OrderId);

impl Bind for Timestamp {
    type Sqlite = i64;
    type Postgres = jiff_sqlx::Timestamp;
    const POSTGRES_TYPE: &'static str = "timestamptz";

    fn to_sqlite(&self) -> i64 {
        self.as_microsecond()
    }
    fn to_postgres(&self) -> jiff_sqlx::Timestamp {
        self.to_sqlx()
    }
}

impl Value for Timestamp {
    fn from_sqlite(stored: i64) -> Option<Self> {
        Self::from_microsecond(stored).ok()
    }
    fn from_postgres(stored: jiff_sqlx::Timestamp) -> Option<Self> {
        Some(stored.to_jiff())
    }
}

/// A count; values above PostgreSQL's integer range are stored as its maximum.
impl Bind for u32 {
    type Sqlite = i64;
    type Postgres = i32;
    const POSTGRES_TYPE: &'static str = "integer";

    fn to_sqlite(&self) -> i64 {
        i64::from(self.to_postgres())
    }
    fn to_postgres(&self) -> i32 {
        i32::try_from(*self).unwrap_or(i32::MAX)
    }
}

impl Value for u32 {
    fn from_sqlite(stored: i64) -> Option<Self> {
        stored.try_into().ok()
    }
    fn from_postgres(stored: i32) -> Option<Self> {
        stored.try_into().ok()
    }
}

impl Bind for Reason {
    type Sqlite = String;
    type Postgres = serde_json::Value;
    const POSTGRES_TYPE: &'static str = "jsonb";

    fn to_sqlite(&self) -> String {
        self.to_postgres().to_string()
    }
    fn to_postgres(&self) -> serde_json::Value {
        // An enum of plain fields always converts to JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Value for Reason {
    fn from_sqlite(stored: String) -> Option<Self> {
        serde_json::from_str(&stored).ok()
    }
    fn from_postgres(stored: serde_json::Value) -> Option<Self> {
        serde_json::from_value(stored).ok()
    }
}

/// Labels, by their keys: a JSON object.
impl Bind for BTreeMap<String, String> {
    type Sqlite = String;
    type Postgres = serde_json::Value;
    const POSTGRES_TYPE: &'static str = "jsonb";

    fn to_sqlite(&self) -> String {
        self.to_postgres().to_string()
    }
    fn to_postgres(&self) -> serde_json::Value {
        self.iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl Value for BTreeMap<String, String> {
    fn from_sqlite(stored: String) -> Option<Self> {
        serde_json::from_str(&stored).ok()
    }
    fn from_postgres(stored: serde_json::Value) -> Option<Self> {
        serde_json::from_value(stored).ok()
    }
}

/// A hash.
impl Bind for [u8; 32] {
    type Sqlite = Vec<u8>;
    type Postgres = Vec<u8>;
    const POSTGRES_TYPE: &'static str = "bytea";

    fn to_sqlite(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn to_postgres(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Value for [u8; 32] {
    fn from_sqlite(stored: Vec<u8>) -> Option<Self> {
        stored.try_into().ok()
    }
    fn from_postgres(stored: Vec<u8>) -> Option<Self> {
        stored.try_into().ok()
    }
}

impl Bind for str {
    type Sqlite = String;
    type Postgres = String;
    const POSTGRES_TYPE: &'static str = "text";

    fn to_sqlite(&self) -> String {
        self.to_owned()
    }
    fn to_postgres(&self) -> String {
        self.to_owned()
    }
}

impl Bind for [u8] {
    type Sqlite = Vec<u8>;
    type Postgres = Vec<u8>;
    const POSTGRES_TYPE: &'static str = "bytea";

    fn to_sqlite(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn to_postgres(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl<T: Bind + ?Sized> Bind for &T {
    type Sqlite = T::Sqlite;
    type Postgres = T::Postgres;
    const POSTGRES_TYPE: &'static str = T::POSTGRES_TYPE;

    fn to_sqlite(&self) -> T::Sqlite {
        T::to_sqlite(self)
    }
    fn to_postgres(&self) -> T::Postgres {
        T::to_postgres(self)
    }
}

impl<T: Bind> Bind for Option<T> {
    type Sqlite = Option<T::Sqlite>;
    type Postgres = Option<T::Postgres>;
    const POSTGRES_TYPE: &'static str = T::POSTGRES_TYPE;

    fn to_sqlite(&self) -> Self::Sqlite {
        self.as_ref().map(T::to_sqlite)
    }
    fn to_postgres(&self) -> Self::Postgres {
        self.as_ref().map(T::to_postgres)
    }
}

impl<T: Value> Value for Option<T> {
    fn from_sqlite(stored: Self::Sqlite) -> Option<Self> {
        stored.map_or(Some(None), |stored| T::from_sqlite(stored).map(Some))
    }
    fn from_postgres(stored: Self::Postgres) -> Option<Self> {
        stored.map_or(Some(None), |stored| T::from_postgres(stored).map(Some))
    }
}
