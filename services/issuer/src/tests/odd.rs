//! Tests of unusable answers: they do not fail an order, and nothing that the CA has delivered is lost or ordered
//! twice.

use std::sync::Arc;
use std::time::Duration;

use acme::{Ca, CaOptions};
use domain::{Activity, Cause, OrderState, Status, Who};
use jiff::SignedDuration;
use sandbox::{Endpoint, Nonsense, ValidationResult};

use super::kit::{DAY, Kit, name, refusal};

const EVERY_STEP: [Endpoint; 5] = [
    Endpoint::Order,
    Endpoint::Authorization,
    Endpoint::Challenge,
    Endpoint::Finalize,
    Endpoint::Certificate,
];

/// One attempt, one order, one certificate.
async fn succeeds_at_once(kit: &Kit, label: &str) {
    let name = name(label);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.domain(&name).await.activity, Activity::Issued, "{label}");
    assert_eq!(kit.ca().orders_for(name.as_str()), 1, "{label}");
}

#[tokio::test]
async fn json_is_read_with_nulls_unknown_members_bare_types_and_relative_references() {
    let kit = Kit::new().await;
    kit.ca().reject_nonces(30);
    kit.ca().write_nulls(true);
    succeeds_at_once(&kit, "nulls").await;
    kit.ca().write_bare_problem_types(true);
    succeeds_at_once(&kit, "bare").await;
    kit.ca().write_relative_references(true);
    succeeds_at_once(&kit, "relative").await;
}

#[tokio::test]
async fn a_live_order_that_was_stored_with_a_relative_reference_is_gone_on_with() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().validation_result(name.as_str(), ValidationResult::Never);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let mut order = kit.store.live_order(&name).await.unwrap().unwrap();
    let url = order.state.url().unwrap().to_owned();
    let path = url.splitn(4, '/').nth(3).unwrap();
    let key = order.state.key().unwrap().clone();
    order.state = OrderState::Placed { url: format!("/{path}"), key };
    let mut tx = kit.store.begin("relative").await.unwrap();
    tx.update_order(&order, "placed").await.unwrap();
    tx.commit().await.unwrap();
    kit.ca().validation_result(name.as_str(), ValidationResult::Valid);
    kit.run_next(&name).await;
    kit.issued(&name).await;
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn answers_that_are_lost_or_cannot_be_read_cost_neither_an_order_nor_an_attempt() {
    let kit = Kit::new().await;
    for (label, lose) in [("request", true), ("answer", false)] {
        for endpoint in EVERY_STEP {
            if lose { kit.ca().drop_request(endpoint) } else { kit.ca().drop_answer(endpoint) }
        }
        succeeds_at_once(&kit, label).await;
    }
    for (label, nonsense) in [("cut", Nonsense::TruncatedJson), ("html", Nonsense::Html)] {
        kit.ca().answer_nonsense(Endpoint::NewOrder, nonsense);
        kit.ca().answer_nonsense(Endpoint::Finalize, nonsense);
        succeeds_at_once(&kit, label).await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_there_yet_is_asked_for_again_for_minutes() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().refuse_next(Endpoint::Certificate, &refusal(404, "malformed", "Certificate not found"), 3);
    kit.add(&name).await;
    let began = kit.now();
    assert!(kit.run(&name).await);
    for _ in 0..3 {
        assert_eq!(kit.why(&name).await, (Status::Pending, "ca_down", Who::Us));
        kit.run_next(&name).await;
    }
    kit.issued(&name).await;
    assert!(kit.now().duration_since(began) < SignedDuration::from_mins(1));
    assert_eq!((kit.ca().orders_placed(), kit.ca().certificates_issued()), (1, 1));
}

#[tokio::test]
async fn what_the_ca_had_trouble_with_before_is_no_look_in_vain() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().refuse(Endpoint::Finalize, Some(refusal(503, "serverInternal", "no")));
    kit.add(&name).await;
    for _ in 0..9 {
        kit.run_next(&name).await;
    }
    kit.ca().refuse(Endpoint::Finalize, None);
    kit.ca().refuse_next(Endpoint::Certificate, &refusal(404, "malformed", "Certificate not found"), 3);
    for _ in 0..4 {
        kit.run_next(&name).await;
    }
    kit.issued(&name).await;
    assert_eq!((kit.ca().orders_placed(), kit.ca().certificates_issued()), (1, 1));
}

#[tokio::test]
async fn an_order_that_is_never_there_again_is_left_after_minutes() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().refuse(Endpoint::Certificate, Some(refusal(404, "malformed", "Certificate not found")));
    kit.add(&name).await;
    let began = kit.now();
    assert!(kit.run(&name).await);
    while kit.ca().orders_placed() == 1 {
        kit.run_next(&name).await;
    }
    let minutes = kit.now().duration_since(began).as_mins();
    assert!((5..15).contains(&minutes), "{minutes}");
    kit.ca().refuse(Endpoint::Certificate, None);
    kit.run_next(&name).await;
    kit.issued(&name).await;
    assert_eq!(kit.ca().orders_placed(), 2);
}

#[tokio::test]
async fn an_answer_to_a_challenge_that_came_too_late_is_no_failure() {
    let kit = Kit::new().await;
    kit.ca().answer_with(Endpoint::Challenge, &refusal(400, "malformed", "the challenge is not pending"));
    succeeds_at_once(&kit, "late").await;
    let refused = name("refused");
    kit.ca().refuse(Endpoint::Challenge, Some(refusal(400, "malformed", "no such thing")));
    kit.add(&refused).await;
    assert!(kit.run(&refused).await);
    assert_eq!(kit.why(&refused).await, (Status::Failure, "order_rejected", Who::Ca));
}

#[tokio::test]
async fn an_order_that_ends_by_the_cas_own_trouble_is_placed_anew_soon_and_is_nobodys_failure() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().fail_issuances(&refusal(500, "serverInternal", "could not get enough SCTs"), 4);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let mut seconds = Vec::new();
    for _ in 0..4 {
        assert_eq!(kit.why(&name).await, (Status::Pending, "ca_down", Who::Us));
        let due_at = kit.work(&name).await.unwrap().due_at.unwrap();
        seconds.push(due_at.duration_since(kit.now()).as_secs());
        kit.run_next(&name).await;
    }
    assert_eq!(seconds, [5, 10, 30, 60], "soon, and later each time, though an order was placed in between");
    kit.issued(&name).await;
    assert_eq!(kit.ca().orders_placed(), 5);
}

#[tokio::test]
async fn a_new_order_may_take_longer_than_a_look() {
    let mut kit = Kit::new().await;
    let settings = &kit.role.context.config.acme.issuers[0];
    let options = CaOptions {
        name: settings.name.clone(),
        directory_url: settings.directory_url.clone(),
        root_certificate_pem: Some(kit.world.ca.api_root_pem().into_bytes()),
        look_timeout: Some(Duration::from_millis(500)),
        ..CaOptions::default()
    };
    let clock = kit.role.context.clock.clone();
    kit.role.issuers[0].ca = Arc::new(Ca::new(options, clock).unwrap());
    for endpoint in [Endpoint::NewAccount, Endpoint::NewOrder, Endpoint::Finalize] {
        kit.ca().answer_after(endpoint, Duration::from_secs(1));
    }
    succeeds_at_once(&kit, "slow").await;
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_found_in_the_accounts_list() {
    for (has_list, orders) in [(true, 1), (false, 2)] {
        let kit = Kit::new().await;
        let name = name("shop");
        kit.ca().list_orders(has_list);
        kit.ca().drop_answer(Endpoint::NewOrder);
        kit.add(&name).await;
        assert!(kit.run(&name).await);
        assert_eq!(kit.why(&name).await, (Status::Pending, "ca_down", Who::Us));
        kit.run_next(&name).await;
        kit.issued(&name).await;
        assert_eq!(kit.ca().orders_placed(), orders);
    }
}

#[tokio::test]
async fn an_order_of_another_row_is_not_taken_for_the_lost_one() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().list_orders(true);
    kit.ca().validation_result(name.as_str(), ValidationResult::Never);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let mut first = kit.store.live_order(&name).await.unwrap().unwrap();
    let url = first.state.url().unwrap().to_owned();
    first.state = first.state.failed().unwrap();
    let mut tx = kit.store.begin("given_up").await.unwrap();
    tx.update_order(&first, "placed").await.unwrap();
    tx.commit().await.unwrap();
    kit.ca().drop_request(Endpoint::NewOrder);
    kit.ask(&name, Cause::Requested).await;
    assert!(kit.run(&name).await);
    kit.run_next(&name).await;
    let second = kit.store.live_order(&name).await.unwrap().unwrap();
    assert_ne!(second.state.url().unwrap(), url);
    assert_eq!(kit.ca().orders_placed(), 2);
}

#[tokio::test]
async fn an_order_is_found_on_a_later_page_of_the_list() {
    let kit = Kit::new().await;
    kit.ca().list_orders_by(2);
    for index in 0..5 {
        succeeds_at_once(&kit, &format!("d{index}")).await;
    }
    let name = name("shop");
    kit.ca().drop_answer(Endpoint::NewOrder);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    kit.run_next(&name).await;
    kit.issued(&name).await;
    assert_eq!(kit.ca().orders_for(name.as_str()), 1);
}

#[tokio::test]
async fn a_renewal_comes_through_whatever_the_ca_has_against_replacements() {
    for refused in [
        refusal(409, "alreadyReplaced", "it is replaced"),
        refusal(404, "malformed", "no such certificate"),
        refusal(403, "unauthorized", "another account's"),
        refusal(500, "serverInternal", "broken"),
        refusal(400, "somethingNew", "no"),
    ] {
        let kit = Kit::new().await;
        let name = name("shop");
        kit.certified(&name).await;
        kit.clock.advance(DAY);
        let hour = SignedDuration::from_hours(1);
        kit.ca().set_renewal_window(Some(name.as_str()), kit.now() - hour, kit.now() + hour, None);
        kit.ask(&name, Cause::RenewalInfo).await;
        assert!(kit.run(&name).await);
        kit.ca().refuse_replacements(Some(refused.clone()));
        let problem = refused.problem;
        while kit.work(&name).await.unwrap().cause != Cause::Renewal {
            kit.run_next(&name).await;
        }
        kit.run_next(&name).await;
        kit.issued(&name).await;
        assert_eq!(kit.ca().orders_for(name.as_str()), 2, "{problem}");
    }
}

/// Each authorization would cost a request, a poll, and one more challenge to answer.
#[tokio::test]
async fn an_order_with_many_authorizations_is_refused_at_once() {
    let kit = Kit::new().await;
    kit.ca().give_many_authorizations(true);
    let name = name("shop");
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let asked = kit.ca().requests();
    assert!(asked < 100, "none of the thousand was looked at or answered: {asked} requests");
    let (status, code, who) = kit.why(&name).await;
    assert_eq!((status, code, who), (Status::Pending, "ca_down", Who::Us));
    kit.ca().give_many_authorizations(false);
    kit.run_next(&name).await;
    kit.issued(&name).await;
}
