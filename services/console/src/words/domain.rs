//! The sentences of the pages of one domain.

use domain::sentence;
use jiff::Timestamp;
use proto::v1;
use x509::Warning;

use super::{days_left, instant, number};
use crate::zone::Zone;

/// The message about the last action, shown once, at the top of the next page.
pub(crate) struct Done {
    pub(crate) text: String,
    /// Done, but with something that people should know.
    pub(crate) is_warning: bool,
}

/// The pauses, one sentence each; unknown targets of a newer API are left out.
pub(crate) fn paused(pauses: &[v1::Pause], zone: &Zone) -> Vec<String> {
    let zone = zone.named_zone();
    let known = pauses.iter().filter_map(proto::pause_from_message);
    known.map(|pause| sentence::paused(&pause, &zone.time(pause.since))).collect()
}

/// The sentences for a word of the address: what was done, and the codes of warnings after it, with dots between them.
/// None for any other word, for an address can be made up.
pub(crate) fn done(word: &str) -> Option<Done> {
    if let Some(text) = super::administered(word) {
        return Some(Done { text: text.to_owned(), is_warning: false });
    }
    let mut words = word.split('.');
    let done = sentence::Done::of(words.next()?)?;
    let warnings = words.map(Warning::of_code).collect::<Option<Vec<_>>>()?;
    let mut text = done.sentence().to_owned();
    for warning in &warnings {
        text.push(' ');
        text.push_str(&crate::problem::sentence(&warning.to_string()));
    }
    Some(Done { text, is_warning: !warnings.is_empty() })
}

/// The first choice of Delete.
pub(crate) fn keep_serving(until: Option<&str>) -> String {
    match until {
        Some(day) => format!("Keep serving until {day}"),
        None => "Leave C4 as it is".to_owned(),
    }
}

pub(crate) fn type_the_name(name: &str) -> String {
    format!("Type {name} to confirm: it is live.")
}

pub(crate) const SAY_WHY: &str = "Say why the key is needed. The history keeps the reason.";
pub(crate) const PASSWORD_MISSING: &str = "Choose a password for the PFX, or take the key as PEM.";
pub(crate) const PASSWORDS_DIFFER: &str = "The two passwords differ. Type the same one twice.";
pub(crate) const CHOOSE_A_REASON: &str = "Choose the reason why it is revoked.";

/// A reason to revoke, from the word of RFC 5280 for it.
pub(crate) fn revocation(word: &str) -> &'static str {
    match word {
        "key-compromise" => "Key compromise: the private key is, or may be, known to others",
        "superseded" => "Superseded: another certificate took its place",
        "cessation-of-operation" => "Cessation of operation: it is no longer needed",
        "affiliation-changed" => "Affiliation changed: the organisation that it was issued to has changed",
        _ => "",
    }
}

/// Where a certificate comes from.
pub(crate) fn source(source: v1::Source) -> &'static str {
    match source {
        v1::Source::C4 => "C4",
        v1::Source::Text => "Text",
        v1::Source::Unspecified => "",
    }
}

/// What visitors are served now.
pub(crate) fn serves(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> String {
    let ends = instant(domain.expires_at.as_ref());
    match ends {
        Some(ends) if ends > now => format!("a certificate that works until {}", zone.date(ends)),
        Some(ends) => format!("a certificate that ended on {}; browsers show a warning", zone.date(ends)),
        None => "no certificate of ours; HTTPS does not work".to_owned(),
    }
}

/// The result of the checks of a recheck.
pub(crate) fn found(steps: &[v1::CheckStep]) -> String {
    let blocked = steps.iter().find(|step| step.outcome() == v1::CheckOutcome::Blocked);
    let unanswered = steps.iter().find(|step| step.outcome() == v1::CheckOutcome::CouldNotAsk);
    match (blocked, unanswered) {
        (Some(step), _) => {
            let reason = step.reason.clone().unwrap_or_default();
            let found = [reason.found, step.found.clone(), super::reason(&reason.code).to_owned()];
            still(found.iter().find(|found| !found.is_empty()).map_or("", String::as_str))
        }
        (None, Some(_)) => "not every check got an answer. It is retried automatically.".to_owned(),
        (None, None) => "all checks pass.".to_owned(),
    }
}

/// A finding that has not changed.
pub(crate) fn still(found: &str) -> String {
    format!("still {}.", found.trim_end_matches('.'))
}

/// How many edges serve what is live.
pub(crate) fn served_by(serving: u32, asked: u32) -> String {
    let edges = if asked == 1 { "edge" } else { "edges" };
    format!("Served by {serving} of {asked} {edges}.")
}

/// How the text for staff is headed.
pub(crate) fn for_staff(who: &str) -> &'static str {
    match who {
        "cdn_operator" => "Message for the CDN operator",
        "ca" => "What happened at the certificate authority",
        _ => "What is going on",
    }
}

/// The hint for an apex, by the kind of the first needed record.
pub(crate) fn apex(kind: &str) -> Option<&'static str> {
    match kind {
        "ALIAS" => Some(
            "This is an apex, which cannot have a CNAME. Set an ALIAS record; some providers call it ANAME or CNAME \
             flattening.",
        ),
        "A" | "AAAA" => Some(
            "This is an apex, which cannot have a CNAME. Set each of the A and AAAA records, or only the ALIAS (also called \
             ANAME or CNAME flattening) where one is listed.",
        ),
        _ => None,
    }
}

/// The life of a certificate, as its bar shows it.
pub(crate) fn life(
    from: Timestamp,
    until: Timestamp,
    renewal: Option<Timestamp>,
    zone: &Zone,
    now: Timestamp,
) -> String {
    let whole = days(until.duration_since(from).as_secs().div_euclid(24 * 60 * 60));
    let left = crate::problem::sentence(&days_left(until, zone, now));
    let renews = renewal.map_or_else(String::new, |at| format!(" Renews about {}.", zone.day(at)));
    let (from, until) = (zone.date(from), zone.date(until));
    format!("Valid for {whole}, from {from} to {until}. {left}{renews}")
}

fn days(days: i64) -> String {
    match days {
        1 => "1 day".to_owned(),
        days => format!("{} days", number(days.unsigned_abs())),
    }
}

/// The title of a history line, from the API's word for it.
pub(crate) fn kind(word: &str) -> String {
    let known = match word {
        "added" => "Added",
        "generated" => "Certificate requested",
        "imported" => "Certificate pasted",
        "rechecked" => "Rechecked",
        "rolled_back" => "Rolled back",
        "deleted" => "Deleted",
        "labels_changed" => "Labels changed",
        "https_off" => "HTTPS switched off",
        "https_on" => "HTTPS switched on again",
        "key_downloaded" => "Private key downloaded",
        "blocked" => "Blocked",
        "could_not_ask" => "Could not check",
        "unknown_to_c4" => "Unknown to C4",
        "order_placed" => "Order placed",
        "order_failed" => "Order failed",
        "ca_waiting" => "Waiting for the CA",
        "certificate_issued" => "Certificate issued",
        "certificate_rejected" => "Certificate not accepted",
        "certificate_uploaded" => "Live at C4",
        "not_served_yet" => "Not served at every edge yet",
        "upload_failed" => "Upload failed",
        "difference_found" => "C4 had a different certificate",
        "paused" => "Paused by an operator",
        "ahead_at_c4" => "C4 had a newer certificate",
        "taken_over" => "Taken over from C4",
        "not_uploaded_again" => "Not uploaded again",
        "certificate_removed" => "Removed from C4",
        "ending" => "Certificate ends soon",
        "expired" => "Certificate ended",
        "keys_destroyed" => "Private keys destroyed",
        "revocation_requested" => "Revocation requested",
        "revocation_waiting" => "Revocation waits",
        "revoked" => "Revoked",
        "revocation_failed" => "Revocation failed",
        // A word of a newer API still reads.
        other => {
            return crate::problem::sentence(&other.replace('_', " ")).trim_end_matches('.').to_owned();
        }
    };
    known.to_owned()
}

/// The actor, from the API's word for it.
pub(crate) fn by(actor: &str) -> String {
    match actor.split_once(':') {
        Some((kind, name)) => format!("{name} ({kind})"),
        None => actor.to_owned(),
    }
}

/// A line of the history, and apart from it what a certificate authority said in its own words.
pub(crate) fn without_problem(message: &str) -> (&str, &str) {
    let begins = [
        "The certificate authority reported ",
        "The certificate authority refused ",
        "The certificate authority delivered ",
    ];
    let at = begins.iter().filter_map(|begin| message.find(begin)).min();
    let (before, problem) = message.split_at(at.unwrap_or(message.len()));
    (before.trim_end(), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_address_says_nothing() {
        assert!(done("recheck").is_some());
        assert!(done("import.not_publicly_trusted").is_some_and(|done| done.is_warning));
        for made_up in ["<script>alert(1)</script>", "", "import.<b>", "import."] {
            assert!(done(made_up).is_none(), "{made_up}");
        }
    }

    #[test]
    fn every_kind_of_the_history_has_words_and_a_newer_one_reads() {
        assert_eq!(kind("certificate_uploaded"), "Live at C4");
        assert_eq!(kind("certificate_praised"), "Certificate praised");
        assert_eq!(by("token:dashboard"), "dashboard (token)");
        assert_eq!(by("issuer"), "issuer");
    }

    #[test]
    fn what_a_ca_said_stands_apart() {
        let message =
            "Requests to http://a.example.com/ must reach us. The certificate authority reported dns: no A";
        assert_eq!(
            without_problem(message),
            (
                "Requests to http://a.example.com/ must reach us.",
                "The certificate authority reported dns: no A"
            )
        );
        assert_eq!(without_problem("Active at C4."), ("Active at C4.", ""));
        let refused = "The certificate authority refused the order for a.example.com (rateLimited): too many";
        assert_eq!(without_problem(refused), ("", refused));
    }
}
