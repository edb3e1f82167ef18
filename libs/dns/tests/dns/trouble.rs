//! Why DNS fails: signatures, the domain's nameservers, or the one that is asked.

use std::time::Duration;

use crate::kit::{Fails, Nameserver, Reply};
use dns::{Resolver, Targets, Trouble};
use domain::DomainName;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

const NAME: &str = "shop.example.com";
const ZONE: &str = "example.com";

fn resolver(server: &Nameserver) -> Resolver {
    Resolver::with_timing(&[server.address], Duration::from_millis(300), 1).unwrap()
}

/// Why the question fails that is asked first.
async fn trouble(server: &Nameserver) -> Trouble {
    let resolver = resolver(server);
    let name = DomainName::parse(NAME).unwrap();
    let failed = resolver.pointing(&name, &Targets::default()).await.unwrap_err().failed.unwrap();
    resolver.trouble(&failed).await
}

fn nameservers(zone: &str, nameservers: &[&str]) -> Trouble {
    let nameservers = nameservers.iter().map(ToString::to_string).collect();
    Trouble::Nameservers { zone: zone.to_owned(), nameservers }
}

#[tokio::test]
async fn an_answer_without_a_check_means_broken_signatures() {
    let server = Nameserver::start().await;
    server.addresses(NAME, &["198.51.100.7"]).fail(ZONE, Fails::IfChecked);
    assert_eq!(trouble(&server).await, Trouble::Signatures { zone: ZONE.to_owned() });
    server.fail(NAME, Fails::Always);
    assert_eq!(trouble(&server).await, nameservers(ZONE, &[]), "no answer either way");
}

#[tokio::test]
async fn the_zone_and_its_nameservers_are_named() {
    let server = Nameserver::start().await;
    server.fail(NAME, Fails::Always);
    assert_eq!(trouble(&server).await, nameservers(NAME, &[]));
    server.fail(ZONE, Fails::Always).delegate(ZONE, &["ns2.example.org", "ns1.example.org"]);
    assert_eq!(trouble(&server).await, nameservers(ZONE, &["ns1.example.org", "ns2.example.org"]));
    for kind in [RecordType::A, RecordType::AAAA] {
        assert!(
            server.times_asked(NAME, kind) < 10,
            "{kind} was asked {} times",
            server.times_asked(NAME, kind)
        );
    }
}

#[tokio::test]
async fn a_failure_for_one_kind_of_record_is_the_names() {
    let server = Nameserver::start().await;
    let failure = Reply::Code(ResponseCode::ServFail);
    server.set(NAME, RecordType::A, failure.clone()).set(NAME, RecordType::AAAA, failure);
    assert_eq!(trouble(&server).await, nameservers(NAME, &[]));
}

#[tokio::test]
async fn where_everything_fails_it_is_the_nameserver_that_is_asked() {
    let server = Nameserver::start().await;
    server.fail("com", Fails::Always);
    assert_eq!(trouble(&server).await, Trouble::Ours);
    let server = Nameserver::start().await;
    server.fail("com", Fails::IfChecked);
    assert_eq!(trouble(&server).await, Trouble::Ours);
}

#[tokio::test]
async fn what_is_mended_meanwhile_is_nobodys() {
    let server = Nameserver::start().await;
    server.addresses(NAME, &["198.51.100.7"]).fail(ZONE, Fails::IfChecked);
    let resolver = resolver(&server);
    let name = DomainName::parse(NAME).unwrap();
    let failed = resolver.pointing(&name, &Targets::default()).await.unwrap_err().failed.unwrap();
    let mended = Nameserver::start().await;
    mended.addresses(NAME, &["198.51.100.7"]);
    let other = Resolver::with_timing(&[mended.address], Duration::from_millis(300), 1).unwrap();
    assert_eq!(other.trouble(&failed).await, Trouble::Ours);
}
