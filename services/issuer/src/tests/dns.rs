//! Tests of DNS problems: invalid records, failing nameservers, wrong signatures, CAA records of the CDN.

use domain::{DomainName, Status, Who};
use jiff::SignedDuration;

use super::kit::{DAY, Kit, name};
use crate::IssuerRole;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const COULD_NOT_ASK: (Status, &str, Who) = (Status::Pending, "could_not_ask", Who::Us);

async fn run_until(kit: &Kit, name: &DomainName, until: SignedDuration) {
    let until = kit.now() + until;
    while kit.work(name).await.unwrap().due_at.unwrap() <= until {
        kit.run_next(name).await;
    }
}

#[tokio::test]
async fn nameservers_that_fail_for_an_hour_are_the_customers() {
    let mut kit = Kit::new().await;
    let name = name("shop");
    let dns = kit.world.dns.control();
    dns.break_nameservers("example.com", Some(&["ns1.host.example", "ns2.host.example"]));
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let began = kit.now();
    assert_eq!(kit.why(&name).await, COULD_NOT_ASK);
    run_until(&kit, &name, MINUTE * 30).await;
    // A restarted process knows since when DNS has been failing.
    kit.role = IssuerRole::new(kit.role.context.clone()).unwrap();
    run_until(&kit, &name, MINUTE * 29).await;
    assert_eq!(kit.why(&name).await, COULD_NOT_ASK);
    while kit.why(&name).await == COULD_NOT_ASK {
        kit.run_next(&name).await;
    }
    let took = kit.now().duration_since(began);
    assert!(MINUTE * 60 <= took && took <= MINUTE * 66, "{took:#}");
    assert_eq!(kit.why(&name).await, (Status::Failure, "dns_broken", Who::Customer));
    let message = kit.domain(&name).await.reason().unwrap().message(&name);
    assert!(message.contains("example.com (ns1.host.example, ns2.host.example)"), "{message}");
    assert_eq!((kit.ca().orders_placed(), kit.minutes(&name).await), (0, 1));

    dns.break_nameservers("example.com", None);
    kit.run_next(&name).await;
    kit.live(&name).await;
    assert_eq!(kit.domain(&name).await.dns_failing_since(), None);
}

#[tokio::test]
async fn an_hour_begins_anew_once_dns_has_answered() {
    let kit = Kit::new().await;
    let name = name("shop");
    let dns = kit.world.dns.control();
    kit.ca().down(true);
    kit.add(&name).await;
    for _ in 0..3 {
        dns.break_nameservers("example.com", Some(&[]));
        run_until(&kit, &name, MINUTE * 40).await;
        assert_eq!(kit.why(&name).await, COULD_NOT_ASK);
        dns.break_nameservers("example.com", None);
        kit.run_next(&name).await;
        assert_eq!(kit.why(&name).await, (Status::Pending, "ca_down", Who::Us));
    }
}

#[tokio::test]
async fn broken_signatures_are_told_at_the_second_failure() {
    let kit = Kit::new().await;
    let (name, live) = (name("shop"), super::kit::name("live"));
    kit.certified(&live).await;
    kit.world.dns.control().break_signatures("example.com", true);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.why(&name).await, COULD_NOT_ASK, "a first failure says nothing");
    kit.run_next(&name).await;
    assert_eq!(kit.why(&name).await, (Status::Failure, "dnssec_broken", Who::Customer));
    let message = kit.domain(&name).await.reason().unwrap().message(&name);
    assert!(message.contains("DNSSEC signatures of example.com"), "{message}");

    kit.ask(&live, domain::Cause::Renewal).await;
    assert!(kit.run(&live).await);
    kit.run_next(&live).await;
    assert_eq!(kit.why(&live).await, (Status::Success, "dnssec_broken", Who::Customer));
    kit.world.dns.control().break_signatures("example.com", false);
    kit.run_next(&name).await;
    kit.issued(&name).await;
}

#[tokio::test]
async fn a_nameserver_of_ours_that_fails_is_nobodys_fault() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.world.dns.control().break_nameservers("com", Some(&["a.gtld.example"]));
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    run_until(&kit, &name, DAY).await;
    assert_eq!(kit.why(&name).await, COULD_NOT_ASK);
}

#[tokio::test]
async fn a_caa_record_that_is_none_hides_none_of_the_others() {
    let kit = Kit::new().await;
    let (good, bad) = (name("good"), name("bad"));
    let dns = kit.world.dns.control();
    kit.add(&good).await;
    dns.set_caa(
        "example.com",
        vec![
            (0, "od-d", "x"),
            (0, "", ""),
            (0, "issue", "sandbox.example"),
            (0, "iodef", "mailto:a@b.example"),
        ],
    );
    assert!(kit.run(&good).await);
    kit.issued(&good).await;
    dns.set_caa("example.com", vec![(0, "od-d", "sandbox.example"), (0, "issue", "other.example")]);
    kit.add(&bad).await;
    assert!(kit.run(&bad).await);
    assert_eq!(kit.why(&bad).await, (Status::Failure, "caa_forbids", Who::Customer));
}

#[tokio::test]
async fn caa_records_of_the_cdns_own_name_are_the_operators() {
    let kit = Kit::new().await;
    let name = name("shop");
    let target = kit.world.cdn_target().to_owned();
    kit.world.dns.control().set_caa(&target, vec![(0, "issue", "other.example")]);
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.why(&name).await, (Status::Failure, "cdn_caa_forbids", Who::CdnOperator));
    let message = kit.domain(&name).await.reason().unwrap().message(&name);
    assert!(message.contains(&format!("{target}. CAA 0 issue \"sandbox.example\"")), "{message}");
    assert_eq!(kit.ca().orders_placed(), 0);
}
