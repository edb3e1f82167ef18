//! Debian's PostgreSQL as a private child.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::server::{Owner, must, share_identity, write_identity};
use crate::{Subprocess, free_port, wait_for};

const STARTS_WITHIN: Duration = Duration::from_mins(1);
pub(crate) const SUPERUSER: &str = "postgres";

/// A running PostgreSQL with a data folder of its own.
pub struct Postgres {
    folder: TempDir,
    owner: Owner,
    port: u16,
    password: String,
    durable: bool,
    passwords: Mutex<()>,
    process: Option<Subprocess>,
}

impl Postgres {
    /// The one that all tests of this program share. Ends with the program.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(false)).await
    }

    /// One of the test's own. What is not `durable` survives a kill, but no power cut.
    pub async fn start(durable: bool) -> Self {
        let owner = Owner::named("postgres");
        let folder = owner.folder();
        let password = format!("{:016x}", rand());
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, &password).expect("a file");
        owner.give(&password_file);
        must(
            owner
                .command(&program("initdb"))
                .args(["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
                .arg(format!("--username={SUPERUSER}"))
                .arg(format!("--pwfile={}", password_file.display()))
                .arg(folder.path().join("data"))
                .current_dir(folder.path()),
        );
        write_identity(folder.path(), &owner);
        let mut postgres = Self {
            folder,
            owner,
            port: free_port(),
            password,
            durable,
            passwords: Mutex::new(()),
            process: None,
        };
        postgres.run().await;
        postgres
    }

    /// A standby that follows it, with a port and a folder of its own.
    pub async fn standby(&self) -> Self {
        let folder = self.owner.folder();
        must(
            self.owner
                .command(&program("pg_basebackup"))
                .args(["--host=127.0.0.1", &format!("--port={}", self.port)])
                .args([&format!("--username={SUPERUSER}"), "--write-recovery-conf", "--checkpoint=fast"])
                .args(["--no-sync", &format!("--pgdata={}", folder.path().join("data").display())])
                .env("PGPASSWORD", &self.password)
                .current_dir(folder.path()),
        );
        share_identity(self.folder.path(), folder.path(), &self.owner);
        let mut standby = Self {
            folder,
            owner: self.owner.clone(),
            port: free_port(),
            password: self.password.clone(),
            durable: self.durable,
            passwords: Mutex::new(()),
            process: None,
        };
        standby.run().await;
        standby
    }

    /// Starts the server again, on the same port and data.
    pub async fn run(&mut self) {
        let folder = self.folder.path();
        let mut command = self.owner.server(&program("postgres"), folder);
        command.arg("-D").arg(folder.join("data"));
        let fsync = if self.durable { "on" } else { "off" };
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", folder.display()),
            format!("fsync={fsync}"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", folder.join("server.pem").display()),
            format!("ssl_key_file={}", folder.join("server.key").display()),
            "max_connections=600".to_owned(),
            "shared_preload_libraries=pg_stat_statements".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        let mut process = Subprocess::start_server("postgres", folder, &mut command);
        wait_for("postgres", STARTS_WITHIN, || {
            // What a killed server left behind (its workers notice late) keeps the next one from starting at once.
            if process.has_ended() {
                process = Subprocess::start_server("postgres", folder, &mut command);
            }
            let asked = self.psql("postgres", "SELECT 1");
            std::future::ready(asked.map(drop))
        })
        .await;
        self.process = Some(process);
    }

    /// kill -9, of all of it.
    pub fn kill_9(&mut self) {
        self.process = None;
    }

    /// Ends it as an administrator does: what it has is written, and its log archived.
    pub fn stop(&mut self) {
        let data = self.folder.path().join("data");
        let mut stop = self.owner.command(&program("pg_ctl"));
        stop.arg(format!("--pgdata={}", data.display())).args(["--mode=fast", "--wait", "stop"]);
        must(stop.current_dir(self.folder.path()));
        self.process = None;
    }

    /// Its folder, with its data in `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds lines to `postgresql.conf`, which count from the next start on.
    pub fn configure(&self, lines: &str) {
        let path = self.folder.path().join("data/postgresql.conf");
        let text = std::fs::read_to_string(&path).expect("its settings");
        std::fs::write(&path, format!("{text}\n{lines}\n")).expect("its settings");
    }

    /// Runs a script as the user of the server, in its folder; PostgreSQL's programs lead to it.
    pub fn shell(&self, script: &str) {
        let mut shell = self.owner.command(Path::new("/bin/sh"));
        shell.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        shell.env("PGUSER", SUPERUSER).env("PGPASSWORD", &self.password);
        must(shell.args(["-euc", script]).current_dir(self.folder.path()));
    }

    /// An empty database with a name of its own.
    pub fn database(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::SeqCst));
        self.psql("postgres", &format!("CREATE DATABASE {name}")).expect("a database");
        name
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// Its password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The URL of a database for a user, over TLS and nothing else.
    pub fn tls_url(&self, user: &str, password: &str, database: &str) -> String {
        let root = self.root_file();
        format!("{}?sslmode=verify-full&sslrootcert={}", self.url(user, password, database), root.display())
    }

    /// Gives a role its password, the same for all tests of this program.
    pub fn role_password(&self, role: &str) -> String {
        let _one_at_a_time = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        let password = format!("{role}-{}", self.password);
        self.psql("postgres", &format!("ALTER ROLE {role} PASSWORD '{password}'")).expect("a password");
        password
    }

    /// The URL of a database for a user.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@localhost:{}/{database}", self.port)
    }

    /// Trust for its TLS.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Everything that stands in a database, as SQL.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let mut command = Command::new("pg_dump");
        command
            .args(["--host=127.0.0.1", &format!("--port={}", self.port)])
            .args([&format!("--username={SUPERUSER}"), database])
            .env("PGPASSWORD", &self.password);
        must(&mut command).stdout
    }

    /// Runs SQL as the superuser; what it printed, unaligned.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .args(["--host=127.0.0.1", &format!("--port={}", self.port)])
            .args([&format!("--username={SUPERUSER}"), &format!("--dbname={database}")])
            .args(["--command", sql])
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .expect("psql: `make install` installs what is missing");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

/// A number nobody guesses.
pub(crate) fn rand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// A program of the newest PostgreSQL that is installed.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max();
    match newest {
        Some(version) => Path::new("/usr/lib/postgresql").join(format!("{version}/bin/{name}")),
        None => PathBuf::from(name),
    }
}
