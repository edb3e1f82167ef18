//! Domains and their certificates.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use rustls::sign::CertifiedKey;

use super::certificate::CheckedCertificate;
use super::control::Refusal;
use super::{C4Domain, StoredCertificate};
use crate::serve::PlannedLosses;
use crate::sync::{lock, read, write};

pub(crate) struct State {
    pub(super) token: String,
    pub(super) admin: bool,
    domains: RwLock<HashMap<String, Entry>>,
    /// By the end of a name, with its dot: what unknown names with that end are.
    pub(super) zones: RwLock<HashMap<String, C4Domain>>,
    pub(super) faults: Faults,
    counts: Mutex<HashMap<String, Count>>,
}

struct Entry {
    domain: C4Domain,
    /// The highest that an upload or removal had.
    revision: i64,
    held: Option<HeldCertificate>,
}

#[derive(Clone)]
struct HeldCertificate {
    stored: Arc<StoredCertificate>,
    key: Arc<CertifiedKey>,
}

/// The result of a change to a domain's certificate.
pub(super) enum Outcome {
    Done,
    UnknownDomain,
    Stale,
    /// The idempotency key was used for another certificate.
    KeyReused,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) down: AtomicBool,
    pub(super) bare_404: AtomicBool,
    pub(super) known_as_unknown: AtomicBool,
    /// It does not have the call that lists domains.
    pub(super) lists_nothing: AtomicBool,
    pub(super) unknown_as: RwLock<Option<C4Domain>>,
    /// By name; none is all.
    pub(super) refusals: RwLock<HashMap<Option<String>, Refusal>>,
    pub(super) drops: PlannedLosses<String>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) gets: u64,
    pub(super) puts: u64,
}

impl State {
    pub(super) fn new(token: String, admin: bool) -> Self {
        Self {
            token,
            admin,
            domains: RwLock::default(),
            zones: RwLock::default(),
            faults: Faults::default(),
            counts: Mutex::default(),
        }
    }

    /// Keeps the certificate of a domain that is there.
    pub(super) fn put_domain(&self, name: &str, domain: C4Domain) {
        let mut domains = write(&self.domains);
        match domains.get_mut(name) {
            Some(entry) => entry.domain = domain,
            None => {
                domains.insert(name.to_owned(), Entry { domain, revision: 0, held: None });
            }
        }
    }

    pub(super) fn remove_domain(&self, name: &str) {
        write(&self.domains).remove(name);
    }

    /// A domain and its certificate. An unknown one becomes known if that is what all unknown ones are.
    pub(super) fn domain(&self, name: &str) -> Option<(C4Domain, Option<Arc<StoredCertificate>>)> {
        if self.faults.known_as_unknown.load(Ordering::Relaxed) {
            return None;
        }
        self.adopt(name);
        let domains = read(&self.domains);
        let entry = domains.get(name)?;
        Some((entry.domain.clone(), entry.held.as_ref().map(|held| held.stored.clone())))
    }

    pub(super) fn certificate(&self, name: &str) -> Option<StoredCertificate> {
        let domains = read(&self.domains);
        let held = domains.get(name)?.held.as_ref()?;
        Some(StoredCertificate::clone(&held.stored))
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = read(&self.domains).keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Domains after a name, in order.
    pub(super) fn after(&self, after: &str, limit: usize) -> Vec<(String, Option<Arc<StoredCertificate>>)> {
        let domains = read(&self.domains);
        let mut names: Vec<&String> = domains.keys().filter(|name| name.as_str() > after).collect();
        names.sort_unstable();
        names.truncate(limit);
        let stored = |name: &String| domains[name].held.as_ref().map(|held| held.stored.clone());
        names.into_iter().map(|name| (name.clone(), stored(name))).collect()
    }

    fn adopt(&self, name: &str) {
        let of_all = read(&self.faults.unknown_as).clone();
        let domain = of_all.or_else(|| {
            let zones = read(&self.zones);
            let zone = zones.iter().find(|(end, _)| name.ends_with(end.as_str()));
            zone.map(|(_, domain)| domain.clone())
        });
        if let Some(domain) = domain
            && !read(&self.domains).contains_key(name)
        {
            self.put_domain(name, domain);
        }
    }

    pub(super) fn put_certificate(&self, name: &str, checked: CheckedCertificate) -> Outcome {
        self.change(name, checked.stored.revision, |entry| {
            let CheckedCertificate { stored, key } = checked;
            if let Some(held) = &entry.held
                && held.stored.idempotency_key == stored.idempotency_key
                && held.stored.sha256 != stored.sha256
            {
                return Outcome::KeyReused;
            }
            entry.held = Some(HeldCertificate { stored: Arc::new(stored), key });
            Outcome::Done
        })
    }

    pub(super) fn remove_certificate(&self, name: &str, revision: i64) -> Outcome {
        self.change(name, revision, |entry| {
            entry.held = None;
            Outcome::Done
        })
    }

    pub(super) fn lose_certificate(&self, name: &str) {
        if let Some(entry) = write(&self.domains).get_mut(name) {
            entry.held = None;
        }
    }

    fn change(&self, name: &str, revision: i64, change: impl FnOnce(&mut Entry) -> Outcome) -> Outcome {
        if self.faults.known_as_unknown.load(Ordering::Relaxed) {
            return Outcome::UnknownDomain;
        }
        self.adopt(name);
        let mut domains = write(&self.domains);
        let Some(entry) = domains.get_mut(name) else {
            return Outcome::UnknownDomain;
        };
        if revision < entry.revision {
            return Outcome::Stale;
        }
        let outcome = change(entry);
        if matches!(outcome, Outcome::Done) {
            entry.revision = revision;
        }
        outcome
    }

    /// What the edges serve for a name.
    pub(crate) fn key_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        read(&self.domains).get(name)?.held.as_ref().map(|held| held.key.clone())
    }

    /// What the edges serve for all names.
    pub(crate) fn keys(&self) -> HashMap<String, Arc<CertifiedKey>> {
        let domains = read(&self.domains);
        let held = domains.iter().filter_map(|(name, entry)| Some((name, entry.held.as_ref()?)));
        held.map(|(name, held)| (name.clone(), held.key.clone())).collect()
    }

    pub(super) fn count(&self, name: &str, add: impl FnOnce(&mut Count)) {
        add(lock(&self.counts).entry(name.to_owned()).or_default());
    }

    pub(super) fn counted(&self, name: &str) -> Count {
        lock(&self.counts).get(name).copied().unwrap_or_default()
    }
}
