//! Tests of problems by type and subject, wherever the CA reports them.

use domain::{Reason, Status, Who};
use sandbox::{Endpoint, ValidationResult};

use super::kit::{Kit, name, refusal};

async fn attempted(kit: &Kit) -> (Status, &'static str, Who) {
    let name = name("shop");
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    kit.why(&name).await
}

fn invalid(problem: &str, detail: &str) -> ValidationResult {
    ValidationResult::Invalid { problem: problem.to_owned(), detail: detail.to_owned() }
}

#[tokio::test]
async fn what_a_challenge_failed_for_says_who_must_act() {
    for (problem, detail, why) in [
        ("connection", "timeout", (Status::Failure, "challenge_failed_at_edge", Who::CdnOperator)),
        ("unauthorized", "got 403", (Status::Failure, "challenge_failed_at_edge", Who::CdnOperator)),
        ("somethingNew", "?", (Status::Failure, "challenge_failed_at_edge", Who::CdnOperator)),
        ("dns", "NXDOMAIN looking up A", (Status::Failure, "challenge_invalid", Who::Customer)),
        ("unauthorized", "198.51.100.9: got 403", (Status::Failure, "challenge_invalid", Who::Customer)),
        (
            "caa",
            "CAA record for cdn.example.net prevents issuance",
            (Status::Failure, "cdn_caa_forbids", Who::CdnOperator),
        ),
        (
            "caa",
            "CAA record for example.com prevents issuance",
            (Status::Failure, "caa_forbids", Who::Customer),
        ),
        (
            "connection",
            "During secondary validation: 203.0.113.1: timeout",
            (Status::Failure, "challenge_unreachable_elsewhere", Who::CdnOperator),
        ),
        ("rejectedIdentifier", "policy", (Status::Failure, "order_rejected", Who::Ca)),
        ("serverInternal", "no", (Status::Pending, "ca_down", Who::Us)),
        ("rateLimited", "no", (Status::Pending, "ca_down", Who::Us)),
        ("userActionRequired", "terms", (Status::Pending, "issuer_refuses_us", Who::Us)),
    ] {
        let ours = "203.0.113.0/24".parse().unwrap();
        let kit = Kit::configured(|config| config.cdn.addresses = vec![ours]).await;
        kit.ca().validation_default(invalid(problem, detail));
        assert_eq!(attempted(&kit).await, why, "{problem}");
        assert_eq!(kit.ca().orders_placed(), 1, "{problem}");
    }
}

#[tokio::test]
async fn caa_at_finalize_is_the_customers_with_the_record() {
    let kit = Kit::new().await;
    let detail = "CAA record for example.com prevents issuance";
    kit.ca().refuse(Endpoint::Finalize, Some(refusal(403, "caa", detail)));
    assert_eq!(attempted(&kit).await, (Status::Failure, "caa_forbids", Who::Customer));
    let reason = kit.domain(&name("shop")).await.reason().unwrap();
    let Reason::CaaForbids { at, wanted, .. } = &reason else { panic!("{reason:?}") };
    assert_eq!((at.as_str(), wanted.as_str()), ("example.com", "sandbox.example"));
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn an_invalid_challenge_is_found_where_order_and_authorization_stay_pending() {
    let kit = Kit::new().await;
    kit.ca().leave_failed_orders_pending(true);
    kit.ca().validation_default(invalid("unauthorized", "got 403"));
    assert_eq!(attempted(&kit).await, (Status::Failure, "challenge_failed_at_edge", Who::CdnOperator));
    assert!(kit.ca().requests() < 25, "{} requests", kit.ca().requests());
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn a_name_without_an_http_01_challenge_is_told_so() {
    let kit = Kit::new().await;
    kit.ca().offer_http_01("shop.example.com", false);
    assert_eq!(attempted(&kit).await, (Status::Failure, "order_rejected", Who::Ca));
    let message = kit.domain(&name("shop")).await.reason().unwrap().message(&name("shop"));
    assert!(message.contains("HTTP-01"), "{message}");
    assert_eq!(kit.minutes(&name("shop")).await, 1);
}

#[tokio::test]
async fn what_is_no_acme_server_speaking_is_the_cas_trouble() {
    let down = (Status::Pending, "ca_down", Who::Us);
    for status in [200, 403, 500, 502] {
        let kit = Kit::new().await;
        kit.ca().answer_with_page(Endpoint::NewOrder, Some(status));
        assert_eq!(attempted(&kit).await, down, "{status}");
        kit.ca().answer_with_page(Endpoint::NewOrder, None);
        kit.run_next(&name("shop")).await;
        kit.issued(&name("shop")).await;
    }
    let kit = Kit::new().await;
    kit.ca().refuse_next(
        Endpoint::NewOrder,
        &refusal(200, "serverInternal", "a problem that calls itself fine"),
        1,
    );
    assert_eq!(attempted(&kit).await, down);
    kit.run_next(&name("shop")).await;
    kit.issued(&name("shop")).await;
    assert_eq!(kit.ca().orders_placed(), 1);
    for resource in ["newNonce", "newAccount", "newOrder"] {
        let kit = Kit::new().await;
        kit.ca().leave_out_of_directory(Some(resource));
        if resource != "newOrder" {
            assert_eq!(attempted(&kit).await, down, "{resource}");
            let reason = kit.domain(&name("shop")).await.reason().unwrap();
            assert!(format!("{reason:?}").contains(resource), "{reason:?}");
            assert!(kit.ca().requests() < 5, "{} requests", kit.ca().requests());
        }
    }
}

/// U+202E reverses the rest of a line, U+200B is invisible, U+009B starts an escape sequence like ESC.
#[tokio::test]
async fn what_turns_or_hides_text_in_a_problem_stays_outside() {
    let hostile = "bad\u{202e}txt\u{200b}\u{9b}31m\u{1b}[31m\u{2028}line\r\n";
    let kit = Kit::new().await;
    kit.ca().validation_default(invalid("unauthorized", hostile));
    attempted(&kit).await;
    let name = name("shop");
    let reason = kit.domain(&name).await.reason().unwrap().message(&name);
    let history = kit.store.history(&name, 100).await.unwrap();
    let told: Vec<String> = history.into_iter().map(|entry| entry.message).chain([reason]).collect();
    assert!(told.iter().any(|text| text.contains("bad txt 31m [31m line")), "{told:?}");
    for text in told {
        assert!(!text.chars().any(domain::is_unfit), "{text:?}");
    }
}
