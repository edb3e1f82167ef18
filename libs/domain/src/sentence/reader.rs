//! Times in the reader's zone, and short on a page or terminal that is read at once.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Within this distance a time of day is unambiguous.
const SAME_DAY: SignedDuration = SignedDuration::from_hours(20);

/// A time zone with a label for people.
#[derive(Clone, Debug)]
pub struct NamedZone {
    /// Its rules.
    pub rules: TimeZone,
    /// Its name, such as `Singapore` or `UTC`.
    pub label: String,
}

impl NamedZone {
    /// UTC, for the API and the history, which have no reader's zone.
    pub fn utc() -> Self {
        Self { rules: TimeZone::UTC, label: "UTC".to_owned() }
    }

    /// `12 Nov 2026`
    pub fn date(&self, at: Timestamp) -> String {
        self.shown(at, "%-d %b %Y")
    }

    /// `12 Nov 2026, 10:52 UTC`, for a text that may be read later and elsewhere.
    pub fn time(&self, at: Timestamp) -> String {
        format!("{} {}", self.shown(at, "%-d %b %Y, %H:%M"), self.label)
    }

    pub(super) fn shown(&self, at: Timestamp, format: &str) -> String {
        at.to_zoned(self.rules.clone()).strftime(format).to_string()
    }
}

/// The medium that a sentence is read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// The page, which names the zone once for all times on it.
    Page,
    /// A terminal.
    Terminal,
}

/// The reader of a sentence.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The medium.
    pub medium: Medium,
    /// The time zone.
    pub zone: NamedZone,
    /// The present time.
    pub now: Timestamp,
}

impl Reader {
    /// `12 Nov 2026`
    pub fn date(&self, at: Timestamp) -> String {
        self.zone.date(at)
    }

    /// `12 Nov`
    pub fn day(&self, at: Timestamp) -> String {
        self.zone.shown(at, "%-d %b")
    }

    /// `10:52` or `12 Nov 2026, 10:52` on the page; `12 Nov 10:52 Singapore (in 9 h)` in a terminal.
    pub fn time(&self, at: Timestamp) -> String {
        let distance = at.duration_since(self.now);
        match self.medium {
            Medium::Page if distance.abs() < SAME_DAY => self.zone.shown(at, "%H:%M"),
            Medium::Page => self.zone.shown(at, "%-d %b %Y, %H:%M"),
            Medium::Terminal => {
                let at = self.zone.shown(at, "%-d %b %H:%M");
                format!("{at} {} ({})", self.zone.label, relative(distance))
            }
        }
    }
}

/// `in 9 h`, `3 d ago`: rounded to the largest unit.
pub fn relative(distance: SignedDuration) -> String {
    let minutes = distance.abs().as_mins();
    let span = match minutes {
        0 => return "now".to_owned(),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    };
    if distance.is_negative() { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_readers_zone() {
        let now: Timestamp = "2026-11-29T17:00:00Z".parse().unwrap();
        let singapore =
            || NamedZone { rules: TimeZone::get("Asia/Singapore").unwrap(), label: "Singapore".to_owned() };
        let at = now + SignedDuration::from_mins(90);
        let page = Reader { medium: Medium::Page, zone: singapore(), now };
        assert_eq!((page.time(at), page.day(at)), ("02:30".to_owned(), "30 Nov".to_owned()));
        assert_eq!(page.time(at + SignedDuration::from_hours(48)), "2 Dec 2026, 02:30");
        let terminal = Reader { medium: Medium::Terminal, zone: singapore(), now };
        assert_eq!(terminal.time(at), "30 Nov 02:30 Singapore (in 1 h)");
        assert_eq!(NamedZone::utc().time(at), "29 Nov 2026, 18:30 UTC");
    }

    #[test]
    fn a_distance_is_told_in_its_largest_unit() {
        for (minutes, text) in
            [(0, "now"), (59, "in 59 min"), (-60, "1 h ago"), (2879, "in 47 h"), (2880, "in 2 d")]
        {
            assert_eq!(relative(SignedDuration::from_mins(minutes)), text);
        }
    }
}
