//! The addresses of names, by a nameserver that can answer anything.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::kit::{Nameserver, Reply, cname, record};
use dns::{CouldNotAsk, Nameservers, Resolver};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::RecordType::{A, AAAA};
use hickory_resolver::proto::rr::rdata;

const NAME: &str = "shop.example.com";

async fn addresses(server: &Nameserver) -> Result<Vec<String>, CouldNotAsk> {
    let resolver = Resolver::with_timing(&[server.address], Duration::from_millis(300), 1).unwrap();
    let found = resolver.addresses(NAME).await?;
    Ok(found.iter().map(IpAddr::to_string).collect())
}

fn a(name: &str, last: u8) -> hickory_resolver::proto::rr::Record {
    record(name, RData::A(rdata::A(Ipv4Addr::new(192, 0, 2, last))))
}

#[tokio::test]
async fn ipv6_comes_first() {
    let server = Nameserver::start().await;
    server.addresses(NAME, &["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    assert_eq!(addresses(&server).await.unwrap(), ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    let by_name = Nameservers::new(vec![server.address.to_string()]).unwrap();
    assert_eq!(by_name.addresses(NAME).await.unwrap().len(), 3);
    assert_eq!(by_name.addresses("shop.example.com.").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_chain_is_followed_to_its_end() {
    let server = Nameserver::start().await;
    let chain = [cname(NAME, "b.example.org"), cname("b.example.org", "c.example.org")];
    let whole = [chain.as_slice(), &[a("c.example.org", 1)]].concat();
    server.set(NAME, A, Reply::Records(whole));
    assert_eq!(addresses(&server).await.unwrap(), ["192.0.2.1"]);

    server.set(NAME, A, Reply::Records(chain.to_vec()));
    server.addresses("c.example.org", &["192.0.2.2"]);
    assert_eq!(addresses(&server).await.unwrap(), ["192.0.2.2"], "asked again");
}

#[tokio::test]
async fn what_does_not_belong_to_the_question_is_no_address_of_the_name() {
    let server = Nameserver::start().await;
    let foreign = vec![a("other.example.com", 9), a(NAME, 1)];
    server.set(NAME, A, Reply::Records(foreign));
    assert_eq!(addresses(&server).await.unwrap(), ["192.0.2.1"]);
}

#[tokio::test]
async fn no_name_and_no_record_are_answers() {
    let server = Nameserver::start().await;
    assert_eq!(addresses(&server).await, Ok(Vec::new()));
    server.set(NAME, A, Reply::Records(Vec::new()));
    assert_eq!(addresses(&server).await, Ok(Vec::new()));
}

#[tokio::test]
async fn one_answer_is_enough_if_it_has_an_address() {
    let server = Nameserver::start().await;
    for failing in [Reply::Code(ResponseCode::ServFail), Reply::Silence, Reply::Cut] {
        server.addresses(NAME, &["192.0.2.1"]).set(NAME, AAAA, failing);
        assert_eq!(addresses(&server).await.unwrap(), ["192.0.2.1"]);
        server.set(NAME, A, Reply::Records(Vec::new()));
        let error = addresses(&server).await.unwrap_err();
        assert!(error.detail.contains("AAAA of shop.example.com"), "{error}");
    }
}

#[tokio::test]
async fn the_number_of_addresses_is_bounded() {
    let server = Nameserver::start().await;
    let many = (0..60).map(|last| a(NAME, last)).collect();
    server.set(NAME, A, Reply::Records(many));
    assert_eq!(addresses(&server).await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_host_that_is_no_name_could_not_be_asked_for() {
    let server = Nameserver::start().await;
    let resolver = Resolver::new(&[server.address]).unwrap();
    for host in ["a..b", &"a".repeat(64), &"a.".repeat(200)] {
        assert!(resolver.addresses(host).await.is_err(), "{host}");
    }
}
