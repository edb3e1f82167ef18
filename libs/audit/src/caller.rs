//! The caller of an audited call.

use domain::one_line;
use jiff::Timestamp;
use store::AuditEntry;

/// Longest text that a line keeps of what a caller sent, in characters.
const MAX_TEXT: usize = 512;

/// Who calls what, from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A principal such as `token:dashboard`.
    pub actor: String,
    /// The address that called.
    pub peer: String,
    /// The call, such as `AddDomain`.
    pub call: &'static str,
    /// The caller's id of the request; empty for none.
    pub request_id: String,
}

impl Caller {
    /// The user who runs a command on the store, by their system name.
    pub fn at_the_machine(call: &'static str) -> Self {
        let user = std::env::var("USER").unwrap_or_default();
        let user = if user.is_empty() { "unknown" } else { &user };
        Self {
            actor: bounded(&format!("command:{user}")),
            peer: "local".to_owned(),
            call,
            request_id: String::new(),
        }
    }

    /// The line that tells of this call.
    pub fn line(&self, at: Timestamp, subject: &str, outcome: &str, detail: &str) -> AuditEntry {
        AuditEntry {
            at,
            actor: bounded(&self.actor),
            peer: bounded(&self.peer),
            call: self.call.to_owned(),
            subject: bounded(subject),
            outcome: bounded(outcome),
            detail: bounded(detail),
            request_id: bounded(&self.request_id),
        }
    }
}

fn bounded(text: &str) -> String {
    one_line(text, MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_sent_stays_one_short_line() {
        let caller = Caller {
            actor: "token:t".to_owned(),
            peer: "192.0.2.1:1".to_owned(),
            call: "AddDomain",
            request_id: "r".repeat(MAX_TEXT * 2),
        };
        let line = caller.line(Timestamp::UNIX_EPOCH, "a\nb\0\u{202e}c\u{200b}", "OK", &"ü".repeat(MAX_TEXT));
        assert_eq!(line.subject, "a b c");
        assert_eq!(line.request_id.chars().count(), MAX_TEXT);
        assert!(line.request_id.ends_with('…'));
        assert_eq!(line.detail, "ü".repeat(MAX_TEXT));
    }
}
