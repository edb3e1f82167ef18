//! A row of a user that was replaced or deleted does not come back with the API's own database password.

use sqlx::{AssertSqlSafe, Connection};
use store::User;

use super::{NOT_ALLOWED, Prize};

const API: &str = "ssl_manager_api";

/// The row as it was.
fn insert(user: &User) -> String {
    let User { name, roles, password_hash, mac, .. } = user;
    let (hash, mac) = (password_hash.as_deref().unwrap_or_default(), hex::encode(mac));
    format!(
        "INSERT INTO users (name, roles, password_hash, created_at, mac)
            VALUES ('{name}', '{roles}', '{hash}', now(), '\\x{mac}')"
    )
}

impl Prize {
    pub(super) fn earlier_rows(&self) -> Vec<String> {
        let [eve, gone] = self.earlier.as_slice() else { panic!("two rows") };
        let User { roles, password_hash, mac, .. } = eve;
        let (hash, mac) = (password_hash.as_deref().unwrap_or_default(), hex::encode(mac));
        vec![
            format!(
                "UPDATE users SET roles = '{roles}', password_hash = '{hash}', mac = '\\x{mac}' WHERE name = 'eve'"
            ),
            format!("DELETE FROM users WHERE name = 'eve'; {}", insert(eve)),
            insert(gone),
            format!(
                "{} ON CONFLICT (name) DO UPDATE SET roles = excluded.roles, mac = excluded.mac",
                insert(eve)
            ),
            "DELETE FROM user_macs".to_owned(),
        ]
    }
}

/// A transaction that does not see what others have committed since.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_brings_no_row_back() {
    let prize = Prize::new().await;
    let database = prize.copy();
    let mut old = prize.as_role(API, &database).await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM users")
        .execute(&mut old)
        .await
        .unwrap();
    let mut new = prize.as_role(API, &database).await;
    let fresh = prize.user("fresh", domain::Role::Admin).await;
    sqlx::raw_sql(AssertSqlSafe(insert(&fresh))).execute(&mut new).await.unwrap();
    sqlx::raw_sql("DELETE FROM users WHERE name = 'fresh'").execute(&mut new).await.unwrap();
    let refused = sqlx::raw_sql(AssertSqlSafe(insert(&fresh))).execute(&mut old).await.unwrap_err();
    let code = refused.as_database_error().unwrap().code().unwrap().into_owned();
    // Serialization failure: PostgreSQL knows the row of the MAC, though the transaction does not see it.
    assert_eq!(code, "40001", "{refused}");
    old.close().await.unwrap();
    let refused = sqlx::raw_sql(AssertSqlSafe(insert(&fresh))).execute(&mut new).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some(NOT_ALLOWED), "{refused}");
    new.close().await.unwrap();
}
