//! Sessions of people who signed in, with a password of ours or through an OpenID provider.

use domain::Roles;
use jiff::Timestamp;

use crate::record::{FromRow, Reader};
use crate::{Result, Store, Tx, User};

/// Prefix of the names of people from an OpenID provider; no user of ours has such a name.
pub const PROVIDER_PREFIX: &str = "oidc:";

/// A person's session, with the person's present roles; a person from an OpenID provider has the roles of the
/// sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// The person's name.
    pub user: String,
    /// The person's roles.
    pub roles: Roles,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub used_at: Timestamp,
    /// When it ends, regardless of use.
    pub expires_at: Timestamp,
    /// The MAC of hash, person and end, and of the roles from a provider, with a key that is not in the database.
    pub mac: Vec<u8>,
}

/// A session as stored, with the row of its user; without one, the person comes from an OpenID provider.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The session.
    pub session: SessionRecord,
    /// The present row of its user.
    pub user: Option<User>,
}

impl FromRow for StoredSession {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.table = "sessions";
        let session = SessionRecord {
            user: reader.value()?,
            hash: reader.value()?,
            roles: reader.value()?,
            created_at: reader.value()?,
            used_at: reader.value()?,
            expires_at: reader.value()?,
            mac: reader.value()?,
        };
        let row: (Option<String>, Option<Timestamp>, Option<Vec<u8>>) =
            (reader.value()?, reader.value()?, reader.value()?);
        let (roles, password_hash) = (session.roles, reader.value()?);
        let user = match row {
            (Some(name), Some(created_at), Some(mac)) => {
                Some(User { name, roles, password_hash, created_at, mac })
            }
            _ => None,
        };
        Ok(Self { session, user })
    }
}

const STORED: &str =
    "SELECT coalesce(s.user_name, s.person) AS person, s.hash, coalesce(u.roles, s.roles) AS roles,
        s.created_at, s.used_at, s.expires_at, s.mac,
        u.name, u.created_at AS user_created_at, u.mac AS user_mac, u.password_hash
    FROM sessions s LEFT JOIN users u ON u.name = s.user_name";

impl Store {
    /// Returns a session by the SHA-256 of its token; ended ones are included until they are deleted.
    pub async fn session(&self, hash: &[u8; 32]) -> Result<Option<StoredSession>> {
        let text = format!("{STORED} WHERE s.hash = $1");
        let mut reader = self.reader().await?;
        reader.db().query("session", &text).bind(hash).optional().await
    }

    /// Returns a page of all sessions in order of hash; `after` is the last hash of the previous page, or zeros.
    pub async fn sessions(&self, after: &[u8; 32], limit: u32) -> Result<Vec<StoredSession>> {
        let text = format!("{STORED} WHERE s.hash > $1 ORDER BY s.hash LIMIT $2");
        let mut reader = self.reader().await?;
        reader.db().query("sessions", &text).bind(after).limit(limit).all().await
    }

    /// Like [`Store::sessions`], of one person; people from a provider by their full name.
    pub async fn sessions_of(
        &self,
        person: &str,
        after: &[u8; 32],
        limit: u32,
    ) -> Result<Vec<StoredSession>> {
        let text = format!(
            "{STORED} WHERE s.hash > $1 AND (s.user_name = $3 OR s.person = $3) ORDER BY s.hash LIMIT $2"
        );
        let mut reader = self.reader().await?;
        reader.db().query("sessions_of", &text).bind(after).limit(limit).bind(person).all().await
    }
}

impl Tx {
    /// Stores a session (with its user's roles) and deletes ended sessions of the same person.
    pub async fn insert_session(&mut self, session: &SessionRecord) -> Result<()> {
        self.insert_session_of("user_name", None, session).await
    }

    /// Stores a session of a person from an OpenID provider, with the session's own roles, and deletes ended sessions
    /// of the same person.
    pub async fn insert_provider_session(&mut self, session: &SessionRecord) -> Result<()> {
        self.insert_session_of("person", Some(session.roles), session).await
    }

    async fn insert_session_of(
        &mut self,
        column: &str,
        roles: Option<Roles>,
        session: &SessionRecord,
    ) -> Result<()> {
        let mut db = self.db().await?;
        let text = format!("DELETE FROM sessions WHERE {column} = $1 AND expires_at <= $2");
        let query = db.query("delete_ended_sessions", &text).bind(&session.user).bind(&session.created_at);
        query.execute().await?;
        let text = format!(
            "INSERT INTO sessions (hash, {column}, roles, created_at, used_at, expires_at, mac)
            VALUES ($1, $2, $3, $4, $5, $6, $7)"
        );
        let query = db.query("insert_session", &text).bind(&session.hash).bind(&session.user).bind(&roles);
        let query = query.bind(&session.created_at).bind(&session.used_at).bind(&session.expires_at);
        query.bind(&session.mac).execute().await.map(drop)
    }

    /// Stores that the ID token with that hash was used to sign in, and deletes expired token hashes. Returns false
    /// if it was used before.
    pub async fn use_id_token(&mut self, hash: &[u8; 32], forget_after: Timestamp) -> Result<bool> {
        let now = self.now();
        let mut db = self.db().await?;
        let text = "DELETE FROM used_id_tokens WHERE forget_after < $1";
        db.query("delete_id_tokens", text).bind(&now).execute().await?;
        let text =
            "INSERT INTO used_id_tokens (hash, forget_after) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
        Ok(db.query("use_id_token", text).bind(hash).bind(&forget_after).execute().await? == 1)
    }

    /// Stores when a session was last used.
    pub async fn touch_session(&mut self, hash: &[u8; 32], at: Timestamp) -> Result<()> {
        let text = "UPDATE sessions SET used_at = {greatest}(used_at, $2) WHERE hash = $1";
        self.db().await?.query("touch_session", text).bind(hash).bind(&at).execute().await.map(drop)
    }

    /// Ends a session. Returns false if there is none.
    pub async fn end_session(&mut self, hash: &[u8; 32]) -> Result<bool> {
        let text = "DELETE FROM sessions WHERE hash = $1";
        Ok(self.db().await?.query("end_session", text).bind(hash).execute().await? == 1)
    }

    /// Ends every session of a person; returns the number of sessions.
    pub async fn end_sessions(&mut self, user: &str) -> Result<u64> {
        let text = "DELETE FROM sessions WHERE user_name = $1 OR person = $1";
        self.db().await?.query("end_sessions", text).bind(user).execute().await
    }
}
