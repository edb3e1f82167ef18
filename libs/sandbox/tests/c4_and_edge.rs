//! C4 keeps its contract, and the edge shows what C4 holds.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod kit;

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use sandbox::{
    C4, C4Domain, C4Identity, C4Options, Edge, EdgeOptions, Refusal, World, WorldOptions, handshake,
    served_sha256,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use kit::{C4Http, Issued, sha256_of_leaf, upload};

const NAME: &str = "www.customer.example";

/// A self-signed certificate, as a customer may paste.
fn self_signed(name: &str) -> (Issued, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let issued = Issued { chain_pem: certificate.pem(), key_pem: key.serialize_pem() };
    let sha256 = sha256_of_leaf(&issued.chain_pem);
    (issued, sha256)
}

async fn world() -> (World, C4Http) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    world.point_at_cdn(NAME);
    let c4 = C4Http::of(&world.c4);
    (world, c4)
}

#[tokio::test]
async fn a_domain_is_known_or_not() {
    let (world, mut c4) = world().await;
    let (status, domain) = c4.get(NAME).await;
    assert_eq!(status, 200);
    let expected =
        json!({ "name": NAME, "ports": [80, 443], "cname": "cdn.example.net", "certificate": null });
    assert_eq!(domain, expected);

    let (status, body) = c4.get("unknown.example").await;
    assert_eq!(status, 404);
    assert!(body["message"].is_string());
    assert_eq!((world.c4.control().gets(NAME), world.c4.control().gets("unknown.example")), (1, 1));

    c4.token = "wrong".to_owned();
    assert_eq!(c4.get(NAME).await.0, 401);
    let (issued, sha256) = self_signed(NAME);
    assert_eq!(c4.put(NAME, "id", &upload(&issued, &sha256, 1)).await.0, 401);
    assert!(world.c4.control().certificate(NAME).is_none());
}

#[tokio::test]
async fn an_upload_is_served_at_once_and_a_removal_too() {
    let (world, c4) = world().await;
    let edge = world.edge.https_addr();
    let (issued, sha256) = self_signed(NAME);
    assert_eq!(c4.put(NAME, "id-1", &upload(&issued, &sha256, 3)).await.0, 204);
    let held = world.c4.control().certificate(NAME).unwrap();
    assert_eq!((held.sha256, held.revision, held.idempotency_key), (sha256.clone(), 3, "id-1".to_owned()));
    assert_eq!(c4.get(NAME).await.1["certificate"]["sha256"], sha256.as_str());
    assert_eq!(served_sha256(edge, NAME).await.unwrap(), Some(sha256));
    handshake(edge, NAME, &issued.chain_pem).await.unwrap();
    assert!(served_sha256(edge, "other.customer.example").await.unwrap().is_none());

    assert_eq!(c4.delete(NAME, 2).await.0, 409);
    assert_eq!(c4.delete(NAME, 4).await.0, 204);
    assert_eq!(c4.get(NAME).await.1["certificate"], serde_json::Value::Null);
    assert!(served_sha256(edge, NAME).await.unwrap().is_none());
    assert_eq!(c4.delete("unknown.example", 1).await.0, 404);
    world.shutdown().await;
}

#[tokio::test]
async fn a_late_upload_is_stale() {
    let (world, c4) = world().await;
    let (old, old_sha256) = self_signed(NAME);
    let (new, new_sha256) = self_signed(NAME);
    assert_eq!(c4.put(NAME, "new", &upload(&new, &new_sha256, 2)).await.0, 204);
    let (status, body) = c4.put(NAME, "old", &upload(&old, &old_sha256, 1)).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("stale")));
    assert_eq!(world.c4.control().certificate(NAME).unwrap().sha256, new_sha256);

    // The same again is taken again, and an older certificate is good under a new revision.
    assert_eq!(c4.put(NAME, "new", &upload(&new, &new_sha256, 2)).await.0, 204);
    assert_eq!(c4.put(NAME, "new", &upload(&old, &old_sha256, 3)).await.0, 422);
    assert_eq!(c4.put(NAME, "old", &upload(&old, &old_sha256, 3)).await.0, 204);
    assert_eq!(world.c4.control().puts(NAME), 5);
}

#[tokio::test]
async fn an_upload_must_fit_together() {
    let (world, c4) = world().await;
    let (one, sha256) = self_signed(NAME);
    let (other, other_sha256) = self_signed(NAME);
    assert_eq!(c4.put(NAME, "id", &upload(&one, &other_sha256, 1)).await.0, 422);
    let mixed = Issued { chain_pem: one.chain_pem.clone(), key_pem: other.key_pem };
    let (status, body) = c4.put(NAME, "id", &upload(&mixed, &sha256, 1)).await;
    assert_eq!((status, body["message"].is_string()), (422, true));
    assert_eq!(c4.put(NAME, "", &upload(&one, &sha256, 1)).await.0, 400);
    assert_eq!(c4.put(NAME, "id", &json!({})).await.0, 400);
    assert_eq!(c4.put("unknown.example", "id", &upload(&one, &sha256, 1)).await.0, 404);
    assert!(world.c4.control().certificate(NAME).is_none());
}

#[tokio::test]
async fn c4_misbehaves_as_told() {
    let (world, c4) = world().await;
    let control = world.c4.control();
    let (issued, sha256) = self_signed(NAME);
    let body = upload(&issued, &sha256, 1);

    control.refuse(Some(NAME), Refusal::unprocessable("quota exceeded"));
    let (status, refused) = c4.put(NAME, "id", &body).await;
    assert_eq!((status, refused["message"].as_str()), (422, Some("quota exceeded")));
    control.accept(Some(NAME));
    control.refuse(None, Refusal::too_many(Duration::from_secs(7)));
    assert_eq!(c4.put(NAME, "id", &body).await.0, 429);
    control.accept(None);

    control.drop_answer_once(NAME);
    assert!(c4.try_put(NAME, "id", &body).await.is_err());
    assert_eq!(control.certificate(NAME).unwrap().sha256, sha256);
    assert_eq!(c4.put(NAME, "id", &body).await.0, 204);

    control.remove_certificate(NAME);
    assert_eq!(c4.get(NAME).await.1["certificate"], serde_json::Value::Null);

    control.down(true);
    assert_eq!(c4.get(NAME).await.0, 503);
    control.down(false);
    control.answer_404_without_body(true);
    assert_eq!(c4.get(NAME).await, (404, serde_json::Value::Null));
    control.answer_404_without_body(false);
    control.known_as_unknown(true);
    assert!(c4.get(NAME).await.1["message"].is_string());
    control.known_as_unknown(false);
    control.unknown_as_known(Some(C4Domain { ports: vec![80], cname: "cdn.example.net".to_owned() }));
    assert_eq!(c4.get("anybody.example").await.1["ports"], json!([80]));
    assert_eq!(control.domains(), ["anybody.example", NAME]);
}

#[tokio::test]
async fn an_edge_lags_behind() {
    let (world, c4) = world().await;
    let edge = world.edge.https_addr();
    let (old, old_sha256) = self_signed(NAME);
    let (new, new_sha256) = self_signed(NAME);
    c4.put(NAME, "old", &upload(&old, &old_sha256, 1)).await;
    world.edge.control().lag(true);
    c4.put(NAME, "new", &upload(&new, &new_sha256, 2)).await;
    assert_eq!(served_sha256(edge, NAME).await.unwrap(), Some(old_sha256));
    world.edge.control().lag(false);
    assert_eq!(served_sha256(edge, NAME).await.unwrap(), Some(new_sha256));
}

#[tokio::test]
async fn edges_of_one_c4_go_their_own_ways() {
    let (world, c4) = world().await;
    let second = Edge::start(EdgeOptions::default(), world.c4.control()).await.unwrap();
    let edges = [world.edge.https_addr(), second.https_addr()];
    let served = async || {
        let [first, second] = edges.map(|edge| served_sha256(edge, NAME));
        (first.await.unwrap(), second.await.unwrap())
    };
    let (old, old_sha256) = self_signed(NAME);
    let (new, new_sha256) = self_signed(NAME);

    // One that lags before the first upload has nothing to show.
    second.control().lag(true);
    c4.put(NAME, "old", &upload(&old, &old_sha256, 1)).await;
    assert_eq!(served().await, (Some(old_sha256.clone()), None));
    second.control().lag(false);
    second.control().lag(true);
    c4.put(NAME, "new", &upload(&new, &new_sha256, 2)).await;
    assert_eq!(served().await, (Some(new_sha256.clone()), Some(old_sha256)));

    second.control().serve_nothing(true);
    assert_eq!(served().await, (Some(new_sha256.clone()), None));
    second.control().serve_nothing(false);
    assert_eq!(served().await, (Some(new_sha256.clone()), Some(new_sha256)));
}

#[tokio::test]
async fn an_edge_that_is_down_refuses_connections_and_comes_back() {
    let (world, c4) = world().await;
    let (issued, sha256) = self_signed(NAME);
    c4.put(NAME, "id", &upload(&issued, &sha256, 1)).await;
    let (http, https) = (world.edge.http_addr(), world.edge.https_addr());
    let mut open = tokio::net::TcpStream::connect(http).await.unwrap();

    for _ in 0..2 {
        world.edge.go_down().await;
        for address in [http, https] {
            let error = tokio::net::TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        assert!(other.bind(https).is_err(), "the port is kept");
    }
    assert!(matches!(open.read(&mut [0]).await, Ok(0) | Err(_)));

    world.edge.come_up().await.unwrap();
    assert_eq!(served_sha256(https, NAME).await.unwrap(), Some(sha256));
    assert_eq!((world.edge.http_addr(), world.edge.https_addr()), (http, https));
    world.edge.go_down().await;
    world.shutdown().await;
}

#[tokio::test]
async fn c4_on_its_own_speaks_tls_and_is_told_domains_over_http() {
    let c4 = C4::start(C4Options { tls: true, admin: true, ..C4Options::default() }).await.unwrap();
    let client = kit::https_client(&c4.root_pem().unwrap());
    let url = format!("{}/sandbox/domains", c4.base_url());
    let domain = json!({ "name": NAME, "ports": [80, 443], "cname": "cdn.example.net" });
    assert_eq!(client.post(&url).json(&domain).send().await.unwrap().status(), 401);
    let answer = client.post(&url).bearer_auth(c4.token()).json(&domain).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(C4Http::of(&c4).get(NAME).await.0, 200);
    let answer = client.delete(format!("{url}/{NAME}")).bearer_auth(c4.token()).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(C4Http::of(&c4).get(NAME).await.0, 404);
    c4.stop().await;
}

#[tokio::test]
async fn c4_shows_the_certificate_it_is_given_and_knows_a_zone() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let identity =
        C4Identity { chain_pem: certificate.pem().into_bytes(), key_pem: key.serialize_pem().into_bytes() };
    let options = C4Options { identity: Some(identity.clone()), ..C4Options::default() };
    let c4 = C4::start(options.clone()).await.unwrap();
    let domain = C4Domain { ports: vec![80, 443], cname: "cdn.example.net".to_owned() };
    c4.control().zone_as_known("Example.com", domain);
    let client = kit::https_client(&certificate.pem());
    for (name, expected) in
        [("shop.example.com", 200), ("a.b.example.com", 200), ("example.com", 404), ("notexample.com", 404)]
    {
        let url = format!("{}/v1/domains/{name}", c4.base_url());
        let answer = client.get(url).bearer_auth(c4.token()).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{name}");
    }
    assert_eq!(c4.control().domains(), ["a.b.example.com", "shop.example.com"]);
    c4.stop().await;

    let nonsense =
        C4Options { identity: Some(C4Identity { key_pem: b"nonsense".to_vec(), ..identity }), ..options };
    assert!(C4::start(nonsense).await.is_err());
}
