//! The present and the needed DNS records, ready to be copied into a zone editor.

use domain::DomainName;
use proto::v1;

use crate::words;

/// One record to set.
pub(super) struct Record {
    pub(super) kind: String,
    pub(super) name: String,
    /// The name as most zone editors want it: without the zone, `@` for the zone itself.
    pub(super) relative: Option<String>,
    pub(super) value: String,
}

pub(super) struct Records {
    pub(super) today: String,
    pub(super) needed: Vec<Record>,
    /// The registered domain in whose zone the records are.
    pub(super) zone: String,
    /// What else there is to know, where the name is an apex.
    pub(super) apex: Option<&'static str>,
}

impl Records {
    /// None where DNS is not what blocks.
    pub(super) fn new(domain: &v1::Domain) -> Option<Self> {
        let reason = domain.reason.as_ref()?;
        let first = reason.needed.first()?;
        let name = DomainName::parse(&first.name).ok();
        let zone = name.as_ref().map_or("", DomainName::registered);
        let is_apex = name.as_ref().is_some_and(DomainName::is_apex);
        let needed = reason.needed.iter().map(|record| Record {
            kind: record.r#type.clone(),
            name: record.name.clone(),
            relative: relative(&record.name, zone),
            value: record.value.clone(),
        });
        Some(Self {
            today: reason.found.clone(),
            apex: is_apex.then(|| words::apex(&first.r#type)).flatten(),
            needed: needed.collect(),
            zone: zone.to_owned(),
        })
    }
}

fn relative(name: &str, zone: &str) -> Option<String> {
    if name == zone {
        return Some("@".to_owned());
    }
    let label = name.strip_suffix(zone)?.strip_suffix('.')?;
    (!zone.is_empty()).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(name: &str, needed: &[(&str, &str)]) -> v1::Domain {
        let needed = needed.iter().map(|(kind, value)| v1::DnsRecord {
            r#type: (*kind).to_owned(),
            name: name.to_owned(),
            value: (*value).to_owned(),
        });
        v1::Domain {
            reason: Some(v1::Reason {
                needed: needed.collect(),
                found: "203.0.113.7".to_owned(),
                ..v1::Reason::default()
            }),
            ..v1::Domain::default()
        }
    }

    #[test]
    fn a_name_is_told_as_its_zone_wants_it() {
        for (name, zone, expected) in [
            ("shop.example.co.uk", "example.co.uk", "shop"),
            ("a.shop.example.com", "example.com", "a.shop"),
            ("example.com", "example.com", "@"),
        ] {
            let records = Records::new(&blocked(name, &[("CNAME", "cdn.example.net")])).unwrap();
            assert_eq!(records.zone, zone);
            assert_eq!(records.needed[0].relative.as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_apex_is_told_what_it_can_have() {
        let apex = |needed: &[_]| Records::new(&blocked("example.com", needed)).unwrap().apex;
        assert!(apex(&[("ALIAS", "cdn.example.net")]).unwrap().contains("ALIAS"));
        let both = [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")];
        assert!(apex(&both).unwrap().contains("each of the A and AAAA"));
        assert_eq!(apex(&[("CAA", "0 issue \"letsencrypt.org\"")]), None);
        let below = blocked("shop.example.com", &[("CNAME", "cdn.example.net")]);
        assert_eq!(Records::new(&below).unwrap().apex, None);
    }

    #[test]
    fn without_dns_in_the_way_there_is_no_card() {
        assert!(Records::new(&v1::Domain::default()).is_none());
        assert!(Records::new(&blocked("shop.example.com", &[])).is_none());
    }
}
