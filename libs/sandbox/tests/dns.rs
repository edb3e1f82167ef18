//! DNS answers as a recursive resolver would.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use sandbox::{Dns, DnsOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const EDGE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn question(name: &str, record_type: RecordType) -> Vec<u8> {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    query.to_vec().unwrap()
}

async fn send(server: SocketAddr, name: &str, record_type: RecordType) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&question(name, record_type)).await.unwrap();
    socket
}

async fn ask(server: SocketAddr, name: &str, record_type: RecordType) -> Message {
    let socket = send(server, name, record_type).await;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn types(message: &Message) -> Vec<RecordType> {
    message.answers.iter().map(hickory_proto::rr::Record::record_type).collect()
}

#[tokio::test]
async fn a_chain_comes_with_the_targets_records() {
    let dns = Dns::start(DnsOptions {
        a: vec![("cdn.example.net".to_owned(), vec![EDGE])],
        cname: vec![("www.customer.example".to_owned(), "alias.customer.example".to_owned())],
        ..DnsOptions::default()
    })
    .await
    .unwrap();
    dns.control().set_cname("alias.customer.example", "cdn.example.net.");
    let answer = ask(dns.addr(), "WWW.customer.example.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.metadata.recursion_available);
    assert_eq!(types(&answer), [RecordType::CNAME, RecordType::CNAME, RecordType::A]);
    assert_eq!(answer.answers[2].name, Name::from_ascii("cdn.example.net.").unwrap());
    assert_eq!(answer.answers[2].data, RData::A(EDGE.into()));

    let alias = ask(dns.addr(), "www.customer.example.", RecordType::CNAME).await;
    assert_eq!(types(&alias), [RecordType::CNAME]);
    let no_aaaa = ask(dns.addr(), "www.customer.example.", RecordType::AAAA).await;
    assert_eq!(no_aaaa.metadata.response_code, ResponseCode::NoError);
    assert_eq!(types(&no_aaaa), [RecordType::CNAME, RecordType::CNAME]);
    assert_eq!(dns.control().queries(), 3);
    dns.stop().await;
}

#[tokio::test]
async fn no_such_name_is_not_no_such_record() {
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    dns.control().set_a("www.customer.example", &[EDGE]);
    dns.control().set_cname("dangling.example", "gone.example");
    for (name, record_type, code) in [
        ("www.customer.example.", RecordType::AAAA, ResponseCode::NoError),
        ("customer.example.", RecordType::A, ResponseCode::NoError),
        ("stomer.example.", RecordType::A, ResponseCode::NXDomain),
        ("unknown.example.", RecordType::A, ResponseCode::NXDomain),
        ("dangling.example.", RecordType::A, ResponseCode::NXDomain),
    ] {
        let answer = ask(dns.addr(), name, record_type).await;
        assert_eq!(answer.metadata.response_code, code, "{name}");
        assert_eq!(answer.authorities.len(), 1, "{name} wants an SOA");
    }
    dns.control().remove("www.customer.example");
    let answer = ask(dns.addr(), "customer.example.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    dns.control().default_a(Some(EDGE));
    assert_eq!(types(&ask(dns.addr(), "anything.example.", RecordType::A).await), [RecordType::A]);
}

#[tokio::test]
async fn faults_hold_along_the_chain() {
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    let control = dns.control();
    control.set_cname("www.customer.example", "cdn.example.net");
    control.set_a("cdn.example.net", &[EDGE]);
    control.servfail("cdn.example.net", true);
    let answer = ask(dns.addr(), "www.customer.example.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    control.servfail("cdn.example.net", false);
    control.servfail_for_aaaa("cdn.example.net", true);
    let answer = ask(dns.addr(), "www.customer.example.", RecordType::AAAA).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let answer = ask(dns.addr(), "www.customer.example.", RecordType::A).await;
    assert_eq!(types(&answer), [RecordType::CNAME, RecordType::A]);
    control.servfail_for_aaaa("cdn.example.net", false);

    control.timeout("cdn.example.net", true);
    let unanswered = send(dns.addr(), "www.customer.example.", RecordType::A).await;
    // What is asked later is answered, so what was asked before will never be.
    ask(dns.addr(), "other.example.", RecordType::A).await;
    let mut buffer = [0; 512];
    assert!(timeout(Duration::from_millis(50), unanswered.recv(&mut buffer)).await.is_err());
    control.set_cname("loop.example", "loop.example");
    let answer = ask(dns.addr(), "loop.example.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn caa_is_answered_by_tcp_too() {
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    dns.control().set_caa("customer.example", vec![(0, "issue", "sandbox.example"), (128, "issuewild", ";")]);
    let question = question("customer.example.", RecordType::CAA);
    let mut stream = TcpStream::connect(dns.addr()).await.unwrap();
    stream.write_u16(question.len() as u16).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    let records: Vec<_> = answer
        .answers
        .iter()
        .map(|record| match &record.data {
            RData::CAA(caa) => (caa.flags(), caa.tag.clone(), String::from_utf8(caa.value.clone()).unwrap()),
            other => panic!("no CAA record: {other}"),
        })
        .collect();
    let issue = (0, "issue".to_owned(), "sandbox.example".to_owned());
    let issuewild = (128, "issuewild".to_owned(), ";".to_owned());
    assert_eq!(records, [issue, issuewild]);
}

#[tokio::test]
async fn every_name_of_a_zone_leads_to_its_target_unless_it_has_records() {
    let dns = Dns::start(DnsOptions::default()).await.unwrap();
    dns.control().set_a("cdn.example.net", &[EDGE]);
    dns.control().set_zone("example.com", "cdn.example.net");
    dns.control().set_a("elsewhere.example.com", &[Ipv4Addr::new(192, 0, 2, 1)]);

    for name in ["shop.example.com.", "a.b.Example.COM."] {
        let answer = ask(dns.addr(), name, RecordType::A).await;
        assert_eq!(types(&answer), [RecordType::CNAME, RecordType::A], "{name}");
    }
    let answer = ask(dns.addr(), "elsewhere.example.com.", RecordType::A).await;
    assert_eq!(types(&answer), [RecordType::A]);

    let of_the_zone = ask(dns.addr(), "example.com.", RecordType::A).await;
    assert_eq!((of_the_zone.metadata.response_code, of_the_zone.answers.len()), (ResponseCode::NoError, 0));
    let other = ask(dns.addr(), "notexample.com.", RecordType::A).await;
    assert_eq!(other.metadata.response_code, ResponseCode::NXDomain);
    dns.stop().await;
}

/// What a resolver says of a zone: asked as usual, without a check of signatures, and for what it knows already.
async fn codes(server: SocketAddr, name: &str) -> [(ResponseCode, usize, usize); 3] {
    let mut codes = Vec::new();
    for (is_recursive, is_checked) in [(true, true), (true, false), (false, false)] {
        let mut query = Message::query();
        query.metadata.recursion_desired = is_recursive;
        query.metadata.checking_disabled = !is_checked;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        socket.send(&query.to_vec().unwrap()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        codes.push((answer.metadata.response_code, answer.answers.len(), answer.authorities.len()));
    }
    codes.try_into().unwrap()
}

#[tokio::test]
async fn a_zone_fails_by_its_signatures_or_its_nameservers() {
    use ResponseCode::{NoError, ServFail};
    let a = vec![("shop.customer.example".to_owned(), vec![EDGE])];
    let dns = Dns::start(DnsOptions { a, ..DnsOptions::default() }).await.unwrap();
    let (server, control) = (dns.addr(), dns.control());
    let fine = (NoError, 1, 0);
    assert_eq!(codes(server, "shop.customer.example.").await, [fine; 3]);
    control.break_signatures("customer.example", true);
    assert_eq!(codes(server, "shop.customer.example.").await, [(ServFail, 0, 0), fine, fine]);
    control.break_signatures("customer.example", false);
    control.break_nameservers("customer.example", Some(&["ns1.host.example", "ns2.host.example"]));
    assert_eq!(codes(server, "shop.customer.example.").await, [(ServFail, 0, 0); 3]);
    assert_eq!(codes(server, "customer.example.").await[2], (NoError, 0, 2), "whom to ask");
    control.break_nameservers("customer.example", None);
    assert_eq!(codes(server, "shop.customer.example.").await, [fine; 3]);
}
