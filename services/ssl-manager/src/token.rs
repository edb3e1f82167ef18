//! `token create | list | revoke`: works on the store directly, so that the first token needs no token.

use audit::Caller;
use domain::{Clock, Roles};
use jiff::SignedDuration;
use runtime::{Config, SystemClock, SystemEntropy};
use seal::SealingKeys;
use serde_json::json;
use store::{Store, StoreError, TokenRecord};
use zeroize::Zeroizing;

use crate::backend::{open_for_command, sealing_keys_for_command};
use crate::cli::{Output, TokenCommand};
use crate::dispatch::CommandError;
use crate::output::{print_done, print_many};
use crate::user::{cannot_sign, roles_of};

pub(crate) async fn run(command: &TokenCommand, config: &Config, output: Output) -> Result<(), CommandError> {
    let store = &*open_for_command(config).await?;
    match command {
        TokenCommand::Create { name, roles, expires_in_days } => {
            let (keys, roles) = (sealing_keys_for_command(config)?, roles_of(roles)?);
            let token = create(store, &keys, name, roles, *expires_in_days).await?;
            let value = json!({ "name": name, "roles": roles, "token": *token });
            print_done(output, &*token, &value)
        }
        TokenCommand::List => list(store, output).await,
        TokenCommand::Revoke { name } => {
            let mut tx = store.begin("revoke_token").await?;
            let now = SystemClock.now();
            if !tx.revoke_token(name).await? {
                return Err(CommandError::new(
                    "NOT_FOUND",
                    format!("there is no valid token named {name:?}"),
                ));
            }
            let by = Caller::at_the_machine("RevokeToken");
            tx.append_audit(by.line(now, name, audit::OK, ""));
            tx.commit().await?;
            let value = json!({ "name": name, "revoked": true });
            print_done(output, format_args!("The token {name:?} is revoked."), &value)
        }
    }
}

/// Stores a new token's hash and returns its text.
pub(crate) async fn create(
    store: &Store,
    keys: &SealingKeys,
    name: &str,
    roles: Roles,
    expires_in_days: Option<u16>,
) -> Result<Zeroizing<String>, CommandError> {
    api::check_token_name(name).map_err(|sentence| CommandError::new("INVALID_ARGUMENT", sentence))?;
    let token = api::new_token(&SystemEntropy);
    let now = SystemClock.now();
    let mut record = TokenRecord {
        name: name.to_owned(),
        hash: api::hash_token(&token),
        roles,
        created_at: now,
        expires_at: expires_in_days.map(|days| now + SignedDuration::from_hours(24 * i64::from(days))),
        last_used_at: None,
        revoked_at: None,
        mac: Vec::new(),
    };
    api::signed::sign_token(keys, &mut record).await.map_err(|error| cannot_sign(&error))?;
    let mut tx = store.begin("create_token").await?;
    tx.insert_token(&record).await.map_err(|error| match error {
        StoreError::Conflict { .. } => CommandError::new(
            "ALREADY_EXISTS",
            format!("there is a token named {name:?}: choose another name"),
        ),
        other => other.into(),
    })?;
    let by = Caller::at_the_machine("CreateToken");
    tx.append_audit(by.line(now, name, audit::OK, &roles.to_string()));
    tx.commit().await?;
    Ok(token)
}

async fn list(store: &Store, output: Output) -> Result<(), CommandError> {
    let rows: Vec<_> = store
        .tokens()
        .await?
        .iter()
        .map(|token| {
            json!({
                "name": token.name,
                "roles": token.roles,
                "created_at": token.created_at,
                "expires_at": token.expires_at,
                "last_used_at": token.last_used_at,
                "revoked_at": token.revoked_at,
            })
        })
        .collect();
    print_many(output, &rows, &["name", "roles", "created_at", "expires_at", "last_used_at", "revoked_at"])
}
