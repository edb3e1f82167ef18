//! Times, in the zone that the person chose: their own, Singapore, or UTC. The zone is always named.

use domain::sentence::{Medium, NamedZone, Reader};
use http::HeaderMap;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::session::cookie;

/// Whose clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The browser's own, once it has told which that is.
    Mine,
    Singapore,
    Utc,
}

impl Choice {
    pub(crate) const ALL: [Self; 3] = [Self::Mine, Self::Singapore, Self::Utc];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Singapore => "singapore",
            Self::Utc => "utc",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.word() == word)
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Mine => "My zone",
            Self::Singapore => "Singapore",
            Self::Utc => "UTC",
        }
    }
}

/// The clock of one viewer.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) choice: Choice,
    /// As the page names it.
    pub(crate) label: String,
    rules: TimeZone,
}

impl Zone {
    /// What the cookies say: `clock` is the choice, `zone` what the browser told of itself. Singapore until it has.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let choice = cookie(headers, "clock").and_then(Choice::of).unwrap_or(Choice::Mine);
        let name = match choice {
            Choice::Utc => "UTC",
            Choice::Singapore => "Asia/Singapore",
            Choice::Mine => cookie(headers, "zone").unwrap_or("Asia/Singapore"),
        };
        Self::named(choice, name).unwrap_or_else(|| Self {
            choice,
            label: "UTC".to_owned(),
            rules: TimeZone::UTC,
        })
    }

    fn named(choice: Choice, name: &str) -> Option<Self> {
        let is_name = name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
        let zone = is_name.then(|| TimeZone::get(name).ok()).flatten()?;
        let label = match name.rsplit('/').next() {
            Some(city) => city.replace('_', " "),
            None => name.to_owned(),
        };
        Some(Self { choice, label, rules: zone })
    }

    /// The viewer, for sentences.
    pub(crate) fn reader(&self, now: Timestamp) -> Reader {
        Reader { medium: Medium::Page, zone: self.named_zone(), now }
    }

    /// The zone with its name, for texts that are read elsewhere.
    pub(crate) fn named_zone(&self) -> NamedZone {
        NamedZone { rules: self.rules.clone(), label: self.label.clone() }
    }

    /// `12 Nov 2026`
    pub(crate) fn date(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%-d %b %Y").to_string()
    }

    /// `12 Nov`
    pub(crate) fn day(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%-d %b").to_string()
    }

    /// `12 Nov`, with its year where that is not plain.
    pub(crate) fn until(&self, at: Timestamp, now: Timestamp) -> String {
        if days_left(at, now) < 180 { self.day(at) } else { self.date(at) }
    }

    /// `12 Nov 2026, 10:52`
    pub(crate) fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%-d %b %Y, %H:%M").to_string()
    }

    /// `12 Nov 2026, 10:52:07`
    pub(crate) fn second(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%-d %b %Y, %H:%M:%S").to_string()
    }

    /// `10:52` for a moment within a day of `now`, else with its date.
    pub(crate) fn soon(&self, at: Timestamp, now: Timestamp) -> String {
        if at.duration_since(now).abs() < SignedDuration::from_hours(20) {
            at.to_zoned(self.rules.clone()).strftime("%H:%M").to_string()
        } else {
            self.time(at)
        }
    }
}

/// Whole days until `at`, rounded down; negative once it is past.
pub(crate) fn days_left(at: Timestamp, now: Timestamp) -> i64 {
    at.duration_since(now).as_secs().div_euclid(24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;

    fn zone(cookies: &'static str) -> Zone {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static(cookies));
        Zone::of(&headers)
    }

    #[test]
    fn the_clock_is_the_one_that_was_chosen() {
        let at: Timestamp = "2026-11-12T17:30:00Z".parse().unwrap();
        for (cookies, label, shown) in [
            ("", "Singapore", "13 Nov 2026, 01:30"),
            ("clock=utc; zone=Europe/Berlin", "UTC", "12 Nov 2026, 17:30"),
            ("clock=mine; zone=Europe/Berlin", "Berlin", "12 Nov 2026, 18:30"),
            ("zone=America/New_York", "New York", "12 Nov 2026, 12:30"),
            ("zone=../../etc/passwd", "UTC", "12 Nov 2026, 17:30"),
            ("zone=<b>", "UTC", "12 Nov 2026, 17:30"),
        ] {
            let zone = zone(cookies);
            assert_eq!((zone.label.as_str(), zone.time(at).as_str()), (label, shown), "{cookies}");
        }
    }

    #[test]
    fn days_left_are_whole_days() {
        let at: Timestamp = "2026-11-12T00:00:00Z".parse().unwrap();
        let hours = SignedDuration::from_hours;
        for (left, days) in [(47, 1), (24, 1), (23, 0), (0, 0), (-1, -1), (-25, -2)] {
            assert_eq!(days_left(at, at - hours(left)), days, "{left}");
        }
    }
}
