//! The one role that faces the internet answers what was stored for that very host, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, Postgres, RabbitMq, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_secs(30);
/// For what happens once; ten times what it takes.
const WITHIN: Duration = Duration::from_mins(2);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(only_what_was_stored_for_the_host_is_answered, a_client_that_dawdles_is_cut_off);

fn exchange(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // The server may close before it has read everything, which is an answer too.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server answers and closes");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(at: SocketAddr, method: &str, host: &str, path: &str) -> String {
    exchange(at, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

async fn only_what_was_stored_for_the_host_is_answered(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.ca.control().validation_result(NAME, ValidationResult::Never);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let token = tests::wait_for("a token", LIMIT, || {
        let token = world.ca.control().token_for(NAME);
        std::future::ready(token.ok_or_else(|| "no authorization".to_owned()))
    })
    .await;
    let at = manager.responder();
    let path = format!("/.well-known/acme-challenge/{token}");
    tests::wait_for("the answer", LIMIT, || {
        let answer = get(at, "GET", NAME, &path);
        std::future::ready(if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) })
    })
    .await;

    for host in [NAME, "Shop.Example.COM", "shop.example.com.", "shop.example.com:80"] {
        let answer = get(at, "GET", host, &path);
        assert!(answer.contains(&format!("{token}.")), "{host}: {answer}");
        assert!(answer.to_lowercase().contains("cache-control: no-store"), "{answer}");
    }
    let head = get(at, "HEAD", NAME, &path);
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains(&format!("{token}.")), "{head}");

    let other_token = "A".repeat(43);
    for (host, path) in [
        ("other.example.com", path.clone()),
        (NAME, format!("/.well-known/acme-challenge/{other_token}")),
        (NAME, "/.well-known/acme-challenge/".to_owned()),
        (NAME, "/.well-known/acme-challenge/<script>alert(1)</script>".to_owned()),
        (NAME, format!("{path}/more")),
        (NAME, "/".to_owned()),
        ("", path.clone()),
    ] {
        let answer = get(at, "GET", host, &path);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["404", "400"].contains(&status), "{host} {path}: {answer}");
        for echo in [other_token.as_str(), "script", "other.example.com"] {
            assert!(!answer.contains(echo), "{path}: {answer}");
        }
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert!(get(at, method, NAME, &path).starts_with("HTTP/1.1 405"), "{method}");
    }
    let many = "X-Filler: 0123456789\r\n".repeat(5000);
    let answer = exchange(at, &format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n{many}\r\n"));
    assert!(!answer.starts_with("HTTP/1.1 200"), "headers are bounded: {answer}");
}

/// Both copies were told of the challenge, or asked for it; then database and broker go.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_answered_without_database_and_broker() {
    let (mut postgres, mut rabbitmq) = tokio::join!(Postgres::start(false), RabbitMq::start());
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), &postgres, &rabbitmq, 2).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.ca.control().validation_result(NAME, ValidationResult::Never);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let token = tests::wait_for("a token", WITHIN, || {
        let token = world.ca.control().token_for(NAME);
        std::future::ready(token.ok_or_else(|| "no authorization".to_owned()))
    })
    .await;
    let copies = manager.settings_of("challenge-responder", "SSL_MANAGER__CHALLENGE_RESPONDER__LISTEN");
    let copies: Vec<SocketAddr> = copies.iter().map(|listen| listen.parse().unwrap()).collect();
    assert_eq!(copies.len(), 2);
    let path = format!("/.well-known/acme-challenge/{token}");
    let answered = |at| {
        let answer = get(at, "GET", NAME, &path);
        std::future::ready(if answer.contains(&format!("{token}.")) { Ok(()) } else { Err(answer) })
    };
    for at in &copies {
        tests::wait_for("the answer", WITHIN, || answered(*at)).await;
    }
    postgres.kill_9();
    rabbitmq.kill_9();
    tests::wait_for("readiness that tells and does not count", WITHIN, || async {
        let said = manager.readiness("challenge-responder").await;
        let is_told = |(code, text): &(u16, String)| {
            let of =
                |part: &str| text.lines().any(|line| line.starts_with(part) && line.contains("not counted"));
            *code == 200 && of("store: ") && of("bus: ")
        };
        if said.iter().all(is_told) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    for at in copies {
        answered(at).await.unwrap();
        let other = get(at, "GET", NAME, &format!("/.well-known/acme-challenge/{}", "A".repeat(43)));
        assert!(other.starts_with("HTTP/1.1 503"), "the database is asked, and is gone: {other}");
    }
}

async fn a_client_that_dawdles_is_cut_off(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    // Never ends its headers; the read ends only because the server closes.
    let answer = exchange(manager.responder(), "GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Slow: ");
    assert!(!answer.contains("200"), "{answer}");

    // Nor does it help to send a little now and then.
    let mut stream = TcpStream::connect(manager.responder()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
    tests::wait_for("the end of a dripping connection", LIMIT, || {
        let dripped = stream.write_all(b"a").and_then(|()| stream.flush());
        std::future::ready(match dripped {
            Ok(()) => Err("it still takes bytes".to_owned()),
            Err(_) => Ok(()),
        })
    })
    .await;
}
