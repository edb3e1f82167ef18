//! Tests of pauses of all CAs, one CA, or C4: nothing is sent there, and waiting work continues unchanged afterwards.

use std::time::Duration;

use domain::{Cause, DomainName, HistoryKind, Outbound, Pause, Status, Who};
use jiff::SignedDuration;
use sandbox::ValidationResult;

use super::kit::{Kit, name};

impl Kit {
    /// Pauses like the API, and waits until every process must have seen it.
    pub(crate) async fn pause(&self, target: Outbound, issuer: &str) {
        let pause = Pause {
            target,
            issuer: issuer.to_owned(),
            by: "token:ops".to_owned(),
            since: self.now(),
            reason: "a look at the chain".to_owned(),
        };
        let mut tx = self.store.begin("pause").await.unwrap();
        tx.pause(&pause).await.unwrap();
        tx.commit().await.unwrap();
        a_second().await;
    }

    pub(crate) async fn resume(&self, target: Outbound, issuer: &str) {
        let mut tx = self.store.begin("resume").await.unwrap();
        tx.lift_pause(target, issuer).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        self.clock.advance(SignedDuration::from_secs(2));
        a_second().await;
    }

    fn requests(&self) -> (u64, u64) {
        let second = self.second.as_ref().map_or(0, |second| second.control().requests());
        (self.ca().requests(), second)
    }

    /// Asserts that the work waits unchanged, for an hour at most, with the pause as its reason.
    async fn waits_for_a_pause(&self, name: &DomainName, cause: Cause) {
        assert_eq!(self.why(name).await, (Status::Pending, "paused_by_operator", Who::Us));
        let work = self.work(name).await.unwrap();
        assert_eq!((work.cause, work.attempts), (cause, 0));
        assert_eq!(work.due_at, Some(self.now() + SignedDuration::from_hours(1)));
        assert_eq!(self.told(name, HistoryKind::Paused).await.len(), 1);
    }
}

/// Waits until cached pauses have expired.
async fn a_second() {
    tokio::time::sleep(Duration::from_millis(1050)).await;
}

#[tokio::test]
async fn nothing_is_sent_to_any_ca_while_all_are_paused() {
    let kit = Kit::with_two_issuers().await;
    let shop = name("shop");
    kit.add(&shop).await;
    kit.pause(Outbound::Ca, "").await;
    let asked = kit.world.c4.control().gets(shop.as_str());
    for _ in 0..3 {
        kit.ask(&shop, Cause::Requested).await;
        assert!(kit.run(&shop).await);
        kit.waits_for_a_pause(&shop, Cause::Requested).await;
    }
    assert_eq!(kit.requests(), (0, 0));
    assert_eq!(kit.world.c4.control().gets(shop.as_str()), asked, "nor is C4 asked for nothing");
    let message = kit.domain(&shop).await.reason().unwrap().message(&shop);
    assert!(message.contains("paused by token:ops since") && message.contains(": a look at the chain."));

    kit.resume(Outbound::Ca, "").await;
    assert!(kit.run(&shop).await, "due within seconds");
    assert_eq!(kit.ca().orders_placed(), 1);
    kit.issued(&shop).await;
    assert_eq!(kit.domain(&shop).await.reason(), None);
}

#[tokio::test]
async fn the_next_ca_is_used_while_one_is_paused() {
    let kit = Kit::with_two_issuers().await;
    let (shop, blog) = (name("shop"), name("blog"));
    kit.pause(Outbound::Ca, "sandbox").await;
    kit.add(&shop).await;
    assert!(kit.run(&shop).await);
    kit.issued(&shop).await;
    assert_eq!(kit.requests().0, 0);
    kit.pause(Outbound::Ca, "second").await;
    let (_, before) = kit.requests();
    kit.add(&blog).await;
    assert!(kit.run(&blog).await);
    kit.waits_for_a_pause(&blog, Cause::Requested).await;
    assert_eq!(kit.requests(), (0, before));
    kit.resume(Outbound::Ca, "second").await;
    assert!(kit.run(&blog).await, "due within seconds, though the first is paused still");
    kit.issued(&blog).await;
    assert_eq!(kit.requests().0, 0);
}

#[tokio::test]
async fn an_order_under_way_waits_and_is_gone_on_with() {
    let kit = Kit::with_two_issuers().await;
    let shop = name("shop");
    kit.ca().validation_result(shop.as_str(), ValidationResult::Never);
    kit.add(&shop).await;
    assert!(kit.run(&shop).await);
    assert_eq!(kit.ca().orders_placed(), 1);
    kit.pause(Outbound::Ca, "sandbox").await;
    let before = kit.requests();
    kit.run_next(&shop).await;
    let domain = kit.domain(&shop).await;
    assert_eq!(domain.reason().unwrap().code(), "paused_by_operator");
    assert_eq!(kit.requests(), before, "the order stays at its CA");

    kit.ca().validation_result(shop.as_str(), ValidationResult::Valid);
    kit.resume(Outbound::Ca, "sandbox").await;
    assert!(kit.run(&shop).await);
    kit.issued(&shop).await;
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn while_c4_is_paused_no_order_is_placed() {
    let kit = Kit::new().await;
    let shop = name("shop");
    kit.pause(Outbound::C4, "").await;
    kit.add(&shop).await;
    assert!(kit.run(&shop).await);
    kit.waits_for_a_pause(&shop, Cause::Requested).await;
    assert_eq!((kit.world.c4.control().gets(shop.as_str()), kit.ca().orders_placed()), (0, 0));
    kit.resume(Outbound::C4, "").await;
    assert!(kit.run(&shop).await);
    kit.issued(&shop).await;
}

#[tokio::test]
async fn renewal_information_is_not_asked_for() {
    let kit = Kit::new().await;
    let shop = name("shop");
    kit.certified(&shop).await;
    kit.pause(Outbound::Ca, "").await;
    let before = (kit.requests(), kit.domain(&shop).await);
    assert!(kit.run(&shop).await);
    assert_eq!((kit.requests(), kit.domain(&shop).await), before, "nothing is sent, nothing is told");
    let work = kit.work(&shop).await.unwrap();
    assert_eq!((work.cause, work.attempts), (Cause::RenewalInfo, 0));
    kit.resume(Outbound::Ca, "").await;
    assert!(kit.run(&shop).await, "due within seconds");
    assert!(kit.requests().0 > before.0.0);
}
