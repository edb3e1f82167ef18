//! The customer's HTTPS switch: whether port 443 is among the ports that C4 has for a domain.
//!
//! If it was never on, the customer has to switch it on. If it was on and is off, the customer does not want HTTPS at
//! present: the domain rests, nobody has to act, and work resumes automatically once the switch is on again (ADR 25).

use std::fmt;
use std::str::FromStr;

use crate::{Activity, Domain, Facts, InvalidTransition, Reason};

/// HTTPS.
const PORT: u16 = 443;
/// The history's sentence when the switch is on again.
pub const SWITCHED_ON: &str = "HTTPS is switched on again in the CDN dashboard.";

/// The last known state of the switch at C4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpsSwitch {
    /// It was never seen on.
    #[default]
    Unknown,
    /// It is on.
    On,
    /// It was on and is off.
    Off,
}

impl HttpsSwitch {
    /// Whether it is on if C4 has these ports.
    pub fn is_on(ports: &[u16]) -> bool {
        ports.contains(&PORT)
    }

    const ALL: [Self; 3] = [Self::Unknown, Self::On, Self::Off];

    /// The word of the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// The state after `block` was found: unchanged if port 443 is missing, otherwise on.
    pub(crate) fn after(self, block: &Reason) -> Self {
        if misses_https(block) { self } else { Self::On }
    }
}

impl fmt::Display for HttpsSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HttpsSwitch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|switch| switch.as_str() == text).ok_or(())
    }
}

fn misses_https(block: &Reason) -> bool {
    matches!(block, Reason::PortMissing { missing } if missing.contains(&PORT))
}

impl Domain {
    /// Whether `block` means that the customer switched HTTPS off, after it was on.
    pub fn has_https_switched_off(&self, block: &Reason) -> bool {
        self.facts.https != HttpsSwitch::Unknown && misses_https(block)
    }

    /// The customer switched HTTPS off: the domain rests.
    pub fn https_off(self) -> Result<Self, InvalidTransition> {
        let listed = self.doing(Activity::Idle, None)?;
        let facts = Facts {
            https: HttpsSwitch::Off,
            unknown_to_c4: false,
            missing: None,
            block: None,
            dns_failing_since: None,
            ..listed.facts
        };
        Ok(Self { facts, ..listed })
    }

    /// The customer switched HTTPS on again.
    pub fn https_on(self) -> Result<Self, InvalidTransition> {
        let listed = self.listed("HTTPS on")?;
        let facts = Facts { https: HttpsSwitch::On, ..listed.facts };
        Ok(Self { facts, ..listed })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{CertificateId, DomainName, Live, Status};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn domain() -> Domain {
        Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0))
    }

    fn missing(ports: &[u16]) -> Reason {
        Reason::PortMissing { missing: ports.to_vec() }
    }

    #[test]
    fn a_switch_that_was_never_on_is_the_customers_to_mend() {
        let blocked = domain().blocked(missing(&[443])).unwrap();
        assert!(!blocked.has_https_switched_off(&missing(&[443])));
        assert_eq!((blocked.facts.https, blocked.status(at(1))), (HttpsSwitch::Unknown, Status::Failure));
    }

    #[test]
    fn a_switch_that_was_on_and_is_off_lets_the_domain_rest() {
        let seen = domain().blocked(Reason::DnssecBroken { zone: "example.com".to_owned() }).unwrap();
        assert_eq!(seen.facts.https, HttpsSwitch::On, "C4 is asked before DNS");
        assert!(!seen.has_https_switched_off(&missing(&[80])));
        let blocked = seen.clone().blocked(missing(&[80])).unwrap();
        assert_eq!(blocked.facts.https, HttpsSwitch::On);
        for ports in [&[443][..], &[80, 443]] {
            assert!(seen.has_https_switched_off(&missing(ports)));
        }
        let off = seen.https_off().unwrap();
        assert_eq!((off.status(at(1)), off.who(at(1))), (Status::Pending, None));
        assert_eq!(off.reason(), Some(Reason::HttpsOff));
        let live = Live { certificate: CertificateId::from(uuid::Uuid::nil()), not_after: at(1000) };
        let served = off.clone().uploaded(live).unwrap();
        assert_eq!(served.facts.https, HttpsSwitch::Off, "an upload says nothing of the switch");
        assert_eq!(served.status(at(999)), Status::Success);
        assert_eq!(served.status(at(1000)), Status::Pending, "nobody sees that it ended");
        assert!(!served.facts.renewal_blocked(at(999)));
        let on = served.https_on().unwrap();
        assert_eq!((on.status(at(1000)), on.reason()), (Status::Expired, None));
        assert_eq!(off.clear().unwrap().facts.https, HttpsSwitch::On);
    }
}
