//! C4 takes 3 s for each answer: domains wait for it, and for nothing else.
//!
//! A slow C4 also answers many at the same moment, so that they come to the CA together. If the CA has trouble just then, it
//! counts as down after five failures, and what else comes waits: for seconds. It was 30 s once, and up to 120 s more to spread
//! out what had waited, so that 21 of 60 domains were ordered 60 to 140 s late.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may, and the figure is worth seeing")]

use std::time::{Duration, Instant};

use sandbox::{World, WorldOptions};
use tests::{Deserved, Line, Mode, Proxy, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(4);
const MANY: usize = 60;
const ANSWERS_AFTER: Duration = Duration::from_secs(3);
/// 32 are under way at a time in a process, so they come in two waves, each of which waits for one answer.
const EXPECTED: Duration = Duration::from_secs(6);
/// From the addition of the first to the last order, on a busy machine.
const ORDERED_WITHIN: Duration = Duration::from_mins(1);
/// The CA is down when the first answers come, and for so long.
const TROUBLE_LASTS: Duration = Duration::from_secs(3);

tests::in_both_modes!(
    a_slow_c4_holds_no_order_up_for_long,
    a_moment_of_trouble_at_the_ca_holds_no_order_up_for_long_behind_a_slow_c4,
);

async fn a_slow_c4_holds_no_order_up_for_long(mode: Mode) {
    are_ordered_in_time(mode, false).await;
}

async fn a_moment_of_trouble_at_the_ca_holds_no_order_up_for_long_behind_a_slow_c4(mode: Mode) {
    are_ordered_in_time(mode, true).await;
}

async fn are_ordered_in_time(mode: Mode, has_trouble: bool) {
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
    if has_trouble {
        world.ca.control().down(true);
        tokio::time::sleep(ANSWERS_AFTER.saturating_sub(since.elapsed()) + TROUBLE_LASTS).await;
        world.ca.control().down(false);
    }
    wait_for("all orders", LIMIT, || {
        let placed = world.ca.control().orders_placed();
        std::future::ready(if placed >= MANY as u64 { Ok(()) } else { Err(format!("{placed}")) })
    })
    .await;
    let took = since.elapsed();
    println!(
        "{mode:?}: {MANY} orders within {:.1} s, {} s expected{}",
        took.as_secs_f64(),
        EXPECTED.as_secs(),
        if has_trouble { " without the CA's trouble" } else { "" }
    );
    assert!(took <= ORDERED_WITHIN, "the last order after {took:?}\n{}", manager.log());
    for name in &names {
        manager.status(name, "Success", LIMIT).await;
    }
    let deserved: Vec<_> = names.iter().map(|name| Deserved::success(name, 1..=1)).collect();
    manager.assert_in_order(&world, &deserved).await;
}
