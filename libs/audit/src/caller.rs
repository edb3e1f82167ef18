//! Who calls.

use jiff::Timestamp;
use store::AuditEntry;

/// Longest text that a line keeps of what a caller sent, in bytes.
const MOST_TEXT: usize = 512;

/// Who calls what, from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A principal such as `token:dashboard`.
    pub actor: String,
    /// The address that called.
    pub peer: String,
    /// The call, such as `AddDomain`.
    pub call: &'static str,
    /// What the caller named the request; empty if nothing.
    pub request_id: String,
}

impl Caller {
    /// Whoever runs a command on the store itself, by the name that the system gives them.
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

/// What was sent, without what could make one line look like two, and not without end.
fn bounded(text: &str) -> String {
    let clean = text.replace(|letter: char| letter.is_control(), "\u{fffd}");
    let end = clean.floor_char_boundary(MOST_TEXT);
    clean[..end].to_owned()
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
            request_id: "r".repeat(MOST_TEXT * 2),
        };
        let line = caller.line(Timestamp::UNIX_EPOCH, "a\nb\0", "OK", &"ü".repeat(MOST_TEXT));
        assert_eq!(line.subject, "a\u{fffd}b\u{fffd}");
        assert_eq!(line.request_id.len(), MOST_TEXT);
        assert_eq!(line.detail, "ü".repeat(MOST_TEXT / 2));
    }
}
