//! `ssl-manager demo`: everything, and the outside world, in one process on loopback, with sample domains that reach
//! each of the six statuses. Nothing to install, no network, and the data lives in a temporary folder.
//!
//! The sample domains go through the front door: the gRPC API, with a token. One of them is an old customer, whose
//! certificate was issued "two hours ago": the demo's clock starts there and catches up once that certificate is live.

mod cast;
mod clock;
mod driver;
mod screen;
mod world;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use runtime::RoleName;

use crate::run::{Running, signalled};
use driver::Driver;
use screen::Screen;
use world::DemoWorld;

/// How long the sample domains may take to settle.
const SETTLE_WITHIN: Duration = Duration::from_mins(1);
/// Who signs in to the demo's page: it is on loopback, and gone at the end.
const PERSON: &str = "demo";
const PASSWORD: &str = "demo-on-loopback";
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the demo until Ctrl-C; with `exit_when_settled`, until every sample domain has reached its status. False if
/// one has not in time.
pub(crate) async fn run(exit_when_settled: bool, metrics: PrometheusHandle) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let clock = Arc::new(clock::DemoClock::two_hours_ago());
    let world = DemoWorld::start(clock.clone()).await?;
    let config = world.config(folder.path())?;
    let endpoint = format!("http://{}", config.api.listen);
    let page = format!("http://{}/", config.console.listen);
    let keys = crate::backend::sealing_keys_for_command(&config)?;
    let running = Running::start(config, &RoleName::ALL, clock.clone(), metrics).await?;
    let store = running.store().ok_or_else(|| anyhow::anyhow!("no store"))?;
    let admin = domain::Role::Admin.into();
    let token = crate::token::create(store, &keys, "demo", admin, None)
        .await
        .map_err(|_| anyhow::anyhow!("no token could be made"))?;
    let hash = api::hash_password(PASSWORD, &runtime::SystemEntropy)?;
    crate::user::create(store, &keys, PERSON, admin, Some(hash))
        .await
        .map_err(|_| anyhow::anyhow!("nobody can sign in"))?;

    let mut screen = Screen::new(std::io::stdout().is_terminal());
    Screen::hello(&page, &endpoint, folder.path(), &token)?;
    let settled = {
        let mut driver = Driver::connect(&endpoint, &token, &world, clock).await?;
        tokio::select! {
            settled = watch(&mut driver, &mut screen, exit_when_settled) => settled,
            () = signalled() => Ok(true),
        }
    };
    running.until(std::future::ready(())).await?;
    world.shutdown().await;
    settled
}

async fn watch(
    driver: &mut Driver<'_>,
    screen: &mut Screen,
    exit_when_settled: bool,
) -> anyhow::Result<bool> {
    let started = tokio::time::Instant::now();
    loop {
        let rows = driver.step().await?;
        screen.show(&rows)?;
        let settled = driver.everything_added() && rows.iter().all(cast::Row::has_settled);
        if exit_when_settled && settled {
            Screen::verdict(&rows)?;
            return Ok(true);
        }
        if exit_when_settled && started.elapsed() > SETTLE_WITHIN {
            Screen::verdict(&rows)?;
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
