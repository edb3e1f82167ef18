//! One at a time against Pebble, and what a process at rest costs.

use std::time::{Duration, Instant};

use sandbox::{World, WorldOptions};
use tests::{Mode, Pebble, SslManager, Surroundings};

use crate::report::Report;

const SINGLES: usize = 20;
const LIMIT: Duration = Duration::from_mins(2);

/// From `domain add` to Success.
pub(crate) async fn against_pebble(report: &mut Report) {
    report.section("One at a time: `all` on SQLite against Pebble (looked at every 50 ms)");
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path(), world.edge.http_addr().port()).await;
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::pebble(&pebble, &world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let started = Instant::now();
    manager.start().await;
    report.row("start to /readyz", &format!("{:.3} s", started.elapsed().as_secs_f64()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", manager.process().id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown");
    report.row("resident memory at rest", resident.trim());

    let mut times = Vec::new();
    for number in 0..SINGLES {
        let name = format!("single{number}.example.com");
        world.point_at_cdn(&name);
        pebble.set_cname(&name, world.cdn_target()).await;
        let started = Instant::now();
        assert_eq!(manager.domain(&["add", &name]).code, 0);
        manager.status(&name, "Success", LIMIT).await;
        times.push(started.elapsed());
    }
    times.sort();
    let of = |index: usize| times[index].as_secs_f64();
    report.row(
        "`domain add` to Success",
        &format!("{:.3} s median of {SINGLES}, {:.3} to {:.3}", of(SINGLES / 2), of(0), of(SINGLES - 1)),
    );
}
