//! Tests of work that stops or yields: repeated invalid challenges, domains unknown to C4, and rechecks while all
//! permits are taken.

use domain::{Cause, HistoryKind, MidnightOutcome, Reason, Status, Who};
use jiff::civil::{Date, date};
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
    assert!(matches!(domain.reason(), Some(Reason::ChallengeFailedAtEdge { .. })), "it is still told why");

    for (cause, orders) in [(Cause::DailyRecheck, 6), (Cause::OperatorRecheck, 7)] {
        kit.ask(&name, cause).await;
        assert!(kit.run(&name).await);
        assert_eq!(kit.ca().orders_for(name.as_str()), orders, "{cause:?} places one order");
        kit.run_next(&name).await;
        assert_eq!(kit.ca().orders_for(name.as_str()), orders, "and no more");
    }

    let dns = kit.world.dns.control();
    dns.set_cname(name.as_str(), "alias.example.net");
    dns.set_cname("alias.example.net", kit.world.cdn_target());
    kit.run_next(&name).await;
    assert_eq!(kit.ca().orders_for(name.as_str()), 7, "it ends at the same target");
    kit.ca().validation_result(name.as_str(), ValidationResult::Valid);
    kit.ask(&name, Cause::OperatorRecheck).await;
    assert!(kit.run(&name).await);
    kit.live(&name).await;
    assert_eq!(kit.domain(&name).await.recorded, Status::Success);
}

#[tokio::test]
async fn the_daily_recheck_leaves_a_line_with_what_came_of_it() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    kit.world.dns.control().set_cname(name.as_str(), "elsewhere.example.net");
    assert!(kit.run(&name).await);
    for _ in 0..2 {
        kit.run_next(&name).await;
    }
    let lines = async || {
        let history = kit.store.history(&name, 99).await.unwrap();
        let lines = history.into_iter().map(|line| (line.kind, line.message));
        lines.filter(|(_, message)| message.starts_with("Daily recheck: ")).collect::<Vec<_>>()
    };
    assert_eq!(lines().await, [], "retries leave no line where nothing changed");
    for rechecks in 1..=3 {
        kit.ask(&name, Cause::DailyRecheck).await;
        assert!(kit.run(&name).await);
        let lines = lines().await;
        assert_eq!(lines.len(), rechecks);
        assert!(lines[0].0 == HistoryKind::Blocked && lines[0].1.contains("elsewhere"), "{lines:?}");
    }
    kit.world.point_at_cdn(name.as_str());
    kit.ca().validation_result(name.as_str(), invalid());
    kit.ask(&name, Cause::DailyRecheck).await;
    assert!(kit.run(&name).await);
    let kinds: Vec<_> = lines().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds[..2], [HistoryKind::OrderFailed, HistoryKind::OrderPlaced]);
    assert_eq!(kinds.len(), 5);
    assert_eq!(kit.work(&name).await.unwrap().cause, Cause::Retry);
}

#[tokio::test]
async fn once_preflight_passes_the_reason_is_what_holds_it_up_now() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    kit.world.dns.control().set_cname(name.as_str(), "elsewhere.example.net");
    assert!(kit.run(&name).await);
    assert_eq!(kit.why(&name).await, (Status::Failure, "not_pointed", Who::Customer));
    kit.ca().down(true);
    kit.run_next(&name).await;
    assert_eq!(kit.why(&name).await, (Status::Failure, "not_pointed", Who::Customer));
    kit.world.point_at_cdn(name.as_str());
    kit.run_next(&name).await;
    assert_eq!(kit.why(&name).await, (Status::Pending, "ca_down", Who::Us));
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
        assert_eq!(domain.status(kit.now()), Status::Success, "{:?}", domain.missing());
    }
}

#[tokio::test]
async fn a_recheck_gives_way_where_all_hands_are_busy() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    kit.ask(&name, Cause::DailyRecheck).await;
    let all = kit.role.background.available_permits();
    let busy = kit.role.background.acquire_many(all as u32).await.unwrap();
    assert!(kit.run(&name).await);
    let work = kit.work(&name).await.unwrap();
    assert_eq!((work.cause, work.attempts), (Cause::DailyRecheck, 0));
    let wait = work.due_at.unwrap().duration_since(kit.now()).as_secs();
    assert!((5..15).contains(&wait), "{wait}");
    assert_eq!(kit.ca().requests(), 0);
    drop(busy);
    kit.run_next(&name).await;
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn what_comes_of_the_daily_recheck_is_in_the_report() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    kit.world.dns.control().set_cname(name.as_str(), "elsewhere.example.net");
    assert!(kit.run(&name).await);
    let outcome = async |day: Date| {
        let mut tx = kit.store.begin("midnight").await.unwrap();
        tx.ask_at_midnight(day, &[kit.domain(&name).await]).await.unwrap();
        tx.commit().await.unwrap();
        kit.ask(&name, Cause::DailyRecheck).await;
        assert!(kit.run(&name).await);
        kit.store.midnight_figures(day).await.unwrap().outcomes
    };
    assert_eq!(outcome(date(2026, 11, 24)).await, [(MidnightOutcome::Unchanged, 1)]);
    kit.world.point_at_cdn(name.as_str());
    kit.ca().validation_result(name.as_str(), invalid());
    assert_eq!(outcome(date(2026, 11, 25)).await, [(MidnightOutcome::Changed, 1)]);
    kit.ca().validation_result(name.as_str(), ValidationResult::Valid);
    assert_eq!(outcome(date(2026, 11, 26)).await, [(MidnightOutcome::Waiting, 1)], "C4 has to show it");
}
