//! Asks, before an order is placed, whether it can succeed. An order that must fail costs the CA's budget and tells
//! the customer nothing that C4 and DNS do not say at once.
//!
//! Three kinds of answer: fine, will fail (with the reason), could not ask. The last is not a failure.

use c4::{C4Client, C4Error, C4Options};
use dns::{Nameservers, Pointing, Targets};
use domain::{DomainName, Reason};
use runtime::{Config, RoleError};

/// The ports a domain must have: HTTP for the challenge; HTTPS is the customer's switch.
const NEEDED_PORTS: [u16; 2] = [80, 443];

/// What preflight says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An order can succeed.
    Fine,
    /// It cannot, because of that.
    Blocked(Reason),
    /// C4 does not know the domain.
    UnknownToC4,
    /// A question got no answer.
    CouldNotAsk(String),
}

pub(crate) struct Preflight {
    c4: C4Client,
    nameservers: Nameservers,
    targets: Targets,
    apex_addresses: Vec<String>,
}

impl Preflight {
    pub(crate) fn new(config: &Config) -> Result<Self, RoleError> {
        let c4 = C4Client::new(C4Options {
            base_url: config.c4.base_url.clone(),
            token: config.c4.bearer_token()?,
            root_certificate_pem: config.c4.root_certificate_pem()?,
        })
        .map_err(|error| RoleError::setting("c4.base_url", error.to_string()))?;
        let nameservers = Nameservers::new(config.dns.nameservers.clone())
            .map_err(|error| RoleError::setting("dns.nameservers", error.to_string()))?;
        let targets = Targets {
            cname_targets: config.cdn.cname_targets.clone(),
            addresses: config.cdn.addresses.clone(),
        };
        Ok(Self {
            c4,
            nameservers,
            targets,
            apex_addresses: config.cdn.apex_addresses.clone(),
        })
    }

    pub(crate) async fn ask(&self, name: &DomainName) -> Verdict {
        let known = match self.c4.domain(name).await {
            Ok(Some(known)) => known,
            Ok(None) | Err(C4Error::UnknownDomain) => return Verdict::UnknownToC4,
            Err(error) => return Verdict::CouldNotAsk(format!("C4: {error}")),
        };
        let missing: Vec<u16> = NEEDED_PORTS
            .into_iter()
            .filter(|port| !known.ports.contains(port))
            .collect();
        if !missing.is_empty() {
            return Verdict::Blocked(Reason::PortMissing { missing });
        }
        let mut targets = self.targets.clone();
        if !known.cname.is_empty() && !targets.cname_targets.contains(&known.cname) {
            targets.cname_targets.push(known.cname);
        }
        match self.nameservers.pointing(name, &targets).await {
            Ok(Pointing::AtUs) => Verdict::Fine,
            Ok(Pointing::Elsewhere { found }) => Verdict::Blocked(Reason::NotPointed {
                target: self.wanted(name, &targets),
                found,
            }),
            Err(error) => Verdict::CouldNotAsk(format!("DNS: {error}")),
        }
    }

    /// What the customer has to set: a CNAME, or addresses where the name is an apex, which cannot have one.
    fn wanted(&self, name: &DomainName, targets: &Targets) -> String {
        if name.is_apex() && !self.apex_addresses.is_empty() {
            return self.apex_addresses.join(" and ");
        }
        targets
            .cname_targets
            .last()
            .cloned()
            .unwrap_or_else(|| self.apex_addresses.join(" and "))
    }
}
