//! The two ways to run, for tests that must not be able to tell which: `all` on SQLite, or every role as processes of
//! their own on PostgreSQL and RabbitMQ, each with its own credentials and nothing but TLS in between.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::postgres::{SUPERUSER, rand};
use crate::{Postgres, RabbitMq, Vhost, free_port};

/// How the system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `all`, an SQLite file, the embedded bus.
    Embedded,
    /// PostgreSQL, RabbitMQ, every role a process of its own, two of most.
    Scaled,
}

/// Makes each async function that takes a [`Mode`] into a test in both. It has more threads than processors, because a thread
/// stands still while a command of the client runs.
#[macro_export]
macro_rules! in_both_modes {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
                async fn $case() {
                    super::$case($crate::Mode::Embedded).await;
                }
            )*
        }
        mod scaled {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
                async fn $case() {
                    super::$case($crate::Mode::Scaled).await;
                }
            )*
        }
    };
}

/// One process of a running system: which role, and what is its own.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// The sub-command.
    pub(crate) role: &'static str,
    /// What its log is called.
    pub(crate) name: String,
    /// Its settings beyond those of all, as environment.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Where its health is.
    pub(crate) admin: u16,
}

const ROLES: [&str; 5] = ["api", "issuer", "challenge-responder", "scheduler", "c4-uploader"];

/// The one process of the embedded mode.
pub(crate) fn alone(admin: u16) -> Vec<Copy> {
    vec![Copy {
        role: "all",
        name: "ssl-manager".to_owned(),
        settings: vec![("SSL_MANAGER__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))],
        admin,
    }]
}

/// A database and a virtual host of a test's own.
#[derive(Clone, Debug)]
pub struct Backends {
    /// The database's name.
    pub database: String,
    /// Its URL for its owner.
    pub owner_url: String,
    /// The virtual host.
    pub vhost: Vhost,
}

impl Backends {
    /// An empty database and virtual host.
    pub(crate) async fn new(postgres: &Postgres, rabbitmq: &RabbitMq) -> Self {
        let database = postgres.database();
        Self {
            owner_url: postgres.tls_url(SUPERUSER, postgres.password(), &database),
            database,
            vhost: rabbitmq.vhost().await,
        }
    }

    /// The settings file's lines for commands that run as the owner.
    pub(crate) fn settings(&self) -> String {
        format!("[store]\nurl = \"{}\"\n", self.owner_url)
    }

    /// Makes a sealing key the way that operations do.
    pub(crate) fn write_sealing_key(path: &Path) {
        let bytes = std::array::from_fn::<u64, 4, _>(|_| rand());
        let bytes: Vec<u8> = bytes.iter().flat_map(|part| part.to_ne_bytes()).collect();
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, BASE64_STANDARD.encode(bytes)).expect("a sealing key");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is there");
    }

    /// Gives the database's roles their passwords and makes the broker's users; the processes of all roles.
    pub(crate) async fn copies(
        &self,
        postgres: &Postgres,
        rabbitmq: &RabbitMq,
        responder: u16,
        copies_of_each: usize,
    ) -> Vec<Copy> {
        let database = &self.database;
        let mut copies = Vec::new();
        for role in ROLES {
            let count = if role == "api" { 1 } else { copies_of_each };
            let (user, pattern) = match role {
                "c4-uploader" => ("ssl_manager_uploader", OURS),
                "challenge-responder" => ("ssl_manager_responder", BROADCASTS),
                "api" => ("ssl_manager_api", OURS),
                "issuer" => ("ssl_manager_issuer", OURS),
                _ => ("ssl_manager_scheduler", OURS),
            };
            let password = postgres.role_password(user);
            let store = postgres.tls_url(user, &password, database);
            let bus_user = format!("{}-{user}", self.vhost.name);
            let read = if pattern == BROADCASTS { BROADCASTS_AND_EVENTS } else { OURS };
            let url = rabbitmq.user(&self.vhost, &bus_user, pattern, pattern, read).await;
            for number in 1..=count {
                let admin = free_port();
                let mut settings = vec![
                    ("SSL_MANAGER__STORE__URL", store.clone()),
                    ("SSL_MANAGER__BUS__URL", rabbitmq.over_tls(&url)),
                    ("SSL_MANAGER__BUS__ROOT_CERTIFICATE_FILE", rabbitmq.root_file().display().to_string()),
                    ("SSL_MANAGER__ADMIN__LISTEN", format!("127.0.0.1:{admin}")),
                ];
                if role == "challenge-responder" {
                    let port = if number == 1 { responder } else { free_port() };
                    let listen = format!("127.0.0.1:{port}");
                    settings.push(("SSL_MANAGER__CHALLENGE_RESPONDER__LISTEN", listen));
                }
                copies.push(Copy { role, name: format!("{role}-{number}"), settings, admin });
            }
        }
        copies
    }
}

/// What the broker lets the roles do: see docs/OPERATIONS.md.
const OURS: &str = r"^ssl-manager\..*";
const BROADCASTS: &str = r"^ssl-manager\.broadcast\..*";
const BROADCASTS_AND_EVENTS: &str = r"^ssl-manager\.(broadcast\..*|events)$";
