//! Debian's `pgbouncer` as a private child, before a PostgreSQL.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::postgres::SUPERUSER;
use crate::server::Owner;
use crate::{Postgres, Subprocess, free_port, wait_for};

const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// A running `pgbouncer` that gives everybody the sessions of PostgreSQL's superuser.
pub struct PgBouncer {
    port: u16,
    _process: Subprocess,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one with that `pool_mode`, and its other settings as they come.
    pub async fn start(postgres: &Postgres, pool_mode: &str) -> Self {
        let owner = Owner::named("postgres");
        let folder = owner.folder();
        let port = free_port();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={SUPERUSER} password={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {pool_mode}\n\
             unix_socket_dir =\n",
            postgres.port(),
            postgres.password(),
        );
        std::fs::write(&settings, text).expect("a file");
        owner.give(&settings);
        let mut command = owner.server(Path::new("/usr/sbin/pgbouncer"), folder.path());
        command.arg(&settings);
        let mut process = Subprocess::start_server("pgbouncer", folder.path(), &mut command);
        wait_for("pgbouncer", STARTS_WITHIN, || {
            process.assert_alive();
            let reached = std::net::TcpStream::connect(("127.0.0.1", port));
            std::future::ready(reached.map(drop).map_err(|error| error.to_string()))
        })
        .await;
        Self { port, _process: process, _folder: folder }
    }

    /// The URL of a database through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:x@127.0.0.1:{}/{database}", self.port)
    }
}
