//! The challenge responder beside nginx with the same bytes in memory: each on one core, the load from the other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sandbox::{ValidationResult, World, WorldOptions};
use tests::{Mode, SslManager, Subprocess, Surroundings, free_port};

use crate::report::Report;

const NAME: &str = "challenged.example.com";
const PATH: &str = "/.well-known/acme-challenge/";
const LIMIT: Duration = Duration::from_secs(30);
/// As many as our responder allows on a connection; nginx is told the same.
const REQUESTS_PER_CONNECTION: u32 = 16;
const LOAD: [&str; 3] = ["--threads=1", "--connections=32", "--duration=5s"];

/// Requests per second of each, in turn.
pub(crate) async fn beside_nginx(report: &mut Report) {
    report.section("Challenge responder beside nginx: one core each, 32 connections, 5 s");
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.ca.control().validation_result(NAME, ValidationResult::Never);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let path = stored(&world, manager.responder()).await;
    let answer = get(manager.responder(), &path).await.unwrap();
    let process = manager.process().id().to_string();
    output(Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", "0", &process]));

    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut nginx = nginx(folder.path(), listen, &path, &answer);
    tests::wait_for("nginx", LIMIT, || {
        nginx.assert_alive();
        let (path, answer) = (path.clone(), answer.clone());
        async move { if get(listen, &path).await? == answer { Ok(()) } else { Err("another answer".to_owned()) } }
    })
    .await;
    let ours = load(manager.responder(), &path);
    let theirs = load(listen, &path);
    report.row("ssl-manager, the responder of `all`", &format!("{ours:.0} requests/s"));
    report.row("nginx, the same bytes from its settings", &format!("{theirs:.0} requests/s"));
    report.row("our share of nginx's", &format!("{:.2}", ours / theirs));
}

/// The path that is answered, once it is.
async fn stored(world: &World, responder: SocketAddr) -> String {
    tests::wait_for("a challenge", LIMIT, || {
        let token = world.ca.control().token_for(NAME);
        async move {
            let path = format!("{PATH}{}", token.ok_or("no authorization yet")?);
            get(responder, &path).await?;
            Ok(path)
        }
    })
    .await
}

/// The body of a 200.
async fn get(at: SocketAddr, path: &str) -> Result<String, String> {
    let request = reqwest::Client::new().get(format!("http://{at}{path}")).header("host", NAME);
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let answer = answer.error_for_status().map_err(|error| error.to_string())?;
    answer.text().await.map_err(|error| error.to_string())
}

fn nginx(folder: &Path, listen: SocketAddr, path: &str, answer: &str) -> Subprocess {
    let settings = folder.join("nginx.conf");
    let text = format!(
        "worker_processes 1; pid nginx.pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests {REQUESTS_PER_CONNECTION}; default_type application/octet-stream;
            server {{
                listen {listen}; server_name {NAME};
                location = {path} {{ add_header Cache-Control no-store; return 200 \"{answer}\"; }}
            }}
        }}"
    );
    std::fs::write(&settings, text).unwrap();
    let mut command = Command::new("taskset");
    command
        .args(["--cpu-list", "0", "nginx", "-g", "daemon off;", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(&settings);
    Subprocess::start("nginx", folder, &mut command)
}

/// Requests per second, by a program that costs less than what it measures.
fn load(at: SocketAddr, path: &str) -> f64 {
    let host = format!("Host: {NAME}");
    let url = format!("http://{at}{path}");
    let said = output(
        Command::new("taskset").args(["--cpu-list", "1", "wrk"]).args(LOAD).args(["--header", &host, &url]),
    );
    assert!(!said.contains("Non-2xx"), "{said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect("wrk says how many");
    rate.trim().parse().unwrap()
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{} does not start ({error}): `make bench` installs what is missing",
            command.get_program().display()
        )
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
