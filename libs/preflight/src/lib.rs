//! Checks whether an order can succeed: before one is placed, and on request without placing one. An order that must
//! fail costs the CA's budget and tells the customer nothing that C4, DNS and the challenge path do not say at once.
//!
//! Three kinds of answer: fine, will fail (with the reason), could not ask. The last is not a failure.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use c4::{C4Client, C4Error, C4Options, C4Token};
use dns::{Applicant, Caa, CouldNotAsk, Failed, Nameservers, Pointing, Targets, Trouble};
use domain::{Clock, Closed, DomainName, Entropy, Found as FoundInDns, Gate, Pause, Reason};
use jiff::Timestamp;
use rehearsal::{Options, Rehearsal, Rehearsed};
use runtime::config::KnownProxy;
use runtime::{Config, RoleError};
use zeroize::Zeroizing;

mod doubt;
mod proxy;

use crate::doubt::Doubt;

/// The ports a domain must have: HTTP for the challenge; HTTPS is the customer's switch.
const NEEDED_PORTS: [u16; 2] = [80, 443];
/// The one way in which we prove ownership, as CAA calls it (RFC 8657 section 4).
const METHOD: &str = "http-01";

/// The result of preflight.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// An order can succeed.
    Fine(T),
    /// It cannot, because of that.
    Blocked(Reason),
    /// C4 does not know the domain.
    UnknownToC4,
    /// A question got no answer.
    CouldNotAsk(String),
    /// C4 was not asked, because an operator has paused requests to it.
    Paused(Box<Pause>),
    /// The nameserver that was asked could not find out: the domain's own may be what is broken.
    DnsFails(DnsFails),
}

/// A question to DNS that was answered by SERVFAIL.
#[derive(Debug, PartialEq, Eq)]
pub struct DnsFails {
    /// The query and its error.
    pub detail: String,
    failed: Failed,
}

/// The result if all checks pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// DNS's answer, to see later whether it changed.
    pub dns: String,
}

/// The probe that a rehearsal has to find.
#[derive(Debug)]
pub struct Probe {
    /// The last part of the path.
    pub token: String,
    /// The body of the right answer.
    pub answer: String,
}

/// C4's answer about a known domain, as far as it is needed.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// The domain's own CNAME target; empty if C4 names none.
    pub cname: String,
}

/// Asks.
pub struct Preflight {
    c4: C4Client,
    nameservers: Nameservers,
    targets: Targets,
    apex_addresses: Vec<IpAddr>,
    proxies: Vec<KnownProxy>,
    /// None where it is switched off.
    rehearsal: Option<Rehearsal>,
    doubt: Doubt,
}

impl Preflight {
    /// With what the settings say of C4, DNS, the CDN and the rehearsal.
    pub fn new(config: &Config) -> Result<Self, RoleError> {
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
        let options = Options {
            http_port: config.preflight.http_port,
            allow_private_addresses: config.preflight.allow_private_addresses,
            refuse_addresses: config.preflight.refuse_addresses.clone(),
        };
        let rehearsal = config.preflight.rehearsal.then(|| Rehearsal::new(options));
        let rehearsal = rehearsal
            .transpose()
            .map_err(|error| RoleError::setting("preflight.rehearsal", error.to_string()))?;
        Ok(Self {
            c4,
            nameservers,
            targets,
            apex_addresses: config.cdn.apex_addresses.clone(),
            proxies: config.preflight.proxies.clone(),
            rehearsal,
            doubt: Doubt::default(),
        })
    }

    /// The same, with a gate that is asked before each request to C4.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { c4: self.c4.behind(gate), ..self }
    }

    /// The token of the client that asks C4, to be replaced.
    pub fn c4_token(&self) -> C4Token {
        self.c4.token()
    }

    /// Asks C4 and DNS.
    pub async fn ask(&self, name: &DomainName) -> Verdict<Found> {
        match self.known(name).await {
            Verdict::Fine(known) => self.pointed(name, &known).await,
            Verdict::Blocked(reason) => Verdict::Blocked(reason),
            Verdict::UnknownToC4 => Verdict::UnknownToC4,
            Verdict::CouldNotAsk(detail) => Verdict::CouldNotAsk(detail),
            Verdict::Paused(pause) => Verdict::Paused(pause),
            Verdict::DnsFails(fails) => Verdict::DnsFails(fails),
        }
    }

    /// Why DNS fails, as it has done `since`, if the domain's owner has to mend it: broken signatures do not mend themselves, nameservers often do.
    pub async fn why_dns_fails(&self, fails: &DnsFails, since: Option<Timestamp>) -> Option<Reason> {
        match self.nameservers.trouble(&fails.failed).await {
            Ok(Trouble::Signatures { zone }) => Some(Reason::DnssecBroken { zone }),
            Ok(Trouble::Nameservers { zone, nameservers }) => {
                Some(Reason::DnsBroken { zone, nameservers: nameservers.join(", "), since })
            }
            Ok(Trouble::Ours) | Err(_) => None,
        }
    }

    /// Asks C4 whether it knows the domain, with the ports that are needed.
    pub async fn known(&self, name: &DomainName) -> Verdict<Known> {
        let known = match self.c4.domain(name).await {
            Ok(Some(known)) => known,
            Ok(None) | Err(C4Error::UnknownDomain) => return Verdict::UnknownToC4,
            Err(C4Error::NotSent(Closed::Paused(pause))) => return Verdict::Paused(pause),
            Err(error) => return Verdict::CouldNotAsk(format!("C4: {error}")),
        };
        let missing: Vec<u16> = NEEDED_PORTS.into_iter().filter(|port| !known.ports.contains(port)).collect();
        if !missing.is_empty() {
            return Verdict::Blocked(Reason::PortMissing { missing });
        }
        Verdict::Fine(Known { cname: known.cname })
    }

    /// Asks DNS whether the domain leads to the CDN.
    pub async fn pointed(&self, name: &DomainName, known: &Known) -> Verdict<Found> {
        let mut targets = self.targets.clone();
        if !known.cname.is_empty() && !targets.cname_targets.contains(&known.cname) {
            targets.cname_targets.push(known.cname.clone());
        }
        match self.nameservers.pointing(name, &targets).await {
            Ok(Pointing::AtUs { found }) => Verdict::Fine(Found { dns: found }),
            Ok(Pointing::Elsewhere { found }) => Verdict::Blocked(self.not_pointed(name, &targets, found)),
            Ok(Pointing::ForeignAaaa { found }) => {
                let ours = self.apex_addresses.iter().copied().filter(IpAddr::is_ipv6);
                Verdict::Blocked(Reason::WrongAaaa { found, ours: ours.collect() })
            }
            Err(error) => unanswered(error),
        }
    }

    /// Asks whether CAA permits a CA that answers to `identities`, with our account there if there is one yet. `found` says
    /// where the name leads.
    pub async fn caa(
        &self,
        name: &DomainName,
        found: &Found,
        identities: &[String],
        account_url: Option<&str>,
    ) -> Verdict<()> {
        let applicant = Applicant { identities, method: METHOD, account_url };
        let mut targets = self.targets.clone();
        targets.cname_targets.push(found.dns.clone());
        let wanted = || identities.first().cloned().unwrap_or_default();
        match self.nameservers.caa(name, &applicant, &targets).await {
            Ok(Caa::Permits) => Verdict::Fine(()),
            Ok(Caa::Forbids { at, found, at_target: false }) => {
                Verdict::Blocked(Reason::CaaForbids { at, found, wanted: wanted() })
            }
            Ok(Caa::Forbids { at, found, at_target: true }) => {
                Verdict::Blocked(Reason::CdnCaaForbids { at, found, wanted: wanted() })
            }
            Err(error) => unanswered(error),
        }
    }

    /// What the rehearsal has to find; none where it is switched off.
    pub fn probe(&self, entropy: &dyn Entropy) -> Option<Probe> {
        let random = || {
            let mut bytes = Zeroizing::new([0; 32]);
            entropy.fill(&mut *bytes);
            BASE64_URL_SAFE_NO_PAD.encode(*bytes)
        };
        self.rehearsal.as_ref().map(|_| Probe { token: random(), answer: random() })
    }

    /// Fetches the probe as a CA would.
    pub async fn rehearse(&self, name: &DomainName, probe: &Probe, clock: &dyn Clock) -> Verdict<()> {
        let Some(rehearsal) = &self.rehearsal else {
            return Verdict::Fine(());
        };
        let fetched = rehearsal.fetch(&self.nameservers, name, &probe.token, &probe.answer).await;
        match fetched {
            Rehearsed::Right => {
                self.doubt.note(name, true, clock.now());
                Verdict::Fine(())
            }
            Rehearsed::Wrong { found } if self.doubt.note(name, false, clock.now()) => {
                Verdict::CouldNotAsk(format!("{found}, as at so many domains that the rehearsal is doubted"))
            }
            Rehearsed::Wrong { found } => Verdict::Blocked(Reason::ChallengeUnreachable { found }),
            Rehearsed::CouldNotAsk { detail } => Verdict::CouldNotAsk(detail),
        }
    }

    /// What is there and what the customer has to set: a CNAME, or addresses where the name is an apex, which cannot have
    /// one.
    fn not_pointed(&self, name: &DomainName, targets: &Targets, found: FoundInDns) -> Reason {
        let target = targets.cname_targets.last().cloned().unwrap_or_default();
        let needs_addresses = name.is_apex() || target.is_empty();
        Reason::NotPointed {
            target,
            addresses: if needs_addresses { self.apex_addresses.clone() } else { Vec::new() },
            proxy: proxy::of(&self.proxies, &found),
            found,
        }
    }
}

fn unanswered<T>(CouldNotAsk { detail, failed }: CouldNotAsk) -> Verdict<T> {
    let detail = format!("DNS: {detail}");
    match failed {
        Some(failed) => Verdict::DnsFails(DnsFails { detail, failed }),
        None => Verdict::CouldNotAsk(detail),
    }
}
