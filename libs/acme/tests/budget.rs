//! The ledger of a CA's limits, on a real store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use acme::budget::{correct, shared_buckets};
use domain::budget::{Charge, Exempt, Lane, Limits, line_key};
use domain::{AccountId, CertificateId, Clock, Domain, DomainName, Order, OrderId, OrderKey, OrderState};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::open_store;
use runtime::{SystemClock, SystemEntropy};
use store::{Account, Store};
use tempfile::TempDir;

const CA: &str = "letsencrypt";
const LIMITS: Limits = Limits::LETS_ENCRYPT;

struct Ledger {
    store: Arc<Store>,
    account: AccountId,
    _folder: TempDir,
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// A name under a registered domain of its own.
fn stranger(index: i64) -> DomainName {
    name(&format!("shop.customer{index}.com"))
}

fn start() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

impl Ledger {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = open_store(&folder.path().join("ledger.db"), Arc::new(SystemClock)).await.unwrap();
        let account = AccountId::new(&SystemClock, &SystemEntropy);
        let mut tx = store.begin("account").await.unwrap();
        tx.insert_account(&Account {
            id: account,
            issuer: CA.to_owned(),
            directory_url: "https://ca.example/directory".to_owned(),
            sealed_key: vec![1],
            url: None,
            created_at: start(),
            pending_key: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        Self { store, account, _folder: folder }
    }

    /// Places an order that is issued at once.
    async fn buy(&self, charge: Charge, now: Timestamp) -> Result<(), Timestamp> {
        let order = self.begin(charge, now).await?;
        self.issue(order, now).await;
        Ok(())
    }

    /// Writes the row of an order, with what it reserves.
    async fn begin(&self, charge: Charge, now: Timestamp) -> Result<Order, Timestamp> {
        let mut tx = self.store.begin("begin").await.unwrap();
        let charged = tx.charge(&charge, now).await.unwrap().map_err(|wait| wait.until);
        let certificate = CertificateId::new(&SystemClock, &SystemEntropy);
        let key = OrderKey { certificate, sealed: vec![1], csr: vec![48] };
        let order = Order {
            id: charge.order,
            name: charge.name.clone(),
            revision: 1,
            account: self.account,
            created_at: now,
            state: OrderState::Created { key },
        };
        if let Ok(reserved) = &charged {
            if tx.domain(&order.name).await.unwrap().is_none() {
                tx.insert_domain(&Domain::added(order.name.clone(), now)).await.unwrap();
            }
            tx.insert_order(&order).await.unwrap();
            tx.reserve(order.id, reserved).await.unwrap();
        }
        tx.commit().await.unwrap();
        charged.map(|_| order)
    }

    async fn begin_new(&self, name: &DomainName, now: Timestamp) -> Result<Order, Timestamp> {
        self.begin(new(name), now).await
    }

    /// Ends an order with a certificate.
    async fn issue(&self, order: Order, now: Timestamp) {
        let mut tx = self.store.begin("issue").await.unwrap();
        tx.spend_reserved(order.id, &order.name, CA, &LIMITS, now).await.unwrap();
        let ended = Order { state: OrderState::Failed, ..order };
        tx.update_order(&ended, "created").await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Ends an order without one.
    async fn give_back(&self, order: Order) {
        let mut tx = self.store.begin("give_back").await.unwrap();
        tx.give_back(order.id).await.unwrap();
        let ended = Order { state: OrderState::Failed, ..order };
        tx.update_order(&ended, "created").await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn buy_new(&self, name: &DomainName, now: Timestamp) -> Result<(), Timestamp> {
        self.buy(new(name), now).await
    }

    /// Spends all that a lane may have.
    async fn exhaust(&self, lane: Lane, now: Timestamp) -> i64 {
        for bought in 0.. {
            let name = stranger(bought);
            let charge = Charge { lane, ..new(&name) };
            if self.buy(charge, now).await.is_err() {
                return bought;
            }
        }
        0
    }
}

fn new(name: &DomainName) -> Charge {
    Charge {
        order: OrderId::new(&SystemClock, &SystemEntropy),
        issuer: CA.to_owned(),
        limits: LIMITS,
        name: name.clone(),
        lane: Lane::New,
        exempt: Exempt::Nothing,
        was_promised: false,
        is_asked_again: false,
    }
}

/// Our copies' clocks may differ by so much.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(10);

#[tokio::test]
async fn a_lower_lane_leaves_a_reserve_for_the_upper_ones() {
    let ledger = Ledger::new().await;
    let now = start();
    assert_eq!(ledger.exhaust(Lane::Recheck, now).await, 180);
    assert_eq!(ledger.exhaust(Lane::New, now).await, 255 - 180);
    assert_eq!(ledger.exhaust(Lane::Renewal, now).await, 285 - 255);
    assert_eq!(ledger.exhaust(Lane::Expiring, now).await, 300 - 285);
}

#[tokio::test]
async fn who_waits_is_given_a_time_of_his_own_and_is_served_at_it() {
    let ledger = Ledger::new().await;
    ledger.exhaust(Lane::New, start()).await;
    let now = start() + SignedDuration::from_secs(10);
    let mut places = Vec::new();
    for index in 1000..1010 {
        places.push(ledger.buy_new(&stranger(index), now).await.unwrap_err());
    }
    assert!(places.windows(2).all(|pair| pair[1].duration_since(pair[0]).as_millis() == 36_360));
    let line = ledger.store.bucket(&line_key(CA, Lane::New)).await.unwrap();
    assert_eq!(line, places.last().copied(), "when the queue is through");

    let newcomer = stranger(2000);
    let late = ledger.buy_new(&newcomer, places[0]).await.unwrap_err();
    assert!(late > places[9], "nobody jumps the queue");
    for (index, place) in (1000..).zip(places) {
        let name = stranger(index);
        let served = Charge { was_promised: true, ..new(&name) };
        assert_eq!(ledger.buy(served, place).await, Ok(()), "{index} at {place}");
    }
}

#[tokio::test]
async fn no_bucket_is_ever_exceeded() {
    let ledger = Ledger::new().await;
    let mut bought = Vec::new();
    let mut now = start();
    for index in 0..2000 {
        if ledger.buy_new(&stranger(index), now).await.is_ok() {
            bought.push(now);
        }
        now += SignedDuration::from_secs(index % 19);
    }
    // A bucket of 300 that is refilled all the time: what came in since any instant is at most 300 and the refill.
    for (index, from) in bought.iter().enumerate() {
        for (count, until) in (1_i64..).zip(&bought[index..]) {
            let refilled = until.duration_since(*from).as_secs_f64() / 36.0;
            assert!(count as f64 <= 300.0 + refilled + 1.0, "{count} from {from} to {until}");
        }
    }
    assert!(bought.len() > 300, "it was refilled");
}

#[tokio::test]
async fn a_small_bucket_is_used_up_and_takes_no_place_in_the_line() {
    let ledger = Ledger::new().await;
    let shop = name("shop.example.com");
    for _ in 0..5 {
        assert_eq!(ledger.buy_new(&shop, start()).await, Ok(()));
    }
    let until = ledger.buy_new(&shop, start()).await.unwrap_err();
    assert_eq!(until, start() + SignedDuration::from_hours(7 * 24) / 5 + TOLERANCE);
    assert_eq!(ledger.buy_new(&stranger(1), start()).await, Ok(()), "others do not wait for it");
    assert_eq!(ledger.buy_new(&shop, until).await, Ok(()));
}

#[tokio::test]
async fn fifty_a_week_per_registered_domain() {
    let ledger = Ledger::new().await;
    let mut bought = 0;
    while ledger.buy_new(&name(&format!("d{bought}.example.co.uk")), start()).await.is_ok() {
        bought += 1;
    }
    assert_eq!(bought, 50, "no part is left for others");
    assert_eq!(ledger.buy_new(&name("d.other.co.uk"), start()).await, Ok(()));
}

/// However many orders fail: only what was issued counts, and what is still under way may be.
#[tokio::test]
async fn orders_without_a_certificate_give_back_what_they_reserved() {
    let ledger = Ledger::new().await;
    let shop = name("shop.example.com");
    for hour in 0..20 {
        let order = ledger.begin_new(&shop, start() + minutes(60 * hour)).await.unwrap();
        ledger.give_back(order).await;
    }
    let now = start() + minutes(60 * 20);
    for _ in 0..4 {
        assert_eq!(ledger.buy_new(&shop, now).await, Ok(()));
    }
    let fifth = ledger.begin_new(&shop, now).await.unwrap();
    let mut tx = ledger.store.begin("again").await.unwrap();
    let again = Charge { order: fifth.id, exempt: Exempt::Renewal, ..new(&shop) };
    let charged = tx.charge(&again, now).await.unwrap();
    assert!(charged.is_ok(), "an order does not stand in its own way");
    drop(tx);
    ledger.give_back(fifth).await;
    assert_eq!(ledger.buy_new(&shop, now).await, Ok(()));
    assert!(ledger.buy_new(&shop, now).await.is_err(), "five were issued");
}

#[tokio::test]
async fn who_waits_for_orders_under_way_looks_again_within_a_minute() {
    let ledger = Ledger::new().await;
    let now = start();
    let sibling = |index: usize| name(&format!("d{index}.example.co.uk"));
    let mut under_way = Vec::new();
    for index in 0..50 {
        under_way.push(ledger.begin_new(&sibling(index), now).await.unwrap());
    }
    let last = sibling(50);
    assert_eq!(ledger.buy_new(&last, now).await, Err(now + minutes(1)), "one of them may fail");
    for order in under_way.drain(1..) {
        ledger.issue(order, now).await;
    }
    assert_eq!(ledger.buy_new(&last, now).await, Err(now + minutes(1)), "the one that is left");
    ledger.give_back(under_way.remove(0)).await;
    assert_eq!(ledger.buy_new(&last, now).await, Ok(()), "it failed");
    let interval = SignedDuration::from_hours(7 * 24) / 50;
    assert_eq!(ledger.buy_new(&sibling(51), now).await, Err(now + interval + TOLERANCE));
}

/// What the CA may have issued for an order that was given up is spent, once, when it was given up.
#[tokio::test]
async fn an_order_whose_end_is_unknown_stays_spent() {
    let ledger = Ledger::new().await;
    let shop = name("shop.example.com");
    for _ in 0..5 {
        // The store dates what is given up by its own clock.
        let order = ledger.begin_new(&shop, SystemClock.now()).await.unwrap();
        let mut tx = ledger.store.begin("give_up").await.unwrap();
        tx.spend_later(order.id).await.unwrap();
        tx.update_order(&Order { state: OrderState::Abandoned, ..order }, "created").await.unwrap();
        tx.commit().await.unwrap();
    }
    let interval = SignedDuration::from_hours(7 * 24) / 5;
    let now = SystemClock.now();
    for _ in 0..2 {
        let until = ledger.buy_new(&shop, now).await.unwrap_err();
        let wait = until.duration_since(now + interval).abs();
        assert!(wait < minutes(5), "{wait:#}");
    }
}

#[tokio::test]
async fn renewals_and_replacements_are_exempt() {
    let ledger = Ledger::new().await;
    ledger.exhaust(Lane::Expiring, start()).await;
    let shop = name("shop.example.com");
    let purchase = |exempt| Charge { lane: Lane::Renewal, exempt, ..new(&shop) };
    assert!(ledger.buy(purchase(Exempt::Nothing), start()).await.is_err());
    for _ in 0..5 {
        assert_eq!(ledger.buy(purchase(Exempt::Renewal), start()).await, Ok(()));
    }
    assert!(ledger.buy(purchase(Exempt::Renewal), start()).await.is_err(), "the same names");
    assert_eq!(ledger.buy(purchase(Exempt::Replacement), start()).await, Ok(()));
}

#[tokio::test]
async fn failed_authorizations_hold_the_name_back() {
    let ledger = Ledger::new().await;
    let shop = name("shop.example.com");
    for _ in 0..5 {
        let mut tx = ledger.store.begin("fail").await.unwrap();
        tx.charge_failure(&shop, CA, &LIMITS, start()).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(ledger.buy_new(&shop, start()).await, Err(start() + minutes(12) + TOLERANCE));
    assert_eq!(ledger.buy_new(&shop, start() + minutes(13)).await, Ok(()));
    assert_eq!(ledger.buy_new(&stranger(1), start()).await, Ok(()));
}

#[tokio::test]
async fn the_cas_word_counts_more_than_the_ledger() {
    let until = start() + minutes(40);
    let shop = name("shop.example.com");
    for (detail, others_wait, siblings_wait) in [
        ("too many new orders (300) from this account in the last 3h0m0s", true, true),
        ("too many certificates (50) already issued for \"example.com\" in the last 168h0m0s", false, true),
        ("too many certificates (5) already issued for this exact set of identifiers", false, false),
        ("too many failed authorizations (5) for \"shop.example.com\"", false, false),
    ] {
        let ledger = Ledger::new().await;
        let mut tx = ledger.store.begin("correct").await.unwrap();
        correct(&mut tx, &LIMITS, CA, &shop, detail, until).await.unwrap();
        tx.commit().await.unwrap();
        let told = ledger.buy_new(&shop, start()).await.unwrap_err();
        assert!(told >= until, "{detail}: {told}");
        let other = ledger.buy_new(&stranger(1), start()).await;
        assert_eq!(other.is_err(), others_wait, "{detail}");
        let sibling = ledger.buy_new(&name("www.example.com"), start()).await;
        assert_eq!(sibling.is_err(), siblings_wait, "{detail}");
    }
}

#[tokio::test]
async fn what_is_not_committed_is_not_spent() {
    let ledger = Ledger::new().await;
    let shop = name("shop.example.com");
    for _ in 0..9 {
        let mut tx = ledger.store.begin("buy").await.unwrap();
        assert!(tx.charge(&new(&shop), start()).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn what_is_left_is_what_can_be_bought() {
    let ledger = Ledger::new().await;
    let bucket = shared_buckets(CA, &LIMITS).pop().unwrap();
    let mut bought = 0;
    loop {
        let at = ledger.store.bucket(&bucket.key).await.unwrap();
        let (left, free_at) = bucket.limit.left(at.unwrap_or(start()), start());
        assert_eq!(i64::from(left), 300 - bought);
        let shop = stranger(bought);
        let purchase = Charge { lane: Lane::Expiring, ..new(&shop) };
        let mut tx = ledger.store.begin("buy").await.unwrap();
        let charged = tx.charge(&purchase, start()).await.unwrap().map(drop);
        tx.commit().await.unwrap();
        if left == 0 {
            assert_eq!(charged.unwrap_err().until, free_at.unwrap(), "and then from when on");
            break;
        }
        assert_eq!((charged, free_at), (Ok(()), None));
        bought += 1;
    }
    let long_ago = start() - minutes(24 * 60);
    assert_eq!(bucket.limit.left(long_ago, start()), (300, None), "never more than all");
}
