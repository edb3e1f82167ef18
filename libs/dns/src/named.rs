//! Nameservers given by name, as in Compose and Kubernetes: looked up when they are first needed, and again when they
//! do not answer, because they may have moved to another address.

use std::net::IpAddr;
use std::sync::Arc;

use domain::DomainName;
use tokio::sync::Mutex;

use crate::{Applicant, Caa, CouldNotAsk, DnsError, Failed, Pointing, Resolver, Targets, Trouble};

/// Asks nameservers, given as `host:port`; the system's if there are none.
pub struct Nameservers {
    names: Vec<String>,
    resolver: Mutex<Option<Arc<Resolver>>>,
}

impl Nameservers {
    /// Nothing is asked yet. Must be called within a tokio runtime.
    pub fn new(names: Vec<String>) -> Result<Self, DnsError> {
        let resolver = if names.is_empty() { Some(Arc::new(Resolver::new(&[])?)) } else { None };
        Ok(Self { names, resolver: Mutex::new(resolver) })
    }

    /// Asks where a name leads.
    pub async fn pointing(&self, name: &DomainName, targets: &Targets) -> Result<Pointing, CouldNotAsk> {
        let answer = self.resolver().await?.pointing(name, targets).await;
        self.look_up_again_if(answer.is_err()).await;
        answer
    }

    /// Asks whether the CAA records of a name let the applicant have a certificate for it (RFC 8659 section 3).
    pub async fn caa(
        &self,
        name: &DomainName,
        applicant: &Applicant<'_>,
        targets: &Targets,
    ) -> Result<Caa, CouldNotAsk> {
        let answer = self.resolver().await?.caa(name, applicant, targets).await;
        self.look_up_again_if(answer.is_err()).await;
        answer
    }

    /// Asks why a question failed, as [`Resolver::trouble`] does.
    pub async fn trouble(&self, failed: &Failed) -> Result<Trouble, CouldNotAsk> {
        Ok(self.resolver().await?.trouble(failed).await)
    }

    async fn look_up_again_if(&self, unanswered: bool) {
        if unanswered && !self.names.is_empty() {
            *self.resolver.lock().await = None;
        }
    }

    /// Asks for the addresses of a name, as [`Resolver::addresses`] does.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, CouldNotAsk> {
        let answer = self.resolver().await?.addresses(host).await;
        if answer.is_err() && !self.names.is_empty() {
            *self.resolver.lock().await = None;
        }
        answer
    }

    async fn resolver(&self) -> Result<Arc<Resolver>, CouldNotAsk> {
        let mut slot = self.resolver.lock().await;
        if let Some(resolver) = &*slot {
            return Ok(resolver.clone());
        }
        let mut addresses = Vec::new();
        for name in &self.names {
            match tokio::net::lookup_host(name.as_str()).await {
                Ok(found) => addresses.extend(found),
                Err(error) => tracing::warn!(nameserver = name, %error, "nameserver not found"),
            }
        }
        if addresses.is_empty() {
            let detail = format!("no nameserver is found: {}", self.names.join(", "));
            return Err(CouldNotAsk::new(detail));
        }
        let resolver = Resolver::new(&addresses).map_err(|error| CouldNotAsk::new(error.to_string()))?;
        Ok(slot.insert(Arc::new(resolver)).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_nameserver_that_has_no_address_could_not_be_asked() {
        let nameservers = Nameservers::new(vec!["nowhere.invalid:53".to_owned()]).unwrap();
        let name = DomainName::parse("shop.example.com").unwrap();
        let refused = nameservers.pointing(&name, &Targets::default()).await.unwrap_err();
        assert!(refused.detail.contains("nowhere.invalid:53"), "{refused}");
    }
}
