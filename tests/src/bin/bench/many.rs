//! Certificates per second from the sandbox CA, beside what does less and what does the same without remembering.

use std::time::{Duration, Instant};

use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, SslManager, Surroundings};

use crate::plot::Plot;
use crate::report::Report;
use crate::{all_uploaded, limit, point_all, warm_up};

const MANY: usize = 1000;
const FEW: usize = 200;
const IN_FLIGHT: [u16; 5] = [1, 4, 16, 32, 64];
const MOST: usize = 64;
const LOGGED: usize = 20;
const LIMIT: Duration = Duration::from_mins(2);
/// Where the index of a write-ahead log counts transactions (<https://www.sqlite.org/walformat.html>, section 2.1).
const TRANSACTIONS_AT: std::ops::Range<usize> = 8..12;

/// `all` on SQLite, with more and more in flight.
pub(crate) async fn embedded(report: &mut Report) {
    report.section("Certificates from the sandbox CA: `all` on SQLite, uploads included");
    let mut ours = Vec::new();
    for in_flight in IN_FLIGHT {
        let measured = run(in_flight, if in_flight == 1 { FEW } else { MANY }).await;
        ours.push((f64::from(in_flight), measured.rate));
        let Measured { rate, cpu_ms, commits } = measured;
        report.row(
            &format!("{in_flight} in flight"),
            &format!("{rate:.1}/s, each with {cpu_ms:.2} ms CPU and {commits:.1} commits (fsyncs)"),
        );
    }
    let statements = statements().await;
    report.row("one in flight: statements each", &format!("{statements:.1} beside BEGIN and COMMIT"));
    let rate = ours.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    report.plot(
        "rate-over-in-flight",
        Plot {
            title: "Certificates per second, all on SQLite",
            x: "in flight",
            y: "certificates/s",
            curves: vec![("ssl-manager", ours)],
        },
    );
    compare(report, rate).await;
}

async fn compare(report: &mut Report, ours: f64) {
    let names = names(MANY);
    let world = fresh_world(&names).await;
    let all = limit::with_all_calls(&world, &names, MOST).await;
    report.row("limit: the same calls, nothing remembered", &format!("{all:.1}/s"));
    report.row("our share of the limit", &format!("{:.2}", ours / all));
    let world = fresh_world(&names).await;
    let bare = limit::bare(&world, &names, MOST).await;
    report.row("bare instant-acme loop, no upload", &format!("{bare:.1}/s"));
    report.row("our share of it", &format!("{:.2}", ours / bare));
}

struct Measured {
    rate: f64,
    cpu_ms: f64,
    commits: f64,
}

async fn run(in_flight: u16, many: usize) -> Measured {
    let names = names(many);
    let world = fresh_world(&names).await;
    let mut manager = manager(&world, in_flight).await;
    manager.start().await;
    warm_up(&world, &manager, usize::from(in_flight)).await;
    let (cpu, commits) = (manager.process().cpu_seconds(), commits(&manager));
    let started = Instant::now();
    manager.add_all(&names).await;
    all_uploaded(&world, &names, LIMIT).await;
    let rate = many as f64 / started.elapsed().as_secs_f64();
    let each = |total: f64| total / many as f64;
    Measured {
        rate,
        cpu_ms: each((manager.process().cpu_seconds() - cpu) * 1000.0),
        commits: each(f64::from(self::commits(&manager).wrapping_sub(commits))),
    }
}

/// Counted in the log of a process that logs each statement.
async fn statements() -> f64 {
    let names = names(LOGGED);
    let world = fresh_world(&names).await;
    let mut manager = manager(&world, 1).await;
    manager.spawn(&[("RUST_LOG", "sqlx::query=debug"), ("SSL_MANAGER__TELEMETRY__LOG_FORMAT", "json")]);
    manager.ready().await;
    warm_up(&world, &manager, 1).await;
    let logged = |manager: &SslManager| manager.log().matches("\"sqlx::query\"").count();
    let before = logged(&manager);
    manager.add_all(&names).await;
    all_uploaded(&world, &names, LIMIT).await;
    (logged(&manager) - before) as f64 / LOGGED as f64
}

async fn manager(world: &World, in_flight: u16) -> SslManager {
    let mut surroundings = Surroundings::sandbox(world);
    surroundings.max_in_flight = in_flight;
    let manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager
}

fn names(many: usize) -> Vec<String> {
    (0..many).map(|number| format!("d{number}.example.com")).collect()
}

async fn fresh_world(names: &[String]) -> World {
    let world = World::start(WorldOptions::default()).await.unwrap();
    point_all(&world, names);
    // The same for all: no fetch, so that the clients are compared and not the edge.
    world.ca.control().validation_default(ValidationResult::Valid);
    world
}

/// Transactions that SQLite committed since its file was opened; each costs one fsync.
fn commits(manager: &SslManager) -> u32 {
    let index = std::fs::read(manager.folder().join("data/ssl-manager.db-shm")).unwrap();
    u32::from_ne_bytes(index[TRANSACTIONS_AT].try_into().unwrap())
}
