//! Tests of the customer's HTTPS switch in the CDN dashboard.

use domain::{Cause, HistoryKind, HttpsSwitch, Status};
use sandbox::C4Domain;

use super::kit::{DAY, Kit, name};

const MINUTES_OF_A_DAY: i64 = 24 * 60;

fn switch(kit: &Kit, name: &domain::DomainName, ports: &[u16]) {
    let cname = kit.world.cdn_target().to_owned();
    kit.world.c4.control().put_domain(name.as_str(), C4Domain { ports: ports.to_vec(), cname });
}

/// A domain with wrong DNS rests while HTTPS is off, and continues automatically once it is on.
#[tokio::test]
async fn a_domain_without_a_certificate_rests_while_https_is_off() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    kit.world.dns.control().set_cname(name.as_str(), "elsewhere.example.net");
    assert!(kit.run(&name).await);
    assert_eq!(kit.domain(&name).await.recorded, Status::Failure);

    switch(&kit, &name, &[80]);
    kit.run_next(&name).await;
    let off = kit.domain(&name).await;
    assert_eq!((off.recorded, off.https(), off.who(kit.now())), (Status::Pending, HttpsSwitch::Off, None));
    for cause in [Cause::Retry, Cause::DailyRecheck] {
        assert_eq!(kit.minutes(&name).await, MINUTES_OF_A_DAY, "it is looked at daily");
        kit.ask(&name, cause).await;
        assert!(kit.run(&name).await);
        assert_eq!(kit.domain(&name).await.https(), HttpsSwitch::Off);
    }

    switch(&kit, &name, &[80, 443]);
    kit.run_next(&name).await;
    assert_eq!(kit.domain(&name).await.recorded, Status::Failure, "what was wrong before is wrong again");
    kit.world.point_at_cdn(name.as_str());
    kit.run_next(&name).await;
    kit.live(&name).await;
    assert_eq!(kit.domain(&name).await.recorded, Status::Success);
    let history = kit.store.history(&name, 100).await.unwrap();
    let off = history.iter().filter(|entry| entry.kind == HistoryKind::HttpsOff).count();
    assert_eq!(off, 1, "it is told once, not daily: {history:?}");
}

/// A live certificate expires without an alarm while HTTPS is off, and is replaced once it is on again.
#[tokio::test]
async fn a_live_certificate_is_not_renewed_while_https_is_off() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    let orders = kit.ca().orders_for(name.as_str());
    switch(&kit, &name, &[80]);
    kit.clock.advance(DAY * 84);
    kit.ask(&name, Cause::Renewal).await;
    assert!(kit.run(&name).await);
    let off = kit.domain(&name).await;
    assert_eq!((off.recorded, off.reason().unwrap().code()), (Status::Success, "https_off"));
    assert!(!off.is_renewal_blocked(kit.now()));
    while kit.now() < certificate.summary.not_after {
        assert_eq!(kit.minutes(&name).await, MINUTES_OF_A_DAY);
        kit.run_next(&name).await;
    }
    let ended = kit.domain(&name).await;
    assert_eq!((ended.status(kit.now()), ended.who(kit.now())), (Status::Pending, None));
    assert_eq!(kit.ca().orders_for(name.as_str()), orders);

    switch(&kit, &name, &[80, 443]);
    kit.run_next(&name).await;
    assert_eq!(kit.ca().orders_for(name.as_str()), orders + 1);
    kit.live(&name).await;
    let on = kit.domain(&name).await;
    assert_eq!((on.recorded, on.reason()), (Status::Success, None));
    let history = kit.store.history(&name, 100).await.unwrap();
    assert!(history.iter().any(|entry| entry.kind == HistoryKind::HttpsOn), "{history:?}");
}

/// If HTTPS was never on, the customer has to switch it on.
#[tokio::test]
async fn a_domain_that_never_had_https_fails_without_the_port() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    switch(&kit, &name, &[80]);
    assert!(kit.run(&name).await);
    assert_eq!(kit.why(&name).await, (Status::Failure, "port_missing", domain::Who::Customer));
}
