//! Where a name leads, and what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use dns::Nameservers;
use domain::DomainName;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType, rdata};
use rehearsal::{Options, Rehearsal, Rehearsed};
use tokio::net::{TcpListener, UdpSocket};

use crate::kit::{BODY, HERE, NAME, OTHER_NAME, Outside, PATH, Reply, Site, THERE, TOKEN, ok, redirect};

async fn free_port() -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn private_addresses_are_not_connected_to() {
    let mut outside = Outside::start().await;
    outside.allow_private_addresses = false;
    let site = Site::start(|_| ok(BODY)).await;
    assert_eq!(outside.wrong(site.port).await, "it leads to the loopback address 127.0.0.1");
    outside.dns().set_a(NAME, &[Ipv4Addr::new(10, 0, 0, 1)]);
    assert_eq!(outside.wrong(site.port).await, "it leads to the private address 10.0.0.1");
    outside.dns().set_a(NAME, &[]);
    for (address, found) in [
        ("::1", "it leads to the loopback address ::1"),
        ("::ffff:127.0.0.1", "it leads to the IPv4-mapped address ::ffff:127.0.0.1"),
        ("64:ff9b::7f00:1", "it leads to the loopback address 64:ff9b::7f00:1"),
    ] {
        outside.dns().set_aaaa(NAME, &[address.parse().unwrap()]);
        assert_eq!(outside.wrong(site.port).await, found);
    }
    outside.dns().set_cname(NAME, "inside.example.net");
    outside.dns().set_a("inside.example.net", &[HERE]);
    assert_eq!(outside.wrong(site.port).await, "it leads to the loopback address 127.0.0.1");
    assert_eq!(site.connections(), 0);
}

#[tokio::test]
async fn a_name_without_address_is_wrong() {
    let outside = Outside::start().await;
    outside.dns().remove(NAME);
    assert_eq!(outside.wrong(80).await, "the name has no address (no A or AAAA record)");
    let site = Site::start(|_| redirect("http://nowhere.example.com/")).await;
    outside.dns().set_a(NAME, &[HERE]);
    assert_eq!(
        outside.wrong(site.port).await,
        "it redirects to http://nowhere.example.com, and there the name has no address (no A or AAAA record)"
    );
}

#[tokio::test]
async fn a_closed_port_is_wrong() {
    let outside = Outside::start().await;
    let port = free_port().await;
    assert_eq!(
        outside.wrong(port).await,
        format!("nothing listens at 127.0.0.1:{port} (connection refused)")
    );
}

#[tokio::test]
async fn dns_that_fails_blames_nobody() {
    let mut outside = Outside::start().await;
    let unknown = async |outside: &Outside, port| match outside.fetch(port).await {
        Rehearsed::CouldNotAsk { detail } => detail,
        other => panic!("{other:?}"),
    };
    outside.dns().servfail(NAME, true);
    let detail = unknown(&outside, 80).await;
    assert!(detail.contains("SERVFAIL"), "{detail}");

    outside.fetch_within = Duration::from_millis(800);
    outside.dns().servfail(NAME, false);
    outside.dns().timeout(NAME, true);
    assert_eq!(unknown(&outside, 80).await, "asking DNS took too long");

    outside.dns().timeout(NAME, false);
    outside.dns().servfail(OTHER_NAME, true);
    let site = Site::start(|_| redirect(&format!("http://{OTHER_NAME}/"))).await;
    let detail = unknown(&outside, site.port).await;
    assert!(detail.starts_with("it redirects to http://other.example.com, and there"), "{detail}");
}

#[tokio::test]
async fn ipv4_is_tried_only_if_ipv6_does_not_connect() {
    let mut outside = Outside::start().await;
    outside.dns().set_aaaa(NAME, &[Ipv6Addr::LOCALHOST]);
    let ipv4 = Site::start(|_| ok(BODY)).await;
    assert_eq!(outside.fetch(ipv4.port).await, Rehearsed::Right, "refused, then IPv4");
    assert_eq!(ipv4.connections(), 1);

    let ipv6 = Site::at(Ipv6Addr::LOCALHOST.into(), ipv4.port, |_| ok("another")).await;
    assert_eq!(outside.wrong(ipv4.port).await, "another body came back");
    assert_eq!((ipv6.connections(), ipv4.connections()), (1, 1));

    outside.fetch_within = Duration::from_millis(800);
    let both = Site::start(|_| ok(BODY)).await;
    Site::at(Ipv6Addr::LOCALHOST.into(), both.port, |_| Reply::Silence).await;
    assert_eq!(outside.wrong(both.port).await, "no answer in time");
    assert_eq!(both.connections(), 0, "IPv6 was connected to");
}

#[tokio::test]
async fn an_ipv6_connection_that_does_not_come_about_leads_to_ipv4() {
    let mut outside = Outside::start().await;
    outside.connect_within = Duration::from_millis(300);
    let socket = tokio::net::TcpSocket::new_v6().unwrap();
    socket.bind((Ipv6Addr::LOCALHOST, 0).into()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts: what the queue does not hold waits.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let connect = tokio::net::TcpStream::connect(address);
        waiting.push(tokio::time::timeout(Duration::from_millis(50), connect).await);
    }
    outside.dns().set_aaaa(NAME, &[Ipv6Addr::LOCALHOST]);
    assert_eq!(
        outside.wrong(address.port()).await,
        format!("nothing listens at 127.0.0.1:{} (connection refused)", address.port())
    );
    let ipv4 = Site::at(HERE.into(), address.port(), |_| ok(BODY)).await;
    assert_eq!(outside.fetch(ipv4.port).await, Rehearsed::Right);
}

/// Answers each question for A with the next of 127.0.0.1, 127.0.0.2 …
async fn rotating_nameserver() -> (SocketAddr, Arc<AtomicU8>) {
    let socket = UdpSocket::bind((HERE, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicU8::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            let query = message.queries[0].clone();
            message.edns = None;
            let mut message = message.into_response();
            if query.query_type() == RecordType::A {
                let last = counter.fetch_add(1, Ordering::SeqCst) + 1;
                let data = RData::A(rdata::A(Ipv4Addr::new(127, 0, 0, last)));
                message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
            }
            let _ = socket.send_to(&message.to_vec().unwrap(), peer).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_checked_and_each_hop_looks_up_again() {
    let (nameserver, asked) = rotating_nameserver().await;
    let first = Site::start(|path| if path == PATH { redirect("/again") } else { ok("wrong") }).await;
    let second = Site::at(THERE.into(), first.port, |_| ok(BODY)).await;
    let options = Options { http_port: first.port, allow_private_addresses: true, ..Options::default() };
    let rehearsal = Rehearsal::new(options).unwrap();
    let nameservers = Nameservers::new(vec![nameserver.to_string()]).unwrap();
    let name = DomainName::parse(NAME).unwrap();
    let rehearsed = rehearsal.fetch(&nameservers, &name, TOKEN, BODY).await;
    assert_eq!(rehearsed, Rehearsed::Right);
    assert_eq!((first.connections(), second.connections()), (1, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one question for A per hop");
}

/// The attack: a customer's DNS, or a redirect, leads to a host of the CDN's own; it is listened there, and nobody comes.
#[tokio::test]
async fn the_cdns_own_hosts_are_never_connected_to() {
    let own = Site::at(THERE.into(), 0, |_| ok(BODY)).await;
    let mut outside = Outside::start().await;
    outside.dns().set_a(NAME, &[THERE]);
    assert_eq!(outside.fetch(own.port).await, Rehearsed::Right, "or the test shows nothing");
    assert_eq!(own.connections(), 1);
    outside.refuse_addresses = vec![ipnet::IpNet::from(IpAddr::V4(THERE))];
    assert_eq!(outside.wrong(own.port).await, format!("it leads to the refused address {THERE}"));
    let front = Site::at(HERE.into(), own.port, move |_| redirect("http://own.example.net/")).await;
    outside.dns().set_a(NAME, &[HERE]);
    outside.dns().set_a("own.example.net", &[THERE]);
    let found = outside.wrong(front.port).await;
    assert!(found.ends_with("there the name leads to an address that is refused here"), "{found}");
    assert_eq!(own.connections(), 1, "nobody came");
}
