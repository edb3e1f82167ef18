//! What is not tried again and again: challenges that fail although preflight is fine, and what nobody waits for.

use domain::{Cause, HistoryKind, Reason, Status};
use sandbox::ValidationResult;

use super::kit::{DAY, Kit, name};

fn invalid() -> ValidationResult {
    ValidationResult::Invalid { problem: "unauthorized".to_owned(), detail: "the answer was 403".to_owned() }
}

#[tokio::test]
async fn after_five_invalid_challenges_nothing_is_ordered_until_dns_changes_or_somebody_asks() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().validation_result(name.as_str(), invalid());
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let mut minutes = Vec::new();
    for _ in 0..9 {
        let due_at = kit.work(&name).await.unwrap().due_at.unwrap();
        minutes.push(due_at.duration_since(kit.now()).as_mins());
        assert_eq!(kit.domain(&name).await.recorded, Status::Failure);
        kit.run_next(&name).await;
    }
    assert_eq!(minutes[..5], [1, 2, 5, 10, 30]);
    assert_eq!(kit.ca().orders_for(name.as_str()), 5);
    let domain = kit.domain(&name).await;
    assert!(matches!(domain.reason(), Some(Reason::ChallengeInvalid { .. })), "it is still told why");

    kit.ask(&name, Cause::Midnight).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.ca().orders_for(name.as_str()), 5, "the midnight recheck does not unlock it");
    kit.ask(&name, Cause::Recheck).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.ca().orders_for(name.as_str()), 6, "an operator does, for one order");
    kit.run_next(&name).await;
    assert_eq!(kit.ca().orders_for(name.as_str()), 6);

    let dns = kit.world.dns.control();
    dns.set_cname(name.as_str(), "alias.example.net");
    dns.set_cname("alias.example.net", kit.world.cdn_target());
    kit.run_next(&name).await;
    assert_eq!(kit.ca().orders_for(name.as_str()), 6, "it ends at the same target");
    kit.ca().validation_result(name.as_str(), ValidationResult::Valid);
    kit.ask(&name, Cause::Recheck).await;
    assert!(kit.run(&name).await);
    kit.live(&name).await;
    assert_eq!(kit.domain(&name).await.recorded, Status::Success);
}

#[tokio::test]
async fn a_live_domain_is_discarded_after_three_answers_over_a_day() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.certified(&name).await;
    kit.world.c4.control().remove_domain(name.as_str());
    let began = kit.now();
    kit.ask(&name, Cause::Renewal).await;
    assert!(kit.run(&name).await);
    while kit.domain(&name).await.recorded != Status::Discard {
        assert_eq!(kit.domain(&name).await.recorded, Status::Success);
        kit.run_next(&name).await;
    }
    let took = kit.now().duration_since(began);
    assert!(DAY <= took && took < DAY * 2, "{took:#}");
    let history = kit.store.history(&name, 1).await.unwrap();
    assert_eq!((history[0].kind, history[0].status_to), (HistoryKind::UnknownToC4, Status::Discard));
}

#[tokio::test]
async fn a_c4_that_has_lost_many_domains_at_once_is_not_believed() {
    let kit = Kit::new().await;
    let names: Vec<_> = (0..4).map(|index| name(&format!("d{index}"))).collect();
    for name in &names {
        kit.certified(name).await;
    }
    for name in &names {
        kit.world.c4.control().remove_domain(name.as_str());
        kit.ask(name, Cause::Renewal).await;
    }
    let mut asked = 0;
    for _ in 0..12 {
        for name in &names {
            asked += u32::from(kit.run(name).await);
        }
        kit.clock.advance(DAY / 4);
    }
    assert!(asked >= 30, "{asked} questions over three days");
    for name in &names {
        let domain = kit.domain(name).await;
        assert_eq!(domain.status(kit.now()), Status::Success, "{:?}", domain.facts.missing);
    }
}

#[tokio::test]
async fn a_recheck_gives_way_where_all_hands_are_busy() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    kit.ask(&name, Cause::Midnight).await;
    let all = kit.issuer.background.available_permits();
    let busy = kit.issuer.background.acquire_many(all as u32).await.unwrap();
    assert!(kit.run(&name).await);
    let work = kit.work(&name).await.unwrap();
    assert_eq!((work.cause, work.attempts), (Cause::Midnight, 0));
    let wait = work.due_at.unwrap().duration_since(kit.now()).as_secs();
    assert!((5..15).contains(&wait), "{wait}");
    assert_eq!(kit.ca().requests(), 0);
    drop(busy);
    kit.run_next(&name).await;
    assert_eq!(kit.ca().orders_placed(), 1);
}
