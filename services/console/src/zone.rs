//! Times, in the zone that the person chose: their own, Singapore, or UTC. The zone is always named.

use domain::sentence::{Medium, NamedZone, Reader};
use http::HeaderMap;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

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
    /// The browser's own zone by name; empty until it has told which that is.
    pub(crate) own: String,
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
        let named = |name| Self::named(choice, name);
        let own = cookie(headers, "zone").and_then(named).map(|zone| zone.label).unwrap_or_default();
        let utc = || Self { choice, label: "UTC".to_owned(), own: String::new(), rules: TimeZone::UTC };
        Self { own, ..named(name).unwrap_or_else(utc) }
    }

    fn named(choice: Choice, name: &str) -> Option<Self> {
        let is_name = name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
        let zone = is_name.then(|| TimeZone::get(name).ok()).flatten()?;
        let label = match name.rsplit('/').next() {
            Some(city) => city.replace('_', " "),
            None => name.to_owned(),
        };
        Some(Self { choice, label, own: String::new(), rules: zone })
    }

    /// Whether times read the same in both.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        self.label == other.label && self.rules == other.rules
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
        if self.days_left(at, now) < 180 { self.day(at) } else { self.date(at) }
    }

    /// `12 Nov 2026, 10:52`
    pub(crate) fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%-d %b %Y, %H:%M").to_string()
    }

    /// `12 Nov 2026, 10:52:07`
    pub(crate) fn second(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%-d %b %Y, %H:%M:%S").to_string()
    }

    /// `10:52:07`
    pub(crate) fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.rules.clone()).strftime("%H:%M:%S").to_string()
    }

    /// `10:52` for a moment within a day of `now`, else with its date.
    pub(crate) fn soon(&self, at: Timestamp, now: Timestamp) -> String {
        if at.duration_since(now).abs() < SignedDuration::from_hours(20) {
            at.to_zoned(self.rules.clone()).strftime("%H:%M").to_string()
        } else {
            self.time(at)
        }
    }

    /// Days of this calendar from today until `at`: 0 is today, 1 tomorrow, negative a day that is past. The one count of
    /// "days left", for rows, filters, figures and their lists.
    pub(crate) fn days_left(&self, at: Timestamp, now: Timestamp) -> i64 {
        let day = |at: Timestamp| at.to_zoned(self.rules.clone()).date();
        day(now).until(day(at)).map_or(0, |span| i64::from(span.get_days()))
    }

    /// When a day begins; none where the calendar ends.
    pub(crate) fn begins(&self, day: Date) -> Option<Timestamp> {
        day.to_zoned(self.rules.clone()).ok().map(|begin| begin.timestamp())
    }

    /// When yesterday began.
    pub(crate) fn yesterday(&self, now: Timestamp) -> Timestamp {
        let day = now.to_zoned(self.rules.clone()).date().saturating_sub(1.day());
        self.begins(day).unwrap_or(Timestamp::MIN)
    }

    /// When the day that is so many days from today begins; for today, now: what ended is not left.
    pub(crate) fn day_begins(&self, days: u16, now: Timestamp) -> Timestamp {
        if days == 0 {
            return now;
        }
        let day = now.to_zoned(self.rules.clone()).date().saturating_add(i64::from(days).days());
        day.to_zoned(self.rules.clone()).map_or(Timestamp::MAX, |day| day.timestamp())
    }
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
    fn days_left_are_those_of_the_calendar_that_is_shown() {
        let now: Timestamp = "2026-11-12T17:30:00Z".parse().unwrap();
        for (cookies, at, days) in [
            ("clock=utc", "2026-11-12T23:59:59Z", 0),
            ("clock=utc", "2026-11-13T00:00:00Z", 1),
            ("clock=singapore", "2026-11-12T23:59:59Z", 0),
            ("clock=singapore", "2026-11-13T15:59:59Z", 0),
            ("clock=singapore", "2026-11-13T16:00:00Z", 1),
            ("clock=singapore", "2026-11-12T15:00:00Z", -1),
        ] {
            let zone = zone(cookies);
            let at: Timestamp = at.parse().unwrap();
            assert_eq!(zone.days_left(at, now), days, "{cookies}: {at}");
            if let Ok(days @ 1..) = u16::try_from(days) {
                let (begins, ends) = (zone.day_begins(days, now), zone.day_begins(days + 1, now));
                assert!(begins <= at && at < ends, "{cookies}: {at} is in the list of its own day");
            }
        }
        assert_eq!(zone("").day_begins(0, now), now);
        let yesterday = |cookies| zone(cookies).yesterday(now).to_string();
        assert_eq!(yesterday("clock=utc"), "2026-11-11T00:00:00Z");
        assert_eq!(yesterday("clock=singapore"), "2026-11-11T16:00:00Z");
    }

    #[test]
    fn the_browsers_own_zone_is_named_whichever_is_shown() {
        for (cookies, own) in [("", ""), ("clock=utc; zone=Europe/Berlin", "Berlin"), ("zone=<b>", "")] {
            assert_eq!(zone(cookies).own, own, "{cookies}");
        }
    }
}
