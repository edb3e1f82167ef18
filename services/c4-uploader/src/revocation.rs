//! Whether its CA has revoked a certificate that is about to be uploaded, by the CA's list (RFC 5280 section 5).
//!
//! After a restore the database may not know; so the CA is asked for whatever is not fresh. The list's URL stands in the
//! certificate, which a customer may have pasted, so it is fetched like a probe: from the internet alone, bounded, without
//! redirects. It is believed for its signature. It is kept until it ends, an hour at most, because a CA adds to it any time.

use std::collections::HashMap;

use bytes::Bytes;
use dns::Nameservers;
use domain::RevocationReason;
use jiff::{SignedDuration, Timestamp};
use rehearsal::{Options, Rehearsal};
use runtime::{Config, RoleError};
use tokio::sync::Mutex;
use x509::{RevocationList, crl_urls};

/// Lists of public CAs are cut so that each has less than a tenth of this.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;
const MAX_LISTS: usize = 64;
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Uploads that wait together for a list that cannot be had are told together.
const TROUBLE_KEPT_FOR: SignedDuration = SignedDuration::from_secs(4);

/// What a CA's list says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not on the list, or there is no list: a private CA's.
    NotRevoked,
    /// It is on the list.
    Revoked(RevocationReason),
    /// The list cannot be had.
    Unknown(String),
}

/// Asks CAs for their lists.
pub(crate) struct Revocations {
    nameservers: Nameservers,
    fetch: Rehearsal,
    lists: Mutex<HashMap<Place, Kept>>,
}

/// A list's URL and the issuers of the chain that it was checked against: the URL alone may stand in anybody's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    url: String,
    issuers_pem: String,
}

struct Kept {
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

    /// What the CA of a chain's leaf says of it.
    pub(crate) async fn verdict(&self, chain_pem: &str, now: Timestamp) -> Verdict {
        let Some((_, issuers_pem)) = chain_pem.split_once("-----END CERTIFICATE-----") else {
            return Verdict::NotRevoked;
        };
        let mut trouble = None;
        for url in crl_urls(chain_pem) {
            let place = Place { url, issuers_pem: issuers_pem.trim().to_owned() };
            let mut lists = self.lists.lock().await;
            if lists.get(&place).is_none_or(|kept| kept.until <= now) {
                let list = self.fetched(&place.url, chain_pem, now).await;
                make_room(&mut lists, now);
                lists.insert(place.clone(), Kept::new(list, now));
            }
            match lists.get(&place).map(|kept| &kept.list) {
                Some(Ok(list)) => {
                    return list.revocation(chain_pem).map_or(Verdict::NotRevoked, Verdict::Revoked);
                }
                Some(Err(why)) => trouble = Some(format!("{}: {why}", place.url)),
                None => {}
            }
        }
        trouble.map_or(Verdict::NotRevoked, Verdict::Unknown)
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

impl Kept {
    fn new(list: Result<RevocationList, String>, now: Timestamp) -> Self {
        let until = match &list {
            Ok(list) => list.next_update.min(now + KEPT_FOR),
            Err(_) => now + TROUBLE_KEPT_FOR,
        };
        Self { list, until }
    }
}

fn make_room(lists: &mut HashMap<Place, Kept>, now: Timestamp) {
    if lists.len() >= MAX_LISTS {
        lists.retain(|_, kept| now < kept.until);
    }
    if lists.len() >= MAX_LISTS {
        lists.clear();
    }
}
