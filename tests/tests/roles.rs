//! Every role in a process of its own, on one database: a domain becomes Success, and each stops in order.

use std::time::Duration;

use sandbox::{World, WorldOptions, handshake};
use tests::{Mode, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const DEADLINE: Duration = Duration::from_secs(30);
const NAME: &str = "shop.example.com";
const ROLES: [&str; 5] = ["api", "issuer", "challenge-responder", "scheduler", "c4-uploader"];

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_issue_a_certificate_and_stop_in_order() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    let mut processes = Vec::new();
    for role in ROLES {
        processes.push(manager.start_role(role, &[]).await);
    }
    let alone = manager.run(&["all"], "");
    assert_eq!(alone.code, 1, "`all` wants the folder for itself: {alone:?}");

    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    tests::wait_for("Success", LIMIT, || {
        processes.iter_mut().for_each(tests::Subprocess::assert_alive);
        let shown = manager.domain(&["show", NAME]).json;
        std::future::ready(if shown["status"] == "Success" { Ok(()) } else { Err(shown.to_string()) })
    })
    .await;
    handshake(world.edge.https_addr(), NAME, &world.ca.issuing_root_pem()).await.unwrap();

    for (role, mut process) in ROLES.into_iter().zip(processes) {
        process.terminate();
        assert_eq!(process.exit(DEADLINE).await.code(), Some(0), "{role}");
    }
}
