//! `domain watch`: a line per change, until Ctrl-C.

use domain::printable;
use std::collections::HashMap;

use proto::{from_timestamp, v1};
use serde_json::json;
use tonic::Request;

use super::connect::Client;
use super::{answer, failed};
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{domain_json, print, print_json, time};
use crate::terminal::{Colour, Look};
use crate::times::Times;

/// Of more domains than these, what they were before is forgotten, and their next line says what they are.
const MAX_REMEMBERED: usize = 100_000;
const NAME_WIDTH: usize = 28;

/// Prints one line per change until Ctrl-C. Errors: the server ended the stream, which it does when it stops.
pub(super) async fn run(
    client: &mut Client,
    request: v1::WatchDomainsRequest,
    output: Output,
) -> Result<(), CommandError> {
    let after = request.after_position;
    let mut changes = answer(client.watch_domains(Request::new(request)).await)?;
    let mut watched = Watched::new(Look::of_stdout(), Times::here());
    if output != Output::Json {
        print(watched.head())?;
    }
    let mut position = after;
    while let Some(change) = changes.message().await.map_err(|status| failed(&status))? {
        position = Some(change.position);
        if output == Output::Json {
            print_json(&change_json(&change))?;
        } else {
            watched.times = Times::here();
            print(watched.line(&change))?;
        }
    }
    let resume = position.map_or_else(String::new, |position| format!(" with --after {position}"));
    let sentence = format!("the server ended the stream, it stops or starts again: watch again{resume}");
    Err(CommandError::new("UNAVAILABLE", sentence))
}

fn change_json(change: &v1::WatchDomainsResponse) -> serde_json::Value {
    let domain = change.domain.clone().unwrap_or_default();
    let is_gone = change.deleted || change.no_longer_fits;
    let shown = if is_gone { json!({ "name": domain.name }) } else { domain_json(&domain) };
    json!({
        "position": change.position,
        "at": time(change.at.as_ref()),
        "deleted": change.deleted,
        "no_longer_fits": change.no_longer_fits,
        "domain": shown,
    })
}

/// The last printed state of each domain, so that the next line can name the difference.
struct Watched {
    before: HashMap<String, Seen>,
    look: Look,
    times: Times,
}

#[derive(Clone, PartialEq)]
struct Seen {
    status: v1::Status,
    activity: String,
    reason: String,
    certificate: String,
    failed_attempts: u32,
}

impl Watched {
    fn new(look: Look, times: Times) -> Self {
        Self { before: HashMap::new(), look, times }
    }

    fn head(&self) -> String {
        let (zone, name) = (self.times.zone_name(), "NAME");
        format!(
            "Changes as they happen; Ctrl-C ends. Times are {zone}.\nTIME      {name:<NAME_WIDTH$}  CHANGE"
        )
    }

    fn line(&mut self, change: &v1::WatchDomainsResponse) -> String {
        let domain = change.domain.clone().unwrap_or_default();
        let at = change.at.as_ref().and_then(from_timestamp).map(|at| self.times.of_day(at));
        let what = if change.deleted {
            self.before.remove(&domain.name);
            self.look.paint("deleted", Some(Colour::Grey))
        } else if change.no_longer_fits {
            self.before.remove(&domain.name);
            self.look.paint("no longer fits the filter", Some(Colour::Grey))
        } else {
            self.what(&domain)
        };
        format!("{:<8}  {:<NAME_WIDTH$}  {what}", at.unwrap_or_default(), printable(&domain.name))
    }

    /// What is different from the line before about the same domain; for the first, what it is.
    fn what(&mut self, domain: &v1::Domain) -> String {
        let seen = Seen {
            status: domain.status(),
            activity: printable(&domain.activity).replace('_', " "),
            reason: domain.reason.as_ref().map(|reason| printable(&reason.code)).unwrap_or_default(),
            certificate: domain.certificate.as_ref().map(|live| printable(&live.sha256)).unwrap_or_default(),
            failed_attempts: domain.failed_attempts,
        };
        if self.before.len() >= MAX_REMEMBERED {
            self.before.clear();
        }
        let before = self.before.insert(domain.name.clone(), seen.clone());
        let mut told = match before {
            Some(before) => self.difference(&before, &seen),
            None => self.present(&seen),
        };
        told.extend(self.next(domain));
        told.join(", ")
    }

    fn present(&self, seen: &Seen) -> Vec<String> {
        let words = [&seen.reason, &seen.activity].into_iter().filter(|word| says(word)).cloned();
        std::iter::once(self.status(seen)).chain(words).collect()
    }

    fn difference(&self, before: &Seen, seen: &Seen) -> Vec<String> {
        let mut told = Vec::new();
        if before.status != seen.status {
            told.push(format!("{} -> {}", proto::status_word(before.status), self.status(seen)));
        }
        if before.certificate != seen.certificate && !seen.certificate.is_empty() {
            told.push(format!("certificate {:.8} is live", seen.certificate));
        }
        if before.reason != seen.reason {
            let is_gone = seen.reason.is_empty();
            told.push(if is_gone { format!("no longer {}", before.reason) } else { seen.reason.clone() });
        }
        if before.activity != seen.activity && says(&seen.activity) {
            told.push(seen.activity.clone());
        }
        if before.failed_attempts < seen.failed_attempts {
            told.push(format!("attempt {} failed", seen.failed_attempts));
        }
        if told.is_empty() {
            told.push("looked at again".to_owned());
        }
        told
    }

    fn status(&self, seen: &Seen) -> String {
        self.look.paint(proto::status_word(seen.status), Colour::of(seen.status))
    }

    fn next(&self, domain: &v1::Domain) -> Option<String> {
        let at = domain.next_attempt_at.as_ref().and_then(from_timestamp)?;
        (at > self.times.now).then(|| format!("next {}", self.times.relative(at)))
    }
}

fn says(word: &str) -> bool {
    !word.is_empty() && word != "idle"
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proto::to_timestamp;

    use super::*;

    fn change(domain: v1::Domain, deleted: bool) -> v1::WatchDomainsResponse {
        let at = to_timestamp("2026-11-30T08:00:07.123456Z".parse().unwrap());
        let domain = Some(v1::Domain { name: "shop.example.com".to_owned(), ..domain });
        v1::WatchDomainsResponse { position: 7, at: Some(at), deleted, domain, no_longer_fits: false }
    }

    #[test]
    fn a_line_names_what_changed() {
        let times = Times { zone: TimeZone::UTC, now: "2026-11-30T08:00:08Z".parse().unwrap() };
        let mut watched = Watched::new(Look { width: 80, is_coloured: false }, times);
        assert!(watched.head().starts_with("Changes as they happen; Ctrl-C ends. Times are UTC.\nTIME "));
        let blocked = v1::Domain {
            status: v1::Status::Failure.into(),
            activity: "retrying".to_owned(),
            reason: Some(v1::Reason { code: "not_pointed".to_owned(), ..v1::Reason::default() }),
            failed_attempts: 1,
            next_attempt_at: Some(to_timestamp("2026-11-30T08:02:09Z".parse().unwrap())),
            ..v1::Domain::default()
        };
        let again = v1::Domain { failed_attempts: 2, ..blocked.clone() };
        let validating = v1::Domain {
            status: v1::Status::Pending.into(),
            activity: "waiting_for_ca".to_owned(),
            ..v1::Domain::default()
        };
        let certificate =
            v1::Certificate { sha256: "0123456789abcdef".to_owned(), ..v1::Certificate::default() };
        let serving = v1::Domain {
            status: v1::Status::Success.into(),
            activity: "idle".to_owned(),
            certificate: Some(certificate),
            ..v1::Domain::default()
        };
        for (domain, deleted, told) in [
            (blocked, false, "Failure, not_pointed, retrying, next in 2 min"),
            (again.clone(), false, "attempt 2 failed, next in 2 min"),
            (again, false, "looked at again, next in 2 min"),
            (validating, false, "Failure -> Pending, no longer not_pointed, waiting for ca"),
            (serving.clone(), false, "Pending -> Success, certificate 01234567 is live"),
            (serving.clone(), true, "deleted"),
            (serving, false, "Success"),
        ] {
            let line = watched.line(&change(domain, deleted));
            assert_eq!(line, format!("08:00:07  {:<28}  {told}", "shop.example.com"));
        }
    }
}
