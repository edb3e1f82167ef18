//! Tests of how often a CA is asked: about an order, and about renewals.

use domain::{Cause, DomainName, Status};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Endpoint, ValidationResult};

use super::kit::{DAY, Kit, name, refusal};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The number of requests in the first attempt at an order that stays pending, and the seconds until the second
/// attempt.
async fn pending_with(headers: &[&str]) -> (u64, i64) {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().validation_default(ValidationResult::Never);
    kit.ca().write_retry_after(headers);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.domain(&name).await.status(kit.now()), Status::Pending);
    assert_eq!(kit.ca().orders_placed(), 1);
    let due_at = kit.work(&name).await.unwrap().due_at.unwrap();
    (kit.ca().requests(), due_at.duration_since(kit.now()).as_secs())
}

#[tokio::test]
async fn our_own_growing_pause_is_the_floor() {
    let (patient, _) = pending_with(&[]).await;
    for headers in [&["0"][..], &["Thu, 01 Jan 1970 00:00:00 GMT"], &["-1"], &["soon"], &["0", "0"]] {
        let (requests, seconds) = pending_with(headers).await;
        assert!(requests <= patient, "{headers:?}: {requests} requests instead of {patient}");
        assert!((1..60).contains(&seconds), "{headers:?}: {seconds} s");
    }
    assert!(patient < 25, "{patient}");
}

#[tokio::test]
async fn a_wait_that_makes_no_sense_holds_an_order_up_for_an_hour_at_most() {
    for headers in [&["99999999999"][..], &["99999999999999999999999"], &["0", "99999999999"]] {
        let (requests, seconds) = pending_with(headers).await;
        assert_eq!(seconds, 3600, "{headers:?}");
        assert!(requests < 12, "{headers:?}: {requests}");
    }
    let (_, seconds) = pending_with(&["0", "30"]).await;
    assert_eq!(seconds, 30, "the longest counts");
}

async fn hours_between_questions(kit: &Kit, name: &DomainName, count: usize) -> Vec<f64> {
    let mut hours = Vec::new();
    for _ in 0..count {
        let due_at = kit.work(name).await.unwrap().due_at.unwrap();
        hours.push(due_at.duration_since(kit.now()).as_secs_f64() / 3600.0);
        kit.run_next(name).await;
    }
    hours
}

#[tokio::test]
async fn a_certificate_that_ari_does_not_know_is_asked_about_every_six_hours() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.certified(&name).await;
    kit.ca().refuse(Endpoint::RenewalInfo, Some(refusal(404, "malformed", "no such certificate")));
    assert!(kit.run(&name).await);
    assert_eq!(hours_between_questions(&kit, &name, 4).await, [6.0; 4]);
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn an_ari_that_is_broken_is_asked_less_and_less_often() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.certified(&name).await;
    kit.ca().refuse(Endpoint::RenewalInfo, Some(refusal(500, "serverInternal", "no")));
    assert!(kit.run(&name).await);
    let hours = hours_between_questions(&kit, &name, 6).await;
    assert_eq!(hours[2..], [0.5, 2.0, 6.0, 6.0]);
}

/// The number of renewals within two days for a domain whose every certificate is to be renewed at once.
async fn renewals_in_two_days(explanation: Option<&str>) -> u64 {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.certified(&name).await;
    kit.ca().set_renewal_window(Some(name.as_str()), kit.now() - HOUR * 2, kit.now() - HOUR, explanation);
    kit.ca().ask_renewal_again_after(std::time::Duration::from_mins(10));
    let end = kit.now() + DAY * 2 + HOUR;
    while kit.now() < end {
        assert!(kit.ca().orders_placed() < 10, "renewed again and again, {} left", end - kit.now());
        kit.run_next(&name).await;
        if kit.work(&name).await.is_none_or(|work| work.due_at.is_none()) {
            kit.live(&name).await;
        }
    }
    assert_eq!(kit.domain(&name).await.status(kit.now()), Status::Success);
    kit.ca().orders_placed() - 1
}

#[tokio::test]
async fn a_window_in_the_past_renews_a_certificate_once_a_day() {
    assert_eq!(renewals_in_two_days(None).await, 2);
    let explained = renewals_in_two_days(Some("https://ca.example/incident")).await;
    assert!((2..=4).contains(&explained), "{explained}: the first of an incident is at once");
}

#[tokio::test]
async fn an_incident_is_followed_at_once() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.certified(&name).await;
    kit.ca().set_renewal_window(
        Some(name.as_str()),
        kit.now() - HOUR * 2,
        kit.now() - HOUR,
        Some("https://ca.example/incident"),
    );
    assert!(kit.run(&name).await);
    assert_eq!(kit.work(&name).await.unwrap().cause, Cause::Renewal);
    assert!(kit.run(&name).await);
    kit.issued(&name).await;
    assert_eq!(kit.ca().orders_placed(), 2);
}

/// The longest wait of any of them until its next attempt, once the CA is back after 3 s.
#[tokio::test]
async fn after_an_outage_of_seconds_all_are_tried_within_half_a_minute() {
    let kit = Kit::new().await;
    let names: Vec<_> = (0..12).map(|number| name(&format!("d{number}"))).collect();
    for name in &names {
        kit.add(name).await;
    }
    kit.ca().down(true);
    for name in &names {
        assert!(kit.run(name).await);
    }
    kit.clock.advance(SignedDuration::from_secs(3));
    kit.ca().down(false);
    let at_the_latest = kit.now() + SignedDuration::from_secs(30);
    let mut waiting = names;
    while let Some((due_at, next)) = soonest(&kit, &waiting).await {
        assert!(due_at <= at_the_latest, "{next} waits until {due_at}, over half a minute");
        kit.run_next(&next).await;
        waiting.retain(|name| *name != next);
        if kit.work(&next).await.is_some() {
            waiting.push(next);
        }
    }
    assert_eq!(kit.ca().certificates_issued(), 12);
}

/// The first domain to be retried, and when.
async fn soonest(kit: &Kit, names: &[DomainName]) -> Option<(Timestamp, DomainName)> {
    let mut all = Vec::new();
    for name in names {
        all.push((kit.work(name).await.unwrap().due_at.unwrap(), name.clone()));
    }
    all.into_iter().min()
}
