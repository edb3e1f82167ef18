//! This program beside lego and certbot, each against a Pebble of its own, one after the other in one run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sandbox::{World, WorldOptions};
use tests::{Mode, Pebble, SslManager, Surroundings};
use tokio::process::Command;

use crate::report::Report;
use crate::{all_uploaded, answers, warm_up};

const IN_FLIGHT: usize = 8;
const OURS: usize = 200;
const OF_LEGO: usize = 32;
const OF_CERTBOT: usize = 8;
const LIMIT: Duration = Duration::from_mins(5);

/// Certificates per second of each.
pub(crate) async fn side_by_side(report: &mut Report) {
    report.section("Beside other clients, each against a Pebble of its own");
    let ours = ours().await;
    report.row(&format!("ssl-manager, {IN_FLIGHT} in flight, uploads included"), &format!("{ours:.2}/s"));
    let lego = lego().await;
    report.row(&format!("lego, {IN_FLIGHT} processes"), &format!("{lego:.2}/s"));
    report.row("ratio", &format!("{:.1}", ours / lego));
    let certbot = certbot().await;
    report.row("certbot, one at a time", &format!("{certbot:.2}/s"));
    report.row("ratio", &format!("{:.1}", ours / certbot));
}

async fn ours() -> f64 {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path(), world.edge.http_addr().port()).await;
    let mut surroundings = Surroundings::pebble(&pebble, &world);
    surroundings.max_in_flight = u16::try_from(IN_FLIGHT).unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let names: Vec<String> = (0..OURS).map(|number| format!("p{number}.example.com")).collect();
    let warming = (0..IN_FLIGHT).map(|number| format!("w{number}.example.com"));
    for name in names.iter().cloned().chain(warming) {
        pebble.set_cname(&name, world.cdn_target()).await;
        world.point_at_cdn(&name);
    }
    manager.start().await;
    warm_up(&world, &manager, IN_FLIGHT).await;
    let started = Instant::now();
    manager.add_all(&names).await;
    all_uploaded(&world, &names, LIMIT).await;
    OURS as f64 / started.elapsed().as_secs_f64()
}

/// A Pebble and a folder whose files are the answers to its challenges.
struct Webroot {
    folder: tempfile::TempDir,
    root: PathBuf,
    pebble: Pebble,
}

impl Webroot {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let answered = folder.path().to_owned();
        let listen = answers::serve(move |path| {
            let token = path.strip_prefix("/.well-known/acme-challenge/")?;
            let file = answered.join(".well-known/acme-challenge").join(Path::new(token).file_name()?);
            std::fs::read_to_string(file).ok()
        })
        .await;
        let pebble = Pebble::start(folder.path(), listen.port()).await;
        let root = folder.path().join("root.pem");
        std::fs::write(&root, pebble.api_root_pem()).unwrap();
        Self { folder, root, pebble }
    }
}

async fn lego() -> f64 {
    let webroot = Webroot::start().await;
    let started = Instant::now();
    let workers = (0..IN_FLIGHT).map(|worker| {
        let webroot = &webroot;
        async move {
            for number in (worker..OF_LEGO).step_by(IN_FLIGHT) {
                let folder = webroot.folder.path();
                let mut command = Command::new("lego");
                command
                    .env("LEGO_CA_CERTIFICATES", &webroot.root)
                    .arg("--server")
                    .arg(webroot.pebble.directory_url())
                    .args(["--accept-tos", "--email", "ssl@example.net", "--http", "--http.webroot"])
                    .arg(folder)
                    .arg("--path")
                    .arg(folder.join(format!("lego{worker}")))
                    .args(["--domains", &format!("l{number}.example.com"), "run"]);
                run(command).await;
            }
        }
    });
    futures::future::join_all(workers).await;
    OF_LEGO as f64 / started.elapsed().as_secs_f64()
}

async fn certbot() -> f64 {
    let webroot = Webroot::start().await;
    let started = Instant::now();
    for number in 0..OF_CERTBOT {
        let folder = webroot.folder.path();
        let mut command = Command::new("certbot");
        command
            // It does not take a certificate that is its own root.
            .args(["certonly", "--no-verify-ssl"])
            .args(["--non-interactive", "--agree-tos", "--email", "ssl@example.net"])
            .args(["--no-eff-email", "--webroot", "--webroot-path"])
            .arg(folder)
            .arg("--server")
            .arg(webroot.pebble.directory_url());
        for kind in ["config", "work", "logs"] {
            command.arg(format!("--{kind}-dir")).arg(folder.join(kind));
        }
        command.args(["--domain", &format!("c{number}.example.com")]);
        run(command).await;
    }
    OF_CERTBOT as f64 / started.elapsed().as_secs_f64()
}

async fn run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{} does not start ({error}): `make bench` installs what is missing",
            command.as_std().get_program().display()
        )
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
