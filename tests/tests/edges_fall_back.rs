//! The comparison asks the edges too: one that fell back, or lost the intermediate, is named, and the upload is made again.

use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Mode, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_lost_the_intermediate_is_named_and_gets_it_again() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let edges = vec![world.edge.https_addr()];
    let surroundings = Surroundings { edge_addresses: edges.clone(), ..Surroundings::sandbox(&world) };
    let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    let (c4, edge) = (world.c4.control(), world.edge.control());
    assert_eq!(c4.puts(NAME), 1);

    edge.lose_intermediates(true);
    assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
    let told = wait_for("another upload", LIMIT, || {
        let shown = manager.domain(&["show", NAME]);
        let reason = shown.json["reason"].to_string();
        let is_told = c4.puts(NAME) == 2 && reason.contains("without its intermediate");
        std::future::ready(if is_told { Ok(shown.json) } else { Err(shown.stdout) })
    })
    .await;
    assert!(told["reason"].to_string().contains(&edges[0].to_string()), "{told}");
    assert_eq!(told["status"], "Success", "it serves, to most");
    let history = manager.domain(&["history", NAME]).json.to_string();
    assert!(history.contains("difference_found"), "{history}");

    edge.lose_intermediates(false);
    wait_for("nothing to tell", LIMIT, || {
        let shown = manager.domain(&["show", NAME]);
        let is_settled = shown.json["reason"].is_null() && shown.json["activity"] == "idle";
        std::future::ready(if is_settled { Ok(()) } else { Err(shown.stdout) })
    })
    .await;
    assert_eq!(c4.puts(NAME), 2, "it is sent once");
}
