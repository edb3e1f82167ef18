//! People and their sessions.

use jiff::Timestamp;
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Columns, Result, SessionRecord, StoreError, User};

use crate::db::{failed, failed_or_taken, time};

#[derive(FromRow)]
struct UserRow {
    name: String,
    role: String,
    password_hash: Option<String>,
    created_at: jiff_sqlx::Timestamp,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self> {
        let columns = Columns { table: "users", id: &row.name };
        Ok(Self {
            role: columns.parse("role", &row.role)?,
            created_at: row.created_at.to_jiff(),
            password_hash: row.password_hash,
            name: row.name,
        })
    }
}

#[derive(FromRow)]
struct SessionRow {
    hash: Vec<u8>,
    user_name: String,
    role: String,
    created_at: jiff_sqlx::Timestamp,
    used_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
}

impl TryFrom<SessionRow> for SessionRecord {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self> {
        let columns = Columns { table: "sessions", id: &row.user_name };
        Ok(Self {
            hash: row.hash.as_slice().try_into().map_err(|_| columns.bad("hash"))?,
            role: columns.parse("role", &row.role)?,
            created_at: row.created_at.to_jiff(),
            used_at: row.used_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            user: row.user_name,
        })
    }
}

pub(crate) async fn user(db: impl PgExecutor<'_>, name: &str) -> Result<Option<User>> {
    let row: Option<UserRow> =
        sqlx::query_as("-- user\nSELECT name, role, password_hash, created_at FROM users WHERE name = $1")
            .bind(name)
            .fetch_optional(db)
            .await
            .map_err(failed("user"))?;
    row.map(User::try_from).transpose()
}

pub(crate) async fn users(db: impl PgExecutor<'_>) -> Result<Vec<User>> {
    let rows: Vec<UserRow> =
        sqlx::query_as("-- users\nSELECT name, role, password_hash, created_at FROM users ORDER BY name")
            .fetch_all(db)
            .await
            .map_err(failed("users"))?;
    rows.into_iter().map(User::try_from).collect()
}

pub(crate) async fn insert_user(db: &mut PgConnection, user: &User) -> Result<()> {
    sqlx::query(
        "-- insert_user
        INSERT INTO users (name, role, password_hash, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(&user.name)
    .bind(user.role.as_str())
    .bind(&user.password_hash)
    .bind(time(user.created_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_user"))
}

pub(crate) async fn update_user(db: &mut PgConnection, user: &User) -> Result<bool> {
    sqlx::query("-- update_user\nUPDATE users SET role = $2, password_hash = $3 WHERE name = $1")
        .bind(&user.name)
        .bind(user.role.as_str())
        .bind(&user.password_hash)
        .execute(db)
        .await
        .map(|updated| updated.rows_affected() == 1)
        .map_err(failed("update_user"))
}

pub(crate) async fn remove_user(db: &mut PgConnection, name: &str) -> Result<bool> {
    end_sessions(db, name).await?;
    sqlx::query("-- remove_user\nDELETE FROM users WHERE name = $1")
        .bind(name)
        .execute(db)
        .await
        .map(|removed| removed.rows_affected() == 1)
        .map_err(failed("remove_user"))
}

pub(crate) async fn session(db: impl PgExecutor<'_>, hash: &[u8; 32]) -> Result<Option<SessionRecord>> {
    let row: Option<SessionRow> = sqlx::query_as(
        "-- session
        SELECT s.hash, coalesce(s.user_name, s.person) AS user_name, coalesce(u.role, s.role) AS role,
            s.created_at, s.used_at, s.expires_at
        FROM sessions s LEFT JOIN users u ON u.name = s.user_name WHERE s.hash = $1",
    )
    .bind(hash.as_slice())
    .fetch_optional(db)
    .await
    .map_err(failed("session"))?;
    row.map(SessionRecord::try_from).transpose()
}

pub(crate) async fn insert_session(db: &mut PgConnection, session: &SessionRecord) -> Result<()> {
    sqlx::query("-- forget_sessions\nDELETE FROM sessions WHERE user_name = $1 AND expires_at <= $2")
        .bind(&session.user)
        .bind(time(session.created_at))
        .execute(&mut *db)
        .await
        .map_err(failed("forget_sessions"))?;
    sqlx::query(
        "-- insert_session
        INSERT INTO sessions (hash, user_name, created_at, used_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(session.hash.as_slice())
    .bind(&session.user)
    .bind(time(session.created_at))
    .bind(time(session.used_at))
    .bind(time(session.expires_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_session"))
}

pub(crate) async fn insert_provider_session(db: &mut PgConnection, session: &SessionRecord) -> Result<()> {
    sqlx::query("-- forget_provider_sessions\nDELETE FROM sessions WHERE person = $1 AND expires_at <= $2")
        .bind(&session.user)
        .bind(time(session.created_at))
        .execute(&mut *db)
        .await
        .map_err(failed("forget_provider_sessions"))?;
    sqlx::query(
        "-- insert_provider_session
        INSERT INTO sessions (hash, person, role, created_at, used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(session.hash.as_slice())
    .bind(&session.user)
    .bind(session.role.as_str())
    .bind(time(session.created_at))
    .bind(time(session.used_at))
    .bind(time(session.expires_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_provider_session"))
}

pub(crate) async fn use_id_token(
    db: &mut PgConnection,
    hash: &[u8; 32],
    forget_after: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    sqlx::query("-- forget_id_tokens\nDELETE FROM used_id_tokens WHERE forget_after < $1")
        .bind(time(now))
        .execute(&mut *db)
        .await
        .map_err(failed("forget_id_tokens"))?;
    sqlx::query(
        "-- use_id_token
        INSERT INTO used_id_tokens (hash, forget_after) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
    )
    .bind(hash.as_slice())
    .bind(time(forget_after))
    .execute(db)
    .await
    .map(|noted| noted.rows_affected() == 1)
    .map_err(failed("use_id_token"))
}

pub(crate) async fn touch_session(db: &mut PgConnection, hash: &[u8; 32], at: Timestamp) -> Result<()> {
    sqlx::query("-- touch_session\nUPDATE sessions SET used_at = greatest(used_at, $2) WHERE hash = $1")
        .bind(hash.as_slice())
        .bind(time(at))
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("touch_session"))
}

pub(crate) async fn end_session(db: &mut PgConnection, hash: &[u8; 32]) -> Result<bool> {
    sqlx::query("-- end_session\nDELETE FROM sessions WHERE hash = $1")
        .bind(hash.as_slice())
        .execute(db)
        .await
        .map(|ended| ended.rows_affected() == 1)
        .map_err(failed("end_session"))
}

pub(crate) async fn end_sessions(db: &mut PgConnection, user: &str) -> Result<u64> {
    sqlx::query("-- end_sessions\nDELETE FROM sessions WHERE user_name = $1 OR person = $1")
        .bind(user)
        .execute(db)
        .await
        .map(|ended| ended.rows_affected())
        .map_err(failed("end_sessions"))
}
