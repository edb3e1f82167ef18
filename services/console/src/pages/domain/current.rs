//! The live certificate and the progress of its validity: as a bar, and in words.

use jiff::{SignedDuration, Timestamp};
use proto::v1;

use crate::row::Moment;
use crate::words::{self, instant};
use crate::zone::Zone;

/// Length of the bar in its own units.
pub(crate) const LENGTH: u32 = 1000;
/// Marks that are nearer to each other than this would lie one on the other.
const APART: u32 = 20;
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(super) struct Current {
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) sha256: String,
    pub(super) from: Option<Moment>,
    pub(super) until: Option<Moment>,
    pub(super) source: &'static str,
    pub(super) life: Option<Life>,
    pub(super) is_ended: bool,
}

/// Which edges serve the certificate.
pub(super) struct Edges {
    pub(super) words: String,
    pub(super) behind: Vec<v1::EdgeBehind>,
    /// How many are behind besides.
    pub(super) more: u32,
}

impl Edges {
    /// None where none was asked.
    pub(super) fn new(domain: &v1::Domain) -> Option<Self> {
        let reason = domain.reason.clone().unwrap_or_default();
        let (asked, behind) = if reason.edges_asked > 0 {
            (reason.edges_asked, reason.edges_behind.len() as u32 + reason.edges_behind_more)
        } else {
            (domain.certificate.as_ref()?.edges, 0)
        };
        (asked > 0).then(|| Self {
            words: words::served_by(asked.saturating_sub(behind), asked),
            behind: reason.edges_behind,
            more: reason.edges_behind_more,
        })
    }
}

/// Where things are on the bar.
pub(super) struct Life {
    pub(super) today: u32,
    pub(super) renewal: Option<u32>,
    pub(super) week: Option<u32>,
    pub(super) words: String,
}

impl Life {
    /// None for dates that make no sense.
    fn new(
        from: Timestamp,
        until: Timestamp,
        renewal: Option<Timestamp>,
        zone: &Zone,
        now: Timestamp,
    ) -> Option<Self> {
        let within = |at: &Timestamp| *at > from && *at < until;
        let renewal = renewal.filter(within);
        let week = until.checked_sub(WEEK).ok().filter(within);
        let all = until.duration_since(from).as_secs();
        let at = |at| place(at, from, all);
        (all > 0).then(|| Self {
            today: at(now),
            renewal: renewal.map(at),
            week: week
                .map(at)
                .filter(|week| renewal.is_none_or(|renewal| week.abs_diff(at(renewal)) >= APART)),
            words: words::life(from, until, renewal, zone, now),
        })
    }
}

/// How far along the bar an instant is.
fn place(at: Timestamp, from: Timestamp, all: i64) -> u32 {
    let gone = at.duration_since(from).as_secs().clamp(0, all);
    u32::try_from(i128::from(gone) * i128::from(LENGTH) / i128::from(all)).unwrap_or(LENGTH)
}

impl Current {
    pub(super) fn new(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> Option<Self> {
        let certificate = domain.certificate.as_ref()?;
        let from = instant(certificate.not_before.as_ref());
        let until = instant(certificate.not_after.as_ref());
        // Only where nothing else is next is the next attempt the renewal.
        let renews = domain.status() == v1::Status::Success
            && domain.activity == "idle"
            && certificate.source() == v1::Source::C4;
        let renewal = instant(domain.next_attempt_at.as_ref()).filter(|_| renews);
        Some(Self {
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            sha256: certificate.sha256.clone(),
            from: from.map(|at| Moment::time(at, zone)),
            until: until.map(|at| Moment::time(at, zone)),
            source: words::source(certificate.source()),
            life: from.zip(until).and_then(|(from, until)| Life::new(from, until, renewal, zone, now)),
            is_ended: until.is_some_and(|until| until <= now),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(days: i64, gone: i64, renewal: Option<i64>) -> Option<Life> {
        let day = |day: i64| Timestamp::from_second(1_790_000_000 + day * 24 * 60 * 60).unwrap();
        let zone = Zone::of(&http::HeaderMap::new());
        Life::new(day(0), day(days), renewal.map(day), &zone, day(gone))
    }

    #[test]
    fn the_bar_shows_where_today_is() {
        let place = |life: Option<Life>| life.map(|life| (life.today, life.renewal, life.week));
        assert_eq!(place(life(100, 25, Some(60))), Some((250, Some(600), Some(930))));
        assert_eq!(place(life(100, -5, None)), Some((0, None, Some(930))), "it begins in a while");
        assert_eq!(place(life(100, 130, None)), Some((1000, None, Some(930))), "it ended");
        assert_eq!(place(life(6, 3, Some(9))), Some((500, None, None)), "what is outside is not shown");
        assert_eq!(place(life(0, 0, None)), None, "dates that make no sense");
        assert_eq!(
            place(life(100, 25, Some(93))),
            Some((250, Some(930), None)),
            "one mark where two would lie"
        );
    }

    #[test]
    fn edges_are_counted_and_those_that_lag_are_named() {
        let words = |domain: &v1::Domain| Edges::new(domain).map(|edges| edges.words);
        let mut domain = v1::Domain::default();
        assert_eq!(words(&domain), None);
        domain.certificate = Some(v1::Certificate { edges: 6, ..v1::Certificate::default() });
        assert_eq!(words(&domain).unwrap(), "Served by 6 of 6 edges.");
        let behind = v1::EdgeBehind { edge: "192.0.2.1:443".to_owned(), shows: "no answer".to_owned() };
        domain.reason = Some(v1::Reason {
            edges_asked: 6,
            edges_behind: vec![behind],
            edges_behind_more: 1,
            ..v1::Reason::default()
        });
        assert_eq!(words(&domain).unwrap(), "Served by 4 of 6 edges.");
    }

    #[test]
    fn the_bar_is_said_in_words_too() {
        let words = |days, gone, renewal| life(days, gone, renewal).unwrap().words;
        assert_eq!(
            words(90, 30, Some(60)),
            "Valid for 90 days, from 21 Sep 2026 to 20 Dec 2026. 60 days left. Renews about 20 Nov."
        );
        assert!(words(90, 89, None).contains("1 day left"));
        assert!(words(90, 93, None).ends_with("Ended 3 days ago."));
    }
}
