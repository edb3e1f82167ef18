//! SIGTERM in the middle of an issuance: exit 0 in time, and the next start goes on from there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, SslManager, Surroundings, within};

const LIMIT: Duration = Duration::from_mins(1);
const DEADLINE: Duration = Duration::from_secs(30);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(
    an_issuance_goes_on_after_a_stop_in_its_middle,
    a_process_that_waits_for_a_validation_stops_in_time_and_goes_on_with_the_same_order
);

async fn an_issuance_goes_on_after_a_stop_in_its_middle(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.ca.control().delay(Duration::from_secs(15));
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    tests::wait_for("an order in processing", LIMIT, || {
        let issued = world.ca.control().certificates_issued();
        std::future::ready(if issued == 1 { Ok(()) } else { Err("no order was finalized".to_owned()) })
    })
    .await;

    manager.process().terminate();
    let (status, took) = within(manager.process().exit(DEADLINE)).await;
    assert_eq!(status.code(), Some(0), "after {took:?}");
    assert!(world.c4.control().certificate(NAME).is_none());

    manager.start().await;
    manager.status(NAME, "Success", LIMIT).await;
    assert_eq!(world.ca.control().orders_for(NAME), 1);
    assert_eq!(world.ca.control().certificates_issued(), 1);
}

async fn a_process_that_waits_for_a_validation_stops_in_time_and_goes_on_with_the_same_order(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.ca.control().validation_result(NAME, ValidationResult::Never);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    tests::wait_for("validation", LIMIT, || {
        let activity = manager.domain(&["show", NAME]).json["activity"].clone();
        std::future::ready(if activity == "validating" { Ok(()) } else { Err(activity.to_string()) })
    })
    .await;
    manager.process().terminate();
    assert_eq!(manager.process().exit(DEADLINE).await.code(), Some(0));
    assert_eq!(world.ca.control().certificates_issued(), 0);

    world.ca.control().validation_result(NAME, ValidationResult::Real);
    manager.start().await;
    manager.status(NAME, "Success", LIMIT).await;
    assert_eq!(world.ca.control().orders_for(NAME), 1);
    assert_eq!(world.ca.control().certificates_issued(), 1);
}
