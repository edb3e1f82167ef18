//! `token create | list | revoke`: works on the store directly, so that the first token needs no token.

use audit::Caller;
use domain::{Clock, Role};
use jiff::SignedDuration;
use runtime::{Config, SystemClock, SystemEntropy};
use serde_json::json;
use store::{Store, StoreError, TokenRecord};
use zeroize::Zeroizing;

use crate::backend::open_for_command;
use crate::cli::{Output, TokenCommand};
use crate::dispatch::Failure;
use crate::output::{print_many, print_one};

const MOST_NAME: usize = 100;

pub(crate) async fn run(command: &TokenCommand, config: &Config, output: Output) -> Result<(), Failure> {
    let store = &*open_for_command(config).await?;
    match command {
        TokenCommand::Create { name, role, expires_in_days } => {
            let token = create(store, name, *role, *expires_in_days).await?;
            match output {
                Output::Table => println!("{}", *token),
                Output::Json => {
                    print_one(output, &json!({ "name": name, "role": role.as_str(), "token": *token }));
                }
            }
        }
        TokenCommand::List => list(store, output).await?,
        TokenCommand::Revoke { name } => {
            let mut tx = store.begin("revoke_token").await?;
            let now = SystemClock.now();
            if !tx.revoke_token(name, now).await? {
                return Err(Failure::new("NOT_FOUND", format!("there is no valid token named {name:?}")));
            }
            let by = Caller::at_the_machine("RevokeToken");
            tx.append_audit(&by.line(now, name, audit::OK, "")).await?;
            tx.commit().await?;
            match output {
                Output::Table => println!("The token {name:?} is revoked."),
                Output::Json => print_one(output, &json!({ "name": name, "revoked": true })),
            }
        }
    }
    Ok(())
}

/// Stores a new token's hash and returns its text.
pub(crate) async fn create(
    store: &dyn Store,
    name: &str,
    role: Role,
    expires_in_days: Option<u16>,
) -> Result<Zeroizing<String>, Failure> {
    if name.is_empty() || name.len() > MOST_NAME || name.chars().any(char::is_control) {
        let sentence = format!("a token's name has 1 to {MOST_NAME} printable characters");
        return Err(Failure::new("INVALID_ARGUMENT", sentence));
    }
    let token = api::new_token(&SystemEntropy);
    let now = SystemClock.now();
    let record = TokenRecord {
        name: name.to_owned(),
        hash: api::hash_token(&token),
        role,
        created_at: now,
        expires_at: expires_in_days.map(|days| now + SignedDuration::from_hours(24 * i64::from(days))),
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = store.begin("create_token").await?;
    tx.insert_token(&record).await.map_err(|error| match error {
        StoreError::Conflict { .. } => {
            Failure::new("ALREADY_EXISTS", format!("there is a token named {name:?}: choose another name"))
        }
        other => other.into(),
    })?;
    let by = Caller::at_the_machine("CreateToken");
    tx.append_audit(&by.line(now, name, audit::OK, role.as_str())).await?;
    tx.commit().await?;
    Ok(token)
}

async fn list(store: &dyn Store, output: Output) -> Result<(), Failure> {
    let rows: Vec<_> = store
        .tokens()
        .await?
        .iter()
        .map(|token| {
            json!({
                "name": token.name,
                "role": token.role.as_str(),
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "last_used_at": token.last_used_at,
                "revoked_at": token.revoked_at,
            })
        })
        .collect();
    print_many(output, &rows, &["name", "role", "created_at", "expires_at", "last_used_at", "revoked_at"]);
    Ok(())
}
