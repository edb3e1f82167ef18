//! Tests of the receivers' behaviour and its consequences.

use domain::{DeliveryState, EndpointState, NoticeKind, WebhookFormat};
use jiff::SignedDuration;

use super::kit::{Behaviour, Received, SECRET, World};
use crate::{EVENT_ID_HEADER, Notifier, SIGNATURE_HEADER, sign};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn one(mut received: Vec<Received>) -> Received {
    assert_eq!(received.len(), 1, "{received:?}");
    received.remove(0)
}

#[tokio::test]
async fn emergencies_of_a_minute_are_one_digest_and_signed() {
    let mut world = World::start().await;
    for label in ["a", "b", "c"] {
        let domain = world.add(label, "").await;
        world.fails(&domain).await;
    }
    assert!(world.look().await.is_empty(), "it is collected for a minute");
    let received = one(world.look_after(MINUTE).await);
    let mut events = received.events();
    events.sort();
    assert_eq!(events, ["a.example.com", "b.example.com", "c.example.com"]);
    assert_eq!(received.body["kind"], "emergency");
    assert_eq!(received.body["events"][0]["status"], "Emergency");
    assert_eq!(received.body["events"][0]["reason"]["code"], "upload_failed");
    assert_eq!(received.body["id"], received.headers[EVENT_ID_HEADER].as_str());
    let expected = sign(SECRET.as_bytes(), world.clock_now(), received.text.as_bytes());
    assert_eq!(received.headers[SIGNATURE_HEADER], expected);
    assert!(world.look_after(HOUR).await.is_empty(), "once");
    assert_eq!(world.deliveries().await[0].state, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_receiver_that_is_away_for_an_hour_misses_nothing() {
    let mut world = World::start().await;
    world.receiver.behave(Behaviour::IsAway);
    for number in 0..3 {
        let domain = world.add(&format!("s{number}"), "").await;
        world.fails(&domain).await;
        world.look_after(20 * MINUTE).await;
    }
    let endpoint = world.endpoint().await;
    assert!(endpoint.failing_since.is_some() && !endpoint.last_error.is_empty(), "{endpoint:?}");
    world.receiver.behave(Behaviour::Takes);
    let mut events = Vec::new();
    for _ in 0..40 {
        events.extend(world.look_after(MINUTE).await.iter().flat_map(Received::events));
    }
    events.sort();
    assert_eq!(events, ["s0.example.com", "s1.example.com", "s2.example.com"]);
    assert_eq!(world.endpoint().await.failing_since, None);
}

#[tokio::test]
async fn what_is_sent_again_has_the_same_ids() {
    let mut world = World::start().await;
    world.receiver.behave(Behaviour::Breaks);
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    world.look().await;
    let first = one(world.look_after(MINUTE).await);
    let shown = world.deliveries().await.remove(0);
    assert_eq!((shown.http_status, shown.last_error.as_str()), (Some(500), "the answer was 500"));
    world.receiver.behave(Behaviour::Takes);
    let second = one(world.look_after(MINUTE).await);
    assert_eq!(first.ids(), second.ids());
    assert_eq!(first.body["id"], second.body["id"]);
    assert_ne!(first.headers[SIGNATURE_HEADER], second.headers[SIGNATURE_HEADER], "another time");
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_for_days_is_switched_off() {
    let mut world = World::start().await;
    world.receiver.behave(Behaviour::Breaks);
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    for _ in 0..3 * 24 * 4 {
        world.look_after(15 * MINUTE).await;
    }
    world.look_after(2 * DAY).await;
    let endpoint = world.endpoint().await;
    assert_eq!(endpoint.state, EndpointState::Failed);
    assert_eq!(endpoint.state_reason, "the answer was 500");
    world.receiver.behave(Behaviour::Takes);
    assert!(world.look_after(DAY).await.is_empty());
}

/// `DOMAINS` says how many; a digest takes 500.
#[tokio::test]
async fn a_thousand_domains_of_a_customer_are_one_digest() {
    let domains =
        std::env::var("DOMAINS").ok().and_then(|domains| domains.parse().ok()).unwrap_or(1000_usize);
    let mut world = World::start().await;
    for number in 0..domains {
        let customer = if number % 2 == 0 { "4711" } else { "4712" };
        let domain = world.add(&format!("s{number}"), customer).await;
        world.blocks(&domain).await;
    }
    assert!(world.look_after(59 * MINUTE).await.is_empty(), "not for an hour yet");
    assert!(world.look_after(MINUTE).await.is_empty(), "it is collected for an hour");
    let received = world.look_after(HOUR).await;
    println!("{} digests tell of {domains} domains of 2 customers", received.len());
    assert_eq!(received.len(), domains.div_ceil(1000) * 2, "one per customer, and 500 notices");
    assert_eq!(received.iter().map(|digest| digest.events().len()).sum::<usize>(), domains);
    for digest in &received {
        assert_eq!(digest.body["kind"], "customer_action_needed");
        let customer = digest.body["events"][0]["customer_ref"].as_str().unwrap();
        assert!(
            digest.body["events"].as_array().unwrap().iter().all(|event| event["customer_ref"] == customer)
        );
    }
    assert!(world.look_after(2 * HOUR).await.is_empty());
}

#[tokio::test]
async fn what_the_customer_mends_within_the_hour_is_not_told() {
    let mut world = World::start().await;
    let domain = world.add("shop", "4711").await;
    let blocked = world.blocks(&domain).await;
    world.step(&blocked, |facts| facts.block = None).await;
    world.look_after(HOUR).await;
    assert!(world.look_after(2 * HOUR).await.is_empty());
    assert!(world.deliveries().await.is_empty());
}

/// What did not hold when it came due uses up nothing of the day.
#[tokio::test]
async fn a_second_break_of_the_day_is_told_after_a_first_that_was_mended() {
    let mut world = World::start().await;
    let domain = world.add("shop", "4711").await;
    let blocked = world.blocks(&domain).await;
    let mended = world.step(&blocked, |facts| facts.block = None).await;
    world.look_after(HOUR).await;
    world.blocks(&mended).await;
    world.look_after(HOUR).await;
    assert_eq!(one(world.look_after(HOUR).await).events(), ["shop.example.com"]);
}

#[tokio::test]
async fn a_digest_takes_500_notices_and_the_next_one_the_rest() {
    let mut world = World::start().await;
    for number in 0..1100 {
        let domain = world.add(&format!("s{number}"), "4711").await;
        world.blocks(&domain).await;
    }
    world.look_after(HOUR).await;
    let received = world.look_after(HOUR).await;
    let mut counts: Vec<usize> = received.iter().map(|digest| digest.events().len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [100, 500, 500]);
    let mut events: Vec<String> = received.iter().flat_map(Received::events).collect();
    events.sort();
    events.dedup();
    assert_eq!(events.len(), 1100);
}

#[tokio::test]
async fn a_second_copy_doubles_nothing() {
    let mut world = World::start().await;
    world.add_endpoint("second", |endpoint| endpoint.digest = false).await;
    let mut copy = Notifier::new(world.context.clone()).unwrap();
    for number in 0..20 {
        let domain = world.add(&format!("s{number}"), "").await;
        world.fails(&domain).await;
    }
    let mut ids = Vec::new();
    for _ in 0..6 {
        let (one, two) = tokio::join!(world.notifier.look(), copy.look());
        one.unwrap();
        two.unwrap();
        tokio::join!(world.notifier.settle(), copy.settle());
        ids.extend(world.receiver.take().iter().flat_map(Received::ids));
        world.clock.advance(MINUTE);
    }
    assert_eq!(ids.len(), 40, "each to both endpoints");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn an_endpoint_is_told_what_it_selects_in_its_format() {
    let mut world = World::without_endpoint(|_| {}).await;
    world
        .add_endpoint("chat", |endpoint| {
            endpoint.kinds = vec![NoticeKind::Emergency];
            endpoint.labels.insert("team".to_owned(), "a".to_owned());
            endpoint.format = WebhookFormat::Slack;
        })
        .await;
    let (ours, theirs) = (world.add("ours", "").await, world.add("theirs", "").await);
    let mut tx = world.store().begin("label").await.unwrap();
    tx.set_labels(&ours.name, &[("team".to_owned(), "a".to_owned())].into()).await.unwrap();
    tx.commit().await.unwrap();
    let blocked = world.blocks(&ours).await;
    world.fails(&blocked).await;
    world.fails(&theirs).await;
    world.look_after(2 * HOUR).await;
    let received = one(world.look_after(2 * HOUR).await);
    let text = received.body["text"].as_str().unwrap();
    assert!(
        text.starts_with("*Emergency: C4 does not take the certificates of 1 domain*\n• ours.example.com: ")
    );
    assert_eq!(received.body.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn without_endpoints_no_key_is_made_and_nothing_is_kept() {
    let mut world = World::without_endpoint(|_| {}).await;
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    assert!(world.look().await.is_empty());
    assert!(world.store().due_notices(9).await.unwrap().is_empty());
    assert!(!world.context.config.notifier.sealing_key_file.exists());
}

/// The secret does not open for a row whose URL was changed, so nothing signed is sent there.
#[tokio::test]
async fn a_url_that_was_changed_in_the_database_gets_nothing() {
    let mut world = World::without_endpoint(|_| {}).await;
    let url = world.receiver.url.replace("/hook", "/other");
    world.add_endpoint("all", |endpoint| endpoint.url = url).await;
    let domain = world.add("shop", "").await;
    world.fails(&domain).await;
    world.look().await;
    assert!(world.look_after(MINUTE).await.is_empty());
    assert!(world.endpoint().await.last_error.contains("its URL and secret cannot be opened"));
}
