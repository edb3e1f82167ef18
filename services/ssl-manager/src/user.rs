//! `user create | list | password | remove`: users of the console; works on the store directly, so that the first user
//! can be created.

use std::path::{Path, PathBuf};

use audit::Caller;
use clap::Subcommand;
use domain::{Clock, Role, Roles};
use runtime::{Config, SystemClock, SystemEntropy};
use seal::{SealError, SealingKeys};
use serde_json::json;
use store::{Store, StoreError, Tx, User};

use crate::backend::{open_for_command, sealing_keys_for_command};
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{print_done, print_many};

/// Far over what any password has.
const MAX_PASSWORD_FILE_BYTES: u64 = 64 * 1024;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user
    Create {
        /// The user's name
        #[arg(long)]
        name: String,
        /// The user's role: viewer, support, key-reader or admin; repeat it for several
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// A file with the password, 12 to 1024 bytes; a trailing newline is ignored
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// List the users
    List,
    /// Set a new password for a user; their sessions end
    Password {
        /// The user's name
        #[arg(long)]
        name: String,
        /// A file with the new password
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// End every session of a user, or of a person from the OpenID provider (oidc:NAME)
    SignOut {
        /// The user's name
        name: String,
    },
    /// Remove a user; their sessions end
    Remove {
        /// The user's name
        name: String,
    },
}

pub(crate) async fn run(command: &UserCommand, config: &Config, output: Output) -> Result<(), CommandError> {
    // What is wrong with the words is told before the store is opened.
    let hash = match command {
        UserCommand::Create { name, password_file, .. } => {
            check_name(name)?;
            Some(hash_of(password_file)?)
        }
        UserCommand::Password { password_file, .. } => Some(hash_of(password_file)?),
        UserCommand::List | UserCommand::SignOut { .. } | UserCommand::Remove { .. } => None,
    };
    let store = &*open_for_command(config).await?;
    match command {
        UserCommand::Create { name, roles, .. } => {
            let (keys, roles) = (sealing_keys_for_command(config)?, roles_of(roles)?);
            create(store, &keys, name, roles, hash).await?;
            done(output, name, "may sign in now", &json!({ "name": name, "roles": roles }))
        }
        UserCommand::List => list(store, output).await,
        UserCommand::Password { name, .. } => {
            let keys = sealing_keys_for_command(config)?;
            let mut user = store.user(name).await?.ok_or_else(|| unknown(name))?;
            // Otherwise a foreign row would be signed here.
            api::signed::check_user(&keys, &user).await.map_err(|error| not_ours(name, &error))?;
            user.password_hash = hash;
            api::signed::sign_user(&keys, &mut user).await.map_err(|error| cannot_sign(&error))?;
            change(store, "SetPassword", name, async |tx| {
                tx.end_sessions(name).await?;
                tx.update_user(&user).await
            })
            .await?;
            done(output, name, "has a new password", &json!({ "name": name }))
        }
        UserCommand::SignOut { name } => {
            let ended = sign_out(store, name).await?;
            done(
                output,
                name,
                &format!("is signed out of {ended} sessions"),
                &json!({ "name": name, "ended": ended }),
            )
        }
        UserCommand::Remove { name } => {
            change(store, "RemoveUser", name, async |tx| tx.remove_user(name).await).await?;
            done(output, name, "may sign in no more", &json!({ "name": name, "removed": true }))
        }
    }
}

/// Creates a user.
pub(crate) async fn create(
    store: &Store,
    keys: &SealingKeys,
    name: &str,
    roles: Roles,
    password_hash: Option<String>,
) -> Result<(), CommandError> {
    let now = SystemClock.now();
    let mut user = User { name: name.to_owned(), roles, password_hash, created_at: now, mac: Vec::new() };
    api::signed::sign_user(keys, &mut user).await.map_err(|error| cannot_sign(&error))?;
    let mut tx = store.begin("create_user").await?;
    tx.insert_user(&user).await.map_err(|error| match error {
        StoreError::Conflict { .. } => CommandError::new(
            "ALREADY_EXISTS",
            format!("{name:?} may sign in already: change the password with `user password`, or choose another name"),
        ),
        other => other.into(),
    })?;
    let by = Caller::at_the_machine("CreateUser");
    tx.append_audit(by.line(now, name, audit::OK, &roles.to_string()));
    tx.commit().await?;
    Ok(())
}

/// Changes an existing user, with a line in the audit log.
async fn change(
    store: &Store,
    call: &'static str,
    name: &str,
    work: impl AsyncFnOnce(&mut Tx) -> Result<bool, StoreError>,
) -> Result<(), CommandError> {
    let mut tx = store.begin("change_user").await?;
    if !work(&mut tx).await? {
        return Err(unknown(name));
    }
    let line = Caller::at_the_machine(call).line(SystemClock.now(), name, audit::OK, "");
    tx.append_audit(line);
    Ok(tx.commit().await?)
}

/// Ends every session of a person; returns their number. People from the OpenID provider have no row, so no name is
/// unknown here.
async fn sign_out(store: &Store, name: &str) -> Result<u64, CommandError> {
    let mut tx = store.begin("sign_out").await?;
    let ended = tx.end_sessions(name).await?;
    let by = Caller::at_the_machine("SignOutUser");
    let line = by.line(SystemClock.now(), name, audit::OK, &ended.to_string());
    tx.append_audit(line);
    tx.commit().await?;
    Ok(ended)
}

async fn list(store: &Store, output: Output) -> Result<(), CommandError> {
    let users = store.users().await?;
    let row = |user: &User| {
        json!({
            "name": user.name,
            "roles": user.roles,
            "created_at": user.created_at,
            "has_password": user.password_hash.is_some(),
        })
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    print_many(output, &rows, &["name", "roles", "created_at", "has_password"])
}

/// The roles of a command line.
pub(crate) fn roles_of(roles: &[Role]) -> Result<Roles, CommandError> {
    Roles::of(roles.iter().copied()).ok_or_else(|| CommandError::usage("at least one --role is needed"))
}

pub(crate) fn cannot_sign(error: &SealError) -> CommandError {
    CommandError::new("SEALING_KEY", error.to_string())
}

fn not_ours(name: &str, error: &SealError) -> CommandError {
    let sentence = match error {
        SealError::UnknownKey(_) | SealError::Unavailable(_) => error.to_string(),
        _ => format!(
            "the row of {name:?} was not written by SSL Manager: look into the database's log, then `user remove` and \
             `user create`"
        ),
    };
    CommandError::new("NOT_SIGNED", sentence)
}

fn unknown(name: &str) -> CommandError {
    CommandError::new("NOT_FOUND", format!("there is no user {name:?}: see `user list`"))
}

fn done(output: Output, name: &str, what: &str, row: &serde_json::Value) -> Result<(), CommandError> {
    print_done(output, format_args!("{name} {what}."), row)
}

fn check_name(name: &str) -> Result<(), CommandError> {
    api::check_user_name(name).map_err(|sentence| CommandError::new("INVALID_ARGUMENT", sentence))
}

fn hash_of(file: &Path) -> Result<String, CommandError> {
    let text = text_file::read(file, MAX_PASSWORD_FILE_BYTES);
    let text =
        text.map_err(|error| CommandError::usage(format!("cannot read {}: {error}", file.display())))?;
    api::hash_password(text.trim_end_matches(['\r', '\n']), &SystemEntropy)
        .map_err(|error| CommandError::new("INVALID_ARGUMENT", error.to_string()))
}
