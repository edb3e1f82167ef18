//! The daily recheck beside a new customer: 5,000 domains that cannot succeed, rechecked within a minute, which is sixty
//! times as dense as the default.

use std::time::{Duration, Instant};

use domain::Clock as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Unit};
use proto::v1::Status;
use runtime::SystemClock;
use sandbox::{C4Domain, CDN_TARGET, World, WorldOptions};
use tests::{Client, Mode, SslManager, Surroundings};

use crate::report::Report;

const FAILING: usize = 5000;
const CUSTOMERS: usize = 60;
const EVERY: Duration = Duration::from_millis(750);
const ZONE: &str = "Asia/Singapore";
/// Until then every failing domain has had its first answer.
const BEGINS_AFTER: SignedDuration = SignedDuration::from_mins(3);
const LIMIT: Duration = Duration::from_mins(10);

/// A new customer's time to Success before and in the minute of the recheck, and what that cost the CA.
pub(crate) async fn beside_a_new_customer(report: &mut Report) {
    report.section(&format!(
        "{FAILING} failing domains, rechecked within a minute, beside a new customer (`all` on SQLite)"
    ));
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    let begins = (SystemClock.now() + BEGINS_AFTER).round(Unit::Minute).unwrap();
    let local = begins.to_zoned(TimeZone::get(ZONE).unwrap());
    surroundings.more_settings = format!(
        "[scheduler]\nrecheck_at = \"{}\"\ntime_zone = \"{ZONE}\"\nrecheck_spread_minutes = 1\n",
        local.strftime("%H:%M")
    );
    let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;

    let client = manager.client().await;
    let alone = times(&world, &client, "before").await;
    let failing: Vec<String> = (0..FAILING).map(|number| format!("f{number}.example.com")).collect();
    for name in &failing {
        let known = C4Domain { ports: vec![80, 443], cname: CDN_TARGET.to_owned() };
        world.c4.control().put_domain(name, known);
    }
    manager.add_all(&failing).await;
    tests::wait_for("the time of the recheck", LIMIT, || {
        let now = SystemClock.now();
        std::future::ready(if now >= begins { Ok(()) } else { Err(now.to_string()) })
    })
    .await;
    let asked = || failing.iter().map(|name| world.c4.control().gets(name)).sum::<u64>();
    let (asked_before, started) = (asked(), Instant::now());
    let beside = times(&world, &client, "midnight").await;
    let rate = (asked() - asked_before) as f64 / started.elapsed().as_secs_f64();

    let orders = failing.iter().map(|name| world.ca.control().orders_for(name));
    report.row("preflights meanwhile", &format!("{rate:.1}/s"));
    report.row("orders for them", &orders.sum::<u64>().to_string());
    let [alone, beside] = [alone, beside].map(|mut times| {
        times.sort();
        (times[CUSTOMERS / 2].as_secs_f64(), times[CUSTOMERS * 95 / 100].as_secs_f64())
    });
    let seconds = |(p50, p95): (f64, f64)| format!("{p50:.3} s p50, {p95:.3} s p95");
    report.row("add to Success, before", &seconds(alone));
    report.row("add to Success, meanwhile", &seconds(beside));
    report.row("ratio", &format!("{:.2} p50, {:.2} p95", beside.0 / alone.0, beside.1 / alone.1));
}

/// From add to Success, one customer after the other, over most of a minute, as a client that watches sees it.
async fn times(world: &World, client: &Client, when: &str) -> Vec<Duration> {
    let mut changes = client.watch().await;
    let mut times = Vec::new();
    let mut beat = tokio::time::interval(EVERY);
    for number in 0..CUSTOMERS {
        beat.tick().await;
        let name = format!("{when}{number}.example.com");
        world.point_at_cdn(&name);
        let started = Instant::now();
        client.add(&name).await;
        loop {
            let domain = changes.message().await.unwrap().unwrap().domain.unwrap();
            if domain.name == name && domain.status() == Status::Success {
                break;
            }
        }
        times.push(started.elapsed());
    }
    times
}
