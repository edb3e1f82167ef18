//! HTTP-01 validation (RFC 8555 section 8.3): resolve the name, fetch the key authorization, compare.
//!
//! The errors have Let's Encrypt's texts, because the system under test has to interpret those.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;

use super::fetch::{Fetcher, Target};
use super::problem::Problem;
use super::resolve;

pub(super) struct Validator {
    /// None is the system's.
    pub(super) nameserver: Option<SocketAddr>,
    pub(super) http_port: u16,
    pub(super) https_port: u16,
    /// For one lookup, and for one request.
    pub(super) patience: Duration,
}

impl Validator {
    pub(super) async fn validate(
        &self,
        name: &str,
        token: &str,
        key_authorization: &str,
        connect_to: Option<SocketAddr>,
    ) -> Result<(), Problem> {
        let fetcher = Fetcher { validator: self, connect_to };
        let target = Target::first(name, &format!("/.well-known/acme-challenge/{token}"));
        let body = fetcher.fetch(target).await?;
        let body = body.trim_ascii_end();
        if body == key_authorization.as_bytes() {
            return Ok(());
        }
        let got = String::from_utf8_lossy(body);
        let got: String = got.chars().filter(|character| !character.is_control()).take(128).collect();
        Err(Problem::unauthorized(format!(
            "The key authorization file from the server did not match this challenge. \
             Expected {key_authorization:?} (got {got:?})"
        )))
    }

    /// The first address of a name.
    pub(super) async fn address_of(&self, name: &str) -> Result<std::net::IpAddr, Problem> {
        match timeout(self.patience, resolve::resolve(self.nameserver, name)).await {
            Ok(resolved) => resolved,
            Err(_) => Err(dns_problem(format!("DNS problem: query timed out looking up A for {name}"))),
        }
    }
}

pub(super) fn dns_problem(detail: String) -> Problem {
    Problem::new("dns", StatusCode::BAD_REQUEST, detail)
}

pub(super) fn connection_problem(detail: String) -> Problem {
    Problem::new("connection", StatusCode::BAD_REQUEST, detail)
}
