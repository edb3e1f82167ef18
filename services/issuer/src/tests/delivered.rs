//! Tests of the certificates that the CA delivers: usable ones are used, unusable ones are not ordered again and
//! again.

use domain::{Cause, HistoryKind, Status, Who, WorkKind};
use jiff::SignedDuration;
use sandbox::{Endpoint, Nonsense};

use super::kit::{DAY, Kit, name};

#[tokio::test]
async fn a_certificate_for_an_added_name_costs_two_orders_and_then_one_a_day() {
    let kit = Kit::new().await;
    let name = name("shop");
    for _ in 0..9 {
        kit.ca().answer_nonsense(Endpoint::Certificate, Nonsense::AddedName);
    }
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let mut minutes = Vec::new();
    for _ in 0..3 {
        assert_eq!(kit.why(&name).await, (Status::Failure, "certificate_rejected", Who::Ca));
        minutes.push(kit.minutes(&name).await);
        kit.run_next(&name).await;
    }
    assert_eq!(minutes, [1, 24 * 60, 24 * 60]);
    assert_eq!(kit.ca().orders_placed(), 4);
    let history = kit.store.history(&name, 9).await.unwrap();
    let line = history.iter().find(|line| line.kind == HistoryKind::CertificateRejected).unwrap();
    assert!(line.message.contains("www.shop.example.com"), "the difference is named: {}", line.message);
    kit.ask(&name, Cause::OperatorRecheck).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.ca().orders_placed(), 5, "a person unlocks it");
}

#[tokio::test]
async fn what_is_no_certificate_is_downloaded_again_and_after_minutes_counts_as_delivered() {
    let kit = Kit::new().await;
    for (label, nonsense) in [("cut", Nonsense::TruncatedJson), ("page", Nonsense::Html)] {
        let name = name(label);
        kit.ca().answer_nonsense(Endpoint::Certificate, nonsense);
        kit.add(&name).await;
        assert!(kit.run(&name).await);
        assert_eq!(kit.why(&name).await, (Status::Pending, "ca_down", Who::Us), "{label}");
        kit.run_next(&name).await;
        kit.issued(&name).await;
        assert_eq!(kit.ca().orders_for(name.as_str()), 1, "{label}");
    }
    let name = name("never");
    for _ in 0..99 {
        kit.ca().answer_nonsense(Endpoint::Certificate, Nonsense::Html);
    }
    kit.add(&name).await;
    let today = kit.now() + DAY / 2;
    while kit.work(&name).await.unwrap().due_at.unwrap() < today {
        kit.run_next(&name).await;
    }
    assert_eq!(kit.why(&name).await, (Status::Failure, "certificate_rejected", Who::Ca));
    assert_eq!(kit.ca().orders_for(name.as_str()), 2, "no third before a person or a day");
}

#[tokio::test]
async fn a_chain_in_no_order_with_a_stranger_in_it_is_used() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().answer_nonsense(Endpoint::Certificate, Nonsense::Shuffled);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let certificate = kit.issued(&name).await;
    assert_eq!(certificate.chain_pem.matches("BEGIN CERTIFICATE").count(), 3, "leaf, intermediate, root");
    assert!(!certificate.chain_pem.contains('\r'));
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn a_certificate_that_begins_later_is_kept_and_uploaded_then() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.ca().answer_nonsense(Endpoint::Certificate, Nonsense::Later);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let certificate = kit.issued(&name).await;
    let begins = certificate.summary.not_before;
    let wait = begins.duration_since(kit.now());
    assert!(DAY < wait && wait <= DAY * 2 + SignedDuration::from_mins(1), "{wait:#}");
    for cause in [Cause::Requested, Cause::OperatorRecheck, Cause::DailyRecheck] {
        let work = kit.store.work(&name).await.unwrap();
        let upload = work.into_iter().find(|work| work.kind == WorkKind::Upload).unwrap();
        assert_eq!(upload.due_at, Some(begins));
        kit.ask(&name, cause).await;
        assert!(kit.run(&name).await);
    }
    assert_eq!(kit.ca().orders_placed(), 1);
}

/// C4 was found to be ahead of the database, as after a restore: earlier certificates stay here, later ones are used.
#[tokio::test]
async fn what_c4_has_overtaken_is_never_handed_over() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let overtaken = kit.issued(&name).await;
    let mut tx = kit.store.begin("overtaken").await.unwrap();
    let domain = tx.domain(&name).await.unwrap().unwrap();
    let ahead = domain.note_ahead(Some("aa"), overtaken.created_at + SignedDuration::from_secs(1));
    tx.update_domain(&domain.overtaken(ahead).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    kit.clock.advance(SignedDuration::from_secs(2));
    for orders in [2, 2] {
        kit.ask(&name, Cause::Requested).await;
        assert!(kit.run(&name).await);
        assert_eq!(kit.ca().orders_placed(), orders);
        assert_ne!(kit.issued(&name).await.id(), overtaken.id());
    }
}
