//! Tests of refusals: the CA refuses our account, refuses or pauses a name, or rate-limits us.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{Cause, DomainName, Status, Who};
use jiff::SignedDuration;
use sandbox::{Endpoint, UsRefusal, ValidationResult};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

use super::kit::{DAY, Kit, name, refusal};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn us(problem: &str) -> UsRefusal {
    UsRefusal {
        problem: problem.to_owned(),
        detail: "not like this".to_owned(),
        instance: Some("https://ca.example/agree".to_owned()),
        terms: None,
    }
}

/// Performs all due work, second by second, for that many seconds.
async fn run_all(kit: &Kit, names: &[DomainName], seconds: u32) {
    for _ in 0..seconds {
        for name in names {
            kit.run(name).await;
        }
        kit.clock.advance(SignedDuration::from_secs(1));
    }
}

async fn add_many(kit: &Kit, prefix: &str, count: usize) -> Vec<DomainName> {
    let names: Vec<_> = (0..count).map(|index| name(&format!("{prefix}{index}"))).collect();
    for name in &names {
        kit.add(name).await;
    }
    names
}

/// Counts the alerts that a CA refuses us.
#[derive(Clone, Default)]
struct Alerts(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Alerts {
    fn on_event(&self, event: &tracing::Event<'_>, _context: tracing_subscriber::layer::Context<'_, S>) {
        let mut is_refusal = false;
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            is_refusal |= field.name() == "message" && format!("{value:?}").contains("the CA refuses us");
        });
        if is_refusal {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The default number of concurrent issuances of a process.
const IN_HAND: usize = 32;

/// Performs the due work of all these names, with a process's default concurrency, until each has its certificate;
/// returns the duration.
async fn certify(kit: &Kit, names: &[DomainName]) -> SignedDuration {
    let began = kit.now();
    let mut left = names.to_vec();
    while !left.is_empty() {
        assert!(kit.now().duration_since(began) < MINUTE * 10, "{} have none", left.len());
        for names in left.chunks(IN_HAND) {
            futures::future::join_all(names.iter().map(|name| kit.run(name))).await;
        }
        let mut without = Vec::new();
        for name in left {
            if kit.work(&name).await.is_some() {
                without.push(name);
            }
        }
        left = without;
        if !left.is_empty() {
            kit.clock.advance(SignedDuration::from_secs(1));
        }
    }
    kit.now().duration_since(began)
}

#[tokio::test]
async fn a_hundred_domains_go_to_the_next_ca_within_a_minute_and_back_within_five() {
    let (alerts, most_a_minute) = (Alerts::default(), 2);
    let errors = alerts.clone().with_filter(LevelFilter::ERROR);
    // With a single dispatcher, the thread that first meets an event decides for all threads whether it is enabled.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(errors));
    for (problem, has_account) in [
        ("userActionRequired", false),
        ("unauthorized", false),
        ("invalidProfile", false),
        ("externalAccountRequired", false),
        ("unsupportedContact", false),
        ("accountDoesNotExist", false),
        ("unauthorized", true),
        ("accountDoesNotExist", true),
    ] {
        let case = format!("{problem}, account: {has_account}");
        let kit = Kit::with_two_issuers().await;
        let second = kit.second.as_ref().unwrap().control();
        if has_account {
            kit.certified(&name("before")).await;
            // One more order may be in flight than the CA accepted within the last second.
            kit.clock.advance(SignedDuration::from_secs(2));
        }
        alerts.0.store(0, Ordering::Relaxed);
        kit.ca().refuse_us(Some(us(problem)));
        let names = add_many(&kit, "a", 100).await;
        let took = certify(&kit, &names).await;
        assert!(took < MINUTE, "{case}: {took:#}");
        for name in &names {
            kit.live(name).await;
            assert_eq!(kit.domain(name).await.status(kit.now()), Status::Success, "{case}");
        }
        assert_eq!(second.orders_placed(), 100, "{case}");
        // The first order goes alone. Orders sent before the CA's answer cannot be recalled: if the CA takes longer
        // than two seconds to refuse the first, there is one more for each two seconds.
        let asked = kit.ca().refused_us();
        assert!((1..=most_a_minute).contains(&asked), "{case}: {asked} in the first minute");
        for minute in 1..=3 {
            let before = kit.ca().refused_us();
            for step in 0..6 {
                certify(&kit, &add_many(&kit, &format!("m{minute}s{step}-"), 1).await).await;
                kit.clock.advance(SignedDuration::from_secs(10));
            }
            let asked = kit.ca().refused_us() - before;
            assert!(asked <= most_a_minute, "{case}: {asked} in minute {minute}");
        }
        assert_eq!(alerts.0.load(Ordering::Relaxed), 1, "{case}");

        let before = kit.ca().orders_placed();
        kit.ca().refuse_us(None);
        let mended = kit.now();
        while kit.ca().orders_placed() == before {
            let label = format!("after{}-", kit.now().duration_since(mended).as_secs());
            certify(&kit, &add_many(&kit, &label, 1).await).await;
            kit.clock.advance(SignedDuration::from_secs(10));
            assert!(kit.now().duration_since(mended) < MINUTE * 5, "{case}");
        }
    }
}

#[tokio::test]
async fn without_another_ca_they_wait_and_it_is_asked_once_a_minute() {
    let kit = Kit::new().await;
    kit.ca().refuse_us(Some(us("userActionRequired")));
    let names = add_many(&kit, "a", 10).await;
    run_all(&kit, &names, 600).await;
    assert!((2..=11).contains(&kit.ca().refused_us()), "{} requests in ten minutes", kit.ca().refused_us());
    for name in &names {
        assert_eq!(kit.why(name).await, (Status::Pending, "issuer_refuses_us", Who::Us));
        let reason = kit.domain(name).await.reason().unwrap();
        assert!(reason.message(name).contains("https://ca.example/agree"), "{reason:?}");
    }
    kit.ca().refuse_us(None);
    run_all(&kit, &names, 300).await;
    for name in &names {
        kit.live(name).await;
    }
    assert_eq!(kit.ca().orders_placed(), 10);
}

#[tokio::test]
async fn many_that_come_at_once_cost_one_request() {
    for has_account in [false, true] {
        let mut kit = Kit::new().await;
        if has_account {
            kit.certified(&name("first")).await;
            // A restarted process does not know yet whether the CA accepts its orders.
            kit.role = crate::IssuerRole::new(kit.role.context.clone()).unwrap();
        }
        kit.ca().refuse_us(Some(us("userActionRequired")));
        let names = add_many(&kit, "a", 20).await;
        let all = names.iter().map(|name| kit.run(name));
        for ran in futures::future::join_all(all).await {
            assert!(ran);
        }
        assert_eq!(kit.ca().refused_us(), 1, "account: {has_account}");
    }
}

/// The replaced certificate may be the cause of a refusal: the first refused order is sent again without it, and no
/// other order is sent.
#[tokio::test]
async fn renewals_that_come_at_once_cost_one_request_or_two_where_it_may_be_the_replacement() {
    for (problem, requests) in [("unauthorized", 2), ("userActionRequired", 1)] {
        let kit = Kit::new().await;
        let names = add_many(&kit, "a", 10).await;
        certify(&kit, &names).await;
        for name in &names {
            kit.live(name).await;
            kit.run_next(name).await;
        }
        kit.clock.advance(DAY * 80);
        for name in &names {
            kit.ask(name, Cause::Renewal).await;
        }
        kit.ca().refuse_us(Some(us(problem)));
        futures::future::join_all(names.iter().map(|name| kit.run(name))).await;
        assert_eq!(kit.ca().refused_us(), requests, "{problem}");
        kit.ca().refuse_us(None);
        run_all(&kit, &names, 300).await;
        assert_eq!(kit.ca().orders_placed(), 20, "{problem}");
    }
}

#[tokio::test]
async fn a_ca_that_was_reinstalled_gets_the_account_again_and_orders_of_the_old_one_end() {
    let kit = Kit::new().await;
    let waits = name("waits");
    kit.ca().validation_result(waits.as_str(), ValidationResult::Never);
    let names = [waits.clone(), name("shop")];
    kit.add(&waits).await;
    assert!(kit.run(&waits).await);
    kit.ca().forget_accounts();
    kit.ca().validation_result(waits.as_str(), ValidationResult::Valid);
    kit.add(&names[1]).await;
    run_all(&kit, &names, 120).await;
    for name in &names {
        kit.live(name).await;
    }
    assert_eq!(kit.ca().orders_placed(), 3, "one of them was lost with the CA's memory");
    let accounts = kit.store.accounts().await.unwrap();
    assert_eq!(accounts.len(), 2, "the old one stays in the list");
    let audit = kit.store.audit(None, 9).await.unwrap();
    assert_eq!(audit.iter().filter(|line| line.call == "RegisterAccountAgain").count(), 1);

    kit.ca().forget_accounts();
    let again = name("again");
    kit.add(&again).await;
    assert!(kit.run(&again).await);
    assert_eq!(kit.why(&again).await, (Status::Pending, "issuer_refuses_us", Who::Us), "once an hour");
    assert_eq!(kit.store.accounts().await.unwrap().len(), 2);
    kit.clock.advance(MINUTE * 60);
    run_all(&kit, std::slice::from_ref(&again), 10).await;
    kit.live(&again).await;
}

#[tokio::test]
async fn a_refusal_of_the_name_stays_with_it_and_backs_off_across_the_orders() {
    for endpoint in [Endpoint::NewOrder, Endpoint::Finalize] {
        let kit = Kit::with_two_issuers().await;
        let name = name("shop");
        kit.ca().refuse(endpoint, Some(refusal(400, "rejectedIdentifier", "policy")));
        kit.add(&name).await;
        assert!(kit.run(&name).await);
        let mut minutes = Vec::new();
        for _ in 0..5 {
            assert_eq!(kit.why(&name).await, (Status::Failure, "order_rejected", Who::Ca));
            minutes.push(kit.minutes(&name).await);
            kit.run_next(&name).await;
        }
        assert_eq!(minutes, [1, 2, 5, 10, 30], "{endpoint:?}");
        let other = super::kit::name("other");
        kit.ca().refuse(endpoint, None);
        kit.add(&other).await;
        assert!(kit.run(&other).await);
        kit.live(&other).await;
        assert_eq!(
            kit.second.as_ref().unwrap().control().orders_placed(),
            0,
            "nobody changes the CA for that"
        );
    }
}

#[tokio::test]
async fn a_paused_name_waits_for_staff_and_no_other_does() {
    let kit = Kit::new().await;
    let (paused, other) = (name("paused"), name("other"));
    let url = "https://portal.example/unpause?jwt=abc";
    kit.ca().pause(paused.as_str(), Some(url));
    kit.add(&other).await;
    assert!(kit.run(&other).await);
    kit.live(&other).await;
    kit.add(&paused).await;
    assert!(kit.run(&paused).await);
    let mut minutes = Vec::new();
    for _ in 0..6 {
        assert_eq!(kit.why(&paused).await, (Status::Pending, "paused_by_ca", Who::Us));
        let message = kit.domain(&paused).await.reason().unwrap().message(&paused);
        assert!(message.contains(url) && message.contains("temporarily prevented"), "{message}");
        assert!(!message.contains("Nothing is needed"), "{message}");
        minutes.push(kit.minutes(&paused).await);
        kit.run_next(&paused).await;
    }
    assert_eq!(minutes, [1, 2, 5, 10, 30, 60]);
    assert_eq!(kit.ca().orders_for(paused.as_str()), 0);
    kit.ca().pause(paused.as_str(), None);
    kit.ask(&paused, Cause::OperatorRecheck).await;
    assert!(kit.run(&paused).await);
    kit.live(&paused).await;
}

#[tokio::test]
async fn too_many_requests_without_a_time_rest_for_a_minute_and_longer_each_time() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().refuse(Endpoint::NewOrder, Some(refusal(429, "rateLimited", "overloaded")));
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let mut minutes = Vec::new();
    for _ in 0..4 {
        assert_eq!(kit.why(&name).await, (Status::Pending, "ca_limited", Who::Us));
        minutes.push(kit.minutes(&name).await);
        kit.run_next(&name).await;
    }
    assert_eq!(minutes, [1, 2, 5, 10]);
    kit.ca().refuse(Endpoint::NewOrder, None);
    kit.ca().rate_limit(None, Some(Duration::from_secs(7)));
    kit.run_next(&name).await;
    let due_at = kit.work(&name).await.unwrap().due_at.unwrap();
    assert!(due_at.duration_since(kit.now()) <= MINUTE * 5, "as the CA says, or our own schedule");
    kit.ca().rate_limit(None, None);
    kit.run_next(&name).await;
    kit.live(&name).await;
    assert_eq!(kit.ca().orders_placed(), 1);
}
