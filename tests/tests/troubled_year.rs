//! A year of a fleet in which the CA, its limits, DNS and C4 are odd or broken for random spans of some hours, several at a
//! time: no certificate ends, every domain whose world is in order ends up as a Success, and the CA gets no order that it
//! did not make necessary.
//!
//! `DOMAINS=…` makes it another fleet, `SEED=…` another year; the seed is printed, and repeats the troubles and their times.

#![expect(clippy::print_stdout, reason = "the seed and the figures are worth seeing")]

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use domain::{DomainName, Entropy, PreExpiry, Status, renewal_point};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::SeededEntropy;
use sandbox::{OrderBefore, PlacedOrder};
use tests::{DISTURBANCES, Disturbance, Mode, Simulation};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: i64 = 24;
const YEAR: i64 = 365 * DAY;
/// Days without trouble, at the end: what was put off comes in.
const CALM_DAYS: i64 = 5;
/// Hours in which the first certificates may be missing.
const FIRST_HOURS: i64 = 3 * DAY;
/// In one hour of so many some trouble begins.
const HOURS_BETWEEN: u64 = 12;
const MAX_HOURS: u64 = 8;
/// During a trouble, work that becomes due within this long is carried out together; else, within so many hours.
const STEP: SignedDuration = SignedDuration::from_mins(10);
const CALM_STEP_HOURS: i64 = 6;
/// In a fleet up to this size, it is worth asking whether anything is due.
const SMALL: usize = 100;

fn wish(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(wish) => wish.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {wish}")),
        Err(_) => default,
    }
}

/// What is wrong, until when, and with whom.
struct Trouble {
    part: usize,
    what: Disturbance,
    until: Timestamp,
    names: Vec<DomainName>,
}

struct TroubledYear {
    simulation: Simulation,
    random: SeededEntropy,
    begins: Timestamp,
    names: Vec<DomainName>,
    left: HashSet<DomainName>,
    trouble: Vec<Trouble>,
    /// What there was, and from when to when.
    past: Vec<(Disturbance, Timestamp, Timestamp)>,
    counts: BTreeMap<Disturbance, u32>,
}

impl TroubledYear {
    async fn begin(domains: u64, seed: u64) -> Self {
        let begins: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
        let simulation = Simulation::start(Mode::Embedded, seed, begins, Duration::from_hours(45 * 24)).await;
        simulation.ca().list_orders(true);
        let name = |index| DomainName::parse(&format!("shop.customer{index}.com")).expect("a good name");
        let names: Vec<_> = (0..domains).map(name).collect();
        for name in &names {
            simulation.add(name).await;
        }
        Self {
            simulation,
            random: SeededEntropy::new(seed),
            begins,
            names,
            left: HashSet::new(),
            trouble: Vec::new(),
            past: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// What happens outside at the beginning of that hour.
    fn outside(&mut self, hour: i64) {
        if hour == 180 * DAY {
            self.simulation.ca().set_lifetime(Duration::from_hours(30 * 24));
        }
        // One customer in twenty leaves in the course of the year.
        let to_leave = self.names.len() as i64 * hour / YEAR / 20;
        while (self.left.len() as i64) < to_leave {
            let leaving = &self.names[self.random.below(self.names.len() as u64) as usize];
            self.simulation.dns().remove(leaving.as_str());
            self.left.insert(leaving.clone());
        }
        self.end_trouble(hour >= YEAR - CALM_DAYS * DAY);
        if hour < YEAR - (CALM_DAYS + 1) * DAY && self.random.below(HOURS_BETWEEN) == 0 {
            self.begin_trouble();
        }
    }

    fn begin_trouble(&mut self) {
        let part = self.random.below(DISTURBANCES.len() as u64) as usize;
        if self.trouble.iter().any(|trouble| trouble.part == part) {
            return;
        }
        let kinds = DISTURBANCES[part];
        let what = kinds[self.random.below(kinds.len() as u64) as usize];
        let until = self.simulation.now() + MINUTE * self.below(60 * MAX_HOURS).max(10);
        let left = &self.left;
        let names = self.names.iter().filter(|name| !left.contains(*name) && self.random.below(3) == 0);
        let names: Vec<_> = names.cloned().collect();
        self.simulation.disturb(what, &names, true, &self.random);
        *self.counts.entry(what).or_default() += 1;
        self.past.push((what, self.simulation.now(), until));
        self.trouble.push(Trouble { part, what, until, names });
    }

    fn end_trouble(&mut self, all: bool) {
        let now = self.simulation.now();
        let over: Vec<_> = self.trouble.extract_if(.., |trouble| all || trouble.until <= now).collect();
        for Trouble { what, names, .. } in over {
            let names: Vec<_> = names.into_iter().filter(|name| !self.left.contains(name)).collect();
            self.simulation.disturb(what, &names, false, &self.random);
        }
    }

    fn below(&self, limit: u64) -> i32 {
        i32::try_from(self.random.below(limit)).expect("a small number")
    }

    async fn pass_hour(&mut self, hour: i64) {
        let until = self.begins + HOUR * i32::try_from(hour + 1).expect("an hour of the year");
        while !self.trouble.is_empty() {
            let next = self.next_due().await.max(self.simulation.now() + STEP);
            if next >= until {
                break;
            }
            self.simulation.pass_until(next).await;
            self.end_trouble(false);
        }
        if hour % CALM_STEP_HOURS == 0 {
            self.simulation.pass_until(until).await;
        } else {
            self.simulation.skip_until(until);
        }
    }

    /// When the next attempt of any domain is due. A large fleet always has one.
    async fn next_due(&self) -> Timestamp {
        if self.names.len() > SMALL {
            return Timestamp::MIN;
        }
        let domains = self.simulation.domains().await;
        domains.into_iter().filter_map(|view| view.next_attempt_at).min().unwrap_or(Timestamp::MAX)
    }

    /// No certificate of a domain that is still pointed here ends, and each has a next attempt.
    async fn check(&self) {
        let now = self.simulation.now();
        for view in self.simulation.domains().await {
            let domain = view.domain;
            if !self.left.contains(&domain.name) {
                assert!(domain.serves(now), "{} at {now}: {:?}", domain.name, domain.reason());
                assert!(view.next_attempt_at.is_some(), "{} has no next attempt", domain.name);
            }
        }
    }
}

/// Whether the CA, by what it did, made an order necessary.
fn is_necessary(order: &PlacedOrder) -> bool {
    match order.before {
        OrderBefore::None | OrderBefore::Ended => true,
        OrderBefore::Open { is_known } => !is_known,
        OrderBefore::Issued { not_before, not_after, window_start } => {
            let is_suggested = window_start.is_some_and(|start| start <= order.at);
            is_suggested || renewal_point(not_before, not_after, PreExpiry::DEFAULT) <= order.at
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_ca_does_it_gets_the_orders_that_it_makes_necessary_and_no_more() {
    let (domains, seed) = (wish("DOMAINS", 20), wish("SEED", 1));
    println!("SEED={seed}");
    let mut year = TroubledYear::begin(domains, seed).await;
    for hour in 0..YEAR {
        year.outside(hour);
        year.pass_hour(hour).await;
        if hour % CALM_STEP_HOURS == 0 && hour >= FIRST_HOURS + domains as i64 / 100 {
            year.check().await;
        }
    }
    let (now, ca) = (year.simulation.now(), year.simulation.ca());
    for view in year.simulation.domains().await {
        let name = view.domain.name.clone();
        let status = view.domain.status(now);
        assert!(year.left.contains(&name) || status == Status::Success, "{name}: {:#?}", view.domain);
    }
    let orders = ca.placed_orders();
    let beyond: Vec<_> = orders.iter().filter(|order| !is_necessary(order)).collect();
    let ended = orders.iter().filter(|order| order.before == OrderBefore::Ended).count();
    println!(
        "{domains} domains, a year, trouble {} times in {} ways: {} orders, {} certificates, {ended} orders again because the \
         CA ended one, {} refused by limits\norders beyond the necessary: {}",
        year.counts.values().sum::<u32>(),
        year.counts.len(),
        orders.len(),
        ca.certificates_issued(),
        ca.refused_by_limits(),
        beyond.len(),
    );
    for order in &beyond {
        let lately = |from: Timestamp, until: Timestamp| from <= order.at && order.at <= until + HOUR;
        let past = year.past.iter().filter(|(_, from, until)| lately(*from, *until));
        let past: Vec<_> = past.map(|(what, ..)| what).collect();
        println!("{} {} {:?} during {past:?}", order.name, order.at, order.before);
    }
    assert!(beyond.is_empty(), "SEED={seed}");
    assert_eq!(ca.refused_by_limits(), 0, "the CA's limits are kept");
    assert!(ended > 0 && year.counts.len() > 15, "there was trouble: {:?}", year.counts);
}
