//! Every call to the outside, failing: nothing is lost, nothing is ordered twice, and the reason says who must act.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::time::Duration;

use sandbox::{Endpoint, Nonsense, Refusal, ValidationResult, World, WorldOptions};
use serde_json::Value;
use tests::{Deserved, Mode, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(
    a_lost_answer_of_the_ca_costs_no_order,
    a_lost_answer_to_new_order_costs_one_order_at_most,
    nonsense_of_the_ca_is_survived_and_a_placed_order_is_kept,
    a_certificate_that_was_not_asked_for_is_not_uploaded,
    refused_nonces_are_asked_for_again,
    a_ca_that_is_down_or_limits_us_is_nobodys_fault,
    a_challenge_that_the_ca_cannot_see_is_told_to_the_customer,
    preflight_keeps_what_must_fail_from_the_ca,
    an_unknown_domain_is_discarded_until_c4_knows_it,
    a_refused_upload_is_an_emergency_and_costs_no_second_order,
    a_lost_answer_of_c4_is_found_out_by_asking,
    c4_away_at_preflight_changes_nothing
);

async fn running(mode: Mode) -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    (world, manager)
}

/// Waits until the domain gives that reason.
async fn reason(manager: &SslManager, code: &str) -> Value {
    tests::wait_for(&format!("the reason {code}"), LIMIT, || {
        let shown = manager.domain(&["show", NAME]).json;
        std::future::ready(if shown["reason"]["code"] == code { Ok(shown) } else { Err(shown.to_string()) })
    })
    .await
}

/// The domain is a Success of so many orders, and everything else is in order, too.
async fn in_order(world: &World, manager: &mut SslManager, orders: u64) {
    manager.status(NAME, "Success", LIMIT).await;
    manager.assert_in_order(world, &[Deserved::success(NAME, orders..=orders)]).await;
}

fn ordered(world: &World, orders: u64) {
    assert_eq!(world.ca.control().orders_for(NAME), orders, "orders placed");
}

async fn a_lost_answer_of_the_ca_costs_no_order(mode: Mode) {
    for endpoint in [
        Endpoint::NewAccount,
        Endpoint::Order,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Finalize,
        Endpoint::Certificate,
    ] {
        let (world, mut manager) = running(mode).await;
        world.ca.control().drop_answer(endpoint);
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        in_order(&world, &mut manager, 1).await;
    }
}

async fn a_lost_answer_to_new_order_costs_one_order_at_most(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.ca.control().drop_answer(Endpoint::NewOrder);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    in_order(&world, &mut manager, 2).await;
    assert_eq!(world.ca.control().certificates_issued(), 1);
}

async fn nonsense_of_the_ca_is_survived_and_a_placed_order_is_kept(mode: Mode) {
    for nonsense in [Nonsense::TruncatedJson, Nonsense::Html, Nonsense::HugeBody] {
        let (world, mut manager) = running(mode).await;
        world.ca.control().answer_nonsense(Endpoint::Finalize, nonsense);
        if nonsense != Nonsense::HugeBody {
            world.ca.control().answer_nonsense(Endpoint::NewOrder, nonsense);
        }
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        in_order(&world, &mut manager, 1).await;
    }
}

async fn a_certificate_that_was_not_asked_for_is_not_uploaded(mode: Mode) {
    for nonsense in [Nonsense::OtherKey, Nonsense::OtherName] {
        let (world, mut manager) = running(mode).await;
        world.ca.control().answer_nonsense(Endpoint::Certificate, nonsense);
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        let shown = reason(&manager, "certificate_rejected").await;
        assert_eq!(
            (shown["status"].as_str(), shown["reason"]["who"].as_str()),
            (Some("Failure"), Some("ca"))
        );
        assert_eq!(world.c4.control().puts(NAME), 0);
        assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
        manager.status(NAME, "Success", LIMIT).await;
    }
}

async fn refused_nonces_are_asked_for_again(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.ca.control().reject_nonces(30);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    in_order(&world, &mut manager, 1).await;
}

async fn a_ca_that_is_down_or_limits_us_is_nobodys_fault(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.ca.control().down(true);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = reason(&manager, "ca_down").await;
    assert_eq!((shown["status"].as_str(), shown["reason"]["who"].as_str()), (Some("Pending"), Some("us")));
    assert!(shown["next_attempt_at"].is_string());
    world.ca.control().down(false);
    world.ca.control().rate_limit(None, Some(Duration::from_hours(1)));
    manager.domain(&["recheck", NAME]);
    let shown = reason(&manager, "ca_limited").await;
    assert_eq!(
        (shown["status"].as_str(), shown["activity"].as_str()),
        (Some("Pending"), Some("waiting_for_budget"))
    );
    world.ca.control().rate_limit(None, None);
    manager.domain(&["recheck", NAME]);
    in_order(&world, &mut manager, 1).await;
}

async fn a_challenge_that_the_ca_cannot_see_is_told_to_the_customer(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    let detail = "Invalid response <b>403</b> from https://login.example.net/".to_owned();
    let invalid = ValidationResult::Invalid { problem: "unauthorized".to_owned(), detail };
    world.ca.control().validation_result(NAME, invalid);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = reason(&manager, "challenge_invalid").await;
    assert_eq!(
        (shown["status"].as_str(), shown["reason"]["who"].as_str()),
        (Some("Failure"), Some("customer"))
    );
    let message = shown["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains("Invalid response") && message.contains("/.well-known/acme-challenge/"),
        "{message}"
    );
    world.ca.control().validation_result(NAME, ValidationResult::Real);
    manager.domain(&["recheck", NAME]);
    in_order(&world, &mut manager, 2).await;
}

async fn preflight_keeps_what_must_fail_from_the_ca(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.dns.control().remove(NAME);
    world.dns.control().set_a(NAME, &[Ipv4Addr::new(203, 0, 113, 7)]);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = manager.status(NAME, "Failure", LIMIT).await;
    let message = shown["reason"]["message"].as_str().unwrap();
    assert!(message.contains("as CNAME to cdn.example.net") && message.contains("203.0.113.7"), "{message}");
    ordered(&world, 0);

    world.dns.control().servfail(NAME, true);
    manager.domain(&["recheck", NAME]);
    tests::wait_for("a question without an answer", LIMIT, || {
        let activity = manager.domain(&["history", NAME]).json[0]["kind"].clone();
        std::future::ready(if activity == "could_not_ask" { Ok(()) } else { Err(activity.to_string()) })
    })
    .await;
    assert_eq!(
        manager.domain(&["show", NAME]).json["status"],
        "Failure",
        "could not ask is not failed, nor mended"
    );
    ordered(&world, 0);

    world.dns.control().servfail(NAME, false);
    world.point_at_cdn(NAME);
    manager.domain(&["recheck", NAME]);
    in_order(&world, &mut manager, 1).await;
}

async fn an_unknown_domain_is_discarded_until_c4_knows_it(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    let known = sandbox::C4Domain { ports: vec![80], cname: world.cdn_target().to_owned() };
    world.c4.control().remove_domain(NAME);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = manager.status(NAME, "Discard", LIMIT).await;
    assert_eq!(shown["reason"]["who"], "cdn_operator");
    world.c4.control().put_domain(NAME, known);
    manager.domain(&["recheck", NAME]);
    let shown = manager.status(NAME, "Failure", LIMIT).await;
    assert_eq!(shown["reason"]["code"], "port_missing");
    assert!(shown["reason"]["message"].as_str().unwrap().contains("port 443 is missing"), "{shown}");
    ordered(&world, 0);
    world.point_at_cdn(NAME);
    manager.domain(&["recheck", NAME]);
    in_order(&world, &mut manager, 1).await;
}

async fn a_refused_upload_is_an_emergency_and_costs_no_second_order(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.c4.control().refuse(None, Refusal::unprocessable("quota exceeded"));
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = manager.status(NAME, "Emergency", LIMIT).await;
    assert!(shown["reason"]["message"].as_str().unwrap().contains("quota exceeded"), "{shown}");
    assert_eq!(world.c4.control().puts(NAME), 3, "three quick attempts");
    world.c4.control().accept(None);
    manager.domain(&["recheck", NAME]);
    in_order(&world, &mut manager, 1).await;
}

async fn a_lost_answer_of_c4_is_found_out_by_asking(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.c4.control().drop_answer_once(NAME);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    in_order(&world, &mut manager, 1).await;
    assert_eq!(world.c4.control().puts(NAME), 1, "C4 had taken it");
}

async fn c4_away_at_preflight_changes_nothing(mode: Mode) {
    let (world, mut manager) = running(mode).await;
    world.c4.control().down(true);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let shown = reason(&manager, "could_not_ask").await;
    assert_eq!(shown["status"], "Pending");
    ordered(&world, 0);
    world.c4.control().down(false);
    in_order(&world, &mut manager, 1).await;
}
