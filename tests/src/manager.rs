//! A running system, in either mode, and its client commands.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::command::{ssl_manager, ssl_manager_with_files};
use crate::mode::{Copy, alone};
use crate::process::Processes;
use crate::{Answer, Backends, Mode, Postgres, RabbitMq, Subprocess, Surroundings, free_port, wait_for};

const ENDS_WITHIN: Duration = Duration::from_secs(40);
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const ADDS_AT_ONCE: usize = 16;
const STOPS_AT_WITHIN: Duration = Duration::from_secs(30);

/// An SSL Manager with a folder, settings and ports of its own.
pub struct SslManager {
    folder: TempDir,
    config: PathBuf,
    token: String,
    api: u16,
    responder: u16,
    console: u16,
    copies: Vec<Copy>,
    backends: Option<Backends>,
    processes: Processes,
    /// Files that each process may open; none is what the tests may.
    pub open_files: Option<u32>,
}

impl SslManager {
    /// Writes the settings and makes an admin token; nothing runs yet.
    pub async fn new(mode: Mode, surroundings: &Surroundings) -> Self {
        match mode {
            Mode::Embedded => {
                let mut manager = Self::empty(surroundings, None);
                manager.copies = alone(free_port());
                manager.token = manager.new_token("admin");
                manager
            }
            Mode::Scaled => {
                let (postgres, rabbitmq) = (Postgres::shared().await, RabbitMq::shared().await);
                Self::on(surroundings, postgres, rabbitmq, 2).await
            }
        }
    }

    /// The scaled mode on these servers, with so many copies of each role but the API.
    pub async fn on(
        surroundings: &Surroundings,
        postgres: &Postgres,
        rabbitmq: &RabbitMq,
        copies: usize,
    ) -> Self {
        let mut manager = Self::empty(surroundings, Some(Backends::new(postgres, rabbitmq).await));
        Backends::write_sealing_key(&manager.folder.path().join("data/sealing.key"));
        let migrated = manager.run(&["db", "migrate"], "");
        assert_eq!(migrated.code, 0, "{}", migrated.stderr);
        if let Some(backends) = &manager.backends {
            manager.copies = backends.copies(postgres, rabbitmq, manager.responder, copies).await;
        }
        manager.token = manager.new_token("admin");
        manager
    }

    fn empty(surroundings: &Surroundings, backends: Option<Backends>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let manager = Self {
            config: folder.path().join("ssl-manager.toml"),
            folder,
            token: String::new(),
            api: free_port(),
            responder: free_port(),
            console: free_port(),
            copies: Vec::new(),
            backends,
            processes: Processes(Vec::new()),
            open_files: None,
        };
        let root = manager.folder.path().join("ca-root.pem");
        std::fs::write(root, &surroundings.ca_root_pem).expect("the root");
        std::fs::write(&manager.config, manager.settings(surroundings)).expect("the settings");
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
            http_port,
            max_in_flight,
            more_settings,
            ..
        } = surroundings;
        let edges: Vec<String> = surroundings.edge_addresses.iter().map(ToString::to_string).collect();
        let (api, responder, console) = (self.api, self.responder, self.console);
        let backends = match &self.backends {
            Some(backends) => backends.settings(),
            None => format!("[store]\nurl = \"sqlite://{folder}/data/ssl-manager.db\"\n"),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
{backends}
[keys]
sealing_key_file = "{folder}/data/sealing.key"
[api]
listen = "127.0.0.1:{api}"
[console]
listen = "127.0.0.1:{console}"
[challenge_responder]
listen = "127.0.0.1:{responder}"
[notifier]
sealing_key_file = "{folder}/data/notifier.key"
allow_addresses = ["127.0.0.1/32"]
[cdn]
cname_targets = ["{cname_target}"]
edge_addresses = {edges:?}
[dns]
nameservers = ["{dns}"]
[preflight]
http_port = {http_port}
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
{more_settings}
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

    /// Its database and virtual host in the scaled mode.
    pub fn backends(&self) -> &Backends {
        self.backends.as_ref().expect("the scaled mode")
    }

    /// Where it answers challenges.
    pub fn responder(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.responder))
    }

    /// Where its page is.
    pub fn console(&self) -> String {
        format!("http://127.0.0.1:{}", self.console)
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

    /// Starts everything and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn(&[]);
        self.ready().await;
    }

    /// Starts everything with more environment, and does not wait.
    pub fn spawn(&mut self, environment: &[(&str, &str)]) {
        let started = self.copies.iter().map(|copy| self.start_copy(copy, environment));
        self.processes = Processes(started.collect());
    }

    fn start_copy(&self, copy: &Copy, environment: &[(&str, &str)]) -> Subprocess {
        let mut command = self.open_files.map_or_else(ssl_manager, ssl_manager_with_files);
        command.arg(copy.role).arg("--config").arg(&self.config);
        command.envs(copy.settings.iter().map(|(name, value)| (name, value)));
        command.envs(environment.iter().copied());
        Subprocess::start(&copy.name, self.folder.path(), &mut command)
    }

    /// kill -9 of every copy of one role.
    pub fn kill_role(&mut self, role: &str) {
        for (copy, process) in self.copies.iter().zip(&mut self.processes.0) {
            if copy.role == role {
                process.kill_9();
            }
        }
    }

    /// Stops the first copy of a role where it stands (SIGSTOP), or lets it go on.
    pub fn freeze_first(&self, role: &str, frozen: bool) {
        let copies = self.copies.iter().zip(&self.processes.0);
        let first = copies.filter(|(copy, _)| copy.role == role).map(|(_, process)| process).next();
        first.expect("a copy").freeze(frozen);
    }

    /// Starts every copy of one role again; waits for none to be ready.
    pub fn start_again(&mut self, role: &str) {
        for index in 0..self.copies.len() {
            if self.copies[index].role == role {
                self.processes.0[index] = self.start_copy(&self.copies[index], &[]);
            }
        }
    }

    /// Replaces every copy of one role, one after the other, as a rolling upgrade does: SIGTERM, its end, a new one that
    /// is ready.
    pub async fn roll(&mut self, role: &str) {
        for index in 0..self.copies.len() {
            if self.copies[index].role == role {
                self.processes.0[index].terminate();
                assert!(self.processes.0[index].exit(ENDS_WITHIN).await.success(), "{role} ends well");
                self.processes.0[index] = self.start_copy(&self.copies[index], &[]);
                is_ready(&mut self.processes.0[index], self.copies[index].admin).await;
            }
        }
    }

    /// A setting of each copy of a role that is not that of all.
    pub fn settings_of(&self, role: &str, variable: &str) -> Vec<String> {
        let copies = self.copies.iter().filter(|copy| copy.role == role);
        copies
            .flat_map(|copy| &copy.settings)
            .filter(|(name, _)| *name == variable)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// The same of the first copy.
    pub fn setting(&self, role: &str, variable: &str) -> String {
        self.settings_of(role, variable).swap_remove(0)
    }

    /// Changes a setting of every copy of a role, from the next start on.
    pub fn override_setting(&mut self, role: &str, variable: &'static str, value: &str) {
        for copy in self.copies.iter_mut().filter(|copy| copy.role == role) {
            copy.settings.push((variable, value.to_owned()));
        }
    }

    /// Takes a setting from every copy of a role, which then has what stands in the settings file.
    pub fn drop_setting(&mut self, role: &str, variable: &str) {
        for copy in self.copies.iter_mut().filter(|copy| copy.role == role) {
            copy.settings.retain(|(name, _)| *name != variable);
        }
    }

    /// Starts one role in a process of its own beside what runs, and waits until it is ready.
    pub async fn start_role(&self, role: &'static str, environment: &[(&str, &str)]) -> Subprocess {
        let admin = free_port();
        let copy = Copy {
            role,
            name: format!("{role}-{admin}"),
            settings: vec![("SSL_MANAGER__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))],
            admin,
        };
        let mut process = self.start_copy(&copy, environment);
        is_ready(&mut process, admin).await;
        process
    }

    /// Waits until `/readyz` of everything says so.
    pub async fn ready(&mut self) {
        for (copy, process) in self.copies.iter().zip(&mut self.processes.0) {
            is_ready(process, copy.admin).await;
        }
    }

    /// What `/readyz` of each copy of a role says: the code and the text; 0 if nobody answers.
    pub async fn readiness(&self, role: &str) -> Vec<(u16, String)> {
        let mut said = Vec::new();
        for copy in self.copies.iter().filter(|copy| copy.role == role) {
            let answer = reqwest::get(format!("http://127.0.0.1:{}/readyz", copy.admin)).await;
            said.push(match answer {
                Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
                Err(error) => (0, error.to_string()),
            });
        }
        said
    }

    /// What `/readyz` of the first copy of a role answers if that part is left aside.
    pub async fn ready_without(&self, role: &str, part: &str) -> u16 {
        let mut copies = self.copies.iter().filter(|copy| copy.role == role);
        let admin = copies.next().expect("a copy").admin;
        let url = format!("http://127.0.0.1:{admin}/readyz?exclude={part}");
        let answer = reqwest::get(url).await.expect("the admin endpoint answers");
        answer.status().as_u16()
    }

    /// The metrics of the first copy of a role.
    pub async fn metrics(&self, role: &str) -> String {
        let mut copies = self.copies.iter().filter(|copy| copy.role == role);
        let url = format!("http://127.0.0.1:{}/metrics", copies.next().expect("a copy").admin);
        let answer = reqwest::get(url).await.expect("the admin endpoint answers");
        answer.text().await.expect("a text")
    }

    /// Waits until a process stands still at a named step.
    pub async fn stopped_at(&mut self, step: &str) {
        let processes = &mut self.processes;
        wait_for(step, STOPS_AT_WITHIN, || {
            processes.assert_alive();
            let stopped = processes.stopped_at(step);
            std::future::ready(if stopped > 0 { Ok(()) } else { Err("not yet".to_owned()) })
        })
        .await;
    }

    /// Waits until a second piece of work stands still at a step, or the domain is Success because it has no need to pass
    /// there.
    pub async fn stopped_again_or_success(&mut self, step: &str, name: &str) {
        wait_for(step, STOPS_AT_WITHIN, || {
            self.processes.assert_alive();
            let shown = self.domain(&["show", name]).json["status"].clone();
            let there = self.processes.stopped_at(step) > 1 || shown == "Success";
            std::future::ready(if there { Ok(()) } else { Err(shown.to_string()) })
        })
        .await;
    }

    /// The processes.
    pub fn process(&mut self) -> &mut Processes {
        &mut self.processes
    }

    /// MiB in memory of the first process.
    pub fn resident(&self) -> u64 {
        self.processes.0[0].resident()
    }

    /// Everything the processes of this folder printed.
    pub fn log(&self) -> String {
        let logs = self.copies.iter().map(|copy| self.folder.path().join(format!("{}.log", copy.name)));
        logs.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    /// Runs a command with more environment, to its end.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
        let mut command = ssl_manager();
        command.arg("--config").arg(&self.config).args(arguments);
        command.env("SSL_MANAGER__ADMIN__LISTEN", format!("127.0.0.1:{}", free_port()));
        command.envs(environment.iter().copied());
        command.output().expect("the executable runs").into()
    }

    /// A command with this token (none if empty) against this process.
    pub fn command(&self, arguments: &[&str], token: &str) -> Command {
        let mut command = ssl_manager();
        command.arg("--config").arg(&self.config).args(arguments);
        command.env("SSL_MANAGER_ENDPOINT", self.endpoint());
        if !token.is_empty() {
            command.env("SSL_MANAGER_TOKEN", token);
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str], token: &str) -> Answer {
        let output = self.command(arguments, token).output();
        output.expect("the executable runs").into()
    }

    /// A token of an administrator.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Runs a command as admin, to its end.
    pub fn admin(&self, arguments: &[&str]) -> Answer {
        self.run(arguments, &self.token)
    }

    /// `domain …` as admin, with JSON.
    pub fn domain(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["--output", "json", "domain"];
        all.extend_from_slice(arguments);
        self.run(&all, &self.token)
    }

    /// A client of its API with the admin's token.
    pub async fn client(&self) -> Client {
        Client::connect(self.endpoint(), &self.token).await
    }

    /// Adds many domains over one connection, several at once.
    pub async fn add_all(&self, names: &[String]) {
        let client = self.client().await;
        let mut adding = JoinSet::new();
        for name in names {
            if adding.len() == ADDS_AT_ONCE {
                adding.join_next().await.expect("one is adding").expect("added");
            }
            let (client, name) = (client.clone(), name.clone());
            adding.spawn(async move { client.add(&name).await });
        }
        adding.join_all().await;
    }

    /// Waits until a domain has that status; returns it.
    pub async fn status(&mut self, name: &str, status: &str, limit: Duration) -> Value {
        wait_for(&format!("{status} of {name}"), limit, || {
            self.processes.assert_alive();
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
