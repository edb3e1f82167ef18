//! The sentences about statuses, keys, and the rights of roles.

use domain::{Action, Role};
use proto::v1;

/// The roles that may do that: `support or admin`.
pub(crate) fn who_may(action: Action) -> String {
    let roles = Role::ALL.into_iter().filter(|role| role.may(action));
    roles.map(Role::as_str).collect::<Vec<_>>().join(" or ")
}

/// The meaning of a status, and the next step.
pub(crate) fn legend(status: v1::Status) -> (&'static str, &'static str) {
    match status {
        v1::Status::Success => (
            "The domain is valid; its certificate was issued, uploaded and is active.",
            "A certificate from C4 renews by itself; a pasted one does not.",
        ),
        v1::Status::Pending => (
            "Requested or issued, but ownership is not yet verified or the certificate not yet active.",
            "It continues by itself.",
        ),
        v1::Status::Failure => (
            "Verification cannot succeed: typically the domain is not pointed at the CDN.",
            "The customer usually has to act. We keep checking, and order once the checks pass.",
        ),
        v1::Status::Discard => (
            "C4 does not know the domain: nothing can be attached to it.",
            "Create it in the CDN dashboard, then Recheck; or delete it here.",
        ),
        v1::Status::Expired => {
            ("The active certificate is past its end date.", "Browsers show a warning now.")
        }
        v1::Status::Emergency => {
            ("The upload of key and certificate to C4 failed.", "A person must look now.")
        }
        v1::Status::Unspecified => ("", ""),
    }
}

pub(crate) const AT_RISK: &str = "A Success that ends within 14 days and will not renew by itself: the renewal is blocked, \
                                  its last attempt failed, or the certificate was pasted.";

pub(crate) const NEW: &str = "A domain that needs a person, and whose present status began yesterday or today, or whose renewal was \
                              blocked since then. An attempt that ends as the one before it is not new.";

/// The keys of the page.
pub(crate) const KEYS: [(&str, &str); 6] = [
    ("/", "Search"),
    ("j", "The next domain of the list"),
    ("k", "The previous domain of the list"),
    ("Enter", "Open the domain that has the focus"),
    ("r", "Recheck: the domain of this page, or the one in the list that has the focus"),
    ("?", "This help"),
];

/// The rights of a role.
pub(crate) fn may(action: Action) -> &'static str {
    match action {
        Action::Read => "look at everything",
        Action::Operate => "add, generate, paste, recheck, roll back and delete",
        Action::ReadKey => "download private keys",
        Action::Revoke => "revoke certificates",
        Action::Pause => "pause requests to the CAs and to C4",
        Action::Administer => "manage people, sessions and tokens, and read the audit log and the settings",
        Action::Webhooks => "look at webhooks and change them",
    }
}

pub(crate) fn key_readers() -> String {
    who_may(Action::ReadKey)
}

pub(crate) fn operators() -> String {
    who_may(Action::Operate)
}
