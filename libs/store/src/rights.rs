//! The rights of the database roles: `deploy/postgres/roles.sql` grants them and lists what each role needs, so that
//! the rights missing from a connection can be named.
//!
//! The file itself is both executed and parsed, so there is no second list. Grants have one form: `GRANT privileges
//! ON tables TO roles`, with columns in brackets after a privilege; other statements (roles, CONNECT) are not parsed.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Executor as _, raw_sql};

use crate::sql::failed;
use crate::{Pools, Result, Store};

/// PostgreSQL's error for an operation that the connection's role may not perform.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

const GRANTS: &str = include_str!("../../../deploy/postgres/roles.sql");

/// The result of granting the rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// A file has no roles.
    NotNeeded,
    /// Every role has exactly the rights that this program's roles need.
    Given,
    /// The connection's role may not grant them, in PostgreSQL's words. Nothing was changed.
    Refused(String),
}

impl Store {
    /// Creates missing database roles and grants their rights, in one transaction.
    pub async fn give_rights(&self) -> Result<Rights> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(Rights::NotNeeded) };
        let mut connection = pool.acquire().await.map_err(failed("give_rights"))?;
        match (&mut *connection).execute(raw_sql(AssertSqlSafe(GRANTS))).await {
            Ok(_) => Ok(Rights::Given),
            Err(error) => {
                // Closed instead of returned to the pool: the failed transaction is still open.
                let _ = connection.close().await;
                match error.as_database_error() {
                    Some(told) if told.code().is_some_and(|code| code == INSUFFICIENT_PRIVILEGE) => {
                        Ok(Rights::Refused(told.message().to_owned()))
                    }
                    _ => Err(failed("give_rights")(error)),
                }
            }
        }
    }

    /// Returns the rights of these database roles (such as `ssl_manager_api`) that the connection lacks, such as
    /// `INSERT on history`. Always empty for a file.
    pub async fn missing_rights(&self, roles: &[&str]) -> Result<Vec<String>> {
        self.missing_of(None, roles).await
    }

    /// Returns the rights that this database role lacks, whoever asks. None are missing from a role that the server does not
    /// have: the installation works with another one.
    pub async fn missing_rights_of(&self, role: &str) -> Result<Vec<String>> {
        self.missing_of(Some(role), &[role]).await
    }

    async fn missing_of(&self, who: Option<&str>, roles: &[&str]) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rows: Vec<String> = needed(roles).iter().map(|right| right.as_row(who)).collect();
        if db.is_sqlite() || rows.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "SELECT right_name FROM (VALUES {}) AS need (right_name, is_there) WHERE NOT is_there",
            rows.join(", ")
        );
        db.query("missing_rights", &text).scalars().await
    }
}

/// A privilege on an object, or on one column of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    object: &'static str,
    privilege: &'static str,
    column: Option<&'static str>,
}

impl Right {
    /// Its name and whether `who` has it, as a row of `VALUES`; none is the connection's role. All of it comes from the
    /// file. NULL if there is no such role.
    fn as_row(&self, who: Option<&str>) -> String {
        let Self { object, privilege, column } = self;
        let who = who.map_or_else(String::new, |role| format!("to_regrole('{role}')::oid, "));
        match column {
            Some(column) => format!(
                "('{privilege} ({column}) on {object}', has_column_privilege({who}'{object}', '{column}', '{privilege}'))"
            ),
            None if *privilege == "USAGE" => {
                format!("('{privilege} on {object}', has_sequence_privilege({who}'{object}', '{privilege}'))")
            }
            None => {
                format!("('{privilege} on {object}', has_table_privilege({who}'{object}', '{privilege}'))")
            }
        }
    }
}

fn needed(roles: &[&str]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for statement in statements() {
        let Some((privileges, rest)) = statement.split_once(" ON ") else { continue };
        let Some((objects, to)) = rest.split_once(" TO ") else { continue };
        if !to.split(',').any(|role| roles.contains(&role.trim())) {
            continue;
        }
        let objects = objects.trim().trim_start_matches("SEQUENCE ");
        for object in objects.split(',').map(str::trim) {
            for (privilege, column) in privileges_in(privileges) {
                rights.insert(Right { object, privilege, column });
            }
        }
    }
    rights
}

/// The text after each `GRANT` at the start of a line, up to its semicolon.
fn statements() -> impl Iterator<Item = &'static str> {
    GRANTS.split("\nGRANT ").skip(1).filter_map(|rest| rest.split(';').next())
}

/// Parses `SELECT, UPDATE (a, b)` into privileges, each with a column if it has any.
fn privileges_in(text: &'static str) -> Vec<(&'static str, Option<&'static str>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let privilege = rest[..end].trim();
        rest = &rest[end..];
        if let Some(columns) = rest.strip_prefix('(') {
            let (columns, after) = columns.split_once(')').unwrap_or((columns, ""));
            found.extend(columns.split(',').map(|column| (privilege, Some(column.trim()))));
            rest = after;
        } else {
            found.push((privilege, None));
        }
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_understood() {
        let names = |role: &str| -> Vec<String> {
            let name = |right: &Right| {
                let row = right.as_row(None);
                row.split('\'').nth(1).unwrap_or_default().to_owned()
            };
            needed(&[role]).iter().map(name).collect()
        };
        assert_eq!(names("ssl_manager_responder"), ["SELECT on challenges", "SELECT on probes"]);
        let scheduler = names("ssl_manager_scheduler");
        for right in [
            "INSERT on history",
            "USAGE on lease_token",
            "UPDATE (hash) on audit",
            "SELECT (key_destroyed_at) on certificates",
            "DELETE on sessions",
        ] {
            assert!(scheduler.iter().any(|name| name == right), "{right} in {scheduler:?}");
        }
        assert!(
            !scheduler.iter().any(|name| name.contains("accounts") || name.contains("--")),
            "{scheduler:?}"
        );
        for role in ["ssl_manager_api", "ssl_manager_issuer", "ssl_manager_uploader"] {
            assert!(names(role).iter().any(|name| name == "UPDATE on domains"), "{role}");
        }
        assert!(needed(&["ssl_manager"]).is_empty());
    }

    #[test]
    fn each_grant_of_the_file_is_read() {
        let lines = GRANTS.lines().filter(|line| line.starts_with("GRANT "));
        assert_eq!(statements().count(), lines.count());
    }
}
