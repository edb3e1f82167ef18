//! The real executable: `ssl-manager all` as a child, and its client commands.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use sandbox::World;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Pebble, Subprocess, free_port, wait_for};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_AT_WITHIN: Duration = Duration::from_secs(30);

/// What the process is pointed at.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The CA's directory.
    pub directory_url: String,
    /// Trust for the CA's API.
    pub ca_root_pem: String,
    /// Nameserver.
    pub dns: SocketAddr,
    /// C4.
    pub c4_url: String,
    /// C4's token.
    pub c4_token: String,
    /// CNAME target.
    pub cname_target: String,
    /// Issuances in flight.
    pub max_in_flight: u16,
}

impl Surroundings {
    /// The sandbox alone.
    pub fn sandbox(world: &World) -> Self {
        Self {
            directory_url: world.ca.directory_url(),
            ca_root_pem: world.ca.api_root_pem(),
            dns: world.dns.addr(),
            c4_url: world.c4.base_url(),
            c4_token: world.c4.token().to_owned(),
            cname_target: world.cdn_target().to_owned(),
            max_in_flight: 32,
        }
    }

    /// Pebble as the CA, the sandbox's C4 and edge.
    pub fn pebble(pebble: &Pebble, world: &World) -> Self {
        Self {
            directory_url: pebble.directory_url(),
            ca_root_pem: pebble.api_root_pem().to_owned(),
            dns: pebble.dns(),
            // Pebble hangs with eight or more orders in flight.
            max_in_flight: 4,
            ..Self::sandbox(world)
        }
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Stdout as JSON; null if it is not.
    pub json: Value,
    /// Stdout.
    pub stdout: String,
    /// Stderr.
    pub stderr: String,
}

/// An `ssl-manager` with a folder, settings and ports of its own.
pub struct SslManager {
    folder: TempDir,
    config: PathBuf,
    token: String,
    api: u16,
    admin: u16,
    responder: u16,
    process: Option<Subprocess>,
}

/// The executable, built once per test program with the profile of the tests.
///
/// The tests' build asks for the same features as `cargo test --workspace`, so that nothing is compiled a second time
/// for it; a benchmark measures what ships.
fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own = std::env::current_exe().expect("our own path");
        // target/<profile>/deps/<test>, or target/<profile>/<program>
        let profile = own
            .ancestors()
            .find(|folder| folder.join(".cargo-lock").exists())
            .expect("cargo's target folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet"]);
        if profile.ends_with("release") {
            build.args(["--release", "--package", "ssl-manager"]);
        } else {
            build.args(["--workspace", "--bin", "ssl-manager", "--test", "demo"]);
        }
        let status = build
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "ssl-manager does not build");
        profile.join("ssl-manager")
    })
}

/// The executable without settings of whoever runs the tests.
fn ssl_manager() -> Command {
    let mut command = Command::new(executable());
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("SSL_MANAGER") {
            command.env_remove(name);
        }
    }
    command
}

impl SslManager {
    /// Writes the settings and makes an admin token; nothing runs yet.
    pub fn new(surroundings: &Surroundings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("ssl-manager.toml");
        let mut manager = Self {
            config,
            folder,
            token: String::new(),
            api: free_port(),
            admin: free_port(),
            responder: free_port(),
            process: None,
        };
        std::fs::write(
            manager.folder.path().join("ca-root.pem"),
            &surroundings.ca_root_pem,
        )
        .expect("the root");
        std::fs::write(&manager.config, manager.settings(surroundings)).expect("the settings");
        manager.token = manager.new_token("admin");
        manager
    }

    fn settings(&self, surroundings: &Surroundings) -> String {
        let folder = self.folder.path().display();
        let mut text = String::new();
        let Surroundings {
            directory_url,
            dns,
            c4_url,
            c4_token,
            cname_target,
            max_in_flight,
            ..
        } = surroundings;
        let (api, admin, responder) = (self.api, self.admin, self.responder);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
[store]
url = "sqlite://{folder}/data/ssl-manager.db"
[keys]
sealing_key_file = "{folder}/data/sealing.key"
[api]
listen = "127.0.0.1:{api}"
[admin]
listen = "127.0.0.1:{admin}"
[challenge_responder]
listen = "127.0.0.1:{responder}"
[cdn]
cname_targets = ["{cname_target}"]
[dns]
nameservers = ["{dns}"]
[preflight]
allow_private_addresses = true
[c4]
base_url = "{c4_url}"
token = "{c4_token}"
[issuer]
max_in_flight = {max_in_flight}
[[acme.issuers]]
name = "test"
directory_url = "{directory_url}"
contact = ["mailto:ssl@example.net"]
root_certificate_file = "{folder}/ca-root.pem"
"#
        );
        text
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its settings file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Where it answers challenges.
    pub fn responder(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.responder))
    }

    /// Where its API is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Makes a token with that role, named after it.
    pub fn new_token(&self, role: &str) -> String {
        let made = self.run(&["token", "create", "--name", role, "--role", role], "");
        assert_eq!(made.code, 0, "{}", made.stderr);
        made.stdout.trim().to_owned()
    }

    /// Starts `all` and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn(&[]);
        self.ready().await;
    }

    /// Starts `all` with more environment, and does not wait.
    pub fn spawn(&mut self, environment: &[(&str, &str)]) {
        let mut command = ssl_manager();
        command
            .arg("all")
            .arg("--config")
            .arg(&self.config)
            .envs(environment.iter().copied());
        self.process = Some(Subprocess::start("ssl-manager", self.folder.path(), &mut command));
    }

    /// Starts one role in a process of its own, with an admin port of its own, and waits until it is ready.
    pub async fn start_role(&self, role: &str) -> Subprocess {
        let admin = free_port();
        let mut command = ssl_manager();
        command.arg(role).arg("--config").arg(&self.config);
        command.env("SSL_MANAGER__ADMIN__LISTEN", format!("127.0.0.1:{admin}"));
        let mut process = Subprocess::start(role, self.folder.path(), &mut command);
        is_ready(&mut process, admin).await;
        process
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&mut self) {
        let admin = self.admin;
        is_ready(self.process(), admin).await;
    }

    /// Waits until the process stands still at a named step.
    pub async fn stopped_at(&mut self, step: &str) {
        let line = format!("stopped at {step}");
        let process = self.process.as_mut().expect("a running process");
        wait_for(&line, STOPS_AT_WITHIN, || {
            process.assert_alive();
            let there = process.output().lines().any(|printed| printed == line);
            std::future::ready(if there { Ok(()) } else { Err("not yet".to_owned()) })
        })
        .await;
    }

    /// The process.
    pub fn process(&mut self) -> &mut Subprocess {
        self.process.as_mut().expect("a running process")
    }

    /// Everything the processes of this folder printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ssl-manager.log")).unwrap_or_default()
    }

    /// Runs a command with this token (none if empty) against this process.
    pub fn run(&self, arguments: &[&str], token: &str) -> Answer {
        let mut command = ssl_manager();
        command.arg("--config").arg(&self.config).args(arguments);
        command.env("SSL_MANAGER_ENDPOINT", self.endpoint());
        if !token.is_empty() {
            command.env("SSL_MANAGER_TOKEN", token);
        }
        answer(&command.output().expect("the executable runs"))
    }

    /// `domain …` as admin, with JSON.
    pub fn domain(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["--output", "json", "domain"];
        all.extend_from_slice(arguments);
        self.run(&all, &self.token)
    }

    /// Adds many domains over one connection.
    pub async fn add_all(&self, names: &[String]) {
        let channel = tonic::transport::Endpoint::from_shared(self.endpoint())
            .expect("a URL")
            .connect()
            .await
            .expect("the API answers");
        let mut client = proto::v1::domains_client::DomainsClient::new(channel);
        for name in names {
            let mut request = tonic::Request::new(proto::v1::AddDomainRequest { name: name.clone() });
            let bearer = format!("Bearer {}", self.token).parse().expect("a header");
            request.metadata_mut().insert("authorization", bearer);
            client.add_domain(request).await.expect("added");
        }
    }

    /// Waits until a domain has that status; returns it.
    pub async fn status(&mut self, name: &str, status: &str, limit: Duration) -> Value {
        wait_for(&format!("{status} of {name}"), limit, || {
            self.process().assert_alive();
            let shown = self.domain(&["show", name]);
            let there = shown.json["status"] == status;
            std::future::ready(if there {
                Ok(shown.json)
            } else {
                Err(format!("{} {}", shown.json, shown.stderr))
            })
        })
        .await
    }
}

/// Waits until `/readyz` of that process is 200.
async fn is_ready(process: &mut Subprocess, admin: u16) {
    let url = format!("http://127.0.0.1:{admin}/readyz");
    wait_for("/readyz", STARTS_WITHIN, || {
        process.assert_alive();
        let answer = reqwest::get(url.clone());
        async {
            let answer = answer.await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            if status.is_success() { Ok(()) } else { Err(text) }
        }
    })
    .await;
}

fn answer(output: &Output) -> Answer {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Answer {
        code: output.status.code().unwrap_or(-1),
        json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the executable without any process or settings of its own.
pub fn run_bare(arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let output = ssl_manager()
        .args(arguments)
        .envs(environment.iter().copied())
        .output();
    answer(&output.expect("the executable runs"))
}
