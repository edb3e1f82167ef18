//! Files of our own that change while the process runs: certificates of its ports, C4's token, passwords. They are used
//! without a restart, and bad ones change nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use sandbox::{World, WorldOptions};
use serde_json::json;
use tests::{Console, Mode, Postgres, RabbitMq, SslManager, Surroundings, sha256_of_leaf, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const NAME: &str = "shop.example.com";

/// A certificate of our own with its key.
struct Identity {
    certificate: String,
    key: String,
    /// Its end, as the metric says it.
    end: i64,
}

impl Identity {
    fn new(year: i32) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let end: jiff::Timestamp = format!("{year}-01-01T00:00:00Z").parse().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
            end: end.as_second(),
        }
    }
}

/// Writes a file as an orchestrator does: at once, and for its owner alone.
fn put(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

async fn metric(manager: &SslManager, role: &str, name: &str, value: &str) {
    let line = format!("{name} {value}");
    wait_for(&line, LIMIT, || async {
        let metrics = manager.metrics(role).await;
        let there: Vec<&str> = metrics.lines().filter(|shown| shown.starts_with(name)).collect();
        if there.contains(&line.as_str()) { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;
}

fn refused(setting: &str) -> String {
    format!("ssl_manager_reload_refused{{setting=\"{setting}\"}}")
}

async fn embedded() -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    world.point_at_cdn(NAME);
    let manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    (world, manager)
}

/// One port with TLS of its own, and where its files are.
struct Port {
    setting: &'static str,
    at: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
}

impl Port {
    async fn shows(&self, identity: &Identity) {
        let expected = sha256_of_leaf(&identity.certificate);
        wait_for("the certificate", LIMIT, || async {
            let shown = sandbox::served_sha256(self.at, "localhost").await;
            let shown = shown.map_err(|error| error.to_string())?;
            if shown.as_ref() == Some(&expected) { Ok(()) } else { Err(format!("{shown:?}")) }
        })
        .await;
    }

    async fn ends(&self, manager: &SslManager, identity: &Identity) {
        let gauge = format!(
            "ssl_manager_own_certificate_end_timestamp_seconds{{file=\"{}\"}}",
            self.certificate.display()
        );
        metric(manager, "all", &gauge, &identity.end.to_string()).await;
    }

    /// Two renewals: one by SIGHUP, with a key that does not fit in between, and one that is found without a signal.
    async fn is_renewed(&self, manager: &mut SslManager, identities: &[Identity; 3]) {
        let [first, second, third] = identities;
        self.shows(first).await;
        self.ends(manager, first).await;
        put(&self.certificate, &second.certificate);
        manager.process().hang_up();
        metric(manager, "all", &refused(self.setting), "1").await;
        assert!(manager.log().contains("changed files cannot be used"), "{}", manager.log());
        self.shows(first).await;
        self.ends(manager, first).await;
        put(&self.key, &second.key);
        manager.process().hang_up();
        self.shows(second).await;
        self.ends(manager, second).await;
        metric(manager, "all", &refused(self.setting), "0").await;

        put(&self.key, &third.key);
        put(&self.certificate, &third.certificate);
        self.shows(third).await;
        self.ends(manager, third).await;
        manager.process().assert_alive();
    }
}

async fn with_tls(
    section: &'static str,
    at: impl Fn(&SslManager) -> String,
) -> (Console, Port, [Identity; 3]) {
    let (world, mut manager) = embedded().await;
    let identities = [2031, 2032, 2033].map(Identity::new);
    let [certificate, key] = ["certificate", "key"].map(|part| manager.folder().join(format!("own-{part}")));
    put(&certificate, &identities[0].certificate);
    put(&key, &identities[0].key);
    let variable = |name: &str| format!("SSL_MANAGER__{}__TLS__{name}", section.to_uppercase());
    let (certificate_variable, key_variable) = (variable("CERTIFICATE_FILE"), variable("KEY_FILE"));
    manager.spawn(&[
        (certificate_variable.as_str(), certificate.to_str().unwrap()),
        (key_variable.as_str(), key.to_str().unwrap()),
    ]);
    manager.ready().await;
    let setting = if section == "api" { "api.tls" } else { "console.tls" };
    let at = at(&manager).replace("http://", "").parse().unwrap();
    (Console { world, manager }, Port { setting, at, certificate, key }, identities)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_shows_its_new_certificate_and_the_page_trusts_it() {
    let (mut console, port, identities) = with_tls("api", SslManager::endpoint).await;
    port.is_renewed(&mut console.manager, &identities).await;
    // The page speaks to the API of its own process by the certificate that stands there now.
    console.visitor("support").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_its_new_certificate() {
    let (mut console, port, identities) = with_tls("console", SslManager::console).await;
    port.is_renewed(&mut console.manager, &identities).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_of_c4_is_used_and_a_bad_one_is_not() {
    let (world, mut manager) = embedded().await;
    let file = manager.folder().join("c4.token");
    put(&file, "wr0ng");
    let token_file = file.to_str().unwrap();
    manager.spawn(&[("SSL_MANAGER__C4__TOKEN", ""), ("SSL_MANAGER__C4__TOKEN_FILE", token_file)]);
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    wait_for("a refusal of the token", LIMIT, || {
        let shown = manager.domain(&["show", NAME]);
        let is_told = shown.stdout.contains("C4 does not accept our token");
        std::future::ready(if is_told { Ok(()) } else { Err(shown.stdout) })
    })
    .await;
    put(&file, &format!("{}\n", world.c4.token()));
    manager.process().hang_up();
    metric(&manager, "all", "ssl_manager_reloads_total{setting=\"c4.token_file\",result=\"ok\"}", "1").await;
    assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;

    put(&file, "");
    manager.process().hang_up();
    metric(&manager, "all", &refused("c4.token_file"), "1").await;
    let second = "second.example.com";
    world.point_at_cdn(second);
    assert_eq!(manager.domain(&["add", second]).code, 0);
    manager.status(second, "Success", LIMIT).await;
    assert!(!manager.log().contains("wr0ng") && !manager.log().contains(world.c4.token()));
}

/// A database role and a broker user of the scheduler's, whose passwords stand in the settings file.
struct Accounts<'a> {
    postgres: &'a Postgres,
    rabbitmq: &'a RabbitMq,
    database: String,
    vhost: String,
}

const ACCOUNT: &str = "reloaded_scheduler";

impl Accounts<'_> {
    async fn set_passwords(&self, password: &str) {
        let set = format!("ALTER ROLE {ACCOUNT} PASSWORD '{password}'");
        self.postgres.psql(&self.database, &set).unwrap();
        let user = json!({ "password": password, "tags": "" });
        self.rabbitmq.must(Method::PUT, &format!("/users/{ACCOUNT}"), user).await;
    }

    /// The settings file with those passwords.
    fn write(&self, settings: &str, path: &Path, password: &str) {
        let store = self.postgres.url(ACCOUNT, password, &self.database);
        let bus = self.rabbitmq.url(ACCOUNT, password, &self.vhost);
        let kept =
            settings.lines().filter(|line| !line.starts_with("[store]") && !line.starts_with("url = "));
        let text: Vec<&str> = kept.collect();
        put(path, &format!("[store]\nurl = \"{store}\"\n[bus]\nurl = \"{bus}\"\n{}\n", text.join("\n")));
    }

    /// What stands for each session of the database and each connection to the broker.
    async fn sessions(&self) -> BTreeSet<String> {
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE usename = '{ACCOUNT}'");
        let sessions = self.postgres.psql(&self.database, &sql).unwrap();
        let mut all: BTreeSet<String> = sessions.lines().map(|pid| format!("database {pid}")).collect();
        let connections = self.rabbitmq.must(Method::GET, "/connections", json!(null)).await;
        let of_user = connections.as_array().unwrap().iter().filter(|one| one["user"] == ACCOUNT);
        all.extend(of_user.map(|one| format!("broker {}", one["name"].as_str().unwrap())));
        all
    }

    async fn end_sessions(&self) {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{ACCOUNT}'"
        );
        self.postgres.psql(&self.database, &sql).unwrap();
        self.rabbitmq.must(Method::DELETE, &format!("/connections/username/{ACCOUNT}"), json!(null)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_passwords_of_database_and_broker_are_read_from_the_settings_file() {
    let (postgres, rabbitmq) = (Postgres::shared().await, RabbitMq::shared().await);
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    let backends = manager.backends().clone();
    let accounts = Accounts {
        postgres,
        rabbitmq,
        database: backends.database.clone(),
        vhost: backends.vhost.name.clone(),
    };
    let create = format!("CREATE ROLE {ACCOUNT} LOGIN IN ROLE ssl_manager_scheduler");
    postgres.psql(&backends.database, &create).unwrap();
    rabbitmq.user(&backends.vhost, ACCOUNT, ".*", ".*", ".*").await;
    accounts.set_passwords("f1rst").await;
    let settings = std::fs::read_to_string(manager.config()).unwrap();
    accounts.write(&settings, manager.config(), "f1rst");
    for variable in ["SSL_MANAGER__STORE__URL", "SSL_MANAGER__BUS__URL"] {
        manager.drop_setting("scheduler", variable);
    }
    manager.start().await;

    put(manager.config(), "this is no TOML");
    manager.process().hang_up();
    metric(&manager, "scheduler", &refused("--config"), "1").await;
    manager.ready().await;
    accounts.set_passwords("s3cond").await;
    accounts.write(&settings, manager.config(), "s3cond");
    manager.process().hang_up();
    metric(&manager, "scheduler", &refused("--config"), "0").await;
    let before = accounts.sessions().await;
    accounts.end_sessions().await;
    wait_for("sessions by the new password", LIMIT, || async {
        let fresh: BTreeSet<String> = accounts.sessions().await.difference(&before).cloned().collect();
        let has = |what: &str| fresh.iter().any(|one| one.starts_with(what));
        if has("database") && has("broker") { Ok(()) } else { Err(format!("{fresh:?}")) }
    })
    .await;
    manager.ready().await;
    let log = manager.log();
    assert!(!log.contains("f1rst") && !log.contains("s3cond"));
}
