//! Rules for settings beyond their types. All errors are reported together.

use std::collections::HashSet;
use std::path::Path;

use domain::{DomainName, PreExpiry};
use url::{Host, Url};

use super::{AcmeIssuer, ApiOidc, ApiTls, Config, ConfigError, ConsoleOidc, IssuerLimits};
use crate::RoleName;

/// Orchestrators kill a process that goes on for much longer after SIGTERM.
const MAX_DRAIN_SECONDS: u16 = 300;
/// A certificate of Let's Encrypt lives 90 days: one that is renewed earlier than this is renewed for ever.
const MAX_PRE_EXPIRY_DAYS: u16 = 60;

impl Config {
    /// Checks every rule that needs nothing but the settings and the files they name, of all that these roles use.
    pub fn validate(&self, roles: &[RoleName]) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut problem = |setting: &str, what: String| problems.push(format!("{setting}: {what}"));

        self.check_store_and_bus(&mut problem);
        for (setting, value) in [
            ("connections.max", self.connections.max),
            ("connections.max_per_source", self.connections.max_per_source),
        ] {
            if value == 0 {
                problem(setting, "must be at least 1".to_owned());
            }
        }
        if self.admin.drain_seconds > MAX_DRAIN_SECONDS {
            problem("admin.drain_seconds", format!("must be at most {MAX_DRAIN_SECONDS}"));
        }
        match self.renewal.pre_expiry_days {
            PreExpiry::Days(1..=MAX_PRE_EXPIRY_DAYS) | PreExpiry::Third => {}
            PreExpiry::Days(_) => problem(
                "renewal.pre_expiry_days",
                format!(
                    "must be from 1 to {MAX_PRE_EXPIRY_DAYS}, or \"third\": certificates live 90 days or less"
                ),
            ),
        }
        self.check_addresses(roles, &mut problem);
        if roles.contains(&RoleName::Api) {
            self.check_api(&mut problem);
        }
        if roles.contains(&RoleName::Issuer) {
            self.check_issuer(&mut problem);
        }
        if roles.contains(&RoleName::Issuer) || roles.contains(&RoleName::C4Uploader) {
            self.check_c4(&mut problem);
        }
        if roles.contains(&RoleName::C4Uploader) {
            self.check_edges(&mut problem);
        }
        if roles.contains(&RoleName::Scheduler) {
            self.check_scheduler(&mut problem);
        }
        if roles.contains(&RoleName::Console) {
            self.check_console(&mut problem);
        }
        self.check_secret_files(roles, &mut problem);
        self.check_telemetry(&mut problem);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// No two ports of this process may be the same.
    fn check_addresses(&self, roles: &[RoleName], problem: &mut impl FnMut(&str, String)) {
        let listens = [
            (None, "admin.listen", self.admin.listen),
            (Some(RoleName::Api), "api.listen", self.api.listen),
            (Some(RoleName::Console), "console.listen", self.console.listen),
            (
                Some(RoleName::ChallengeResponder),
                "challenge_responder.listen",
                self.challenge_responder.listen,
            ),
        ];
        let used: Vec<_> =
            listens.into_iter().filter(|(role, ..)| role.is_none_or(|role| roles.contains(&role))).collect();
        for (index, (_, setting, address)) in used.iter().enumerate() {
            let other = used[..index].iter().find(|(.., other)| other == address && address.port() != 0);
            if let Some((_, other, _)) = other {
                problem(setting, format!("{address} is {other} already"));
            }
        }
    }

    fn check_console(&self, problem: &mut impl FnMut(&str, String)) {
        let console = &self.console;
        match &console.tls {
            Some(tls) => {
                check_file("console.tls.certificate_file", &tls.certificate_file, problem);
                check_file("console.tls.key_file", &tls.key_file, problem);
            }
            None if !console.listen.ip().is_loopback() && !console.plain_text_beyond_loopback => {
                let what = "beyond loopback the page needs [console.tls], or console.plain_text_beyond_loopback = true \
                            behind a proxy that has it";
                problem("console.listen", what.to_owned());
            }
            None => {}
        }
        if !console.public_url.is_empty() && !is_origin(&console.public_url) {
            problem(
                "console.public_url",
                "write https://HOST or https://HOST:PORT, without a path".to_owned(),
            );
        }
        if console.support_contact.chars().count() > 200
            || console.support_contact.chars().any(char::is_control)
        {
            let what = "write one line of at most 200 characters, such as ssl-help@example.net";
            problem("console.support_contact", what.to_owned());
        }
        if let Some(oidc) = &console.oidc {
            check_console_oidc(oidc, problem);
            if console.public_url.is_empty() {
                let what = "is needed with [console.oidc]: the provider sends people back there";
                problem("console.public_url", what.to_owned());
            }
        }
        let api = &console.api;
        if !api.url.is_empty() && !is_origin(&api.url) {
            problem("console.api.url", "write http(s)://HOST:PORT".to_owned());
        }
        if !api.root_certificate_file.as_os_str().is_empty() {
            check_file("console.api.root_certificate_file", &api.root_certificate_file, problem);
        }
        let (certificate, key) = (&api.client_certificate_file, &api.client_key_file);
        if certificate.as_os_str().is_empty() != key.as_os_str().is_empty() {
            problem("console.api", "client_certificate_file and client_key_file go together".to_owned());
        } else if !key.as_os_str().is_empty() {
            check_file("console.api.client_certificate_file", certificate, problem);
            check_file("console.api.client_key_file", key, problem);
        }
    }

    fn check_store_and_bus(&self, problem: &mut impl FnMut(&str, String)) {
        if let Err(what) = self.store.place() {
            problem("store.url", what);
        }
        if self.store.max_connections < 2 {
            problem("store.max_connections", "must be at least 2".to_owned());
        }
        let bus = self.bus.url.as_str();
        if !self.bus.is_embedded() && !bus.starts_with("amqp://") && !bus.starts_with("amqps://") {
            problem("bus.url", "write embedded: or amqp(s)://…".to_owned());
        }
        if !self.bus.root_certificate_file.as_os_str().is_empty() {
            check_file("bus.root_certificate_file", &self.bus.root_certificate_file, problem);
        }
    }

    fn check_api(&self, problem: &mut impl FnMut(&str, String)) {
        match &self.api.tls {
            None if !self.api.listen.ip().is_loopback() && !self.api.plain_text_beyond_loopback => {
                let what =
                    "beyond loopback the API needs [api.tls], or api.plain_text_beyond_loopback = true";
                problem("api.listen", what.to_owned());
            }
            None => {}
            Some(tls) => {
                if let Err(told) = tls.identity() {
                    for (setting, what) in told {
                        problem(setting, what);
                    }
                }
                if let Err((setting, what)) = tls.client_ca_pem() {
                    problem(setting, what);
                }
                check_clients(tls, problem);
            }
        }
        if let Some(oidc) = &self.api.oidc {
            check_oidc(oidc, problem);
        }
        for (setting, value) in [
            ("api.session_idle_minutes", self.api.session_idle_minutes),
            ("api.session_hours", self.api.session_hours),
        ] {
            if value == 0 {
                problem(setting, "must be at least 1".to_owned());
            }
        }
    }

    fn check_c4(&self, problem: &mut impl FnMut(&str, String)) {
        if self.c4.base_url.is_empty() {
            problem("c4.base_url", "is missing: where is C4?".to_owned());
        } else if !is_url(&self.c4.base_url) {
            problem("c4.base_url", "write http(s)://HOST".to_owned());
        }
        match (self.c4.token.is_empty(), self.c4.token_file.as_os_str().is_empty()) {
            (true, true) => problem("c4.token_file", "is missing, and there is no c4.token".to_owned()),
            (false, false) => problem("c4.token_file", "and c4.token are both set: leave one".to_owned()),
            (true, false) => check_file("c4.token_file", &self.c4.token_file, problem),
            (false, true) => {}
        }
        if !self.c4.root_certificate_file.as_os_str().is_empty() {
            check_file("c4.root_certificate_file", &self.c4.root_certificate_file, problem);
        }
        if self.uploader.max_in_flight == 0 {
            problem("uploader.max_in_flight", "must be at least 1".to_owned());
        }
    }

    fn check_issuer(&self, problem: &mut impl FnMut(&str, String)) {
        if self.cdn.cname_targets.is_empty() && self.cdn.addresses.is_empty() {
            problem("cdn.cname_targets", "and cdn.addresses are empty: where must domains point?".to_owned());
        }
        for target in &self.cdn.cname_targets {
            if DomainName::parse(target).is_err() {
                problem("cdn.cname_targets", format!("{target:?} is no domain name"));
            }
        }
        for nameserver in &self.dns.nameservers {
            if !is_host_and_port(nameserver) {
                problem("dns.nameservers", format!("{nameserver:?} is not host:port"));
            }
        }
        let mut names = HashSet::new();
        for (index, issuer) in self.acme.issuers.iter().enumerate() {
            let setting = format!("acme.issuers.{index}");
            check_acme_issuer(&setting, issuer, problem);
            if !names.insert(&issuer.name) {
                problem(&setting, format!("the name {:?} is used twice", issuer.name));
            }
        }
        if self.issuer.max_in_flight == 0 {
            problem("issuer.max_in_flight", "must be at least 1".to_owned());
        }
    }

    fn check_edges(&self, problem: &mut impl FnMut(&str, String)) {
        for edge in &self.cdn.edge_addresses {
            if !is_host_and_port(edge) {
                problem("cdn.edge_addresses", format!("{edge:?} is not host:port"));
            }
        }
    }

    fn check_scheduler(&self, problem: &mut impl FnMut(&str, String)) {
        if self.scheduler.recheck_at.parse::<jiff::civil::Time>().is_err() {
            problem("scheduler.recheck_at", "not a time of day, write it as 00:00".to_owned());
        }
        if jiff::tz::TimeZone::get(&self.scheduler.time_zone).is_err() {
            problem("scheduler.time_zone", format!("{:?} is no time zone", self.scheduler.time_zone));
        }
    }

    fn check_telemetry(&self, problem: &mut impl FnMut(&str, String)) {
        let endpoint = self.telemetry.otlp_endpoint.as_str();
        if !endpoint.is_empty() && !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            problem(
                "telemetry.otlp_endpoint",
                "write http(s)://HOST:PORT of a collector that takes OTLP over gRPC".to_owned(),
            );
        }
    }
}

fn check_clients(tls: &ApiTls, problem: &mut impl FnMut(&str, String)) {
    if tls.client_ca_file.as_os_str().is_empty() && !tls.consoles.is_empty() {
        problem("api.tls.consoles", "need api.tls.client_ca_file".to_owned());
    }
    if tls.client_ca_file.as_os_str().is_empty() && !tls.clients.is_empty() {
        problem("api.tls.clients", "need api.tls.client_ca_file".to_owned());
    }
    for (index, client) in tls.clients.iter().enumerate() {
        let setting = format!("api.tls.clients.{index}");
        if client.name.is_empty() || client.san.is_empty() {
            problem(&setting, "needs a name, a san and roles".to_owned());
        }
        if tls.clients[..index].iter().any(|other| other.name == client.name || other.san == client.san) {
            problem(&setting, "has the name or the san of another".to_owned());
        }
    }
}

fn check_oidc(oidc: &ApiOidc, problem: &mut impl FnMut(&str, String)) {
    check_issuer_url("api.oidc.issuer_url", &oidc.issuer_url, problem);
    for (setting, value) in [
        ("api.oidc.client_id", &oidc.client_id),
        ("api.oidc.name_claim", &oidc.name_claim),
        ("api.oidc.roles_claim", &oidc.roles_claim),
    ] {
        if value.is_empty() {
            problem(setting, "is missing".to_owned());
        }
    }
    if !oidc.root_certificate_file.as_os_str().is_empty() {
        check_file("api.oidc.root_certificate_file", &oidc.root_certificate_file, problem);
    }
    if oidc.roles.is_empty() {
        problem("api.oidc.roles", "is empty: who may sign in, and as what?".to_owned());
    }
    for (index, role) in oidc.roles.iter().enumerate() {
        let setting = format!("api.oidc.roles.{index}");
        if role.value.is_empty() {
            problem(&setting, "needs a value and a role".to_owned());
        }
        if oidc.roles[..index].iter().any(|other| other.value == role.value) {
            problem(&setting, format!("{:?} has a role already", role.value));
        }
    }
}

fn check_console_oidc(oidc: &ConsoleOidc, problem: &mut impl FnMut(&str, String)) {
    check_issuer_url("console.oidc.issuer_url", &oidc.issuer_url, problem);
    for (setting, value) in [("console.oidc.client_id", &oidc.client_id), ("console.oidc.label", &oidc.label)]
    {
        if value.is_empty() {
            problem(setting, "is missing".to_owned());
        }
    }
    for (setting, path) in [
        ("console.oidc.client_secret_file", &oidc.client_secret_file),
        ("console.oidc.root_certificate_file", &oidc.root_certificate_file),
    ] {
        if !path.as_os_str().is_empty() {
            check_file(setting, path, problem);
        }
    }
    if oidc.scopes.iter().any(|scope| scope.is_empty() || scope.contains([' ', '"', '\\'])) {
        problem("console.oidc.scopes", "holds one scope per text".to_owned());
    }
}

/// An issuer identifier (OpenID Connect Core section 2): a URL without query and fragment.
fn check_issuer_url(setting: &str, text: &str, problem: &mut impl FnMut(&str, String)) {
    if !is_https_or_loopback(text) {
        let what = "must be the provider's https:// address (http:// on loopback only)";
        problem(setting, what.to_owned());
    } else if text.contains(['?', '#']) {
        problem(setting, "has no place for ? and #".to_owned());
    }
}

fn is_https_or_loopback(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

fn check_acme_issuer(setting: &str, issuer: &AcmeIssuer, problem: &mut impl FnMut(&str, String)) {
    if issuer.name.is_empty() {
        problem(setting, "name is missing".to_owned());
    }
    if !issuer.directory_url.starts_with("https://") || !is_url(&issuer.directory_url) {
        problem(setting, "directory_url must be a URL that begins with https://".to_owned());
    }
    if let Some(contact) = issuer.contact.iter().find(|contact| !contact.starts_with("mailto:")) {
        problem(setting, format!("contact {contact:?} must begin with mailto:"));
    }
    if !issuer.root_certificate_file.as_os_str().is_empty() {
        check_file(&format!("{setting}.root_certificate_file"), &issuer.root_certificate_file, problem);
    }
    match (issuer.eab_key_id.is_empty(), issuer.eab_hmac_key_file.as_os_str().is_empty()) {
        (true, true) => {}
        (false, false) => {
            check_file(&format!("{setting}.eab_hmac_key_file"), &issuer.eab_hmac_key_file, problem);
        }
        _ => problem(setting, "eab_key_id and eab_hmac_key_file go together".to_owned()),
    }
    check_limits(setting, &issuer.limits, problem);
}

fn check_limits(setting: &str, limits: &IssuerLimits, problem: &mut impl FnMut(&str, String)) {
    let numbers = match limits {
        IssuerLimits::Named(name) => {
            if !["auto", "none", "letsencrypt", "letsencrypt-staging"].contains(&name.as_str()) {
                let names = "auto, letsencrypt, letsencrypt-staging, none";
                problem(setting, format!("limits {name:?} is none of {names}, and no table"));
            }
            return;
        }
        IssuerLimits::Numbers(numbers) => numbers,
    };
    for (name, number) in [
        ("new_orders", &numbers.new_orders),
        ("certificates_per_registered_domain", &numbers.certificates_per_registered_domain),
        ("certificates_per_names", &numbers.certificates_per_names),
        ("failed_authorizations", &numbers.failed_authorizations),
    ] {
        if number.as_ref().is_some_and(|number| number.count == 0 || number.hours == 0) {
            problem(setting, format!("limits.{name} needs a count and hours of at least 1"));
        }
    }
}

fn is_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// Scheme, host and perhaps a port, and nothing more (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(['/', '?', '#', '@']) && text.parse::<axum::http::Uri>().is_ok()
    })
}

fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn check_file(setting: &str, path: &Path, problem: &mut impl FnMut(&str, String)) {
    if path.as_os_str().is_empty() {
        problem(setting, "is missing".to_owned());
    } else if let Err(error) = std::fs::File::open(path) {
        problem(setting, format!("cannot read {}: {error}", path.display()));
    }
}
