//! Tests of when certificates are renewed, and on which terms.

use domain::{Cause, PreExpiry, Reason, Status};
use jiff::SignedDuration;

use super::kit::{DAY, Kit, name};

#[tokio::test]
async fn the_cas_window_decides_and_pre_expiry_overrules_a_later_one() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    let not_after = certificate.summary.not_after;
    let pre_expiry = not_after - DAY * 7;
    for (start, end, earliest, latest) in [
        (60, 65, not_after - DAY * 30, not_after - DAY * 25),
        (70, 71, not_after - DAY * 20, not_after - DAY * 19),
        (88, 89, pre_expiry, pre_expiry),
    ] {
        let from = not_after - DAY * 90;
        kit.ca().set_renewal_window(Some(name.as_str()), from + DAY * start, from + DAY * end, None);
        kit.ask(&name, Cause::RenewalInfo).await;
        assert!(kit.run(&name).await);
        let stored = kit.store.certificate(&name, certificate.id()).await.unwrap().unwrap();
        let at = stored.renewal.unwrap().at;
        assert!(earliest <= at && at <= latest, "{at} for {start} to {end}");
        let work = kit.work(&name).await.unwrap();
        assert_eq!(work.cause, Cause::RenewalInfo);
        let asked_again = work.due_at.unwrap().duration_since(kit.now());
        assert_eq!(asked_again, SignedDuration::from_hours(6), "as the CA says");
        let shown = kit.store.domain(&name).await.unwrap().unwrap().next_attempt_at;
        assert_eq!(shown, Some(at), "a question is no attempt");
    }
    assert_eq!(kit.ca().orders_placed(), 1);
}

#[tokio::test]
async fn a_point_is_kept_while_the_window_stays_and_the_renewal_replaces_the_certificate() {
    let kit = Kit::new().await;
    let name = name("shop");
    let first = kit.certified(&name).await;
    assert!(kit.run(&name).await);
    let planned = kit.store.certificate(&name, first.id()).await.unwrap().unwrap().renewal.unwrap();
    while kit.work(&name).await.unwrap().cause == Cause::RenewalInfo {
        kit.run_next(&name).await;
        let now = kit.store.certificate(&name, first.id()).await.unwrap().unwrap().renewal.unwrap();
        assert_eq!(now, planned);
    }
    let due_at = kit.work(&name).await.unwrap().due_at;
    assert_eq!(due_at, Some(planned.at));
    kit.run_next(&name).await;
    let second = kit.issued(&name).await;
    assert_ne!(second.id(), first.id());
    assert_eq!(kit.ca().orders_for(name.as_str()), 2);
    assert_eq!(kit.domain(&name).await.recorded, Status::Success, "the first serves until then");

    // The first is already replaced: the CA answers 409 to another order that replaces it.
    let mut tx = kit.store.begin("lost").await.unwrap();
    tx.cancel(&name, domain::WorkKind::Upload).await.unwrap();
    let domain = tx.domain(&name).await.unwrap().unwrap();
    tx.update_domain(&domain.generate().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    kit.ask(&name, Cause::Requested).await;
    assert!(kit.run(&name).await);
    let third = kit.issued(&name).await;
    assert_ne!(third.id(), second.id(), "ordered without replacing");
    assert_eq!(kit.ca().orders_for(name.as_str()), 3);
}

#[tokio::test]
async fn a_window_in_the_past_means_now() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.certified(&name).await;
    let hour = SignedDuration::from_hours(1);
    kit.clock.advance(DAY);
    kit.ca().set_renewal_window(Some(name.as_str()), kit.now() - hour * 2, kit.now() - hour, None);
    kit.ask(&name, Cause::RenewalInfo).await;
    assert!(kit.run(&name).await);
    let work = kit.work(&name).await.unwrap();
    assert_eq!(work.cause, Cause::Renewal);
    assert!(work.due_at.unwrap() <= kit.now());
    assert!(kit.run(&name).await);
    assert_eq!(kit.ca().orders_for(name.as_str()), 2);
}

#[tokio::test]
async fn a_ca_that_does_not_say_changes_nothing_and_is_asked_again() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.ca().down(true);
    for attempts in 1..9 {
        kit.run_next(&name).await;
        let work = kit.work(&name).await.unwrap();
        assert_eq!((work.cause, work.attempts), (Cause::RenewalInfo, attempts));
    }
    assert_eq!(kit.domain(&name).await.recorded, Status::Success);
    let stored = kit.store.certificate(&name, certificate.id()).await.unwrap().unwrap();
    assert_eq!(stored.renewal, certificate.renewal);
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_certificate_alone_and_is_tried_by_its_own_schedule() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.world.dns.control().remove(name.as_str());
    kit.clock.advance(DAY * 83);
    kit.ask(&name, Cause::Renewal).await;
    assert!(kit.run(&name).await);
    for (least, most) in [(0.9, 1.1), (9.0, 11.0), (90.0, 110.0), (0.9 * 1244.0, 1.1 * 1244.0)] {
        let work = kit.work(&name).await.unwrap();
        let minutes = work.due_at.unwrap().duration_since(kit.now()).as_secs_f64() / 60.0;
        assert!(least <= minutes && minutes <= most, "{minutes} min");
        let domain = kit.domain(&name).await;
        assert_eq!(domain.recorded, Status::Success);
        assert!(domain.is_renewal_blocked(kit.now()));
        assert!(matches!(domain.reason(), Some(Reason::NotPointed { .. })));
        kit.run_next(&name).await;
    }
    assert_eq!(domain_live(&kit, &name).await, Some(certificate.id()));
    assert_eq!(kit.ca().orders_placed(), 1);
}

async fn domain_live(kit: &Kit, name: &domain::DomainName) -> Option<domain::CertificateId> {
    kit.domain(name).await.live().map(|live| live.certificate)
}

/// A third of the lifetime applies to CAs without suggestions; it does not cut off a suggested window.
#[tokio::test]
async fn a_third_of_the_lifetime_is_left_where_the_ca_suggests_nothing() {
    for (offers_renewal_info, days) in [(false, 60), (true, 75)] {
        let kit = Kit::configured(|config| config.renewal.pre_expiry_days = PreExpiry::Third).await;
        if !offers_renewal_info {
            kit.ca().leave_out_of_directory(Some("renewalInfo"));
        }
        let name = name("shop");
        let certificate = kit.certified(&name).await;
        let begins = certificate.summary.not_before;
        let point = begins + DAY * 75;
        kit.ca().set_renewal_window(Some(name.as_str()), point, point + SignedDuration::from_mins(1), None);
        assert!(kit.run(&name).await);
        let stored = kit.store.certificate(&name, certificate.id()).await.unwrap().unwrap();
        let planned = stored.renewal.unwrap().at.duration_since(begins);
        assert_eq!(planned.as_hours() / 24, days, "{planned:#}");
    }
}
