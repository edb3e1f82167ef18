//! Steps that write an order: its charge, its key, its end; and many steps at the same time, each with its own answer.

use domain::budget::{Charge, Exempt, Lane, Limit, Limits, line_key};
use domain::{Activity, Domain, Lease, Order, OrderId, WorkKind};
use jiff::SignedDuration;
use store::{Certificate, LastStep, LedgerOf, OrderWrite, Refusal, SealedPlace, Step, StoreError, Write};

use crate::kit::{
    Case, add_account, add_due, at, certificate, fresh_uuid, name, order, placed_order, row, schedule,
    update, write,
};

async fn leased(store: &Case, label: &str) -> (Domain, Lease) {
    let due = add_due(store, label, WorkKind::Issue).await;
    let lease = store.claim(WorkKind::Issue, &due.name, at(30)).await.unwrap().unwrap();
    (row(store, label).await, lease)
}

/// A CA that takes so many new orders an hour.
fn limits(count: u32) -> Limits {
    let limit = Limit { count, period: SignedDuration::from_hours(1) };
    Limits { new_orders: Some(limit), ..Limits::default() }
}

fn started(lease: &Lease, domain: &Domain, order: &Order, limits: Limits) -> Step {
    let charge = Charge {
        order: order.id,
        issuer: "ca".to_owned(),
        limits,
        name: order.name.clone(),
        lane: Lane::New,
        exempt: Exempt::Nothing,
        was_promised: false,
        is_asked_again: false,
    };
    let after = domain.clone().doing(Activity::WaitingForCa, None).unwrap();
    let insert = Write::Order(OrderWrite::Insert(Box::new(order.clone())));
    Step::new("started", lease, domain).charged(charge).becomes(after).and(insert)
}

/// The second charge sees the first. A step for which there is no room leaves a place in the line and nothing else.
pub async fn a_step_without_room_leaves_only_its_place(store: Case) {
    let account = add_account(&store).await;
    let (first, first_lease) = leased(&store, "first").await;
    let (second, second_lease) = leased(&store, "second").await;
    let step = started(&first_lease, &first, &order("first", &account), limits(1));
    store.at(0).commit(&step).await.unwrap();
    let step = started(&second_lease, &second, &order("second", &account), limits(1));
    let refusal = store.at(0).commit(&step).await.unwrap_err();
    let Refusal::NoRoom(wait) = refusal else { panic!("{refusal:?}") };
    assert_eq!(store.bucket(&line_key("ca", Lane::New)).await.unwrap(), Some(wait.until));
    assert_eq!(row(&store, "second").await, second);
    assert_eq!(store.live_order(&second.name).await.unwrap(), None);
    store.renew(&second_lease, at(60)).await.unwrap();
}

/// The key of a certificate is the one in the order's row when it is stored, and is gone from there then.
pub async fn a_certificate_gets_its_orders_key_as_it_is_now(store: Case) {
    let account = add_account(&store).await;
    let (domain, lease) = leased(&store, "shop").await;
    let read = placed_order("shop", &account, b"under the older key");
    write(&store, async |tx| tx.insert_order(&read).await).await;
    let sealed = store.sealed_keys(SealedPlace::Orders, None, 1).await.unwrap().remove(0);
    write(&store, async |tx| tx.replace_sealed(&sealed, b"under the new key").await).await;
    let delivered = Certificate { sealed_key: None, ..certificate("shop", at(500), domain::Source::C4) };
    let issued = Order { state: read.state.clone().issued().unwrap(), ..read.clone() };
    let last = Step::new("issued", &lease, &domain)
        .and(Write::Order(OrderWrite::InsertIssued(Box::new(delivered.clone()), read.id)))
        .and(Write::Order(OrderWrite::Update(Box::new(issued), "placed")))
        .done();
    let _ = store.end(&last).await.unwrap();
    let stored = store.certificate(&domain.name, delivered.id()).await.unwrap().unwrap();
    assert_eq!(stored.sealed_key.as_deref(), Some(b"under the new key".as_slice()));
    assert!(store.sealed_keys(SealedPlace::Orders, None, 1).await.unwrap().is_empty());

    let (domain, lease) = leased(&store, "blog").await;
    let another = Certificate { sealed_key: None, ..certificate("blog", at(500), domain::Source::C4) };
    let nowhere = OrderWrite::InsertIssued(Box::new(another), OrderId::from(fresh_uuid()));
    let step = Step::new("issued", &lease, &domain).and(Write::Order(nowhere));
    assert!(matches!(store.commit(&step).await, Err(Refusal::Store(StoreError::Conflict { .. }))));
}

/// An order that ends without a certificate loses its key, whichever way it ends.
pub async fn an_order_that_ends_erases_its_key(store: Case) {
    let account = add_account(&store).await;
    for (label, reserved) in [("given", true), ("spent", false)] {
        let (domain, lease) = leased(&store, label).await;
        let placed = placed_order(label, &account, &[7]);
        write(&store, async |tx| tx.insert_order(&placed).await).await;
        let failed = Order { state: placed.state.clone().failed().unwrap(), ..placed.clone() };
        let fate = if reserved { OrderWrite::GiveBack(placed.id) } else { OrderWrite::SpendLater(placed.id) };
        let last = Step::new("ended", &lease, &domain)
            .and(Write::Order(fate))
            .and(Write::Order(OrderWrite::SpendFailure(LedgerOf {
                issuer: "ca".to_owned(),
                limits: limits(1),
            })))
            .and(Write::Order(OrderWrite::Update(Box::new(failed), "placed")))
            .and(Write::Order(OrderWrite::DropChallenges(placed.id)))
            .done();
        let _ = store.end(&last).await.unwrap();
        assert!(store.sealed_keys(SealedPlace::Orders, None, 1).await.unwrap().is_empty(), "{label}");
    }
}

/// What one of many steps at the same time is, beside those that are well.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    LostLease,
    StaleVersion,
    SecondOrder,
    NoRoom,
}

const FAULTS: [Fault; 12] = [
    Fault::None,
    Fault::LostLease,
    Fault::None,
    Fault::StaleVersion,
    Fault::None,
    Fault::SecondOrder,
    Fault::None,
    Fault::NoRoom,
    Fault::None,
    Fault::None,
    Fault::None,
    Fault::None,
];

/// Of many steps at the same time one has a lost lease, one a stale version, one a second live order, and one no room: each
/// has its own answer, and all others are committed.
pub async fn of_many_steps_at_once_each_has_its_own_answer(store: Case) {
    let account = add_account(&store).await;
    let full = limits(1);
    let (domain, lease) = leased(&store, "full").await;
    store.at(0).commit(&started(&lease, &domain, &order("full", &account), full)).await.unwrap();
    let mut steps = Vec::new();
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let label = format!("d{number}");
        let (domain, lease) = leased(&store, &label).await;
        let limits = if fault == Fault::NoRoom { full } else { Limits::default() };
        let step = started(&lease, &domain, &order(&label, &account), limits);
        match fault {
            Fault::LostLease => schedule(&store, &lease.work).await,
            Fault::StaleVersion => {
                update(&store, &domain.clone().doing(Activity::Preflight, None).unwrap()).await;
            }
            Fault::SecondOrder => {
                write(&store, async |tx| tx.insert_order(&order(&label, &account)).await).await;
            }
            Fault::None | Fault::NoRoom => {}
        }
        steps.push((label, fault, step));
    }
    let tasks: Vec<_> = steps
        .into_iter()
        .map(|(label, fault, step)| {
            let store = store.clone();
            tokio::spawn(async move { (label, fault, store.at(0).commit(&step).await) })
        })
        .collect();
    for task in tasks {
        let (label, fault, answer) = task.await.unwrap();
        let is_as_expected = match (fault, &answer) {
            (Fault::None, answer) => answer.is_ok(),
            (Fault::LostLease, Err(Refusal::Store(error))) => error.is_lease_lost(),
            (Fault::StaleVersion, Err(Refusal::Changed(fresh))) => fresh.activity == Activity::Preflight,
            (Fault::SecondOrder, Err(Refusal::Store(StoreError::Conflict { .. })))
            | (Fault::NoRoom, Err(Refusal::NoRoom(_))) => true,
            _ => false,
        };
        assert!(is_as_expected, "{label} {fault:?}: {answer:?}");
        let is_ordered = store.live_order(&name(&label)).await.unwrap().is_some();
        assert_eq!(is_ordered, matches!(fault, Fault::None | Fault::SecondOrder), "{label} {fault:?}");
    }
    let foreign = LastStep::dropped(&lease);
    let _ = store.end(&foreign).await.unwrap();
}
