//! Which rights a database role needs, as `deploy/postgres/roles.sql` grants them, and which of them a connection lacks.
//!
//! The file itself is read, so that there is no second list. Its statements are of one form: `GRANT privileges ON tables TO
//! roles`, with columns in brackets behind a privilege; what it does in another form (roles, CONNECT) is not looked at.

use std::collections::BTreeSet;

use crate::{Result, Store};

const GRANTS: &str = include_str!("../../../deploy/postgres/roles.sql");

impl Store {
    /// What the connection lacks of the rights of these database roles (`ssl_manager_api` and so on), as `INSERT on history`.
    /// Always nothing in a file.
    pub async fn missing_rights(&self, roles: &[&str]) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rows: Vec<String> = needed(roles).iter().map(Right::as_row).collect();
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
    /// Its name and whether the connection has it, as a row of `VALUES`. Nothing in it comes from outside the file.
    fn as_row(&self) -> String {
        let Self { object, privilege, column } = self;
        match column {
            Some(column) => format!(
                "('{privilege} ({column}) on {object}', has_column_privilege('{object}', '{column}', '{privilege}'))"
            ),
            None if *privilege == "USAGE" => {
                format!("('{privilege} on {object}', has_sequence_privilege('{object}', '{privilege}'))")
            }
            None => format!("('{privilege} on {object}', has_table_privilege('{object}', '{privilege}'))"),
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

/// What follows each `GRANT` that begins a line, up to its semicolon.
fn statements() -> impl Iterator<Item = &'static str> {
    GRANTS.split("\nGRANT ").skip(1).filter_map(|rest| rest.split(';').next())
}

/// `SELECT, UPDATE (a, b)` as privileges, each with a column where it has some.
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
                let row = right.as_row();
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
