//! Times for people: relative, and absolute in the reader's zone, which is named.

use domain::Clock;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use runtime::SystemClock;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The reader's time and zone.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) zone: TimeZone,
    pub(crate) now: Timestamp,
}

impl Times {
    /// The zone of this machine, or of the variable `TZ`.
    pub(crate) fn here() -> Self {
        Self { zone: TimeZone::system(), now: SystemClock.now() }
    }

    /// `in 9 h`, `3 d ago`
    pub(crate) fn relative(&self, at: Timestamp) -> String {
        let seconds = at.duration_since(self.now).as_secs();
        let length = match seconds.abs() {
            0 => return "now".to_owned(),
            seconds @ ..MINUTE => format!("{seconds} s"),
            seconds @ ..HOUR => format!("{} min", seconds / MINUTE),
            seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
            seconds if seconds < 2 * YEAR => format!("{} d", seconds / DAY),
            seconds => format!("{} y", seconds / YEAR),
        };
        if seconds > 0 { format!("in {length}") } else { format!("{length} ago") }
    }

    /// `30 Nov 09:00 CET`, with its year if that is another one
    pub(crate) fn absolute(&self, at: Timestamp) -> String {
        let (then, now) = (at.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let format = if then.year() == now.year() { "%-d %b %H:%M" } else { "%-d %b %Y %H:%M" };
        format!("{} {}", then.strftime(format), self.zone_of(at))
    }

    /// `in 9 h, 30 Nov 09:00 CET`
    pub(crate) fn both(&self, at: Timestamp) -> String {
        format!("{}, {}", self.relative(at), self.absolute(at))
    }

    /// `09:00:07`
    pub(crate) fn of_day(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// What the zone is called at present.
    pub(crate) fn zone_name(&self) -> String {
        self.zone_of(self.now)
    }

    /// `CET`; the place where the zone has no letters (`Singapore`), else its distance from UTC.
    fn zone_of(&self, at: Timestamp) -> String {
        let info = self.zone.to_offset_info(at);
        let letters = info.abbreviation();
        if !letters.starts_with(['+', '-']) {
            return letters.to_owned();
        }
        match self.zone.iana_name().and_then(|name| name.rsplit('/').next()) {
            Some(place) => place.replace('_', " "),
            None => format!("UTC{}", info.offset()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_time_says_how_far_and_where() {
        let now: Timestamp = "2026-11-30T08:00:00.123456Z".parse().unwrap();
        for (zone, name) in [("Asia/Singapore", "Singapore"), ("Europe/Berlin", "CET"), ("UTC", "UTC")] {
            let times = Times { zone: TimeZone::get(zone).unwrap(), now };
            assert_eq!(times.zone_name(), name);
        }
        let times = Times { zone: TimeZone::get("Europe/Berlin").unwrap(), now };
        for (seconds, shown) in [
            (0, "now, 30 Nov 09:00 CET"),
            (35, "in 35 s, 30 Nov 09:00 CET"),
            (9 * HOUR + 59, "in 9 h, 30 Nov 18:00 CET"),
            (-30 * MINUTE, "30 min ago, 30 Nov 08:30 CET"),
            (-3 * DAY, "3 d ago, 27 Nov 09:00 CET"),
            (89 * DAY, "in 89 d, 27 Feb 2027 09:00 CET"),
            (-200 * DAY, "200 d ago, 14 May 10:00 CEST"),
            (10 * YEAR, "in 10 y, 27 Nov 2036 09:00 CET"),
        ] {
            assert_eq!(times.both(now + SignedDuration::from_secs(seconds)), shown);
        }
    }
}
