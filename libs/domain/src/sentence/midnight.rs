//! The midnight report in a sentence. The time is shown in the reader's zone: 17:00 of the day before in Berlin.

use jiff::Timestamp;

use super::NamedZone;
use crate::MidnightOutcome;

/// The number of domains per outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MidnightTotals([u64; MidnightOutcome::ALL.len()]);

impl MidnightTotals {
    /// Adds `domains` to an outcome.
    pub fn add(&mut self, outcome: MidnightOutcome, domains: u64) {
        self.0[outcome as usize] += domains;
    }

    /// The number of domains with that outcome.
    pub fn of(&self, outcome: MidnightOutcome) -> u64 {
        self.0[outcome as usize]
    }

    /// The number of all rechecked domains.
    pub fn asked(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// `00:00 Singapore (30 Nov 2026, 17:00 your time): 63 asked, 4 now work, 59 unchanged.`
///
/// `rules`: the zone of the schedule.
pub fn midnight(at: Timestamp, rules: &NamedZone, reader: &NamedZone, totals: &MidnightTotals) -> String {
    let there = format!("{} {}", rules.shown(at, "%H:%M"), rules.label);
    let is_same = reader.rules.to_offset(at) == rules.rules.to_offset(at);
    let when = if is_same {
        format!("{there}, {}", rules.date(at))
    } else {
        format!("{there} ({} your time)", reader.shown(at, "%-d %b %Y, %H:%M"))
    };
    let mut parts = vec![format!("{} asked", totals.asked())];
    for (outcome, words) in [
        (MidnightOutcome::Works, "now work"),
        (MidnightOutcome::Unchanged, "unchanged"),
        (MidnightOutcome::Changed, "with another reason"),
        (MidnightOutcome::Waiting, "still to come"),
        (MidnightOutcome::Deleted, "deleted meanwhile"),
    ] {
        let is_told = matches!(outcome, MidnightOutcome::Works | MidnightOutcome::Unchanged);
        if is_told || totals.of(outcome) > 0 {
            parts.push(format!("{} {words}", totals.of(outcome)));
        }
    }
    format!("{when}: {}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn no_reader_is_told_of_a_day_that_has_not_come() {
        let zone = |name: &str, label: &str| NamedZone {
            rules: TimeZone::get(name).unwrap(),
            label: label.to_owned(),
        };
        let (singapore, berlin) = (zone("Asia/Singapore", "Singapore"), zone("Europe/Berlin", "Berlin"));
        let manila = zone("Asia/Manila", "Manila");
        let at = "2026-11-30T16:00:00Z".parse().unwrap();
        let mut totals = MidnightTotals::default();
        totals.add(MidnightOutcome::Works, 4);
        totals.add(MidnightOutcome::Unchanged, 59);
        let counts = "63 asked, 4 now work, 59 unchanged.";
        assert_eq!(
            midnight(at, &singapore, &berlin, &totals),
            format!("00:00 Singapore (30 Nov 2026, 17:00 your time): {counts}")
        );
        for reader in [&singapore, &manila] {
            let told = midnight(at, &singapore, reader, &totals);
            assert_eq!(told, format!("00:00 Singapore, 1 Dec 2026: {counts}"));
        }
        totals.add(MidnightOutcome::Waiting, 2);
        assert!(midnight(at, &singapore, &berlin, &totals).ends_with("59 unchanged, 2 still to come."));
    }
}
