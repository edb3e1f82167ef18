//! Tests of the CA's limits, which the sandbox's CA enforces like the real one.

use domain::{Activity, Cause, DomainName, Reason, Status, Who};
use jiff::SignedDuration;
use runtime::config::IssuerLimits;
use sandbox::{CaRefusal, Endpoint, Limits, ValidationResult};

use super::kit::{DAY, Kit, refusal};

fn stranger(index: usize) -> DomainName {
    DomainName::parse(&format!("shop.customer{index}.com")).unwrap()
}

fn letsencrypt() -> IssuerLimits {
    IssuerLimits::Named("letsencrypt".to_owned())
}

async fn limited() -> Kit {
    let kit = Kit::with(|issuer| issuer.limits = letsencrypt()).await;
    kit.ca().enforce(Limits::letsencrypt());
    kit
}

#[tokio::test]
async fn who_finds_no_room_is_told_until_when_and_is_served_then() {
    let kit = limited().await;
    let mut waiting = Vec::new();
    for index in 0..260 {
        let name = stranger(index);
        kit.add(&name).await;
        assert!(kit.run(&name).await);
        if kit.domain(&name).await.activity == Activity::WaitingForBudget {
            waiting.push(name);
        }
    }
    assert_eq!(waiting.len(), 5, "15 of 100 are kept for renewals");
    let mut last = kit.now();
    for name in &waiting {
        let domain = kit.domain(name).await;
        let Some(Reason::CaLimited { until, limit, seconds_per_place, .. }) = domain.reason() else {
            panic!("{:?}", domain.reason())
        };
        assert_eq!((limit.as_str(), seconds_per_place), ("new orders per account", 36));
        assert!(last < until, "each has a time of its own");
        last = until;
        let work = kit.work(name).await.unwrap();
        assert_eq!((work.due_at, work.cause), (Some(until), Cause::Requested));
        assert_eq!(domain.recorded, Status::Pending);
    }
    for name in &waiting {
        kit.run_next(name).await;
        assert_eq!(kit.domain(name).await.activity, Activity::Issued, "{name}");
    }
    assert_eq!(kit.ca().refused_by_limits(), 0, "the CA never had to say no");
}

#[tokio::test]
async fn a_domain_that_is_mended_and_waits_in_line_is_not_blamed_any_more() {
    let kit = limited().await;
    for index in 0..260 {
        kit.add(&stranger(index)).await;
        assert!(kit.run(&stranger(index)).await);
    }
    let late = stranger(9999);
    kit.add(&late).await;
    kit.world.dns.control().set_cname(late.as_str(), "elsewhere.example.net");
    assert!(kit.run(&late).await);
    assert_eq!(kit.why(&late).await, (Status::Failure, "not_pointed", Who::Customer));
    kit.world.point_at_cdn(late.as_str());
    kit.run_next(&late).await;
    assert_eq!(kit.why(&late).await, (Status::Pending, "ca_limited", Who::Us));
    assert!(kit.domain(&late).await.reason().unwrap().place(kit.now()) > Some(1));
}

#[tokio::test]
async fn renewals_go_on_when_new_domains_have_used_up_the_budget() {
    let kit = limited().await;
    let old = stranger(9999);
    kit.certified(&old).await;
    kit.clock.advance(DAY * 70);
    for index in 0..300 {
        let name = stranger(index);
        kit.add(&name).await;
        assert!(kit.run(&name).await);
    }
    kit.ask(&old, Cause::Renewal).await;
    assert!(kit.run(&old).await);
    assert_eq!(kit.domain(&old).await.activity, Activity::Issued);
    assert_eq!(kit.ca().refused_by_limits(), 0);
}

#[tokio::test]
async fn what_the_ca_says_corrects_the_ledger() {
    let kit = Kit::with(|issuer| issuer.limits = letsencrypt()).await;
    let (first, second) = (stranger(1), stranger(2));
    kit.ca().rate_limit(None, Some(std::time::Duration::from_hours(2)));
    kit.add(&first).await;
    assert!(kit.run(&first).await);
    let work = kit.work(&first).await.unwrap();
    let wait = work.due_at.unwrap().duration_since(kit.now());
    assert_eq!(wait, SignedDuration::from_hours(2));
    kit.ca().rate_limit(None, None);
    kit.add(&second).await;
    assert!(kit.run(&second).await);
    assert_eq!(kit.domain(&second).await.activity, Activity::Issued, "another name is not concerned");
}

/// A limit is charged if the CA's words name it; an overloaded CA names none, and no other name is delayed.
#[tokio::test]
async fn a_refusal_that_names_no_limit_is_booked_on_none() {
    for (detail, is_held_up) in [
        ("overloaded", false),
        ("too many certificates (50) already issued for \"blog.customer1.com\" in the last week", false),
        ("too many certificates (50) already issued for \"customer1.com\" in the last week", true),
        ("too many new orders (300) from this account in the last 3h0m0s", true),
    ] {
        let kit = Kit::with(|issuer| issuer.limits = letsencrypt()).await;
        kit.ca().refuse(Endpoint::NewOrder, Some(refusal(429, "rateLimited", detail)));
        let first = DomainName::parse("blog.customer1.com").unwrap();
        kit.add(&first).await;
        assert!(kit.run(&first).await);
        kit.ca().refuse(Endpoint::NewOrder, None);
        let second = stranger(1);
        kit.add(&second).await;
        assert!(kit.run(&second).await);
        let activity = kit.domain(&second).await.activity;
        assert_eq!(activity != Activity::Issued, is_held_up, "{detail}: {activity:?}");
    }
}

/// An order that was not accepted holds no reservation that other names of the registered domain need.
#[tokio::test]
async fn orders_that_the_ca_refuses_leave_room_for_their_siblings() {
    let kit = limited().await;
    let sibling = |number: u8| DomainName::parse(&format!("s{number}.customer1.com")).unwrap();
    for number in 0..50 {
        let name = sibling(number);
        kit.ca().pause(name.as_str(), Some("https://ca.example/unpause"));
        kit.add(&name).await;
        assert!(kit.run(&name).await);
    }
    let (paused, fine) = (sibling(0), sibling(50));
    kit.add(&fine).await;
    assert!(kit.run(&fine).await);
    assert_eq!(kit.domain(&fine).await.activity, Activity::Issued);
    kit.ca().pause(paused.as_str(), None);
    kit.ask(&paused, Cause::OperatorRecheck).await;
    assert!(kit.run(&paused).await);
    assert_eq!(kit.domain(&paused).await.activity, Activity::Issued);
    assert_eq!(kit.ca().refused_by_limits(), 0);
}

#[tokio::test]
async fn a_ca_that_says_two_years_is_asked_again_within_a_day() {
    let kit = Kit::with(|issuer| issuer.limits = letsencrypt()).await;
    let years = std::time::Duration::from_hours(2 * 365 * 24);
    kit.ca().rate_limit(None, Some(years));
    let name = stranger(1);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let due_at = kit.work(&name).await.unwrap().due_at.unwrap();
    assert_eq!(due_at.duration_since(kit.now()), DAY);
    kit.ca().rate_limit(None, None);
    kit.clock.advance(DAY);
    assert!(kit.run(&name).await);
    assert_eq!(kit.domain(&name).await.activity, Activity::Issued);
}

/// A CA counts certificates when it issues them, so five failed orders use up none of the five per week.
#[tokio::test]
async fn a_domain_that_was_mended_after_five_failed_orders_has_its_certificate_within_minutes() {
    let kit = limited().await;
    let name = stranger(1);
    let (problem, detail) = ("unauthorized".to_owned(), "the answer was 403".to_owned());
    kit.ca().validation_result(name.as_str(), ValidationResult::Invalid { problem, detail });
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    while kit.ca().orders_for(name.as_str()) < 5 {
        kit.run_next(&name).await;
    }
    kit.ca().validation_result(name.as_str(), ValidationResult::Valid);
    let mended_at = kit.now();
    kit.ask(&name, Cause::OperatorRecheck).await;
    assert!(kit.run(&name).await);
    while kit.domain(&name).await.activity != Activity::Issued {
        kit.run_next(&name).await;
    }
    let took = kit.now().duration_since(mended_at);
    assert!(took <= SignedDuration::from_mins(13), "failures an hour, not certificates a week: {took:#}");
    assert_eq!(kit.ca().refused_by_limits(), 0);
}

/// An order that may have been issued counts; one that failed by the CA's own words does not.
#[tokio::test]
async fn an_order_that_was_finalized_is_given_back_only_if_the_ca_says_that_it_came_to_nothing() {
    for (fate, issued) in [(refusal(500, "serverInternal", "no SCTs"), 5), (refusal(403, "caa", "no"), 5)] {
        let kit = limited().await;
        let name = stranger(1);
        kit.ca().fail_issuances(&fate, 3);
        kit.add(&name).await;
        assert!(kit.run(&name).await);
        for _ in 0..3 {
            kit.run_next(&name).await;
        }
        assert_eq!(kit.domain(&name).await.activity, Activity::Issued, "{fate:?}");
        kit.live(&name).await;
        // With the first, five per week; `force` belongs to its revision, so a renewal is used here.
        let mut certificates = 1;
        loop {
            kit.ask(&name, Cause::Renewal).await;
            assert!(kit.run(&name).await);
            if kit.domain(&name).await.activity != Activity::Issued {
                break;
            }
            kit.live(&name).await;
            certificates += 1;
        }
        assert_eq!(certificates, issued, "{fate:?}");
        assert_eq!(kit.ca().refused_by_limits(), 0);
    }
}

/// Five certificates that were issued but never delivered use up the name's limit of a week.
#[tokio::test]
async fn a_finalized_order_that_is_given_up_counts_as_issued() {
    let kit = limited().await;
    let name = stranger(1);
    kit.ca().refuse(Endpoint::Certificate, Some(refusal(404, "malformed", "Certificate not found")));
    kit.add(&name).await;
    let today = kit.now() + DAY / 2;
    while kit.work(&name).await.unwrap().due_at.unwrap() < today {
        kit.run_next(&name).await;
    }
    assert_eq!((kit.ca().certificates_issued(), kit.ca().orders_for(name.as_str())), (5, 5));
    assert_eq!(kit.why(&name).await, (Status::Pending, "ca_limited", Who::Us));
    assert_eq!(kit.ca().refused_by_limits(), 0);
}

#[tokio::test]
async fn five_challenges_that_failed_within_minutes_are_all_of_an_hour() {
    let kit = limited().await;
    let name = stranger(1);
    let (problem, detail) = ("unauthorized".to_owned(), "the answer was 403".to_owned());
    kit.ca().validation_result(name.as_str(), ValidationResult::Invalid { problem, detail });
    kit.add(&name).await;
    for _ in 0..7 {
        kit.ask(&name, Cause::OperatorRecheck).await;
        assert!(kit.run(&name).await);
    }
    assert_eq!((kit.ca().orders_for(name.as_str()), kit.ca().refused_by_limits()), (5, 0));
    let waiting = kit.domain(&name).await.waiting;
    assert!(
        matches!(&waiting, Some(Reason::CaLimited { limit, .. }) if limit.contains("failed authorizations")),
        "{waiting:?}"
    );
}

/// A limit of the account causes a single wait for all orders, also at a CA without limits in the settings.
#[tokio::test]
async fn what_the_account_has_used_up_is_asked_for_once() {
    let wait = std::time::Duration::from_hours(2);
    for (endpoint, detail) in [
        (Endpoint::NewAccount, "too many registrations for this IP address"),
        (Endpoint::NewOrder, "too many new orders (10) from this account in the last 3h0m0s"),
    ] {
        let kit = Kit::new().await;
        kit.ca().refuse(
            endpoint,
            Some(CaRefusal { retry_after: Some(wait), ..refusal(429, "rateLimited", detail) }),
        );
        kit.add(&stranger(0)).await;
        assert!(kit.run(&stranger(0)).await);
        let requests = kit.ca().requests();
        for index in 1..5 {
            let name = stranger(index);
            kit.add(&name).await;
            assert!(kit.run(&name).await);
            assert_eq!(kit.domain(&name).await.activity, Activity::WaitingForBudget, "{detail}");
            assert!((120..123).contains(&kit.minutes(&name).await), "{detail}");
        }
        assert_eq!(kit.ca().requests(), requests, "{detail}");
        kit.ca().refuse(endpoint, None);
        for index in 0..5 {
            kit.run_next(&stranger(index)).await;
            assert_eq!(kit.domain(&stranger(index)).await.activity, Activity::Issued, "{detail}");
        }
    }
}
