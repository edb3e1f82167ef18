//! Tests that notices of one domain arrive in order, and that a crash loses none.

use jiff::SignedDuration;
use runtime::Hold;

use super::kit::{Behaviour, Received, World};
use crate::Notifier;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const LEASE: SignedDuration = SignedDuration::from_secs(31);

#[tokio::test]
async fn a_later_delivery_waits_for_an_earlier_one_of_its_domain() {
    let mut world = World::without_endpoint(|_| {}).await;
    world.add_endpoint("alone", |endpoint| endpoint.digest = false).await;
    world.receiver.behave(Behaviour::Breaks);
    let domain = world.add("shop", "").await;
    let failing = world.fails(&domain).await;
    let first = world.look().await[0].ids();
    let mended = world.step(&failing, |facts| facts.upload_failing = None).await;
    world.fails(&mended).await;
    let again = world.look_after(MINUTE).await;
    assert!(again.iter().all(|received| received.ids() == first), "the second waits: {again:?}");
    world.receiver.behave(Behaviour::Takes);
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(world.look_after(MINUTE).await.iter().flat_map(Received::ids));
    }
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], first[0]);
}

/// Kills a process at a step, and runs another one after it.
async fn dies_at(step: &'static str) -> Vec<String> {
    let mut world = World::start().await;
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    if step.starts_with("delivery") {
        world.look().await;
        world.clock.advance(MINUTE);
    }
    let hold = Hold::at(step);
    let mut dying = Notifier::new(world.context.clone()).unwrap();
    let work = hold.clone().run(async move { dying.look().await });
    let work = tokio::spawn(work);
    hold.reached().await;
    work.abort();
    let _ = work.await;
    let mut ids = Vec::new();
    for after in [LEASE, MINUTE, MINUTE] {
        ids.extend(world.look_after(after).await.iter().flat_map(Received::ids));
    }
    ids
}

#[tokio::test]
async fn a_process_that_dies_at_any_step_loses_nothing() {
    for step in ["notices-read", "notices-taken", "deliveries-stored", "delivery-claimed"] {
        assert_eq!(dies_at(step).await.len(), 1, "{step}");
    }
}

/// It died after the receiver accepted the request: the receiver gets it again, with the same ids.
#[tokio::test]
async fn what_was_sent_and_not_stored_is_sent_again() {
    let mut world = World::start().await;
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    world.look().await;
    world.clock.advance(MINUTE);
    let claimed = {
        let endpoint = world.endpoint().await.id;
        world.store().claim_deliveries(endpoint, 9, world.clock_now() + LEASE).await.unwrap()
    };
    assert_eq!(claimed.len(), 1, "by a process that died before it could send, or after");
    assert!(world.look().await.is_empty(), "its lease lasts");
    assert_eq!(world.look_after(LEASE).await.len(), 1);
    world.store().delivered(&claimed[0], 200).await.unwrap();
    assert_eq!(world.deliveries().await[0].attempts, 1, "who was overtaken changes nothing");
}
