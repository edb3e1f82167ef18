//! `ssl-manager demo`: everything, and the outside world, in one process on loopback, with sample domains that reach
//! each of the six statuses. Nothing to install, no network, and the data lives in a temporary folder.
//!
//! The sample domains go through the front door: the gRPC API, with a token. Most are old customers: the demo's clock
//! starts a year ago and jumps from act to act, so that they have ages, renewals and a history.

mod cast;
mod clock;
mod driver;
mod screen;
mod world;

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
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the demo until Ctrl-C; with `exit_when_settled`, until every sample domain has reached its status. False if
/// one has not in time.
pub(crate) async fn run(exit_when_settled: bool, metrics: PrometheusHandle) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let clock = Arc::new(clock::DemoClock::days_ago(cast::ACTS[0]));
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

    let mut screen = Screen::default();
    Screen::hello(&page, &endpoint, folder.path(), &token)?;
    let settled = {
        let mut driver = Driver::connect(&endpoint, &token, &world, clock).await?;
        tokio::select! {
            settled = watch(&mut driver, &mut screen, &page, exit_when_settled) => settled,
            () = signalled() => Ok(true),
        }
    };
    running.stop(None).await?;
    world.shutdown().await;
    settled
}

async fn watch(
    driver: &mut Driver<'_>,
    screen: &mut Screen,
    page: &str,
    exit_when_settled: bool,
) -> anyhow::Result<bool> {
    let started = tokio::time::Instant::now();
    let mut was_settled = false;
    loop {
        let rows = driver.step().await?;
        screen.show(driver.days_ago(), &rows)?;
        let has_settled = driver.has_settled();
        if has_settled && !was_settled {
            Screen::settled(page, &rows)?;
        }
        was_settled = has_settled;
        if exit_when_settled && (has_settled || started.elapsed() > SETTLE_WITHIN) {
            Screen::verdict(&rows, |name| driver.was_settled(name))?;
            return Ok(has_settled);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
