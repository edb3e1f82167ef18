//! The gRPC API: the only way in for people and programs.
//!
//! The changes to a domain are in [`commands`], each one transaction, without gRPC. Around them are authentication
//! (`auth`), the audit log (`audited`), errors (`error`), and the stream of changes (`watch`).

mod administration;
mod admission;
mod audit_end;
mod audited;
mod auth;
mod batch;
mod body;
mod certificates;
mod check;
pub mod commands;
mod device;
mod download;
mod error;
mod guard;
mod history;
mod jobs;
mod labels;
mod lasts;
mod limiter;
mod list;
mod measure;
mod message;
mod midnight;
mod names;
mod new_password;
mod notes;
mod overview;
mod page;
mod password;
mod paste;
mod pause;
mod pfx;
mod provider;
mod revoke;
mod routes;
mod search;
mod server;
mod service;
mod sessions;
pub mod signed;
mod summary;
mod temporary;
mod watch;
mod webhooks;

pub use auth::{TOKEN_PREFIX, hash_token, new_token};
pub use names::{check_token_name, check_user_name};
pub use password::{MAX_PASSWORD, MIN_PASSWORD, PasswordError, hash_password};
pub use server::run;
