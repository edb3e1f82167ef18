//! What must hold of a running system after a fault, whatever it was.

use std::ops::RangeInclusive;
use std::time::Duration;

use sandbox::World;
use serde_json::Value;

use crate::{Proxy, SslManager, certificate_and_key_belong_together, sha256_of_leaf, wait_for};

const EMPTY_WITHIN: Duration = Duration::from_mins(1);

/// What a domain is to end up as.
#[derive(Clone, Debug)]
pub struct Deserved<'a> {
    /// Which.
    pub name: &'a str,
    /// Its status.
    pub status: &'a str,
    /// How many orders the CA may have taken for it: one per request, and one per answer to new-order that was lost.
    pub orders: RangeInclusive<u64>,
}

impl<'a> Deserved<'a> {
    /// A certificate at C4, of so many orders.
    pub fn success(name: &'a str, orders: RangeInclusive<u64>) -> Self {
        Self { name, status: "Success", orders }
    }
}

impl SslManager {
    /// Every domain has the status that its world deserves; what C4 holds is the live certificate, with its key, for that
    /// name, and not revoked; no more orders were placed than allowed, and none that the CA's limits refused; outbox,
    /// queues and dead letters are empty; histories are complete and in order; no secret is in a log.
    pub async fn assert_in_order(&mut self, world: &World, deserved: &[Deserved<'_>]) {
        for one in deserved {
            let shown = self.domain(&["show", one.name]).json;
            assert_eq!(shown["status"], one.status, "{shown}");
            let orders = world.ca.control().orders_for(one.name);
            assert!(one.orders.contains(&orders), "{orders} orders for {}, not {:?}", one.name, one.orders);
            let history = self.domain(&["history", one.name]).json;
            let history: Vec<&Value> = history.as_array().into_iter().flatten().rev().collect();
            assert_history(&history, &shown);
            assert_held(world, &shown);
        }
        assert_eq!(world.ca.control().refused_by_limits(), 0, "the CA's limits");
        self.queues_are_empty().await;
        let log = self.log();
        assert!(!log.contains("message set aside"), "a dead letter: {log}");
        for secret in ["PRIVATE KEY", world.c4.token(), self.token()] {
            assert!(!log.contains(secret), "a secret is in a log: {}…", &secret[..4]);
        }
    }

    /// Points these names at the CDN and adds them.
    pub async fn add_pointed(&self, world: &World, names: &[String]) {
        for name in names {
            world.point_at_cdn(name);
        }
        self.add_all(names).await;
    }

    /// Waits until each of these names has its certificate; then all is in order, with one order each.
    pub async fn all_succeed(&mut self, world: &World, names: &[String], limit: Duration) {
        for name in names {
            self.status(name, "Success", limit).await;
        }
        let deserved: Vec<_> = names.iter().map(|name| Deserved::success(name, 1..=1)).collect();
        self.assert_in_order(world, &deserved).await;
    }

    /// From the next start on every process reaches PostgreSQL, which listens on that port, through a proxy.
    pub fn reach_database_through(&mut self, port: u16, line: &Proxy) {
        self.reach_through("SSL_MANAGER__STORE__URL", port, line);
    }

    /// The same for RabbitMQ, which listens for TLS on that port.
    pub fn reach_broker_through(&mut self, port: u16, line: &Proxy) {
        self.reach_through("SSL_MANAGER__BUS__URL", port, line);
    }

    fn reach_through(&mut self, variable: &'static str, port: u16, line: &Proxy) {
        for role in ["api", "issuer", "challenge-responder", "scheduler", "c4-uploader"] {
            let url = self.setting(role, variable);
            let through = url.replace(&format!(":{port}/"), &format!(":{}/", line.address().port()));
            assert_ne!(url, through, "the port is not in the URL");
            self.override_setting(role, variable, &through);
        }
    }

    async fn queues_are_empty(&self) {
        let role = if self.readiness("all").await.is_empty() { "scheduler" } else { "all" };
        wait_for("an empty outbox", EMPTY_WITHIN, || {
            let metrics = self.metrics(role);
            async move {
                let metrics = metrics.await;
                let line = metrics.lines().find(|line| line.starts_with("ssl_manager_messages_waiting"));
                if line == Some("ssl_manager_messages_waiting 0") { Ok(()) } else { Err(format!("{line:?}")) }
            }
        })
        .await;
    }
}

/// C4 holds what is shown as live: its own key, for that name, not revoked.
fn assert_held(world: &World, shown: &Value) {
    let name = shown["name"].as_str().unwrap_or_default();
    let held = world.c4.control().certificate(name);
    let Some(live) = shown["certificate"]["sha256"].as_str() else {
        assert!(held.is_none(), "C4 holds a certificate of {name} that is not live: {shown}");
        return;
    };
    let held = held.unwrap_or_else(|| panic!("C4 holds nothing of {name}: {shown}"));
    assert_eq!(held.sha256, live, "{name}");
    assert_eq!(sha256_of_leaf(&held.certificate_pem), live, "{name}");
    assert!(certificate_and_key_belong_together(&held.certificate_pem, &held.private_key_pem), "{name}");
    let revoked = world.ca.control().revoked();
    assert!(!revoked.iter().any(|revoked| revoked.sha256 == live), "{name} is served revoked");
}

/// Oldest first: it begins with the addition, time does not go back, and what is live was issued, then uploaded.
fn assert_history(history: &[&Value], shown: &Value) {
    let at = |entry: &&Value| entry["at"].as_str().unwrap_or_default().to_owned();
    assert!(history.is_sorted_by_key(at), "{history:#?}");
    let first = history.first().map(|entry| entry["kind"].as_str());
    assert!(matches!(first, Some(Some("added" | "imported"))), "{history:#?}");
    let Some(live) = shown["certificate"]["sha256"].as_str() else { return };
    let when = |kind: &str| {
        history.iter().position(|entry| entry["kind"] == kind && entry["certificate_sha256"] == live)
    };
    let (issued, uploaded) = (when("certificate_issued"), when("certificate_uploaded"));
    assert!(issued.is_some() && issued < uploaded, "{history:#?}");
}
