//! Names and their records, and the walk along CNAMEs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, NULL};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::sync::{read, write};

const MAX_CNAMES: usize = 16;
const TTL: u32 = 0;

#[derive(Default)]
pub(super) struct State {
    zone: RwLock<Zone>,
    pub(super) queries: AtomicU64,
}

#[derive(Default)]
struct Zone {
    /// By labels from the root down, so that what is below a name is beside it.
    entries: BTreeMap<Vec<String>, Entry>,
    /// By labels from the root down: the CNAME of every name below that is not set.
    zones: BTreeMap<Vec<String>, String>,
    /// By labels from the root down: zones that fail with all that is below them.
    broken: BTreeMap<Vec<String>, Broken>,
    default_a: Option<Ipv4Addr>,
}

/// A fault of a zone.
#[derive(Clone)]
pub(super) enum Broken {
    /// Its signatures.
    Signatures,
    /// Its nameservers, of these names.
    Nameservers(Vec<String>),
}

/// A question, as far as it matters.
pub(super) struct DnsQuestion {
    pub(super) name: Name,
    pub(super) kind: RecordType,
    /// Signatures are to be checked.
    pub(super) is_checked: bool,
    /// Other nameservers may be asked.
    pub(super) is_recursive: bool,
}

#[derive(Clone, Default)]
pub(super) struct Entry {
    pub(super) a: Vec<Ipv4Addr>,
    pub(super) aaaa: Vec<Ipv6Addr>,
    pub(super) cname: Option<String>,
    /// Flags, tag, value.
    pub(super) caa: Vec<(u8, String, String)>,
    pub(super) servfail: bool,
    pub(super) servfail_for_aaaa: bool,
    pub(super) timeout: bool,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.a.is_empty()
            && self.aaaa.is_empty()
            && self.cname.is_none()
            && self.caa.is_empty()
            && !self.servfail
            && !self.servfail_for_aaaa
            && !self.timeout
    }
}

/// The answer to a question.
#[derive(Debug)]
pub(super) enum DnsAnswer {
    /// The chain, then the records that were asked for, if there are any.
    Records(Vec<Record>),
    /// The chain, to a name that does not exist.
    NoSuchName(Vec<Record>),
    /// Only a delegation to other nameservers.
    Delegation(Vec<Record>),
    ServFail,
    Timeout,
}

impl State {
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        let key = labels(name);
        let mut zone = write(&self.zone);
        let entry = zone.entries.entry(key.clone()).or_default();
        change(entry);
        if entry.is_empty() {
            zone.entries.remove(&key);
        }
    }

    pub(super) fn set_zone(&self, name: &str, target: &str) {
        write(&self.zone).zones.insert(labels(name), target.to_owned());
    }

    pub(super) fn set_default_a(&self, address: Option<Ipv4Addr>) {
        write(&self.zone).default_a = address;
    }

    pub(super) fn set_broken(&self, zone: &str, broken: Option<Broken>) {
        let key = labels(zone);
        let broken_zones = &mut write(&self.zone).broken;
        match broken {
            Some(broken) => broken_zones.insert(key, broken),
            None => broken_zones.remove(&key),
        };
    }

    pub(super) fn find(&self, asked: &DnsQuestion) -> DnsAnswer {
        let zone = read(&self.zone);
        let record_type = asked.kind;
        let mut records = Vec::new();
        let mut owner = asked.name.clone();
        if let Some(nameservers) = zone.delegation(&owner).filter(|_| !asked.is_recursive) {
            return DnsAnswer::Delegation(nameservers);
        }
        for _ in 0..MAX_CNAMES {
            match zone.broken_at(&owner) {
                Some(Broken::Signatures) if !asked.is_checked => {}
                None => {}
                Some(_) => return DnsAnswer::ServFail,
            }
            let Some(entry) = zone.entry(&owner) else {
                return if zone.has_below(&owner) {
                    DnsAnswer::Records(records)
                } else {
                    DnsAnswer::NoSuchName(records)
                };
            };
            if entry.timeout {
                return DnsAnswer::Timeout;
            }
            if entry.servfail || (entry.servfail_for_aaaa && record_type == RecordType::AAAA) {
                return DnsAnswer::ServFail;
            }
            let target = entry.cname.as_ref().filter(|_| record_type != RecordType::CNAME);
            let Some(target) = target.and_then(|target| Name::from_ascii(target).ok()) else {
                records.extend(entry.records(&owner, record_type));
                return DnsAnswer::Records(records);
            };
            let mut target = target;
            target.set_fqdn(true);
            records.push(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(target.clone()))));
            owner = target;
        }
        DnsAnswer::ServFail
    }
}

impl Zone {
    fn entry(&self, name: &Name) -> Option<Entry> {
        let name = labels(&name.to_ascii());
        let entry = self.entries.get(&name).cloned();
        entry
            .or_else(|| {
                self.zone_of(&name).map(|target| Entry { cname: Some(target.to_owned()), ..Entry::default() })
            })
            .or_else(|| self.default_a.map(|address| Entry { a: vec![address], ..Entry::default() }))
    }

    /// What every name of the innermost zone around that one leads to. A zone's own name has records of its own, and
    /// so no CNAME.
    fn zone_of(&self, name: &[String]) -> Option<&str> {
        (1..name.len()).rev().find_map(|length| self.zones.get(&name[..length])).map(String::as_str)
    }

    /// What is wrong with the innermost broken zone around that name, or of that name.
    fn broken_at(&self, name: &Name) -> Option<&Broken> {
        let name = labels(&name.to_ascii());
        (1..=name.len()).rev().find_map(|length| self.broken.get(&name[..length]))
    }

    /// The nameservers of a zone of that name that fail.
    fn delegation(&self, name: &Name) -> Option<Vec<Record>> {
        let Some(Broken::Nameservers(nameservers)) = self.broken.get(&labels(&name.to_ascii())) else {
            return None;
        };
        let targets = nameservers.iter().filter_map(|target| Name::from_ascii(target).ok());
        Some(targets.map(|target| Record::from_rdata(name.clone(), TTL, RData::NS(NS(target)))).collect())
    }

    /// Whether a name below that one exists; then so does that one (RFC 8020).
    fn has_below(&self, name: &Name) -> bool {
        let name = labels(&name.to_ascii());
        let is_below = |below: &Vec<String>| below.starts_with(&name);
        self.entries.range(name.clone()..).next().is_some_and(|(below, _)| is_below(below))
            || self.zones.range(name.clone()..).next().is_some_and(|(zone, _)| is_below(zone))
    }
}

impl Entry {
    fn records(&self, owner: &Name, record_type: RecordType) -> Vec<Record> {
        let data: Vec<RData> = match record_type {
            RecordType::A => self.a.iter().map(|address| RData::A(A(*address))).collect(),
            RecordType::AAAA => self.aaaa.iter().map(|address| RData::AAAA(AAAA(*address))).collect(),
            RecordType::CAA => self.caa.iter().map(caa).collect(),
            RecordType::CNAME => {
                let target = self.cname.as_ref().and_then(|target| Name::from_ascii(target).ok());
                target.map(|target| RData::CNAME(CNAME(target))).into_iter().collect()
            }
            _ => Vec::new(),
        };
        data.into_iter().map(|data| Record::from_rdata(owner.clone(), TTL, data)).collect()
    }
}

/// In wire form (RFC 8659 section 4.1), so that records can be made that no library would make.
fn caa((flags, tag, value): &(u8, String, String)) -> RData {
    let mut wire = vec![*flags, tag.len() as u8];
    wire.extend_from_slice(tag.as_bytes());
    wire.extend_from_slice(value.as_bytes());
    RData::Unknown { code: RecordType::CAA, rdata: NULL::with(wire) }
}

fn labels(name: &str) -> Vec<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.rsplit('.').map(str::to_owned).collect()
}
