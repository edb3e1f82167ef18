//! Errors as clients see them: a canonical code, a `google.rpc.ErrorInfo`, and a sentence that says what to do.
//!
//! No internal detail is sent: errors of the store or of a key are logged here, once, and the client only learns that
//! the error is on our side.

use std::error::Error;
use std::time::Duration;

use domain::{Action, DomainName, LabelError, NameError, Roles};
use seal::SealError;
use store::StoreError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "ssl-manager";
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// An error with its typed detail.
pub(crate) fn error(code: Code, reason: &str, sentence: impl Into<String>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, std::collections::HashMap::<String, String>::new());
    Status::with_error_details(code, sentence, details)
}

/// An error that passes by itself, with how long to wait.
fn passing(code: Code, reason: &str, sentence: impl Into<String>, after: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, std::collections::HashMap::<String, String>::new());
    details.set_retry_info(Some(after));
    Status::with_error_details(code, sentence, details)
}

/// A caller used more than its share.
pub(crate) fn retry(reason: &str, sentence: impl Into<String>, after: Duration) -> Status {
    passing(Code::ResourceExhausted, reason, sentence, after)
}

/// This process is overloaded: another copy may accept the call.
pub(crate) fn overloaded(after: Duration) -> Status {
    passing(Code::Unavailable, "OVERLOADED", "too much at once: wait a little, then try again", after)
}

/// A dependency of the call is away.
fn away(reason: &str, sentence: &str, problem: &(dyn Error + 'static)) -> Status {
    tracing::warn!(error = problem, "request failed");
    passing(Code::Unavailable, reason, sentence, RETRY_DELAY)
}

pub(crate) fn unauthenticated() -> Status {
    error(
        Code::Unauthenticated,
        "TOKEN_INVALID",
        "no valid token: send `authorization: Bearer TOKEN` with one from `ssl-manager token create`, or sign in again",
    )
}

pub(crate) fn unknown_client() -> Status {
    error(
        Code::Unauthenticated,
        "CLIENT_UNKNOWN",
        "no name of the client certificate is among [[api.tls.clients]] of the API's settings: add it there, or send a token",
    )
}

pub(crate) fn denied(roles: Roles, action: Action) -> Status {
    let (needed, what) = match action {
        Action::Read => ("viewer", "read"),
        Action::Operate => ("support or admin", "change domains"),
        Action::ReadKey => ("key-reader or admin", "take private keys out"),
        Action::Revoke => ("admin", "revoke certificates"),
        Action::Pause => ("admin", "pause requests to the CAs or to C4"),
        Action::Administer => ("admin", "manage people and tokens, or read the audit log and the settings"),
        Action::Webhooks => ("admin", "look at webhooks or change them"),
    };
    let sentence = format!("a {roles} may not {what}: use a token with the role {needed}");
    error(Code::PermissionDenied, "ROLE_LACKS_PERMISSION", sentence)
}

pub(crate) fn bad_name(problem: &NameError) -> Status {
    error(Code::InvalidArgument, problem.reason(), problem.to_string())
}

pub(crate) fn bad_label(problem: LabelError) -> Status {
    invalid(problem.reason(), problem.to_string())
}

pub(crate) fn invalid(reason: &str, sentence: impl Into<String>) -> Status {
    error(Code::InvalidArgument, reason, sentence)
}

pub(crate) fn not_found(name: &DomainName) -> Status {
    error(Code::NotFound, "DOMAIN_NOT_FOUND", format!("{name} is not on the list: add it first"))
}

pub(crate) fn from_store(problem: &StoreError) -> Status {
    match problem {
        StoreError::Conflict { .. } | StoreError::LeaseLost { .. } => error(
            Code::Aborted,
            "CHANGED_MEANWHILE",
            "the domain changed at the same moment: send the request again",
        ),
        // The store logs it once a minute.
        _ if problem.is_disk_full() => passing(
            Code::Unavailable,
            "STORE_UNAVAILABLE",
            "disk full: the database stores nothing until there is space again",
            RETRY_DELAY,
        ),
        _ if problem.is_unavailable() => away(
            "STORE_UNAVAILABLE",
            "the database does not answer, or takes no writes: try again in a moment",
            problem,
        ),
        _ => internal(problem),
    }
}

pub(crate) fn from_seal(problem: &SealError) -> Status {
    match problem {
        SealError::Unavailable(_) => away(
            "SEALING_UNAVAILABLE",
            "private keys cannot be sealed or opened for now: try again in a moment",
            problem,
        ),
        _ => internal(problem),
    }
}

/// Our own trouble.
pub(crate) fn internal(problem: &(dyn Error + 'static)) -> Status {
    tracing::error!(error = problem, "request failed");
    error(Code::Internal, "INTERNAL", "trouble on our side: try again, and look at the log if it stays")
}

impl From<crate::commands::CommandError> for Status {
    fn from(problem: crate::commands::CommandError) -> Self {
        use crate::commands::CommandError;
        match problem {
            CommandError::NotFound(name) => not_found(&name),
            problem @ CommandError::NothingToRollBackTo { .. } => error(
                Code::FailedPrecondition,
                "NOTHING_TO_ROLL_BACK_TO",
                format!("{problem}; generate or import one instead"),
            ),
            problem @ CommandError::NoSuchCertificate(_) => error(
                Code::NotFound,
                "CERTIFICATE_NOT_FOUND",
                format!("{problem}: name one that ListCertificates shows"),
            ),
            problem @ CommandError::NotRevocable { .. } => {
                error(Code::FailedPrecondition, "CERTIFICATE_NOT_REVOCABLE", problem.to_string())
            }
            CommandError::Label(problem) => bad_label(problem),
            CommandError::Store(problem) => from_store(&problem),
            CommandError::Transition(problem) => internal(&problem),
        }
    }
}
