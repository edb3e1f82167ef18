//! Test controls of the DNS.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::records::{Broken, Entry, State};

/// Sets records and faults of a running DNS server. A name exists from its first record or fault to its removal.
#[derive(Clone)]
pub struct DnsControl(pub(super) Arc<State>);

impl DnsControl {
    /// The A records of a name.
    pub fn set_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.0.change(name, |entry| addresses.clone_into(&mut entry.a));
    }

    /// The AAAA records of a name.
    pub fn set_aaaa(&self, name: &str, addresses: &[Ipv6Addr]) {
        self.0.change(name, |entry| addresses.clone_into(&mut entry.aaaa));
    }

    /// The CNAME of a name. What else the name has is hidden by it.
    pub fn set_cname(&self, name: &str, target: &str) {
        self.0.change(name, |entry| entry.cname = Some(target.to_owned()));
    }

    /// The CNAME of every name below that one that has no records of its own.
    pub fn set_zone(&self, name: &str, target: &str) {
        self.0.set_zone(name, target);
    }

    /// The CAA records of a name: flags, tag, value.
    pub fn set_caa(&self, name: &str, records: Vec<(u8, &str, &str)>) {
        let records =
            records.into_iter().map(|(flags, tag, value)| (flags, tag.to_owned(), value.to_owned()));
        self.0.change(name, |entry| entry.caa = records.collect());
    }

    /// Takes all records and faults from a name.
    pub fn remove(&self, name: &str) {
        self.0.change(name, |entry| *entry = Entry::default());
    }

    /// Answers SERVFAIL to questions that lead to that name.
    pub fn servfail(&self, name: &str, on: bool) {
        self.0.change(name, |entry| entry.servfail = on);
    }

    /// Answers SERVFAIL to questions for AAAA records that lead to that name, as nameservers do that know only A.
    pub fn servfail_for_aaaa(&self, name: &str, on: bool) {
        self.0.change(name, |entry| entry.servfail_for_aaaa = on);
    }

    /// Answers SERVFAIL to questions that lead to that zone or below, unless they ask for no check of signatures: the
    /// zone's DNSSEC is broken.
    pub fn break_signatures(&self, zone: &str, on: bool) {
        self.0.set_broken(zone, on.then_some(Broken::Signatures));
    }

    /// Answers SERVFAIL to questions that lead to that zone or below: its nameservers, which have these names, are away.
    /// With none they are back.
    pub fn break_nameservers(&self, zone: &str, nameservers: Option<&[&str]>) {
        let names = nameservers.map(|names| names.iter().map(ToString::to_string).collect());
        self.0.set_broken(zone, names.map(Broken::Nameservers));
    }

    /// Leaves questions that lead to that name without an answer.
    pub fn timeout(&self, name: &str, on: bool) {
        self.0.change(name, |entry| entry.timeout = on);
    }

    /// The A record of every name that is not set; with none such names do not exist.
    pub fn default_a(&self, address: Option<Ipv4Addr>) {
        self.0.set_default_a(address);
    }

    /// Questions so far.
    pub fn queries(&self) -> u64 {
        self.0.queries.load(Ordering::Relaxed)
    }
}
