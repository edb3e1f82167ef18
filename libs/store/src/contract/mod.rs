//! The cases that every backend of the [`Store`] passes: one per promise of the two traits. An operation without a
//! case does not enter them.
//!
//! A backend's test gives a fresh, empty store and calls [`store_contract!`](crate::store_contract).

#![expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a case fails by panicking")]

mod accounts;
mod answers;
mod audit;
mod certificates;
mod domains;
mod due;
mod fencing;
mod journal;
mod lifecycle;
mod list;
mod listing;
mod messages;
mod orders;
mod overview;
mod people;
mod revocations;
mod sealed;
mod transitions;
mod values;
mod work;

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    AccountId, Cause, CertificateId, CertificateSummary, Domain, DomainName, Event, EventId, EventKind,
    OrderId, Source, Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

pub use accounts::*;
pub use answers::*;
pub use audit::*;
pub use certificates::*;
pub use domains::*;
pub use due::*;
pub use fencing::*;
pub use journal::*;
pub use lifecycle::*;
pub use list::*;
pub use listing::*;
pub use messages::*;
pub use orders::*;
pub use overview::*;
pub use people::*;
pub use revocations::*;
pub use sealed::*;
pub use transitions::*;
pub use values::*;
pub use work::*;

use crate::{Account, Certificate, Result, Store, StoreError, Tx};

/// Makes one test per case. `$setup` is an async function that returns `(Arc<dyn Store>, guard)`.
#[macro_export]
macro_rules! store_contract {
    ($setup:path) => {
        $crate::store_contract!($setup:
            a_domain_comes_back_as_it_was, rows_are_written_together, a_write_on_an_old_version_is_a_conflict, what_is_dropped_leaves_nothing,
            the_list_pages_filters_and_hides_the_deleted, changes_are_the_latest_of_each_domain_and_resume,
            ended_certificates_are_found, history_is_newest_first_and_survives_a_delete,
            the_next_attempt_is_no_comparison, overlapping_writers_all_get_through,
            work_is_claimed_once_and_when_due, a_batch_claims_what_is_free, concurrent_claims_are_distinct, a_lease_that_ended_is_taken_over,
            rescheduling_revokes_a_lease, a_raised_revision_revokes_a_lease, a_cancelled_row_never_repeats_a_token,
            a_lease_is_renewed_released_and_finished, due_work_is_hinted_once_in_a_while, all_leases_can_be_freed,
            one_live_order_per_name, an_order_moves_only_from_the_state_it_was_read_in,
            an_ended_order_keeps_no_key, challenges_match_host_and_token, certificates_come_back,
            the_newest_generated_certificate_is_found, an_account_has_one_row_and_one_url,
            tokens_are_found_by_hash_and_revoked, messages_come_in_order_and_by_kind,
            a_taken_message_is_nobody_elses, a_message_can_be_delayed_buried_and_kept,
            only_a_commit_publishes,
            an_ended_lease_that_nobody_took_still_counts, a_lease_that_was_given_back_is_lost,
            a_lease_is_of_one_name_and_kind, each_claim_has_a_higher_token,
            nobody_takes_over_between_fence_and_commit, the_longest_due_comes_first,
            only_due_and_free_work_is_hinted_at, marks_of_a_dropped_transaction_do_not_count,
            a_published_hint_counts_as_told, news_is_no_hint, a_changed_row_is_hinted_at_again,
            sweeps_at_once_mark_nothing_twice, a_filtered_list_has_pages_too, a_search_is_taken_as_it_stands,
            only_listed_domains_expire, a_follower_misses_nothing_while_others_write,
            the_changes_of_one_name_resume, takers_at_once_take_distinct_messages,
            a_message_comes_again_when_its_taker_is_gone, a_former_taker_keeps_nothing, an_answer_counts_once,
            a_freed_message_cannot_be_answered, nothing_asked_is_nothing_done, every_reason_comes_back,
            every_activity_and_source_comes_back, every_kind_of_history_comes_back,
            every_kind_and_cause_comes_back, every_role_comes_back, every_event_comes_back,
            a_status_is_told_only_if_it_changed, a_deletion_and_a_new_life_are_told,
            a_transition_of_a_changed_row_is_a_conflict, of_many_orders_at_once_one_is_taken, an_end_is_an_end,
            nothing_is_seen_before_the_commit, a_domains_memory_comes_back, a_recheck_takes_each_domain_once_a_day,
            rechecks_at_once_take_distinct_domains, missing_domains_are_counted_among_the_live,
            a_renewal_point_comes_back, buckets_come_back, a_bucket_that_was_read_waits_for_its_reader,
            a_probe_is_answered_until_it_is_replaced, the_list_is_counted,
            every_sealed_key_is_found, a_sealed_key_is_replaced_as_it_was_read,
            lines_of_the_audit_log_come_back, a_line_is_sealed_once, sealers_at_once_leave_no_gap,
            people_come_back_and_are_changed, sessions_last_until_they_are_ended,
            the_certificates_of_a_name_have_pages,
            reasons_are_counted_as_they_are_shown, ends_are_counted_by_the_hour, issuance_is_counted_by_the_day,
            counts_of_writers_at_once_are_added_up, overdue_work_is_counted, a_days_recheck_is_counted,
            keys_of_deleted_names_are_destroyed, an_abandoned_order_has_no_key_to_destroy,
            what_says_nothing_any_more_is_forgotten,
            a_revocation_comes_back_and_ends_once, a_certificate_is_found_by_its_hash, a_withdrawn_certificate_says_so,
            the_key_of_an_account_changes_in_two_steps, an_account_makes_room_for_another,
            a_provider_vouches_for_people_of_its_own, an_id_token_is_used_once,
            the_list_has_every_order_and_filter, the_orders_are_what_they_say, certificates_are_searched_for,
            the_figures_are_those_of_a_recount);
    };
    ($setup:path: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let (store, _guard) = $setup().await;
                $crate::contract::$case(store).await;
            }
        )*
    };
}

fn at(second: i64) -> Timestamp {
    // With a fraction, so that a backend which keeps only seconds is found out.
    Timestamp::from_second(1_800_000_000 + second).expect("in range") + SignedDuration::from_micros(123_456)
}

fn name(label: &str) -> DomainName {
    DomainName::parse(&format!("{label}.example.com")).expect("a good name")
}

fn fresh_uuid() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::SeqCst)))
}

fn event(label: &str, kind: EventKind) -> Event {
    Event { id: EventId::from(fresh_uuid()), kind, name: name(label), revision: 1 }
}

fn work(label: &str, kind: WorkKind, due_at: Option<Timestamp>) -> Work {
    Work {
        name: name(label),
        kind,
        revision: 1,
        cause: Cause::Requested,
        attempts: 3,
        due_at,
        certificate: None,
    }
}

fn certificate(label: &str, not_after: Timestamp, source: Source) -> Certificate {
    let id = CertificateId::from(fresh_uuid());
    Certificate {
        summary: CertificateSummary {
            id,
            sha256: format!("{:064x}", id.as_uuid().as_u128()),
            serial: "0a1b".to_owned(),
            issuer: "CN=Test".to_owned(),
            not_before: at(-1000),
            not_after,
            source,
        },
        name: name(label),
        revision: 1,
        chain_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        sealed_key: Some(vec![0, 159, 146, 150]),
        created_at: at(0),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    }
}

fn account() -> Account {
    Account {
        id: AccountId::from(fresh_uuid()),
        issuer: "letsencrypt".to_owned(),
        directory_url: "https://ca.example/directory".to_owned(),
        sealed_key: vec![1, 2, 3],
        url: None,
        created_at: at(0),
        pending_key: None,
    }
}

fn order(label: &str, account: &Account) -> domain::Order {
    domain::Order {
        id: OrderId::from(fresh_uuid()),
        name: name(label),
        revision: 1,
        account: account.id,
        created_at: at(0),
        state: domain::OrderState::Created,
    }
}

/// Puts a domain on the list and returns its row as stored.
async fn add(store: &dyn Store, label: &str) -> Domain {
    let mut tx = store.begin("add").await.expect("a transaction");
    tx.insert_domain(&Domain::added(name(label), at(0)), at(0)).await.expect("inserted");
    let stored = tx.domain(&name(label)).await.expect("read").expect("there");
    tx.commit().await.expect("committed");
    stored
}

/// Writes a row and returns it as stored.
async fn update(store: &dyn Store, domain: &Domain, now: Timestamp) -> Domain {
    let mut tx = store.begin("update").await.expect("a transaction");
    tx.update_domain(domain, now).await.expect("updated");
    let stored = tx.domain(&domain.name).await.expect("read").expect("there");
    tx.commit().await.expect("committed");
    stored
}

/// Runs `work` in a transaction and commits.
async fn write<T>(store: &dyn Store, work: impl AsyncFnOnce(&mut dyn Tx) -> Result<T>) -> T {
    let mut tx = store.begin("write").await.expect("a transaction");
    let result = work(&mut *tx).await.expect("done");
    tx.commit().await.expect("committed");
    result
}

async fn schedule(store: &dyn Store, work: &Work) {
    let mut tx = store.begin("schedule").await.expect("a transaction");
    tx.schedule(work).await.expect("scheduled");
    tx.commit().await.expect("committed");
}

async fn publish(store: &dyn Store, events: &[Event], now: Timestamp) {
    let mut tx = store.begin("publish").await.expect("a transaction");
    for event in events {
        tx.publish(event, now).await.expect("published");
    }
    tx.commit().await.expect("committed");
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call returned")]
fn is_conflict<T>(result: Result<T>) -> bool {
    matches!(result, Err(StoreError::Conflict { .. }))
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call returned")]
fn is_lost<T>(result: Result<T>) -> bool {
    matches!(result, Err(StoreError::LeaseLost { .. }))
}

#[cfg(test)]
mod tests {
    /// A case that is not listed would never run, and nobody would notice.
    #[test]
    fn every_case_is_listed() {
        let sources = [
            include_str!("accounts.rs"),
            include_str!("answers.rs"),
            include_str!("audit.rs"),
            include_str!("certificates.rs"),
            include_str!("domains.rs"),
            include_str!("due.rs"),
            include_str!("fencing.rs"),
            include_str!("journal.rs"),
            include_str!("lifecycle.rs"),
            include_str!("list.rs"),
            include_str!("listing.rs"),
            include_str!("messages.rs"),
            include_str!("orders.rs"),
            include_str!("overview.rs"),
            include_str!("people.rs"),
            include_str!("revocations.rs"),
            include_str!("sealed.rs"),
            include_str!("transitions.rs"),
            include_str!("values.rs"),
            include_str!("work.rs"),
        ];
        let listed: Vec<&str> =
            include_str!("mod.rs").split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        for source in sources {
            for case in source.split("pub async fn ").skip(1) {
                let case = case.split('(').next().unwrap_or_default();
                assert!(listed.contains(&case), "{case} is not listed");
            }
        }
    }
}
