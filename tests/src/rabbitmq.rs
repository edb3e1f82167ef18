//! Debian's RabbitMQ as a private child.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::postgres::rand;
use crate::server::{Owner, must, share_identity, write_identity};
use crate::{Subprocess, free_port, wait_for};

const STARTS_WITHIN: Duration = Duration::from_mins(2);
const ADMIN: &str = "test";

/// A running RabbitMQ with a node name and data folder of its own.
pub struct RabbitMq {
    folder: TempDir,
    owner: Owner,
    port: u16,
    tls_port: u16,
    management: u16,
    distribution: u16,
    password: String,
    process: Option<Subprocess>,
}

/// A virtual host of a test's own.
#[derive(Clone, Debug)]
pub struct Vhost {
    /// Its name.
    pub name: String,
    /// Its URL, for a user who may do everything.
    pub url: String,
}

impl RabbitMq {
    /// The one that all tests of this program share. Ends with the program.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// One of the test's own.
    pub async fn start() -> Self {
        let mut rabbitmq = Self::prepared();
        write_identity(rabbitmq.folder.path(), &rabbitmq.owner);
        rabbitmq.configure("");
        rabbitmq.run().await;
        rabbitmq
    }

    /// The nodes of one cluster, with the same certificate and the same users.
    pub async fn cluster(nodes: usize) -> Vec<Self> {
        let mut cluster: Vec<Self> = (0..nodes).map(|_| Self::prepared()).collect();
        let mut peers = "cluster_formation.peer_discovery_backend = classic_config\n".to_owned();
        for (number, node) in (1..).zip(&cluster) {
            // Writing to a String cannot fail.
            let _ = writeln!(peers, "cluster_formation.classic_config.nodes.{number} = {}", node.name());
        }
        let (cookie, password) = (format!("{:016x}", rand()), cluster[0].password.clone());
        let first = cluster[0].folder.path().to_owned();
        write_identity(&first, &cluster[0].owner);
        for node in &mut cluster {
            node.password.clone_from(&password);
            let folder = node.folder.path().to_owned();
            if folder != first {
                share_identity(&first, &folder, &node.owner);
            }
            let file = folder.join(".erlang.cookie");
            std::fs::write(&file, &cookie).expect("a file");
            node.owner.give(&file);
            node.configure(&peers);
            node.run().await;
        }
        cluster
    }

    fn prepared() -> Self {
        let owner = Owner::named("rabbitmq");
        let folder = owner.folder();
        Self {
            folder,
            owner,
            port: free_port(),
            tls_port: free_port(),
            management: free_port(),
            distribution: free_port(),
            password: format!("{:016x}", rand()),
            process: None,
        }
    }

    /// The name of the node.
    pub fn name(&self) -> String {
        format!("test{}@localhost", self.port)
    }

    fn configure(&self, more: &str) {
        let folder = self.folder.path();
        let (port, tls_port, management) = (self.port, self.tls_port, self.management);
        let (password, shown) = (&self.password, folder.display());
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\n\
             listeners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {shown}/root.pem\n\
             ssl_options.certfile = {shown}/server.pem\n\
             ssl_options.keyfile = {shown}/server.key\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             default_user = {ADMIN}\n\
             default_pass = {password}\n\
             disk_free_limit.absolute = 1MB\n\
             log.console = true\n\
             log.console.level = warning\n\
             log.file = false\n\
             collect_statistics_interval = 200\n\
             {more}"
        );
        // Without it, the numbers of messages are 5 s old.
        let advanced = "[{rabbit, [{quorum_tick_interval, 200}]}].\n".to_owned();
        for (name, text) in [
            ("rabbitmq.conf", settings),
            ("advanced.config", advanced),
            ("enabled_plugins", "[rabbitmq_management].\n".to_owned()),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a file");
            self.owner.give(&path);
        }
    }

    /// Starts the server again, on the same ports and data.
    pub async fn run(&mut self) {
        let folder = self.folder.path();
        let mut command = self.owner.server(Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server"), folder);
        command
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            // What keeps its schedulers from spinning on a small machine.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none +sbwtdcpu none +sbwtdio none");
        let mut process = Subprocess::start_server("rabbitmq", folder, &mut command);
        wait_for("rabbitmq", STARTS_WITHIN, || {
            process.assert_alive();
            async {
                self.ask(Method::GET, "/overview", Value::Null).await?;
                let listening = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
                listening.map(drop).map_err(|error| error.to_string())
            }
        })
        .await;
        self.process = Some(process);
    }

    /// kill -9, of all of it.
    pub fn kill_9(&mut self) {
        self.process = None;
    }

    /// Makes it silent without going away, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.process.as_ref().expect("a running server").freeze(frozen);
    }

    /// Runs `rabbitmqctl`.
    pub fn control(&self, arguments: &[&str]) {
        let mut command = self.owner.command(Path::new("/usr/lib/rabbitmq/bin/rabbitmqctl"));
        command.args(["--node", &self.name()]).args(arguments);
        must(command.env("HOME", self.folder.path()).current_dir(self.folder.path()));
    }

    /// Where it listens for TLS on loopback.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The name of the node that leads a queue, as this node knows it.
    pub async fn leader(&self, vhost: &Vhost, queue: &str) -> Result<String, String> {
        let queue = self.ask(Method::GET, &format!("/queues/{}/{queue}", vhost.name), Value::Null).await?;
        queue["leader"].as_str().map(str::to_owned).ok_or_else(|| queue.to_string())
    }

    /// A virtual host with a name of its own.
    pub async fn vhost(&self) -> Vhost {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::SeqCst));
        self.must(Method::PUT, &format!("/vhosts/{name}"), json!({})).await;
        let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.must(Method::PUT, &format!("/permissions/{name}/{ADMIN}"), everything).await;
        let url = self.url(ADMIN, &self.password, &name);
        Vhost { name, url }
    }

    /// The URL of a virtual host for a user.
    pub fn url(&self, user: &str, password: &str, vhost: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/{vhost}", self.port)
    }

    /// The same URL over TLS.
    pub fn over_tls(&self, url: &str) -> String {
        let plain = format!("127.0.0.1:{}", self.port);
        let tls = format!("localhost:{}", self.tls_port);
        url.replace("amqp://", "amqps://").replace(&plain, &tls)
    }

    /// Trust for its TLS.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Makes a user with these permissions (regular expressions) in a virtual host; the URL.
    pub async fn user(&self, vhost: &Vhost, name: &str, configure: &str, write: &str, read: &str) -> String {
        let password = format!("{:016x}", rand());
        let user = json!({ "password": password, "tags": "" });
        self.must(Method::PUT, &format!("/users/{name}"), user).await;
        let permissions = json!({ "configure": configure, "write": write, "read": read });
        let path = format!("/permissions/{}/{name}", vhost.name);
        self.must(Method::PUT, &path, permissions).await;
        self.url(name, &password, &vhost.name)
    }

    /// Asks the management API.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let mut request = reqwest::Client::new()
            .request(method, format!("http://127.0.0.1:{}/api{path}", self.management))
            .basic_auth(ADMIN, Some(&self.password));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{status} {text}"));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Asks the management API for what it must do.
    pub async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        self.ask(method, path, body).await.expect("the management API")
    }

    /// The queues of a virtual host: name and messages in each.
    pub async fn queues(&self, vhost: &Vhost) -> Vec<(String, u64)> {
        let queues = self.must(Method::GET, &format!("/queues/{}", vhost.name), Value::Null).await;
        queues
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|queue| {
                Some((queue["name"].as_str()?.to_owned(), queue["messages"].as_u64().unwrap_or(0)))
            })
            .collect()
    }

    /// Takes up to `count` messages out of a queue and puts them back: properties and bodies.
    pub async fn peek(&self, vhost: &Vhost, queue: &str, count: u32) -> Vec<Value> {
        let body = json!({ "count": count, "ackmode": "ack_requeue_true", "encoding": "base64" });
        let path = format!("/queues/{}/{queue}/get", vhost.name);
        match self.must(Method::POST, &path, body).await {
            Value::Array(messages) => messages,
            _ => Vec::new(),
        }
    }
}
