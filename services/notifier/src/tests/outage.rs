//! What a receiver's outage, its refusal of one body and its slowness do to the rest.

use std::time::Duration;

use domain::EndpointState;
use jiff::SignedDuration;

use super::kit::{Behaviour, Received, Receiver, World};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn events(received: &[Received]) -> Vec<String> {
    received.iter().flat_map(Received::events).collect()
}

/// With an endpoint that gets each notice alone, and whose receiver refuses what tells of `bad.example.com`.
async fn refusing() -> World {
    let world = World::without_endpoint(|_| {}).await;
    world.add_endpoint("alone", |endpoint| endpoint.digest = false).await;
    world.receiver.behave(Behaviour::RefusesBad);
    world
}

#[tokio::test]
async fn a_body_that_is_refused_waits_alone() {
    let mut world = refusing().await;
    let bad = world.add("bad", "").await;
    world.fails(&bad).await;
    assert_eq!(events(&world.look().await), ["bad.example.com"]);
    let endpoint = world.endpoint().await;
    assert_eq!((endpoint.failures, endpoint.retry_at, endpoint.failing_since), (0, None, None));
    assert_eq!(endpoint.last_error, "the answer was 413");
    let good = world.add("good", "").await;
    world.fails(&good).await;
    assert_eq!(events(&world.look().await), ["good.example.com"], "the endpoint is not waited for");
    let other = world.add("other", "").await;
    world.receiver.behave(Behaviour::Breaks);
    world.fails(&other).await;
    world.look_after(MINUTE).await;
    world.receiver.behave(Behaviour::RefusesBad);
    let again = events(&world.look_after(MINUTE).await);
    assert_eq!(again.iter().filter(|name| *name == "other.example.com").count(), 1, "{again:?}");
    let again = events(&world.look().await);
    assert!(again.is_empty(), "what is refused is not due by another one's success: {again:?}");
}

#[tokio::test]
async fn what_is_refused_22_times_is_given_up_and_holds_up_nothing() {
    let mut world = refusing().await;
    let bad = world.add("bad", "").await;
    let failing = world.fails(&bad).await;
    let mut attempts = world.look().await.len();
    let mended = world.step(&failing, |facts| facts.upload_failing = None).await;
    world.fails(&mended).await;
    for hour in 0..4 * 24 {
        if hour == 10 {
            // It takes something, so it stays on.
            let good = world.add("good", "").await;
            world.fails(&good).await;
        }
        attempts += world.look_after(60 * MINUTE).await.len();
        let shown = world.deliveries().await.pop().unwrap();
        if shown.state.as_str() == "refused" {
            break;
        }
        assert!(attempts <= 22 + 1);
    }
    let shown = world.deliveries().await;
    assert_eq!((shown[2].state.as_str(), shown[2].attempts), ("refused", 22));
    assert_eq!(shown[2].last_error, "the answer was 413");
    world.receiver.behave(Behaviour::Takes);
    world.look_after(DAY).await;
    let shown = world.deliveries().await;
    assert_eq!(shown[1].state.as_str(), "delivered", "the later one of the same domain");
    let mut tx = world.store().begin("again").await.unwrap();
    assert!(tx.redeliver(shown[2].id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(events(&world.look().await), ["bad.example.com"], "by a person");
}

/// 404 for days, to everything; the line of the audit log and the reason name the answer.
#[tokio::test]
async fn an_endpoint_that_refuses_everything_for_days_is_switched_off() {
    let mut world = refusing().await;
    world.receiver.behave(Behaviour::Refuses("404 Not Found"));
    for name in ["a", "b"] {
        let domain = world.add(name, "").await;
        world.fails(&domain).await;
    }
    for hours in 0..71 {
        world.look_after(60 * MINUTE).await;
        assert_eq!(world.endpoint().await.state, EndpointState::Enabled, "after {hours} hours");
    }
    let mut attempts = 0;
    while world.endpoint().await.state == EndpointState::Enabled && attempts < 24 {
        world.look_after(60 * MINUTE).await;
        attempts += 1;
    }
    let endpoint = world.endpoint().await;
    assert_eq!(
        (endpoint.state, endpoint.state_reason.as_str()),
        (EndpointState::Failed, "the answer was 404")
    );
    let lines = world.store().audit(Some("alone"), 9).await.unwrap();
    assert_eq!((lines.len(), lines[0].actor.as_str()), (1, "role:notifier"));
    assert_eq!(lines[0].detail, "switched off: the answer was 404");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_switched_off_at_once() {
    let mut world = refusing().await;
    world.receiver.behave(Behaviour::Refuses("410 Gone"));
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    assert_eq!(world.look().await.len(), 1);
    let endpoint = world.endpoint().await;
    assert_eq!(
        (endpoint.state, endpoint.state_reason.as_str()),
        (EndpointState::Failed, "the answer was 410")
    );
    assert!(world.look_after(DAY).await.is_empty());
    assert_eq!(world.store().audit(Some("alone"), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_blip_is_one_failure_however_many_were_in_flight() {
    let mut world = refusing().await;
    world.receiver.behave(Behaviour::IsAway);
    for number in 0..8 {
        let domain = world.add(&format!("s{number}"), "").await;
        world.fails(&domain).await;
    }
    world.notifier.look().await.unwrap();
    world.notifier.settle().await;
    let attempts: u32 = world.deliveries().await.iter().map(|delivery| delivery.attempts).sum();
    assert!(attempts > 1, "several were in flight");
    assert_eq!(world.endpoint().await.failures, 1);
}

#[tokio::test]
async fn a_slow_receiver_leaves_room_for_the_others() {
    let mut world = World::without_endpoint(|_| {}).await;
    let slow = Receiver::start().await;
    slow.behave(Behaviour::Hangs);
    let fast = std::mem::replace(&mut world.receiver, slow);
    world.add_endpoint("a-slow", |endpoint| endpoint.digest = false).await;
    let slow = std::mem::replace(&mut world.receiver, fast);
    for number in 0..40 {
        let domain = world.add(&format!("s{number}"), "").await;
        world.fails(&domain).await;
    }
    world.notifier.look().await.unwrap();
    world.add_endpoint("b-fast", |endpoint| endpoint.digest = false).await;
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    for _ in 0..20 {
        world.notifier.look().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(events(&world.receiver.take()), ["shop.example.com"]);
    assert_eq!(slow.take().len(), 4);
}
