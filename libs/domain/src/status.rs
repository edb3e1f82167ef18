//! The six statuses and the one pure function that derives them.
//!
//! No code sets a status. Roles record facts; [`Facts::status`] derives the status from them, and it is stored in the
//! transaction that changed the facts. So a failed renewal cannot take a working certificate away: it changes
//! `block`, but `live` takes precedence.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::{CertificateId, HttpsSwitch, Missing, Reason};

/// The status that support and customers see, in these words everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// The domain is valid; its certificate was issued, uploaded and is active.
    Success,
    /// Requested or issued, but ownership is not yet verified or the certificate not yet active.
    Pending,
    /// Verification cannot succeed: typically the domain is not pointed at the CDN.
    Failure,
    /// C4 does not know the domain: nothing can be attached to it.
    Discard,
    /// The active certificate is past its end date.
    Expired,
    /// The upload of key and certificate to C4 failed: a person must look now.
    Emergency,
}

impl Status {
    /// All six, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Pending, Self::Failure, Self::Discard, Self::Expired, Self::Emergency];

    /// The status in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Pending => "Pending",
            Self::Failure => "Failure",
            Self::Discard => "Discard",
            Self::Expired => "Expired",
            Self::Emergency => "Emergency",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// The certificate that is active at C4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its id.
    pub certificate: CertificateId,
    /// When it ends.
    pub not_after: Timestamp,
}

/// The facts about a domain; its status is derived from them alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// C4 does not know the domain, and this is confirmed.
    pub unknown_to_c4: bool,
    /// C4's answers that it does not know the domain, since it last knew it.
    pub missing: Option<Missing>,
    /// Why an upload keeps failing after its quick attempts.
    pub upload_failing: Option<Reason>,
    /// The active certificate.
    pub live: Option<Live>,
    /// The obstacle that keeps verification from succeeding.
    pub block: Option<Reason>,
    /// Whether the customer has HTTPS switched on.
    pub https: HttpsSwitch,
    /// Since when DNS has been failing for the name (SERVFAIL), as far as it was asked.
    pub dns_failing_since: Option<Timestamp>,
}

impl Facts {
    /// The status at `now`: first match wins.
    pub fn status(&self, now: Timestamp) -> Status {
        if self.unknown_to_c4 {
            return Status::Discard;
        }
        if self.upload_failing.is_some() {
            return Status::Emergency;
        }
        match &self.live {
            Some(live) if now < live.not_after => Status::Success,
            // HTTPS is off, so its end is not visible to visitors.
            _ if self.https == HttpsSwitch::Off => Status::Pending,
            Some(_) => Status::Expired,
            None if self.block.is_some() => Status::Failure,
            None => Status::Pending,
        }
    }

    /// Whether the live certificate is valid but cannot be renewed at present.
    pub fn renewal_blocked(&self, now: Timestamp) -> bool {
        self.status(now) == Status::Success && self.block.is_some()
    }
}

/// The present activity; the status does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// Nothing until the next timer, or until a person acts.
    Idle,
    /// Checking at C4 and in DNS whether an order can succeed.
    Preflight,
    /// The CA's limits have no room yet.
    WaitingForBudget,
    /// The CA is working, down, or asked us to wait.
    WaitingForCa,
    /// The CA is checking the challenge.
    Validating,
    /// Issued and stored; the upload is next.
    Issued,
    /// Handing key and certificate to C4.
    Uploading,
    /// Checking whether the edges serve it.
    VerifyingEdges,
    /// The last attempt failed; another one is planned.
    Retrying,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Idle,
        Self::Preflight,
        Self::WaitingForBudget,
        Self::WaitingForCa,
        Self::Validating,
        Self::Issued,
        Self::Uploading,
        Self::VerifyingEdges,
        Self::Retrying,
    ];

    /// The word of the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preflight => "preflight",
            Self::WaitingForBudget => "waiting_for_budget",
            Self::WaitingForCa => "waiting_for_ca",
            Self::Validating => "validating",
            Self::Issued => "issued",
            Self::Uploading => "uploading",
            Self::VerifyingEdges => "verifying_edges",
            Self::Retrying => "retrying",
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Activity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|activity| activity.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(not_after: i64) -> Live {
        let certificate = CertificateId::from(uuid::Uuid::nil());
        Live { certificate, not_after: Timestamp::from_second(not_after).unwrap() }
    }

    /// Every combination of the four facts, against the table of the design.
    #[test]
    fn first_match_wins() {
        let now = Timestamp::from_second(100).unwrap();
        let reason = || Some(Reason::UploadFailed { detail: "x".into() });
        for bits in 0..24_u8 {
            let (unknown, failing, block, lived) = (bits & 1, bits & 2, bits & 4, bits / 8);
            let facts = Facts {
                unknown_to_c4: unknown != 0,
                missing: None,
                upload_failing: (failing != 0).then(reason).flatten(),
                live: [None, Some(live(101)), Some(live(100))][usize::from(lived)],
                block: (block != 0).then(reason).flatten(),
                dns_failing_since: None,
                https: HttpsSwitch::On,
            };
            let expected = match (unknown != 0, failing != 0, lived, block != 0) {
                (true, _, _, _) => Status::Discard,
                (_, true, _, _) => Status::Emergency,
                (_, _, 1, _) => Status::Success,
                (_, _, 2, _) => Status::Expired,
                (_, _, _, true) => Status::Failure,
                (_, _, _, false) => Status::Pending,
            };
            assert_eq!(facts.status(now), expected, "{facts:?}");
            assert_eq!(facts.renewal_blocked(now), expected == Status::Success && block != 0);
        }
    }
}
