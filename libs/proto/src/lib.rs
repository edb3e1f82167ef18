//! The gRPC API and the events, generated from `proto/`, and their conversions to and from the domain.
//!
//! The generated code is committed, so that a build compiles no code generator. After a change in `proto/`, `make protos`
//! writes it; a test fails while it is stale.

mod convert;
mod event;
mod job;
mod midnight;
mod reason;

pub use convert::{from_timestamp, situation, status_from_word, status_word, to_timestamp};
pub use event::{EVENT_VERSION, EventError, decode_event, encode_event};
pub use job::{
    is_job_over, job_figures, job_kind, job_lines_done, job_lines_with, job_state_word, line_outcome,
    outcome_words, put_job_parameters,
};
pub use midnight::{midnight_outcome, midnight_sentence};
pub use reason::{pause, pause_from_message, reason};

/// Messages, clients and servers of package `sslmanager.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
pub mod v1 {
    include!("generated/sslmanager.v1.rs");
}

/// All descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");
