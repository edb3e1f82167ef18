//! Remembered challenge responses: a bounded map that drops entries by age.

use std::collections::HashMap;

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};

/// How long a response is used without reading the store.
const FRESH_TTL: SignedDuration = SignedDuration::from_mins(1);
/// How long it is kept, for use while the store is away.
const RETENTION: SignedDuration = SignedDuration::from_hours(1);
const MAX_HOSTS: usize = 10_000;
/// An order of one name has one challenge; a few orders may overlap in the store.
const MAX_PER_HOST: usize = 16;

#[derive(Default)]
pub(crate) struct Memory {
    hosts: HashMap<DomainName, Vec<MemoryEntry>>,
}

struct MemoryEntry {
    token: String,
    key_authorization: String,
    seen_at: Timestamp,
}

/// A response from memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MemoryLookup {
    /// Seen in the store a moment ago.
    Fresh(String),
    /// To be looked up again.
    Stale(String),
}

impl Memory {
    pub(crate) fn recall(&self, host: &DomainName, token: &str, now: Timestamp) -> Option<MemoryLookup> {
        let remembered = self.hosts.get(host)?.iter().find(|remembered| remembered.token == token)?;
        let age = now.duration_since(remembered.seen_at);
        let key_authorization = || remembered.key_authorization.clone();
        if age <= FRESH_TTL {
            Some(MemoryLookup::Fresh(key_authorization()))
        } else if age <= RETENTION {
            Some(MemoryLookup::Stale(key_authorization()))
        } else {
            None
        }
    }

    /// Everything that the store has for a host, in place of what was known.
    pub(crate) fn replace(
        &mut self,
        host: &DomainName,
        responses: impl IntoIterator<Item = (String, String)>,
        now: Timestamp,
    ) {
        self.forget(host);
        for (token, key_authorization) in responses.into_iter().take(MAX_PER_HOST) {
            self.remember(host, token, key_authorization, now);
        }
    }

    pub(crate) fn remember(
        &mut self,
        host: &DomainName,
        token: String,
        key_authorization: String,
        now: Timestamp,
    ) {
        if !self.hosts.contains_key(host) && self.hosts.len() >= MAX_HOSTS {
            self.make_room(now);
        }
        let responses = self.hosts.entry(host.clone()).or_default();
        responses.retain(|remembered| remembered.token != token);
        if responses.len() >= MAX_PER_HOST {
            responses.remove(0);
        }
        responses.push(MemoryEntry { token, key_authorization, seen_at: now });
    }

    pub(crate) fn forget(&mut self, host: &DomainName) {
        self.hosts.remove(host);
    }

    pub(crate) fn forget_one(&mut self, host: &DomainName, token: &str) {
        if let Some(responses) = self.hosts.get_mut(host) {
            responses.retain(|remembered| remembered.token != token);
            if responses.is_empty() {
                self.hosts.remove(host);
            }
        }
    }

    /// Drops what is too old; if that is nothing, the host that was seen longest ago.
    fn make_room(&mut self, now: Timestamp) {
        let last_seen =
            |responses: &[MemoryEntry]| responses.iter().map(|remembered| remembered.seen_at).max();
        self.hosts.retain(|_, responses| {
            last_seen(responses).is_some_and(|seen_at| now.duration_since(seen_at) <= RETENTION)
        });
        if self.hosts.len() < MAX_HOSTS {
            return;
        }
        let oldest = self.hosts.iter().min_by_key(|(_, responses)| last_seen(responses));
        if let Some(host) = oldest.map(|(host, _)| host.clone()) {
            self.hosts.remove(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn name(number: usize) -> DomainName {
        DomainName::parse(&format!("d{number}.example.com")).unwrap()
    }

    #[test]
    fn what_is_remembered_ages() {
        let mut memory = Memory::default();
        memory.remember(&name(1), "token".into(), "answer".into(), at(0));
        let recall = |memory: &Memory, second| memory.recall(&name(1), "token", at(second));
        assert_eq!(recall(&memory, 60), Some(MemoryLookup::Fresh("answer".into())));
        assert_eq!(recall(&memory, 61), Some(MemoryLookup::Stale("answer".into())));
        assert_eq!(recall(&memory, 3600), Some(MemoryLookup::Stale("answer".into())));
        assert_eq!(recall(&memory, 3601), None);
        assert_eq!(memory.recall(&name(2), "token", at(0)), None);
        assert_eq!(memory.recall(&name(1), "other", at(0)), None);
        memory.replace(&name(1), [("new".into(), "new answer".into())], at(1));
        assert_eq!(recall(&memory, 1), None);
        memory.forget_one(&name(1), "new");
        assert!(memory.hosts.is_empty());
    }

    #[test]
    fn it_is_bounded_and_drops_the_oldest() {
        let mut memory = Memory::default();
        for number in 0..MAX_HOSTS + 5 {
            memory.remember(&name(number), "token".into(), "answer".into(), at(number as i64 / 1000));
        }
        assert_eq!(memory.hosts.len(), MAX_HOSTS);
        assert!(memory.recall(&name(MAX_HOSTS + 4), "token", at(10)).is_some());
        memory.remember(&name(MAX_HOSTS + 9), "token".into(), "answer".into(), at(4000));
        assert_eq!(memory.hosts.len(), 1, "what is too old goes at once");

        for number in 0..MAX_PER_HOST + 5 {
            memory.remember(&name(0), format!("token{number}"), "answer".into(), at(4000));
        }
        assert_eq!(memory.hosts[&name(0)].len(), MAX_PER_HOST);
    }
}
