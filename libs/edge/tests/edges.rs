//! Edges are asked by real handshakes, and each that is behind is named with what it shows.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod kit;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::EdgeBehind;
use edge::Edges;
use tokio::net::TcpListener;

use kit::{Cdn, Pair, TlsServer, name};

const TIMEOUT: Duration = Duration::from_secs(10);

fn edges(addresses: &[SocketAddr], within: Duration) -> Edges {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    Edges::with_timeout(addresses, within).unwrap()
}

fn shows(edge: SocketAddr, shows: impl Into<String>) -> EdgeBehind {
    EdgeBehind { edge: edge.to_string(), shows: shows.into() }
}

#[tokio::test]
async fn nobody_is_behind_once_all_serve_the_upload() {
    let cdn = Cdn::with_edges(3).await;
    let edges = edges(&cdn.addresses(), TIMEOUT);
    let uploaded = Pair::make();
    let before = cdn.each_shows("no certificate for the name");
    assert_eq!(edges.behind(&name(), std::slice::from_ref(&uploaded.sha256)).await, before);
    cdn.upload(&uploaded, 1).await;

    // From another task, as the uploader does it.
    let behind =
        tokio::spawn(async move { edges.behind(&name(), std::slice::from_ref(&uploaded.sha256)).await });
    assert_eq!(behind.await.unwrap(), []);
}

#[tokio::test]
async fn whoever_lags_is_named_with_what_it_shows() {
    let cdn = Cdn::with_edges(4).await;
    let [_, lagging, empty, down] = cdn.addresses()[..] else { panic!("four edges") };
    let all = edges(&cdn.addresses(), TIMEOUT);
    let (old, new) = (Pair::make(), Pair::make());
    cdn.upload(&old, 1).await;
    assert_eq!(all.behind(&name(), std::slice::from_ref(&old.sha256)).await, []);

    cdn.edges[1].control().lag(true);
    cdn.edges[2].control().serve_nothing(true);
    cdn.edges[3].go_down().await;
    cdn.upload(&new, 2).await;
    let mut expected = [
        shows(lagging, format!("another certificate (SHA-256 {})", old.sha256)),
        shows(empty, "no certificate for the name"),
        shows(down, "connection refused"),
    ];
    expected.sort();
    assert_eq!(all.behind(&name(), std::slice::from_ref(&new.sha256)).await, expected);

    cdn.edges[1].control().lag(false);
    cdn.edges[2].control().serve_nothing(false);
    cdn.edges[3].come_up().await.unwrap();
    assert_eq!(all.behind(&name(), std::slice::from_ref(&new.sha256)).await, []);
}

#[tokio::test]
async fn an_edge_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let edges = edges(&[address], Duration::from_millis(100));
    let behind = edges.behind(&name(), &[]).await;
    assert_eq!(behind, [shows(address, "no answer in time")]);
}

#[tokio::test]
async fn what_is_no_edge_is_named_too() {
    let closing = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = closing.local_addr().unwrap();
    tokio::spawn(async move { while closing.accept().await.is_ok() {} });
    let unknown = "edge.invalid:443".to_owned();
    let edges = Edges::with_timeout(vec![address.to_string(), unknown.clone()], TIMEOUT).unwrap();
    let behind = edges.behind(&name(), &[]).await;
    let [hung_up, nowhere] = &behind[..] else { panic!("{behind:?}") };
    assert_eq!(hung_up.edge, address.to_string());
    assert!(hung_up.shows.starts_with("no TLS handshake ("), "{hung_up:?}");
    assert_eq!(nowhere.edge, unknown);
    assert!(nowhere.shows.starts_with("no address ("), "{nowhere:?}");
}

#[tokio::test]
async fn a_host_name_is_looked_up_and_an_edge_named_twice_is_asked_once() {
    let cdn = Cdn::with_edges(1).await;
    let address = format!("localhost:{}", cdn.addresses()[0].port());
    let edges = Edges::with_timeout(vec![address.clone(), address.clone()], TIMEOUT).unwrap();
    let behind = edges.behind(&name(), &[]).await;
    let expected = EdgeBehind { edge: address, shows: "no certificate for the name".to_owned() };
    assert_eq!(behind, [expected]);
}

#[tokio::test]
async fn a_resumed_session_does_not_show_the_certificate_of_before() {
    let (old, new) = (Pair::make(), Pair::make());
    let server = TlsServer::start(old.certified()).await;
    let edges = edges(&[server.address], TIMEOUT);
    assert_eq!(edges.behind(&name(), std::slice::from_ref(&old.sha256)).await, []);
    server.show(new.certified());
    assert_eq!(edges.behind(&name(), std::slice::from_ref(&new.sha256)).await, []);
}

#[tokio::test]
async fn a_leaf_without_its_key_is_not_served() {
    let (leaf, other) = (Pair::make(), Pair::make());
    let server = TlsServer::start(leaf.certified_with_the_key_of(&other)).await;
    let behind = edges(&[server.address], TIMEOUT).behind(&name(), std::slice::from_ref(&leaf.sha256)).await;
    let expected = shows(server.address, "a certificate whose key it does not hold");
    assert_eq!(behind, [expected]);
}

#[tokio::test]
async fn an_edge_without_the_intermediate_has_fallen_back_and_a_silent_one_has_not() {
    let (leaf, intermediate, root, old) = (Pair::make(), Pair::make(), Pair::make(), Pair::make());
    let chain = [leaf.sha256.clone(), intermediate.sha256.clone()];
    let whole = TlsServer::start(leaf.certified_with(&[&intermediate, &root])).await;
    let lost = TlsServer::start(leaf.certified()).await;
    let other = TlsServer::start(leaf.certified_with(&[&root])).await;
    let older = TlsServer::start(old.certified()).await;
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let edges = edges(&[whole.address, lost.address, other.address, older.address, nobody], TIMEOUT);
    let mut expected = vec![
        shows(lost.address, "the right certificate without its intermediate"),
        shows(other.address, "the right certificate with other intermediates"),
        shows(older.address, format!("another certificate (SHA-256 {})", old.sha256)),
    ];
    expected.sort();
    assert_eq!(edges.fallen_back(&name(), &chain).await, expected);
    expected.push(shows(nobody, "connection refused"));
    expected.sort();
    assert_eq!(edges.behind(&name(), &chain).await, expected);
}

#[tokio::test]
async fn sixteen_are_asked_at_a_time() {
    let silent = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let addresses: Vec<_> = (1..=20).map(|host| SocketAddr::from(([127, 0, 0, host], port))).collect();
    let edges = Arc::new(edges(&addresses, TIMEOUT));
    let asking = tokio::spawn(async move { edges.behind(&name(), &[]).await });
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(silent.accept().await.unwrap());
    }
    let one_more = tokio::time::timeout(Duration::from_millis(200), silent.accept());
    assert!(one_more.await.is_err());
    open.pop();
    silent.accept().await.unwrap();
    asking.abort();
}
