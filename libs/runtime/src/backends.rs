//! Store and bus of a process, and their readiness: the store answers and accepts writes, the clocks agree, the
//! database role has its rights, the sealing key is the one in use, the bus moves messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use jiff::{SignedDuration, Timestamp};
use seal::{SealError, SealingKeys};
use store::{SealedPlace, Store, StoreError};
use tokio::time::{Instant, timeout_at};

use crate::{RoleName, chain};

/// For all questions together: a probe waits three seconds.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
const CLOCKS_MAY_DIFFER: SignedDuration = SignedDuration::from_secs(5);
/// Rights that are named; the others are counted.
const MAX_NAMED: usize = 3;

/// A part of the process, and what is wrong with it.
type Parts = BTreeMap<&'static str, Result<(), String>>;

/// Store, bus and sealing keys of a process.
#[derive(Clone)]
pub struct Backends {
    /// The truth.
    pub store: Arc<Store>,
    /// The hints.
    pub bus: Arc<dyn Bus>,
    /// The sealing keys, in a process that uses them.
    pub sealing_keys: Option<Arc<SealingKeys>>,
    /// The roles of this process that use them.
    pub roles: Vec<RoleName>,
}

/// The result of the checks.
#[derive(Debug, Default)]
pub struct Findings {
    /// Parts without which the process cannot work.
    pub counted: Parts,
    /// Parts that it can do without for a while.
    pub told: Parts,
}

impl Backends {
    /// Asks all of them.
    pub async fn look(&self, now: Timestamp) -> Findings {
        let until = Instant::now() + QUERY_TIMEOUT;
        let asked = async {
            tokio::join!(self.ask_store(until, now), self.ask_rights(until), self.ask_sealing_key(until))
        };
        let (store, rights, key) = Box::pin(asked).await;
        let mut findings = Findings::default();
        let needed = self.roles.iter().any(|role| !role.serves_from_memory());
        let of_backends = if needed { &mut findings.counted } else { &mut findings.told };
        of_backends.insert("store", store);
        if self.roles.iter().any(|role| role.uses_bus()) {
            of_backends.insert("bus", self.bus.trouble().map_or(Ok(()), Err));
        }
        findings.counted.extend(rights.map(|rights| ("database-rights", rights)));
        findings.counted.extend(key.map(|key| ("sealing-key", key)));
        findings
    }

    async fn ask_store(&self, until: Instant, now: Timestamp) -> Result<(), String> {
        let asked = async {
            if self.roles.iter().any(|role| role.writes()) {
                self.store.check_writes().await?;
            }
            self.store.clock().await
        };
        let theirs = match timeout_at(until, asked).await {
            Ok(Ok(theirs)) => theirs,
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => {
                let refused = self.store.why_refused().await;
                return Err(refused.map_or_else(|| "no answer in time".to_owned(), |error| chain(&error)));
            }
        };
        theirs.map_or(Ok(()), |theirs| compare_clocks(now, theirs))
    }

    /// Whether the database role has its rights; none while the database cannot say so, which the store's line tells.
    async fn ask_rights(&self, until: Instant) -> Option<Result<(), String>> {
        let roles: Vec<&str> = self.roles.iter().filter_map(|role| role.database_role()).collect();
        let missing = timeout_at(until, self.store.missing_rights(&roles)).await.ok()?.ok()?;
        Some(if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("the database role {}", lack_in_words(&missing)))
        })
    }

    /// Whether what was sealed last can be opened; none where nothing is sealed here, or the database cannot say.
    async fn ask_sealing_key(&self, until: Instant) -> Option<Result<(), String>> {
        let keys = self.sealing_keys.as_ref()?;
        let mut places = vec![SealedPlace::Certificates];
        if self.roles.contains(&RoleName::Issuer) {
            places.push(SealedPlace::Accounts);
        }
        timeout_at(until, check_sealing_keys(&self.store, keys, &places)).await.ok()?.ok()
    }
}

/// Whether the sealing key of what was sealed last in each of these places is at hand.
pub async fn check_sealing_keys(
    store: &Store,
    keys: &SealingKeys,
    places: &[SealedPlace],
) -> Result<Result<(), String>, StoreError> {
    for place in places {
        let Some(sealed) = store.newest_sealed(*place).await? else { continue };
        if let Err(error @ SealError::UnknownKey(_)) = keys.has_key_of(&sealed).await {
            return Ok(Err(format!(
                "{error} (keys.sealing_key_file); the newest row of {} needs it",
                place.as_str()
            )));
        }
    }
    Ok(Ok(()))
}

/// What a database role lacks, and how to grant it.
pub fn lack_in_words(missing: &[String]) -> String {
    let named = missing.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match missing.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("lacks {named}{more}: run `ssl-manager db migrate` as the owner of the tables")
}

/// Whether a lease ends at nearly the same moment for all processes: each compares it with its own clock.
fn compare_clocks(ours: Timestamp, theirs: Timestamp) -> Result<(), String> {
    let apart = ours.duration_since(theirs).abs();
    if apart <= CLOCKS_MAY_DIFFER {
        return Ok(());
    }
    let seconds = apart.as_secs();
    Err(format!("the database's clock and this machine's are {seconds} s apart: set the clock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_five_seconds_are_a_reason() {
        let at = |second| Timestamp::from_second(1_800_000_000 + second).unwrap();
        for agree in [0, 5, -5] {
            assert_eq!(compare_clocks(at(agree), at(0)), Ok(()), "{agree}");
        }
        for differ in [6_i64, -6, 86_400] {
            let reason = compare_clocks(at(differ), at(0)).unwrap_err();
            assert!(reason.contains(&format!("{} s apart", differ.abs())), "{reason}");
        }
    }

    #[test]
    fn many_missing_rights_are_counted() {
        let rights: Vec<String> = (1..=5).map(|number| format!("SELECT on t{number}")).collect();
        assert!(lack_in_words(&rights[..1]).starts_with("lacks SELECT on t1: run "));
        assert!(lack_in_words(&rights).contains("t1, SELECT on t2, SELECT on t3 and 2 more: run "));
    }
}
