//! Test controls of a C4.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::State;
use super::{C4Domain, StoredCertificate};
use crate::serve::LostPart;
use crate::sync::write;

/// Steers a running C4. Every setting holds until it is set again.
#[derive(Clone)]
pub struct C4Control(pub(crate) Arc<State>);

/// How uploads are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The answer's `code`.
    pub code: Option<String>,
    /// The answer's `message`.
    pub message: String,
    /// The answer's Retry-After.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// 422: understood, and not accepted.
    pub fn unprocessable(message: &str) -> Self {
        Self::with_status(422, message)
    }

    /// 503: try again.
    pub fn unavailable(retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..Self::with_status(503, "not available now") }
    }

    /// 429: try again later.
    pub fn too_many(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::with_status(429, "too many requests") }
    }

    /// Any status.
    pub fn with_status(status: u16, message: &str) -> Self {
        Self { status, code: None, message: message.to_owned(), retry_after: None }
    }
}

impl C4Control {
    /// Makes a domain known, or changes it; a certificate that it has stays.
    pub fn put_domain(&self, name: &str, domain: C4Domain) {
        self.0.put_domain(&lower(name), domain);
    }

    /// Forgets a domain and its certificate.
    pub fn remove_domain(&self, name: &str) {
        self.0.remove_domain(&lower(name));
    }

    /// The certificate that C4 holds for a domain.
    pub fn certificate(&self, name: &str) -> Option<StoredCertificate> {
        self.0.certificate(&lower(name))
    }

    /// Loses the certificate of a domain, as if it had been removed by hand.
    pub fn remove_certificate(&self, name: &str) {
        self.0.lose_certificate(&lower(name));
    }

    /// Names of the domains that C4 knows, sorted.
    pub fn domains(&self) -> Vec<String> {
        self.0.names()
    }

    /// Refuses uploads for that domain, or for all.
    pub fn refuse(&self, name: Option<&str>, refusal: Refusal) {
        write(&self.0.faults.refusals).insert(name.map(lower), refusal);
    }

    /// Ends what [`C4Control::refuse`] began for that domain, or for all.
    pub fn accept(&self, name: Option<&str>) {
        write(&self.0.faults.refusals).remove(&name.map(lower));
    }

    /// Answers 503 to everything.
    pub fn down(&self, down: bool) {
        self.0.faults.down.store(down, Ordering::Relaxed);
    }

    /// Answers 404 without a body to everything, as a misconfigured proxy would.
    pub fn answer_404_without_body(&self, on: bool) {
        self.0.faults.bare_404.store(on, Ordering::Relaxed);
    }

    /// Says by the contract that it knows no domain at all; the edges go on serving.
    pub fn known_as_unknown(&self, on: bool) {
        self.0.faults.known_as_unknown.store(on, Ordering::Relaxed);
    }

    /// Does not have the call that lists domains, which the contract leaves open.
    pub fn lists_nothing(&self, on: bool) {
        self.0.faults.lists_nothing.store(on, Ordering::Relaxed);
    }

    /// Makes a domain known, like that, when it is first asked for; none ends it.
    pub fn unknown_as_known(&self, domain: Option<C4Domain>) {
        *write(&self.0.faults.unknown_as) = domain;
    }

    /// Makes a name below that one known, like that, when it is first asked for.
    pub fn zone_as_known(&self, zone: &str, domain: C4Domain) {
        write(&self.0.zones).insert(format!(".{}", lower(zone)), domain);
    }

    /// Applies the next upload for that domain, then closes the connection without an answer.
    pub fn drop_answer_once(&self, name: &str) {
        self.0.faults.drops.wish(lower(name), LostPart::Answer);
    }

    /// Closes the connection on the next upload for that domain, which comes to nothing.
    pub fn drop_request_once(&self, name: &str) {
        self.0.faults.drops.wish(lower(name), LostPart::Request);
    }

    /// Uploads for that domain, refused ones included.
    pub fn puts(&self, name: &str) -> u64 {
        self.0.counted(&lower(name)).puts
    }

    /// Times that the domain was asked for.
    pub fn gets(&self, name: &str) -> u64 {
        self.0.counted(&lower(name)).gets
    }
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}
