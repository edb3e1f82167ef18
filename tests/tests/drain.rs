//! SIGTERM, and what is in front of the ports needs a moment to see it: they stay open while `/readyz` says that it goes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Mode, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const DEADLINE: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";
const LATE: &str = "late.example.com";
/// Longer than any test here may take: only a second signal ends it.
const LONG: (&str, &str) = ("SSL_MANAGER__ADMIN__DRAIN_SECONDS", "300");

tests::in_both_modes!(the_ports_stay_open_until_the_drain_is_over);

async fn started(mode: Mode, environment: &[(&str, &str)]) -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    for name in [NAME, LATE] {
        world.point_at_cdn(name);
    }
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.spawn(environment);
    manager.ready().await;
    (world, manager)
}

fn roles(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Embedded => &["all"],
        Mode::Scaled => &["api", "issuer", "challenge-responder", "scheduler", "c4-uploader"],
    }
}

async fn says_that_it_goes(manager: &SslManager, role: &str) {
    wait_for(&format!("{role} not ready"), LIMIT, || async {
        let said = manager.readiness(role).await;
        let goes = said.iter().all(|(code, text)| *code == 503 && text.contains("process: stopping\n"));
        if goes { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
}

/// A whole issuance passes through every port and every role in the meantime; a challenge that is refused would end it.
async fn the_ports_stay_open_until_the_drain_is_over(mode: Mode) {
    let (_world, mut manager) = started(mode, &[LONG]).await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    manager.process().terminate();
    for role in roles(mode) {
        says_that_it_goes(&manager, role).await;
    }
    assert_eq!(manager.domain(&["add", LATE]).code, 0, "the API answers");
    manager.status(LATE, "Success", LIMIT).await;
    manager.process().assert_alive();

    manager.process().terminate();
    assert_eq!(manager.process().exit(DEADLINE).await.code(), Some(0), "the second signal ends the wait");
    assert!(std::net::TcpStream::connect(manager.responder()).is_err(), "the port is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_ends_by_itself() {
    let (_world, mut manager) = started(Mode::Embedded, &[("SSL_MANAGER__ADMIN__DRAIN_SECONDS", "2")]).await;
    manager.process().terminate();
    assert_eq!(manager.process().exit(DEADLINE).await.code(), Some(0));
    assert!(manager.log().contains("the ports stay open"));
}
