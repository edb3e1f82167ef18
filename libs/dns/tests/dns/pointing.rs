//! Where names lead, by a nameserver that can answer anything.

use std::net::IpAddr;
use std::time::Duration;

use crate::kit::{self, Nameserver, Reply};
use dns::{CouldNotAsk, Pointing, Resolver, Targets};
use domain::{DomainName, Found};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

const NAME: &str = "shop.example.com";

fn targets() -> Targets {
    Targets {
        cname_targets: vec!["edge.cdn.example.net".into(), "Anycast.CDN.example.net.".into(), String::new()],
        addresses: vec!["198.51.100.0/24".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
    }
}

async fn pointing(server: &Nameserver) -> Result<Pointing, CouldNotAsk> {
    let resolver = Resolver::with_timing(&[server.address], Duration::from_millis(300), 2).unwrap();
    let name = DomainName::parse(NAME).unwrap();
    tokio::time::timeout(Duration::from_secs(20), resolver.pointing(&name, &targets())).await.unwrap()
}

fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn at_us(found: &str) -> Pointing {
    Pointing::AtUs { found: found.to_owned() }
}

/// Fails unless the name leads to us by `found`.
async fn leads_to_us(server: &Nameserver, found: &str) {
    assert_eq!(pointing(server).await, Ok(at_us(found)));
}

async fn found(server: &Nameserver) -> String {
    match pointing(server).await {
        Ok(Pointing::Elsewhere { found }) => found.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn unanswered(server: &Nameserver) -> String {
    match pointing(server).await {
        Err(CouldNotAsk { detail, .. }) => detail,
        Ok(pointing) => panic!("{pointing:?}"),
    }
}

#[tokio::test]
async fn a_cname_chain_that_passes_a_target_leads_to_us() {
    let server = Nameserver::start().await;
    for target in ["edge.cdn.example.net", "EDGE.cdn.Example.NET", "anycast.cdn.example.net"] {
        server.cname(NAME, target);
        leads_to_us(&server, &target.to_lowercase()).await;
    }
    server.cname(NAME, "a.example.org").cname("a.example.org", "b.example.org");
    server.cname("b.example.org", "edge.cdn.example.net");
    leads_to_us(&server, "edge.cdn.example.net").await;
    assert_eq!(server.times_asked(NAME, RecordType::A), 0, "the chain says enough");
}

#[tokio::test]
async fn what_happens_behind_the_target_does_not_matter() {
    let server = Nameserver::start().await;
    server.cname(NAME, "edge.cdn.example.net");
    for kind in [RecordType::CNAME, RecordType::A, RecordType::AAAA] {
        server.set("edge.cdn.example.net", kind, Reply::Code(ResponseCode::ServFail));
    }
    leads_to_us(&server, "edge.cdn.example.net").await;
}

#[tokio::test]
async fn addresses_lead_to_us_if_all_of_them_do() {
    for (addresses, expected) in [
        (vec!["198.51.100.7"], None),
        (vec!["2001:db8:1::7"], None),
        (vec!["198.51.100.7", "198.51.100.8", "2001:db8:1::7"], None),
        (vec!["198.51.100.7", "203.0.113.9"], Some(["198.51.100.7", "203.0.113.9"].as_slice())),
        (vec!["203.0.113.9"], Some(&["203.0.113.9"])),
        (vec!["::ffff:198.51.100.7"], Some(&["::ffff:198.51.100.7"])),
    ] {
        let server = Nameserver::start().await;
        server.addresses(NAME, &addresses);
        let expected = match expected {
            None => Pointing::AtUs { found: addresses.join(", ") },
            Some(found) => Pointing::Elsewhere { found: Found::Addresses(parsed(found)) },
        };
        assert_eq!(pointing(&server).await, Ok(expected), "{addresses:?}");
    }
}

/// CAs prefer IPv6: it alone would make the order fail, and it alone has to be mended.
#[tokio::test]
async fn a_foreign_aaaa_beside_our_a_is_told_as_such() {
    for (addresses, expected) in [
        (vec!["198.51.100.7", "2001:db8:2::1"], ["2001:db8:2::1"]),
        (vec!["198.51.100.7", "2001:db8:1::7", "2001:db8:2::1"], ["2001:db8:2::1"]),
    ] {
        let server = Nameserver::start().await;
        server.addresses(NAME, &addresses);
        let expected = Pointing::ForeignAaaa { found: parsed(&expected) };
        assert_eq!(pointing(&server).await, Ok(expected), "{addresses:?}");
    }
}

#[tokio::test]
async fn a_foreign_cname_may_still_end_at_our_addresses() {
    let server = Nameserver::start().await;
    server.cname(NAME, "lb.example.org").addresses("lb.example.org", &["198.51.100.7"]);
    leads_to_us(&server, "198.51.100.7").await;
    server.addresses("lb.example.org", &["203.0.113.9"]);
    assert_eq!(found(&server).await, "lb.example.org");
}

#[tokio::test]
async fn what_is_found_elsewhere_is_told() {
    let server = Nameserver::start().await;
    assert_eq!(found(&server).await, "nothing (the name does not exist)");
    server.set(NAME, RecordType::TXT, Reply::Records(Vec::new()));
    assert_eq!(found(&server).await, "nothing (no A, AAAA or CNAME record)");
    server.cname(NAME, "a.example.org").cname("a.example.org", "Shop.Other.net");
    assert_eq!(found(&server).await, "shop.other.net", "the last name does not exist");
    server.set("shop.other.net", RecordType::TXT, Reply::Records(Vec::new()));
    assert_eq!(found(&server).await, "shop.other.net", "the last name has no address");
}

#[tokio::test]
async fn circles_and_long_chains_end() {
    let server = Nameserver::start().await;
    server.cname(NAME, NAME);
    assert!(found(&server).await.contains("circle"));
    server.cname(NAME, "a.example.org").cname("a.example.org", "b.example.org").cname("b.example.org", NAME);
    assert!(found(&server).await.contains("circle"));

    server.cname(NAME, "hop0.example.org");
    for hop in 0..50 {
        server.cname(&format!("hop{hop}.example.org"), &format!("hop{}.example.org", hop + 1));
    }
    assert_eq!(found(&server).await, "hop10.example.org (too many CNAME records follow each other)");
    assert_eq!(server.times_asked("hop10.example.org", RecordType::CNAME), 0);
    server.cname("hop9.example.org", "edge.cdn.example.net");
    leads_to_us(&server, "edge.cdn.example.net").await;
}

#[tokio::test]
async fn a_nameserver_that_fails_says_nothing_about_the_name() {
    let refused = ResponseCode::Refused;
    for (reply, expected) in [
        (Reply::Code(ResponseCode::ServFail), "SERVFAIL"),
        (Reply::Code(refused), "REFUSED"),
        (Reply::Code(ResponseCode::NotImp), "response code 4"),
        (Reply::Code(ResponseCode::FormErr), "response code 1"),
        (Reply::Silence, "no answer in time"),
        (Reply::Raw(Vec::new()), ""),
        (Reply::Raw(vec![0xff; 40]), ""),
        (Reply::Raw(vec![0; 600]), ""),
        (Reply::Cut, ""),
    ] {
        let server = Nameserver::start().await;
        // The other kind of address would lead to us, and must not be taken for the whole answer.
        server.addresses(NAME, &["198.51.100.7", "2001:db8:1::7"]).set(NAME, RecordType::A, reply.clone());
        let detail = unanswered(&server).await;
        assert!(detail.contains(&format!("A of {NAME}")) && detail.contains(expected), "{detail}");
    }
}

/// A CA asks for A and AAAA, and goes on with A where AAAA has no answer; for a CNAME record alone it never asks.
#[tokio::test]
async fn what_a_ca_does_not_need_does_not_stop_us() {
    let failures = [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp].map(Reply::Code);
    for reply in failures.into_iter().chain([Reply::Silence, Reply::Raw(vec![0xff; 40])]) {
        let server = Nameserver::start().await;
        server.addresses(NAME, &["198.51.100.7"]).set(NAME, RecordType::AAAA, reply.clone());
        leads_to_us(&server, "198.51.100.7").await;
        server.set(NAME, RecordType::CNAME, reply.clone());
        leads_to_us(&server, "198.51.100.7").await;

        // The answer for the addresses has the chain.
        let server = Nameserver::start().await;
        server.set(NAME, RecordType::CNAME, reply);
        let address = "203.0.113.9".parse::<IpAddr>().unwrap();
        let chain = vec![
            kit::cname(NAME, "edge.cdn.example.net"),
            kit::record("edge.cdn.example.net", address.into()),
        ];
        server.set(NAME, RecordType::A, Reply::Records(chain));
        leads_to_us(&server, "edge.cdn.example.net").await;
    }
}

#[tokio::test]
async fn a_failure_further_down_the_chain_is_no_answer_either() {
    let server = Nameserver::start().await;
    server.cname(NAME, "a.example.org");
    for kind in [RecordType::CNAME, RecordType::A, RecordType::AAAA] {
        server.set("a.example.org", kind, Reply::Code(ResponseCode::ServFail));
    }
    assert!(unanswered(&server).await.contains("A of a.example.org"));
}

/// Half an answer is enough when it settles the matter.
#[tokio::test]
async fn a_foreign_address_settles_it_though_the_other_question_fails() {
    let server = Nameserver::start().await;
    server.addresses(NAME, &["203.0.113.9"]);
    server.set(NAME, RecordType::AAAA, Reply::Code(ResponseCode::ServFail));
    assert_eq!(found(&server).await, "203.0.113.9");
}

#[tokio::test]
async fn records_that_do_not_belong_to_the_question_do_not_count() {
    let server = Nameserver::start().await;
    let address = |name: &str, text: &str| kit::record(name, text.parse::<IpAddr>().unwrap().into());
    let ours = || address("other.example.org", "198.51.100.7");
    let target = || kit::cname("other.example.org", "edge.cdn.example.net");
    server.set(NAME, RecordType::CNAME, Reply::Records(vec![target()]));
    server.set(NAME, RecordType::A, Reply::Records(vec![ours(), target()]));
    assert_eq!(found(&server).await, "nothing (no A, AAAA or CNAME record)");

    server.set(NAME, RecordType::A, Reply::Records(vec![ours(), address(NAME, "203.0.113.9"), target()]));
    assert_eq!(found(&server).await, "203.0.113.9");
    let records = vec![target(), kit::cname(NAME, "shop.other.net")];
    server.set(NAME, RecordType::CNAME, Reply::Records(records));
    assert_eq!(found(&server).await, "shop.other.net");
}

#[tokio::test]
async fn a_cname_that_only_the_address_question_shows_is_followed() {
    let server = Nameserver::start().await;
    let records = vec![kit::cname(NAME, "edge.cdn.example.net")];
    server.set(NAME, RecordType::A, Reply::Records(records));
    server.addresses("edge.cdn.example.net", &["203.0.113.9"]);
    leads_to_us(&server, "edge.cdn.example.net").await;
}

#[tokio::test]
async fn nonsense_and_masses_of_records_are_no_answer() {
    let server = Nameserver::start().await;
    let two = vec![kit::cname(NAME, "edge.cdn.example.net"), kit::cname(NAME, "evil.example.org")];
    server.set(NAME, RecordType::CNAME, Reply::Records(two));
    assert!(unanswered(&server).await.contains("several CNAME records"));

    let server = Nameserver::start().await;
    let many: Vec<String> = (0..70).map(|last| format!("198.51.100.{last}")).collect();
    server.addresses(NAME, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(unanswered(&server).await.contains("more than 64 records"));
}

#[tokio::test]
async fn long_lists_are_cut_and_odd_names_are_escaped() {
    let server = Nameserver::start().await;
    let many: Vec<String> = (0..20).map(|last| format!("203.0.113.{last}")).collect();
    server.addresses(NAME, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(found(&server).await.ends_with("203.0.113.5 and 14 more"));

    server.cname(NAME, "<script>.example.org");
    let text = found(&server).await;
    assert!(text.is_ascii() && !text.contains(char::is_control), "{text}");
}

#[tokio::test]
async fn nothing_is_cached() {
    let server = Nameserver::start().await;
    let resolver = Resolver::with_timing(&[server.address], Duration::from_secs(5), 2).unwrap();
    let name = DomainName::parse(NAME).unwrap();
    server.addresses(NAME, &["203.0.113.9"]);
    let before = resolver.pointing(&name, &targets()).await.unwrap();
    assert_eq!(before, Pointing::Elsewhere { found: Found::Addresses(parsed(&["203.0.113.9"])) });
    server.addresses(NAME, &["198.51.100.7"]);
    assert_eq!(resolver.pointing(&name, &targets()).await, Ok(at_us("198.51.100.7")));
    server.addresses(NAME, &["203.0.113.9"]).cname(NAME, "edge.cdn.example.net");
    assert_eq!(resolver.pointing(&name, &targets()).await, Ok(at_us("edge.cdn.example.net")));
}

#[tokio::test]
async fn a_second_nameserver_helps_when_the_first_is_silent() {
    let (silent, server) = (Nameserver::start().await, Nameserver::start().await);
    for kind in [RecordType::CNAME, RecordType::A, RecordType::AAAA] {
        silent.set(NAME, kind, Reply::Silence);
    }
    server.cname(NAME, "edge.cdn.example.net");
    let resolver =
        Resolver::with_timing(&[silent.address, server.address], Duration::from_secs(2), 2).unwrap();
    let name = DomainName::parse(NAME).unwrap();
    assert_eq!(resolver.pointing(&name, &targets()).await, Ok(at_us("edge.cdn.example.net")));
}

#[tokio::test]
async fn the_systems_nameservers_can_be_used() {
    assert!(Resolver::new(&[]).is_ok() || !std::path::Path::new("/etc/resolv.conf").exists());
}
