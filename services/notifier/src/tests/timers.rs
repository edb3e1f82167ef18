//! Tests of notices that depend on time alone.

use domain::{CertificateId, CertificateSummary, Domain, Live, Reason, Source};
use jiff::SignedDuration;
use store::Certificate;

use super::kit::{Received, World};
use crate::{Notifier, TIMER_INTERVAL};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Gives a domain a certificate with a lifetime of that many days.
async fn lives(world: &World, domain: &Domain, days: i64, source: Source) -> Domain {
    let not_after = world.clock_now() + SignedDuration::from_hours(24 * days);
    let id = CertificateId::new(&*world.context.clock, &*world.context.entropy);
    let summary = CertificateSummary {
        id,
        sha256: format!("{:064x}", id.as_uuid().as_u128()),
        serial: "01".to_owned(),
        issuer: "CN=Test".to_owned(),
        not_before: world.clock_now(),
        not_after,
        source,
        trust: None,
    };
    let certificate = Certificate {
        summary,
        name: domain.name.clone(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: Some(vec![1]),
        created_at: world.clock_now(),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    };
    let mut tx = world.store().begin("certificate").await.unwrap();
    tx.insert_certificate(&certificate).await.unwrap();
    tx.commit().await.unwrap();
    let live = Live { certificate: id, not_after };
    let mut after = domain.clone().uploaded(live).unwrap();
    after.source = source;
    world.becomes(domain, after).await
}

/// Looks every hour for that long, with all timers; returns (hours, days left) of the notices sent.
async fn told_over(world: &mut World, days: i64) -> Vec<(i64, u64)> {
    let mut told = Vec::new();
    let mut copy = Notifier::new(world.context.clone()).unwrap();
    for hour in 1..=24 * days {
        world.clock.advance(HOUR);
        (world.notifier.looks, copy.looks) = (TIMER_INTERVAL, TIMER_INTERVAL);
        copy.look().await.unwrap();
        copy.settle().await;
        for received in world.look().await {
            for event in received.body["events"].as_array().unwrap() {
                told.push((hour, event["days_left"].as_u64().unwrap()));
            }
        }
    }
    told
}

#[tokio::test]
async fn a_pasted_certificate_is_told_of_at_30_14_7_and_1_days() {
    let mut world = World::start().await;
    let domain = world.add("shop", "4711").await;
    lives(&world, &domain, 32, Source::Text).await;
    let told = told_over(&mut world, 33).await;
    let days: Vec<u64> = told.iter().map(|(_, days)| *days).collect();
    assert_eq!(days, [30, 14, 7, 1], "each once, with two copies: {told:?}");
    // Found within the hour, and collected for an hour.
    for (hour, days) in told {
        let due = 24 * (32 - days as i64);
        assert!((due..=due + 2).contains(&hour), "{hour} {days}");
    }
}

#[tokio::test]
async fn a_blocked_renewal_is_told_of_from_the_day_that_it_is_found() {
    let mut world = World::start().await;
    let domain = world.add("shop", "4711").await;
    let domain = lives(&world, &domain, 5, Source::C4).await;
    world.step(&domain, |facts| facts.block = Some(Reason::CouldNotAsk { detail: "x".into() })).await;
    let told = told_over(&mut world, 6).await;
    assert_eq!(told.iter().map(|(_, days)| *days).collect::<Vec<_>>(), [7, 3, 1]);
}

#[tokio::test]
async fn a_midnight_is_reported_once_its_attempts_are_over() {
    let mut world = World::start().await;
    let domain = world.add("shop", "").await;
    let day = jiff::civil::date(2026, 12, 1);
    let mut tx = world.store().begin("recheck").await.unwrap();
    tx.ask_at_midnight(day, std::slice::from_ref(&domain)).await.unwrap();
    tx.set_rechecked(day).await.unwrap();
    tx.commit().await.unwrap();
    assert!(world.look_after(HOUR).await.is_empty(), "the attempt is still to come");
    let mut tx = world.store().begin("decide").await.unwrap();
    tx.decide_midnight(&domain).await.unwrap();
    tx.commit().await.unwrap();
    world.notifier.looks = TIMER_INTERVAL;
    let received = world.look_after(HOUR).await;
    assert_eq!(received.len(), 1);
    let event = &received[0].body["events"][0];
    assert_eq!((event["subject"].as_str(), event["report"]["asked"].as_u64()), (Some("2026-12-01"), Some(1)));
    assert_eq!(event["report"]["outcomes"]["unchanged"], 1);
    world.notifier.looks = TIMER_INTERVAL;
    assert!(world.look_after(HOUR).await.is_empty());
}

#[tokio::test]
async fn a_renewal_and_a_ca_that_is_down_are_told() {
    let mut world = World::start().await;
    let domain = world.add("shop", "").await;
    let domain = lives(&world, &domain, 60, Source::C4).await;
    let domain = lives(&world, &domain, 90, Source::C4).await;
    let received = world.look().await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body["kind"], "renewed");
    assert_eq!(received[0].body["id"], received[0].body["events"][0]["id"], "a notice alone has its own id");
    let down = Some(Reason::CaDown { detail: "503".to_owned() });
    let domain = waits(&world, &domain, down.clone()).await;
    world.look_after(2 * HOUR).await;
    let received = world.look_after(HOUR).await;
    assert_eq!(received.iter().flat_map(Received::events).collect::<Vec<_>>(), ["ca"]);
    let up = waits(&world, &domain, None).await;
    let again = waits(&world, &up, down).await;
    waits(&world, &again, None).await;
    world.look_after(HOUR).await;
    assert!(world.look_after(HOUR).await.is_empty(), "it is up again");
}

async fn waits(world: &World, domain: &Domain, waiting: Option<Reason>) -> Domain {
    let after = domain.clone().doing(domain.activity, waiting).unwrap();
    world.becomes(domain, after).await
}
