//! Checks whether its CA has revoked a certificate that is about to be uploaded, by the CA's revocation list (RFC
//! 5280 section 5).
//!
//! After a restore the database may not know of a revocation, so the CA is asked about every certificate that is not
//! fresh. The list's URL comes from the certificate, which a customer may have pasted, so it is fetched like a probe:
//! from public addresses only, limited in size, without redirects. Waiting for one list does not delay uploads that
//! need another. The list is trusted by its signature. It is cached until it ends, an hour at most, because a CA may
//! add to it at any time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dns::Nameservers;
use domain::RevocationReason;
use jiff::{SignedDuration, Timestamp};
use rehearsal::{Options, Rehearsal};
use runtime::{Config, RoleError};
use tokio::sync::Mutex as AsyncMutex;
use x509::{RevocationList, crl_urls};

/// Public CAs split their lists so that each has less than a tenth of this.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;
const MAX_LISTS: usize = 64;
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// How long a failed download is cached, so that uploads waiting for the same list share the result.
const TROUBLE_KEPT_FOR: SignedDuration = SignedDuration::from_secs(4);

/// The result of looking a certificate up in the CA's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not on the list, or there is no list (a private CA).
    NotRevoked,
    /// It is on the list.
    Revoked(RevocationReason),
    /// The list is not available.
    Unknown(String),
}

/// Fetches and caches the revocation lists of CAs.
pub(crate) struct Revocations {
    nameservers: Nameservers,
    fetch: Rehearsal,
    lists: Mutex<HashMap<Place, Arc<Slot>>>,
}

/// A list, once it was requested; locked during the request, so that concurrent uploads send only one.
type Slot = AsyncMutex<Option<CachedList>>;

/// A list's URL and the issuers of the chain that it was checked against: any certificate may contain the URL alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    url: String,
    issuers_pem: String,
}

struct CachedList {
    list: Result<RevocationList, String>,
    until: Timestamp,
}

impl Revocations {
    pub(crate) fn new(config: &Config) -> Result<Self, RoleError> {
        let nameservers = Nameservers::new(config.dns.nameservers.clone())
            .map_err(|error| RoleError::setting("dns.nameservers", error.to_string()))?;
        let options = Options {
            http_port: config.preflight.http_port,
            allow_private_addresses: config.preflight.allow_private_addresses,
            refuse_addresses: config.preflight.refuse_addresses.clone(),
        };
        let fetch =
            Rehearsal::new(options).map_err(|error| RoleError::setting("preflight", error.to_string()))?;
        Ok(Self { nameservers, fetch, lists: Mutex::default() })
    }

    /// Returns the verdict of the CA of a chain's leaf.
    pub(crate) async fn verdict(&self, chain_pem: &str, now: Timestamp) -> Verdict {
        let Some((_, issuers_pem)) = chain_pem.split_once("-----END CERTIFICATE-----") else {
            return Verdict::NotRevoked;
        };
        let mut trouble = None;
        for url in crl_urls(chain_pem) {
            let place = Place { url, issuers_pem: issuers_pem.trim().to_owned() };
            let slot = self.slot(&place, now);
            let mut kept = slot.lock().await;
            let fresh = kept.take().filter(|kept| now < kept.until);
            let found = match fresh {
                Some(found) => found,
                None => CachedList::new(self.fetched(&place.url, chain_pem, now).await, now),
            };
            match &kept.insert(found).list {
                Ok(list) => {
                    return list.revocation(chain_pem).map_or(Verdict::NotRevoked, Verdict::Revoked);
                }
                Err(why) => trouble = Some(format!("{}: {why}", place.url)),
            }
        }
        trouble.map_or(Verdict::NotRevoked, Verdict::Unknown)
    }

    fn slot(&self, place: &Place, now: Timestamp) -> Arc<Slot> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if !lists.contains_key(place) {
            make_room(&mut lists, now);
        }
        lists.entry(place.clone()).or_default().clone()
    }

    async fn fetched(&self, url: &str, chain_pem: &str, now: Timestamp) -> Result<RevocationList, String> {
        let der: Bytes = self.fetch.document(&self.nameservers, url, MAX_LIST_BYTES).await?;
        let chain_pem = chain_pem.to_owned();
        let read = tokio::task::spawn_blocking(move || RevocationList::read(&der, &chain_pem, now));
        match read.await {
            Ok(list) => list.map_err(|error| error.to_string()),
            Err(_) => Err("the revocation list could not be read".to_owned()),
        }
    }
}

impl CachedList {
    fn new(list: Result<RevocationList, String>, now: Timestamp) -> Self {
        let until = match &list {
            Ok(list) => list.next_update.min(now + KEPT_FOR),
            Err(_) => now + TROUBLE_KEPT_FOR,
        };
        Self { list, until }
    }
}

/// Lists that are being requested stay.
fn make_room(lists: &mut HashMap<Place, Arc<Slot>>, now: Timestamp) {
    let is_kept = |slot: &Arc<Slot>, until: &dyn Fn(&CachedList) -> bool| {
        slot.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(until))
    };
    if lists.len() >= MAX_LISTS {
        lists.retain(|_, slot| is_kept(slot, &|kept| now < kept.until));
    }
    if lists.len() >= MAX_LISTS {
        lists.retain(|_, slot| is_kept(slot, &|_| false));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, CrlDistributionPoint, KeyPair};
    use tokio::time::timeout;

    use super::*;

    /// A chain whose list is at that host.
    fn chain(host: &str) -> (String, Place) {
        let url = format!("http://{host}/1.crl");
        let mut params = CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url.clone()] }];
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        (pem, Place { url, issuers_pem: String::new() })
    }

    #[tokio::test]
    async fn who_waits_for_one_list_holds_up_nobody_who_needs_another() {
        let mut config = Config::default();
        // No server listens there.
        config.dns.nameservers = vec!["127.0.0.1:1".to_owned()];
        let revocations = Revocations::new(&config).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let ((waiting, place), (other, _)) = (chain("slow.example.com"), chain("other.example.com"));
        let slot = revocations.slot(&place, now);
        let _asked_for = slot.lock().await;
        let found = timeout(Duration::from_secs(30), revocations.verdict(&other, now)).await.unwrap();
        assert!(matches!(found, Verdict::Unknown(why) if why.contains("other.example.com")));
        assert!(timeout(Duration::from_millis(100), revocations.verdict(&waiting, now)).await.is_err());
        for number in 0..2 * MAX_LISTS {
            let url = format!("http://{number}.example.com/");
            revocations.slot(&Place { url, issuers_pem: String::new() }, now);
        }
        assert!(Arc::ptr_eq(&slot, &revocations.slot(&place, now)), "what is being asked for stays");
        assert!(revocations.lists.lock().unwrap().len() <= MAX_LISTS + 1);
    }
}
