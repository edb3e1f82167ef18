//! The gRPC API: the only way in for people and programs.
//!
//! What a call does to a domain is written in [`commands`], each one transaction, without any gRPC. Around it stand
//! who may call (`auth`), what is kept of it (`audited`), how errors look (`error`), and the stream of changes (`watch`).

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
mod midnight;
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
mod watch;

pub use auth::{TOKEN_PREFIX, hash_token, new_token};
pub use password::{LEAST_PASSWORD, MOST_PASSWORD, PasswordError, hash_password};
pub use server::run;
