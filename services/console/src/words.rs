//! Every sentence of the page that is not the API's, in one place; the compiler checks that their placeholders are filled.

mod admin;
mod domain;
mod help;
mod message;
mod todo;

use std::time::Duration;

use jiff::Timestamp;
use proto::{from_timestamp, v1};

pub(crate) use self::admin::*;
pub(crate) use self::domain::*;
pub(crate) use self::help::*;
pub(crate) use self::message::{message_about, one_message};
pub(crate) use self::todo::{ToDo, to_do};
use crate::lines::MAX_LINES;
use crate::zone::Zone;

pub(crate) const SIGN_IN_FAILED: &str = "Name or password is not right.";
pub(crate) const PROVIDER_AWAY: &str =
    "The sign-in provider does not answer. Try again in a moment, or sign in with name and password.";
pub(crate) const PROVIDER_CANCELLED: &str = "The sign-in was cancelled at the provider.";
pub(crate) const PROVIDER_REFUSED: &str =
    "The provider did not sign you in. Try again, and ask an administrator if it keeps happening.";
pub(crate) const PROVIDER_NOT_ENOUGH: &str =
    "The provider knows you, but you may not sign in here. Ask an administrator for a role.";
pub(crate) const PROVIDER_ANSWER_UNKNOWN: &str = "This sign-in was not started in this browser, was used already, or took over ten minutes. Sign in again.";
pub(crate) const LAST_KNOWN: &str = "The API does not answer. Showing what was last known.";

/// In front of a title: `(6!) `.
pub(crate) fn alarm(emergencies: u64) -> String {
    if emergencies == 0 { String::new() } else { format!("({}!) ", number(emergencies)) }
}

/// The banner of every page.
pub(crate) fn emergencies(count: u64) -> String {
    match count {
        1 => "1 emergency".to_owned(),
        count => format!("{} emergencies", number(count)),
    }
}

pub(crate) fn throttled(wait: Option<Duration>) -> String {
    let seconds = wait.map_or(30, |wait| wait.as_secs().max(1));
    format!("Too many attempts for this name. Try again in {seconds} seconds.")
}

/// Who must act, as a table says it in bold.
pub(crate) fn who(who: &str) -> &'static str {
    match who {
        "customer" => "Customer",
        "cdn_operator" => "CDN operator",
        "ca" => "Certificate authority",
        "" => "No one",
        _ => "SSL Manager",
    }
}

/// The filter of what is new, by the time it begins at.
pub(crate) fn new_since(at: &str, zone: &str) -> String {
    format!("Needs a person since {at} ({zone}) or later")
}

/// A reason in a few words, by its code alone, for a table of counts.
pub(crate) fn reason(code: &str) -> &str {
    ::domain::sentence::short_of(code).unwrap_or(code)
}

/// The activity in words.
pub(crate) fn activity(word: &str) -> &str {
    match word {
        "idle" => "Nothing to do",
        "preflight" => "Checking C4 and DNS",
        "waiting_for_budget" => "Waiting for room in the CA's limits",
        "waiting_for_ca" => "Waiting for the CA",
        "validating" => "The CA is checking the domain",
        "issued" => "Issued, the upload is next",
        "uploading" => "Uploading to C4",
        "verifying_edges" => "Waiting for the edges to serve it",
        "retrying" => "Trying again",
        other => other,
    }
}

/// An instant of a message; none where there is none, or none that exists.
pub(crate) fn instant(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(from_timestamp)
}

/// The status in a sentence or two. Of words that only a newer API knows there is its own sentence.
pub(crate) fn status(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> String {
    match proto::situation(domain) {
        Some(situation) => situation.verdict(&zone.reader(now)),
        None => newer(domain),
    }
}

/// The text from a newer API, as far as it has one.
fn newer(domain: &v1::Domain) -> String {
    match &domain.reason {
        Some(reason) => reason.message.clone(),
        None => activity(&domain.activity).to_owned(),
    }
}

/// The activity or reason, in a few words for a row that names who must act.
pub(crate) fn in_short(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> String {
    match (proto::situation(domain), &domain.reason) {
        (Some(situation), _) => situation.in_short(&zone.reader(now)),
        (None, Some(reason)) => reason.code.replace('_', " "),
        (None, None) => activity(&domain.activity).to_owned(),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

// Adding.

pub(crate) const ADD_HINT: &str = "One per line, or separated by spaces or commas. URLs are reduced to their host. \
                                   Text after # is ignored. At most 100,000.";
pub(crate) const NO_NAME: &str = "Enter at least one domain name, such as shop.example.com.";
pub(crate) const ONE_TO_CHECK: &str = "Enter one name to check it.";

pub(crate) fn too_many_lines() -> String {
    let most = number(MAX_LINES as u64);
    format!("That is more than {most} names. Send them in batches, or use the API.")
}

pub(crate) fn not_checked(why: &str) -> String {
    format!("Not checked: {why} It can still be added; it is checked before it is ordered.")
}

/// A question of the preflight.
pub(crate) fn step(step: &str) -> &'static str {
    match step {
        "c4" => "C4 knows it, with ports 80 and 443",
        "dns" => "DNS points to the CDN",
        "caa" => "CAA permits our CA",
        "challenge_path" => "The challenge path reaches us",
        _ => "Another check",
    }
}

/// The result of a preflight as a sentence.
pub(crate) fn verdict(is_listed: bool, has_live: bool, is_ready: bool) -> &'static str {
    match (is_listed, has_live, is_ready) {
        (false, _, true) => "All checks pass: the certificate is ordered at once.",
        (false, _, false) => {
            "It can be added now. It is checked again automatically, and ordered once the checks pass."
        }
        (true, true, _) => "It is on the list and has a certificate.",
        (true, false, true) => "It is on the list without a certificate. All checks pass now.",
        (true, false, false) => {
            "It is on the list. It is checked again automatically, and ordered once the checks pass."
        }
    }
}

// Jobs.

pub(crate) const JOB_WAITS: &str = "Queued; starts automatically.";
pub(crate) const JOB_KEPT: &str = "The work goes on without this page. A job is kept for 30 days after its end, and everyone who can sign in sees it.";
pub(crate) const KEEP_SERVING: &str = "Keep serving each until it ends";
pub(crate) const REMOVE_TOO: &str = "Remove from C4 too, so that HTTPS ends now";
pub(crate) const NOTHING_SELECTED: &str =
    "Nothing is selected. Go back and select some domains, or choose All that match.";
pub(crate) const NO_SUCH_ACTION: &str = "There is no such action. Go back to the list.";
pub(crate) const NOTHING_MATCHES: &str = "No domain matches any more. Go back to the list.";

fn domains_counted(count: u64) -> String {
    match count {
        1 => "1 domain".to_owned(),
        count => format!("{} domains", number(count)),
    }
}

/// What a job does, as a title.
pub(crate) fn job_title(job: &v1::Job) -> String {
    let doing = match job.kind() {
        v1::JobKind::Add => "Adding",
        v1::JobKind::Recheck => "Rechecking",
        v1::JobKind::Delete => "Deleting",
        v1::JobKind::Generate => "Generating certificates of",
        v1::JobKind::Reissue => "Reissuing certificates of",
        v1::JobKind::Label => "Labelling",
        v1::JobKind::Unspecified => "Working on",
    };
    let waiting = proto::job_lines_with(job, ::domain::LineOutcome::Waiting);
    let left_out = [::domain::LineOutcome::Refused, ::domain::LineOutcome::Repeated];
    let left_out: u32 = left_out.into_iter().map(|outcome| proto::job_lines_with(job, outcome)).sum();
    let names = domains_counted(job.lines.saturating_sub(left_out).into());
    match job.state() {
        v1::JobState::Draft if waiting == 0 => "There is nothing to do".to_owned(),
        v1::JobState::Draft => format!("{}?", job_button(job.kind(), waiting)),
        v1::JobState::Queued | v1::JobState::Running | v1::JobState::Unspecified => {
            format!("{doing} {names}")
        }
        state => format!("{doing} {names}: {}", job_state(state).to_lowercase()),
    }
}

/// What a job of that kind does, as a command.
pub(crate) fn job_button(kind: v1::JobKind, count: u32) -> String {
    let does = match kind {
        v1::JobKind::Add => "Add",
        v1::JobKind::Recheck => "Recheck",
        v1::JobKind::Delete => "Delete",
        v1::JobKind::Generate => "Generate certificates of",
        v1::JobKind::Reissue => "Reissue certificates of",
        v1::JobKind::Label => "Label",
        v1::JobKind::Unspecified => "Work on",
    };
    format!("{does} {}", domains_counted(count.into()))
}

pub(crate) fn job_state(state: v1::JobState) -> &'static str {
    match state {
        v1::JobState::Draft => "Not started",
        v1::JobState::Queued => "Queued",
        v1::JobState::Running => "Running",
        v1::JobState::Done => "Done",
        v1::JobState::Cancelled => "Cancelled",
        v1::JobState::Stopped => "Stopped",
        v1::JobState::Unspecified => "",
    }
}

pub(crate) fn job_progress(done: u32, total: u32) -> String {
    format!("{} of {}", number(done.into()), number(total.into()))
}

pub(crate) fn job_started(owner: &str, at: &str) -> String {
    format!("Started by {owner}, {at}.")
}

pub(crate) fn and_more(count: usize) -> String {
    format!("And {} more.", number(count as u64))
}

pub(crate) fn count_differs(count: usize) -> String {
    format!("Type {count} to delete them. Nothing was deleted.")
}

pub(crate) fn too_many_match() -> String {
    let most = number(MAX_LINES as u64);
    format!("More than {most} domains match. Narrow the list first.")
}

pub(crate) fn queue_through(at: &str) -> String {
    format!("New domains queued now will be done by about {at}.")
}

/// How soon new names are ordered. The room counts what is due besides, so it is "about".
pub(crate) fn forecast(names: u64, room: Option<u64>, queue: Option<&str>) -> String {
    match (room, queue) {
        (_, Some(at)) => {
            format!(
                "Other domains are queued for the CA's limits until about {at}. The new ones come after them."
            )
        }
        (Some(room), None) if room >= names => "The CA's limits have room for all of them now.".to_owned(),
        (Some(room), None) => {
            format!("About {} can be ordered now. The rest follows as the CA's limits allow.", number(room))
        }
        (None, None) => "They are ordered as fast as the CA allows.".to_owned(),
    }
}

// Overview.

pub(crate) const NO_FIGURES: &str = "The figures are not available: the API is older than this page.";

/// Days left, as short as they fit under a bar.
pub(crate) fn span(from: u32, to: u32) -> String {
    match to {
        u32::MAX => format!("{from}+"),
        to if to == from + 1 => from.to_string(),
        to => format!("{from}–{}", to - 1),
    }
}

pub(crate) fn ends(from: u32, to: u32, count: u64) -> String {
    let end = if count == 1 { "1 domain ends" } else { "domains end" };
    let count = if count == 1 { String::new() } else { format!("{} ", number(count)) };
    match to {
        u32::MAX => format!("{count}{end} in {from} days or later"),
        1 => format!("{count}{end} today"),
        2 => format!("{count}{end} in 1 day"),
        to if to == from + 1 => format!("{count}{end} in {from} days"),
        to => format!("{count}{end} in {from} to {} days", to - 1),
    }
}

pub(crate) fn issuance(days: &[v1::IssuanceDay]) -> String {
    let issued = number(days.iter().map(|day| day.issued).sum());
    let failed = number(days.iter().map(|day| day.failed).sum());
    format!("{issued} certificates issued and {failed} orders failed.")
}

/// `2026-11-12` as `12 Nov`.
pub(crate) fn day(day: &str) -> String {
    let date: Result<jiff::civil::Date, _> = day.parse();
    date.map_or_else(|_| day.to_owned(), |date| date.strftime("%-d %b").to_string())
}

pub(crate) fn left(left: u32, capacity: u32, free_at: Option<&str>) -> String {
    let (left, capacity) = (number(left.into()), number(capacity.into()));
    match free_at {
        Some(at) => format!("{left} of {capacity} left, room for one more at {at}"),
        None => format!("{left} of {capacity} left"),
    }
}

pub(crate) fn room(room: Option<u64>) -> String {
    match room {
        Some(0) => "No order can be placed now.".to_owned(),
        Some(room) => format!("About {} can be ordered now.", number(room)),
        None => "No limit is known.".to_owned(),
    }
}

pub(crate) fn waiting(waiting: u64, through: Option<&str>) -> String {
    match (waiting, through) {
        (0, None) => "No domain waits for room.".to_owned(),
        (waiting, None) => format!("{} waiting for room.", domains_counted(waiting)),
        (waiting, Some(at)) => {
            format!("{} waiting for room, until about {at}.", domains_counted(waiting))
        }
    }
}

/// Yesterday's value of a figure.
pub(crate) fn yesterday(count: u64) -> String {
    format!("Yesterday {} (UTC)", number(count))
}

/// How a part of the whole is, by the domains that have trouble with it.
pub(crate) fn health(domains: u64, trouble: &str) -> String {
    match domains {
        0 => "No trouble".to_owned(),
        count => format!("{trouble}: {}", domains_counted(count)),
    }
}

/// The overdue work, and its age.
pub(crate) fn queue(overdue: u64, oldest: Option<&str>) -> String {
    match (overdue, oldest) {
        (0, _) | (_, None) => "Nothing is overdue".to_owned(),
        (count, Some(age)) => format!("{} overdue, the oldest for {age}", number(count)),
    }
}

/// When the last daily recheck was, in the reader's zone, and what came of it.
pub(crate) fn midnight(midnight: Option<&v1::Midnight>, zone: &Zone) -> String {
    let Some(midnight) = midnight else {
        return "None yet.".to_owned();
    };
    let on = instant(midnight.at.as_ref()).map_or_else(|| day(&midnight.day), |at| zone.time(at));
    let domains = number(midnight.domains);
    match midnight.waiting {
        0 => format!("{on}: {domains} rechecked."),
        waiting => format!("{on}: {domains} rechecked, {} still to come.", number(waiting)),
    }
}

/// The time left until then, in a few words.
pub(crate) fn days_left(at: Timestamp, zone: &Zone, now: Timestamp) -> String {
    match (at > now, zone.days_left(at, now)) {
        (true, _) if hours(at, now) < 24 => format!("{} left", short_time(at, now)),
        (true, 1) => "1 day left".to_owned(),
        (true, days) => format!("{} days left", number(days.unsigned_abs())),
        (false, 0) => "ended today".to_owned(),
        (false, -1) => "ended yesterday".to_owned(),
        (false, days) => format!("ended {} days ago", number(days.unsigned_abs())),
    }
}

/// The same of what has not ended, as a part of a badge.
pub(crate) fn ends_in(at: Timestamp, zone: &Zone, now: Timestamp) -> String {
    match zone.days_left(at, now) {
        _ if hours(at, now) < 24 => format!("ends in {}", short_time(at, now)),
        1 => "ends in 1 day".to_owned(),
        days => format!("ends in {days} days"),
    }
}

fn hours(at: Timestamp, now: Timestamp) -> i64 {
    at.duration_since(now).as_hours()
}

fn short_time(at: Timestamp, now: Timestamp) -> String {
    match hours(at, now) {
        0 => format!("{} min", at.duration_since(now).as_mins()),
        hours => format!("{hours} h"),
    }
}

/// How long something has taken, in its largest unit.
pub(crate) fn age(age: jiff::SignedDuration) -> String {
    let minutes = age.as_mins().max(0);
    let (count, unit) = match minutes {
        0 => return "under a minute".to_owned(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_told_as_the_reader_dates_it() {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::COOKIE, http::HeaderValue::from_static("clock=utc"));
        let at = "2026-11-29T16:00:00Z".parse().unwrap();
        let last = v1::Midnight {
            day: "2026-11-30".to_owned(),
            domains: 7,
            at: Some(proto::to_timestamp(at)),
            ..v1::Midnight::default()
        };
        let told = |headers: &http::HeaderMap| midnight(Some(&last), &Zone::of(headers));
        assert_eq!(told(&headers), "29 Nov 2026, 16:00: 7 rechecked.");
        assert_eq!(told(&http::HeaderMap::new()), "30 Nov 2026, 00:00: 7 rechecked.");
    }

    #[test]
    fn what_is_left_is_told_in_hours_at_last() {
        let zone = Zone::of(&http::HeaderMap::new());
        // 01:30 in Singapore.
        let now: Timestamp = "2026-11-12T17:30:00Z".parse().unwrap();
        for (minutes, text) in [
            (30, "30 min left"),
            (9 * 60, "9 h left"),
            (24 * 60, "1 day left"),
            (47 * 60, "2 days left"),
            (-60, "ended today"),
            (-120, "ended yesterday"),
            (-60 * 26, "ended 2 days ago"),
        ] {
            let at = now + jiff::SignedDuration::from_mins(minutes);
            assert_eq!(days_left(at, &zone, now), text, "{minutes}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (plain, grouped) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(plain), grouped);
        }
    }

    #[test]
    fn what_ends_is_said_in_one_or_many() {
        for (from, to, count, text) in [
            (0, 1, 1, "1 domain ends today"),
            (1, 2, 2, "2 domains end in 1 day"),
            (3, 4, 1200, "1,200 domains end in 3 days"),
            (7, 14, 2, "2 domains end in 7 to 13 days"),
            (90, u32::MAX, 1, "1 domain ends in 90 days or later"),
        ] {
            assert_eq!(ends(from, to, count), text);
        }
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (minutes, text) in
            [(-5, "under a minute"), (1, "1 minute"), (59, "59 minutes"), (119, "1 hour"), (2880, "2 days")]
        {
            assert_eq!(age(jiff::SignedDuration::from_mins(minutes)), text);
        }
    }

    #[test]
    fn a_forecast_says_who_has_to_wait() {
        assert!(forecast(10, Some(10), None).contains("all of them now"));
        assert!(forecast(11, Some(10), None).contains("About 10 can be ordered now"));
        assert!(forecast(1, Some(10), Some("14:20")).contains("until about 14:20"));
    }
}
