//! What is left of a CA's limits, and what the CA itself says of them. How the ledger works is
//! told in [`domain::budget`].

mod shared;

use domain::DomainName;
use domain::budget::{Limit, LimitKind, Limits, failures_key, names_key, orders_key, registered_key};
use jiff::Timestamp;
use store::{Result, Tx};

pub use self::shared::{Left, SharedBucket, left, shared_buckets};

/// Stores that the CA itself said there is no room before `until`: its word counts more than our ledger. `detail` is the
/// CA's sentence, which says which limit it means. One that names no limit ("overloaded": a CA sheds load, usually at
/// 00:00 UTC) is booked on none, because it would hold up names that have nothing to do with it.
pub async fn correct(
    tx: &mut Tx,
    limits: &Limits,
    issuer: &str,
    name: &DomainName,
    detail: &str,
    until: Timestamp,
) -> Result<()> {
    let (key, limit) = match LimitKind::named_in(detail) {
        Some(LimitKind::NewOrders) => (orders_key(issuer), limits.new_orders.map(Limit::seen_late)),
        Some(LimitKind::FailedAuthorizations) => (failures_key(issuer, name), limits.failed_authorizations),
        Some(LimitKind::Names) => (names_key(issuer, name), limits.certificates_per_names),
        Some(LimitKind::RegisteredDomain) if names(detail, name.registered()) => {
            (registered_key(issuer, name), limits.certificates_per_registered_domain)
        }
        Some(LimitKind::RegisteredDomain) | None => return Ok(()),
    };
    let Some(limit) = limit else { return Ok(()) };
    let times = tx.buckets(std::slice::from_ref(&key)).await?;
    let full = limit.full_until(until);
    let at = times.first().copied().unwrap_or(full).max(full);
    tx.set_bucket(&key, at).await
}

/// Whether a sentence has that domain as a word of its own.
fn names(sentence: &str, domain: &str) -> bool {
    let is_of_a_name = |character: char| character.is_alphanumeric() || "-._".contains(character);
    let words = sentence.split(|character| !is_of_a_name(character));
    words.map(|word| word.trim_end_matches('.')).any(|word| word.eq_ignore_ascii_case(domain))
}
