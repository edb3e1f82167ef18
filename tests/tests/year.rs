//! A year in the life of a fleet: certificates of 90 days, then of 45, a CA that is down for three days, a C4 that is down
//! for six hours, and customers who leave.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may, and the figures are worth seeing")]

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use domain::{DomainName, Status};
use jiff::{SignedDuration, Timestamp};
use tests::{Mode, Simulation};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: i64 = 24;

/// One customer leaves in each of these months, or more of a large fleet.
const MONTHS_OF_LEAVING: usize = 10;

/// `DOMAINS=…` makes it another fleet, whose time passes by the hour: `make faults` takes 1,000. What happens to each is the
/// same.
fn domains_and_hours() -> (usize, usize) {
    match std::env::var("DOMAINS") {
        Ok(wish) => (wish.parse().unwrap(), 1),
        Err(_) => (60, 3),
    }
}

struct Year {
    domains: usize,
    /// Hours that pass at once.
    hours: usize,
    simulation: Simulation,
    begins: Timestamp,
    left: HashSet<DomainName>,
    ends: BTreeMap<DomainName, Timestamp>,
    smallest_margin: SignedDuration,
}

fn name(index: usize) -> DomainName {
    DomainName::parse(&format!("shop.customer{index}.com")).unwrap()
}

impl Year {
    async fn begin(seed: u64) -> Self {
        let begins = "2027-01-01T00:00:00Z".parse().unwrap();
        let simulation = Simulation::start(Mode::Embedded, seed, begins, Duration::from_hours(90 * 24)).await;
        let (domains, hours) = domains_and_hours();
        Self {
            domains,
            hours,
            simulation,
            begins,
            left: HashSet::new(),
            ends: BTreeMap::new(),
            smallest_margin: SignedDuration::MAX,
        }
    }

    /// What happens outside in this hour of the year.
    fn outside(&mut self, hour: i64) {
        let (ca, c4) = (self.simulation.ca(), self.simulation.c4());
        match hour {
            h if h == 80 * DAY => ca.down(true),
            h if h == 83 * DAY => ca.down(false),
            h if h == 150 * DAY => c4.down(true),
            h if h == 150 * DAY + 6 => c4.down(false),
            h if h == 180 * DAY => ca.set_lifetime(Duration::from_hours(45 * 24)),
            _ => {}
        }
        // One customer in twenty leaves, of a small fleet more, some every month or so.
        let month = 31 * DAY;
        if hour % month == 18 {
            let leaving = (0..self.domains).step_by((self.domains / MONTHS_OF_LEAVING).clamp(1, 20));
            for index in leaving.skip(usize::try_from(hour / month).unwrap()).step_by(MONTHS_OF_LEAVING) {
                self.simulation.dns().remove(name(index).as_str());
                self.left.insert(name(index));
            }
        }
    }

    /// No certificate of a domain that is still pointed here may end, and each renewal has a margin.
    async fn check(&mut self, hour: i64) {
        let now = self.simulation.now();
        for view in self.simulation.domains().await {
            let domain = view.domain;
            if self.left.contains(&domain.name) {
                continue;
            }
            // The CA takes 300 new orders at once, and 100 an hour from there on.
            if hour >= 6 + self.domains as i64 / 100 {
                let reason = domain.reason();
                assert!(domain.serves(now), "{} in hour {hour}: {reason:?}", domain.name);
                assert!(view.next_attempt_at.is_some(), "{} has no next attempt", domain.name);
            }
            let Some(live) = domain.live() else { continue };
            if let Some(ended) = self.ends.insert(domain.name.clone(), live.not_after)
                && ended != live.not_after
            {
                self.smallest_margin = self.smallest_margin.min(ended.duration_since(now));
            }
        }
    }

    fn report(&self) {
        let mut per_hour: BTreeMap<i64, u32> = BTreeMap::new();
        let placed = self.simulation.ca().orders_placed_at();
        for at in &placed {
            *per_hour.entry(at.duration_since(self.begins).as_hours()).or_default() += 1;
        }
        let busiest = per_hour.values().max().copied().unwrap_or(0);
        println!(
            "{} domains, a year: {} orders, {busiest} in the busiest hour, {} hours with any; smallest renewal \
             margin {:.1} days",
            self.domains,
            placed.len(),
            per_hour.len(),
            self.smallest_margin.as_secs_f64() / 86_400.0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_of_a_customer_who_stays_ends_and_no_limit_is_exceeded() {
    let mut year = Year::begin(1).await;
    for index in 0..year.domains {
        year.simulation.add(&name(index)).await;
    }
    for hour in (0..365 * DAY).step_by(year.hours) {
        year.outside(hour);
        let next = i32::try_from(hour).unwrap() + i32::try_from(year.hours).unwrap();
        year.simulation.pass_until(year.begins + HOUR * next).await;
        if hour % 6 == 0 {
            year.check(hour).await;
        }
    }
    year.report();
    assert_eq!(year.simulation.ca().refused_by_limits(), 0, "the CA never had to say no");
    assert!(year.smallest_margin > SignedDuration::from_hours(24 * 3), "{:#}", year.smallest_margin);
    assert!(year.left.len() >= year.domains / 20);
    let now = year.simulation.now();
    let expired = year.simulation.domains().await;
    let expired = expired.iter().filter(|view| view.domain.status(now) == Status::Expired);
    assert!(expired.count() >= 8, "who left at first has no certificate any more");
}
