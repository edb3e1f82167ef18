//! Debian's Pebble and its nameserver: the CA that we did not write.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::server::{Owner, write_identity};
use crate::{Subprocess, free_port, wait_for};

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A running Pebble.
pub struct Pebble {
    acme: u16,
    management: u16,
    dns: SocketAddr,
    challtestsrv_management: u16,
    api_root_pem: String,
    _servers: Vec<Subprocess>,
}

impl Pebble {
    /// Starts it; challenges are looked for at `http_port`, and every name leads to 127.0.0.1. Without its sleeps, and
    /// with its default share of refused nonces.
    pub async fn start(folder: &Path, http_port: u16) -> Self {
        let (acme, management, dns_port, challtestsrv_management) =
            (free_port(), free_port(), free_port(), free_port());
        let api_root_pem = write_identity(folder, &Owner::ourselves());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.join("server.pem"),
            "privateKey": folder.join("server.key"),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let path = folder.join("pebble.json");
        std::fs::write(&path, config.to_string()).expect("pebble's configuration");
        let nameserver = Subprocess::start(
            "challtestsrv",
            folder,
            Command::new("pebble-challtestsrv").args([
                format!("-management=127.0.0.1:{challtestsrv_management}"),
                format!("-dns01=127.0.0.1:{dns_port}"),
                "-defaultIPv4=127.0.0.1".to_owned(),
                "-defaultIPv6=".to_owned(),
                "-http01=".to_owned(),
                "-https01=".to_owned(),
                "-tlsalpn01=".to_owned(),
            ]),
        );
        let pebble = Subprocess::start(
            "pebble",
            folder,
            Command::new("pebble")
                .arg(format!("-config={}", path.display()))
                .arg(format!("-dnsserver=127.0.0.1:{dns_port}"))
                .env("PEBBLE_VA_NOSLEEP", "1")
                // What the desk's environment may hold would make the test another one.
                .env_remove("PEBBLE_WFE_NONCEREJECT")
                .env_remove("PEBBLE_VA_ALWAYS_VALID"),
        );
        let mut servers = [pebble, nameserver];
        let started = Self {
            acme,
            management,
            dns: SocketAddr::from(([127, 0, 0, 1], dns_port)),
            challtestsrv_management,
            api_root_pem,
            _servers: Vec::new(),
        };
        wait_for("pebble", STARTS_WITHIN, || {
            servers.iter_mut().for_each(Subprocess::assert_alive);
            async {
                started.get("/roots/0").await?;
                let nameserver = format!("http://127.0.0.1:{challtestsrv_management}/");
                reqwest::get(nameserver).await.map(drop).map_err(|error| error.to_string())
            }
        })
        .await;
        Self { _servers: servers.into(), ..started }
    }

    /// Its directory.
    pub fn directory_url(&self) -> String {
        format!("https://localhost:{}/dir", self.acme)
    }

    /// Its nameserver.
    pub fn dns(&self) -> SocketAddr {
        self.dns
    }

    /// Trust for its API.
    pub fn api_root_pem(&self) -> &str {
        &self.api_root_pem
    }

    /// The root of what it issues.
    pub async fn issuing_root_pem(&self) -> String {
        self.get("/roots/0").await.expect("pebble's root")
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let root = reqwest::Certificate::from_pem(self.api_root_pem.as_bytes()).expect("our own root");
        let client = reqwest::Client::builder().tls_certs_only([root]).build().expect("a client");
        let url = format!("https://localhost:{}{path}", self.management);
        let response = client.get(url).send().await.map_err(|error| error.to_string())?;
        response.text().await.map_err(|error| error.to_string())
    }

    /// A name is a CNAME of a target from here on.
    pub async fn set_cname(&self, name: &str, target: &str) {
        let url = format!("http://127.0.0.1:{}/set-cname", self.challtestsrv_management);
        let body = json!({ "host": format!("{name}."), "target": format!("{target}.") });
        let answer =
            reqwest::Client::new().post(url).body(body.to_string()).send().await.expect("challtestsrv");
        assert!(answer.status().is_success(), "challtestsrv: {}", answer.status());
    }
}
