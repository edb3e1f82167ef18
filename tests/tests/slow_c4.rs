//! C4 takes 3 s for each answer: domains wait for it, and for nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use sandbox::{World, WorldOptions};
use tests::{Deserved, Line, Mode, Proxy, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(4);
const MANY: usize = 60;
const ANSWERS_AFTER: Duration = Duration::from_secs(3);
/// From the addition of all to the last order: 60 to 140 s where those that wait for C4 hold up the others.
const ORDERED_WITHIN: Duration = Duration::from_secs(50);

tests::in_both_modes!(a_slow_c4_holds_no_order_up_for_long);

async fn a_slow_c4_holds_no_order_up_for_long(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    let address = world.c4.base_url().trim_start_matches("http://").parse().unwrap();
    let line = Proxy::before(address).await;
    surroundings.c4_url = format!("http://{}", line.address());
    line.set(Line::Slow(ANSWERS_AFTER));
    let mut manager = SslManager::new(mode, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let names: Vec<String> = (0..MANY).map(|number| format!("slow{number}.example.com")).collect();
    for name in &names {
        world.point_at_cdn(name);
    }
    manager.start().await;
    let since = Instant::now();
    manager.add_all(&names).await;
    wait_for("all orders", LIMIT, || {
        let placed = world.ca.control().orders_placed();
        std::future::ready(if placed >= MANY as u64 { Ok(()) } else { Err(format!("{placed}")) })
    })
    .await;
    let took = since.elapsed();
    assert!(took <= ORDERED_WITHIN, "the last order after {took:?}\n{}", manager.log());
    for name in &names {
        manager.status(name, "Success", LIMIT).await;
    }
    let deserved: Vec<_> = names.iter().map(|name| Deserved::success(name, 1..=1)).collect();
    manager.assert_in_order(&world, &deserved).await;
}
