//! Does a certificate cost more where there are more domains?

use std::time::{Duration, Instant};

use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, SslManager, Surroundings};

use crate::plot::Plot;
use crate::report::Report;
use crate::{all_uploaded, fill, point_all, warm_up};

const FLEETS: [usize; 3] = [10_000, 100_000, 1_000_000];
const IN_FLIGHT: u16 = 32;
const MANY: usize = 1000;
const LIMIT: Duration = Duration::from_mins(2);

/// `all` on SQLite beside so many domains that need nothing now.
pub(crate) async fn over_its_size(report: &mut Report) {
    report.section("Certificates per second over the size of the fleet: `all` on SQLite, 32 in flight");
    let mut points = Vec::new();
    for fleet in FLEETS {
        let rate = rate(fleet).await;
        report.row(&format!("{fleet} domains"), &format!("{rate:.1}/s"));
        points.push((fleet as f64, rate));
    }
    report.plot(
        "rate-over-fleet",
        Plot {
            title: "Certificates per second, all on SQLite",
            x: "domains in the store",
            y: "certificates/s",
            curves: vec![("ssl-manager", points)],
        },
    );
}

async fn rate(fleet: usize) -> f64 {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.max_in_flight = IN_FLIGHT;
    let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.ca.control().validation_default(ValidationResult::Valid);
    let file = manager.folder().join("data/ssl-manager.db");
    fill::sqlite(&file, fleet).await;
    fill::quiet(&file).await;
    manager.start().await;
    warm_up(&world, &manager, usize::from(IN_FLIGHT)).await;
    let names: Vec<String> = (0..MANY).map(|number| format!("f{number}.example.com")).collect();
    point_all(&world, &names);
    let started = Instant::now();
    manager.add_all(&names).await;
    all_uploaded(&world, &names, LIMIT).await;
    MANY as f64 / started.elapsed().as_secs_f64()
}
