//! Many domains under Let's Encrypt's limits, a fifth of which fail in one of many ways and are mended at random times,
//! at a CA that has its moods: each is Success within minutes of the moment at which the CA would take its order.
//!
//! What is mended is asked for: a customer mends a record and presses the button, or support does. The CA's new orders
//! per account are left for more urgent ones in part, so an order counts as permitted while the CA has more left than
//! that part. Nor does it count while the CA has answered with its own trouble: then the next try is what is close.

#![expect(clippy::print_stdout, reason = "the figures are worth seeing")]

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{DomainName, Entropy, Reason, Status};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::SeededEntropy;
use tests::{Mode, Simulation, Trouble};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// From the moment at which the CA permits an order to the certificate at C4.
const AT_MOST: SignedDuration = SignedDuration::from_mins(5);
/// From an answer that is the CA's own trouble to the next try: the longest of its delays, and a tenth.
const NEXT_TRY_WITHIN: SignedDuration = SignedDuration::from_secs(330);
/// Domains of one registered domain: more than Let's Encrypt certifies in a week at once.
const SIBLINGS: u64 = 66;
/// Of the account's 300 new orders those that new domains leave for others, and a few that are seen late.
const LEFT_FOR_OTHERS: u32 = 50;
/// Hours within which everything is mended.
const MENDED_WITHIN: u64 = 24;

/// `DOMAINS=…` makes it another number.
fn domains() -> u64 {
    match std::env::var("DOMAINS") {
        Ok(wish) => wish.parse().expect("DOMAINS is a number"),
        Err(_) => 200,
    }
}

/// What is known of a domain from outside.
struct Story {
    /// When it is added; none once it is.
    to_add: Option<Timestamp>,
    /// How it fails, and until when.
    broken: Option<(Trouble, Timestamp)>,
    /// Since when the CA would take its order, or took one; and how many it has taken.
    permitted_since: Option<Timestamp>,
    orders: u64,
    succeeded: bool,
}

struct Trial {
    simulation: Simulation,
    random: SeededEntropy,
    stories: BTreeMap<DomainName, Story>,
    longest: SignedDuration,
    waited_for_ca: u64,
}

fn has_siblings(index: u64) -> bool {
    index.is_multiple_of(3)
}

fn name(index: u64) -> DomainName {
    let text = if has_siblings(index) {
        format!("d{index}.bulk{}.com", index / (3 * SIBLINGS))
    } else {
        format!("shop.customer{index}.com")
    };
    DomainName::parse(&text).expect("a good name")
}

impl Trial {
    async fn begin() -> Self {
        let begins: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
        let simulation = Simulation::start(Mode::Embedded, 1, begins, Duration::from_hours(90 * 24)).await;
        simulation.ca().list_orders(true);
        let mut trial = Self {
            simulation,
            random: SeededEntropy::new(1),
            stories: BTreeMap::new(),
            longest: SignedDuration::ZERO,
            waited_for_ca: 0,
        };
        // A customer's bulk on one day; not so many in an hour that they wait for each other all the time.
        let hours = domains() / 50 + 1;
        for index in 0..domains() {
            let added_at = begins + MINUTE * trial.below(60 * hours);
            // Half of them so soon that the failures of the last hour still count.
            let mended_within = if trial.below(2) == 0 { 1 } else { MENDED_WITHIN };
            let until = added_at + MINUTE * trial.below(60 * mended_within).max(1);
            let broken = index.is_multiple_of(5).then(|| (trial.trouble(index), until));
            let story =
                Story { to_add: Some(added_at), broken, permitted_since: None, orders: 0, succeeded: false };
            trial.stories.insert(name(index), story);
        }
        trial
    }

    /// What a domain's trouble is. The registered domain of siblings has no CAA records, which would be for all of them.
    fn trouble(&self, index: u64) -> Trouble {
        loop {
            let trouble = Trouble::ALL[self.random.below(Trouble::ALL.len() as u64) as usize];
            if trouble != Trouble::CaaForbids || !has_siblings(index) {
                return trouble;
            }
        }
    }

    fn below(&self, limit: u64) -> i32 {
        i32::try_from(self.random.below(limit)).expect("a small number")
    }

    /// What happens outside in the minute that ends now.
    async fn outside(&mut self) {
        let now = self.simulation.now();
        if self.below(10) == 0 {
            self.simulation.mood(&self.random);
        }
        for (name, story) in &mut self.stories {
            if story.to_add.take_if(|at| *at <= now).is_some() {
                self.simulation.add(name).await;
                if let Some((trouble, _)) = story.broken {
                    self.simulation.trouble(name, trouble, true);
                }
            }
            if let Some((trouble, _)) = story.broken.take_if(|(_, until)| *until <= now) {
                self.simulation.trouble(name, trouble, false);
                if self.random.below(2) == 0 {
                    self.simulation.recheck(name).await;
                } else {
                    self.simulation.generate_anew(name).await;
                }
            }
        }
    }

    /// Nothing that the CA would take waits for longer than a few minutes. Returns how many are not a Success.
    async fn check(&mut self) -> usize {
        let (now, ca) = (self.simulation.now(), self.simulation.ca());
        let has_room = ca.new_orders_left().is_none_or(|left| left > LEFT_FOR_OTHERS);
        for view in self.simulation.domains().await {
            let domain = view.domain;
            let story = self.stories.get_mut(&domain.name).expect("a domain of ours");
            story.succeeded = domain.status(now) == Status::Success;
            if story.succeeded || story.broken.is_some() {
                story.permitted_since = None;
                continue;
            }
            if !has_room || !ca.wait_for_order(domain.name.as_str()).is_zero() {
                story.permitted_since = None;
                self.waited_for_ca += 1;
                continue;
            }
            if matches!(domain.waiting, Some(Reason::CaDown { .. })) {
                let next = view.next_attempt_at.expect("what the CA has trouble with is tried again");
                let tried_soon = next > now - MINUTE && next <= now + NEXT_TRY_WITHIN;
                assert!(tried_soon, "{} is tried at {next}, not soon after {now}: {domain:#?}", domain.name);
                story.permitted_since = None;
                continue;
            }
            // An order that the CA took and ended by its own trouble was not withheld.
            let orders = ca.orders_for(domain.name.as_str());
            if orders > story.orders {
                (story.orders, story.permitted_since) = (orders, None);
            }
            let since = *story.permitted_since.get_or_insert(now);
            let withheld = now.duration_since(since);
            self.longest = self.longest.max(withheld);
            assert!(
                withheld <= AT_MOST,
                "{} waits since {since} at {now}: {:?} {domain:#?}",
                domain.name,
                view.next_attempt_at
            );
        }
        self.stories.values().filter(|story| !story.succeeded).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mended_is_ordered_as_soon_as_the_ca_permits() {
    let mut trial = Trial::begin().await;
    let begins = trial.simulation.now();
    let mut open = usize::MAX;
    while open > 0 {
        trial.outside().await;
        trial.simulation.pass(MINUTE).await;
        open = trial.check().await;
        let hours = trial.simulation.now().duration_since(begins).as_hours();
        assert!(hours < 24 * 14, "{open} domains without a certificate");
    }
    let ca = trial.simulation.ca();
    println!(
        "{} domains after {:#}: {} orders, {} certificates, {} refused by limits; the CA's limits held up {} minutes in \
         all, we at most {:#}",
        trial.stories.len(),
        trial.simulation.now().duration_since(begins),
        ca.orders_placed(),
        ca.certificates_issued(),
        ca.refused_by_limits(),
        trial.waited_for_ca,
        trial.longest,
    );
    assert_eq!(ca.refused_by_limits(), 0, "the CA never had to say no");
    assert!(trial.waited_for_ca > 0, "its limits were reached");
}
