//! The contract of the [`store::Store`]: one case per promise of its methods, run on SQLite and on PostgreSQL.
//!
//! A case is a `pub async fn` of a [`kit::Case`] in a file of this folder and a name in the list below. There is one
//! list, from which both databases' tests are made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "what is `pub` is a case, or of the kit")]

mod accounts;
mod audit;
mod audit_search;
mod batches;
mod certificates;
mod challenges;
mod domains;
mod due;
mod fencing;
mod figures;
mod groups;
mod jobs;
mod kit;
mod labels;
mod ledger;
mod list;
mod listing;
mod lives;
mod messages;
mod midnights;
mod notes;
mod order_steps;
mod orders;
mod pauses;
mod recheck;
mod restore;
mod retention;
mod revocations;
mod sealed;
mod steps;
mod tokens;
mod transitions;
mod users;
mod values;
mod webhooks;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The list of cases, by file; the tests of both databases.
macro_rules! cases {
    ($($file:ident: $($case:ident)+;)+) => {
        const LISTED: &[(&str, &str)] = &[$($((stringify!($file), stringify!($case))),+),+];
        cases!(@on sqlite: $($($file $case)+)+);
        cases!(@on postgres: $($($file $case)+)+);
    };
    (@on $database:ident: $($file:ident $case:ident)+) => {
        mod $database {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    crate::$file::$case(crate::kit::Case::$database().await).await;
                }
            )+
        }
    };
}

cases! {
    accounts:
        an_account_has_one_row_and_one_url
        the_key_of_an_account_changes_in_two_steps
        an_account_makes_room_for_another;
    audit:
        lines_of_the_audit_log_come_back
        a_line_is_sealed_once
        sealers_at_once_leave_no_gap;
    audit_search:
        a_search_takes_text_as_it_stands
        a_search_goes_on_where_it_stopped;
    batches:
        one_that_meets_no_row_fails_the_whole
        one_that_is_there_already_is_named
        a_transaction_sees_what_it_has_written
        an_old_version_of_ones_own_is_a_conflict
        more_than_go_together_are_all_written;
    certificates:
        the_certificates_of_a_name_have_pages
        certificates_come_back
        the_newest_generated_certificate_is_found
        a_renewal_point_comes_back;
    challenges:
        challenges_match_host_and_token
        a_probe_is_answered_until_it_is_replaced;
    domains:
        a_domain_comes_back_as_it_was
        rows_are_written_together
        a_write_on_an_old_version_is_a_conflict
        a_dropped_transaction_changes_nothing
        the_list_pages_filters_and_hides_the_deleted
        changes_are_the_latest_of_each_domain_and_resume
        ended_certificates_are_found
        an_activity_lasts_since_it_began
        trouble_lasts_since_it_began
        pasted_certificates_that_end_are_found_once
        history_is_newest_first_and_survives_a_delete
        the_next_attempt_is_no_comparison
        overlapping_writers_all_get_through;
    due:
        the_longest_due_comes_first
        only_due_and_free_work_is_hinted_at
        marks_of_a_dropped_transaction_do_not_count
        a_published_hint_counts_as_given
        a_hint_counts_before_its_work
        other_events_are_no_hints
        a_changed_row_is_hinted_at_again
        sweeps_at_once_mark_nothing_twice;
    fencing:
        an_ended_lease_is_valid_until_it_is_taken_over
        a_lease_that_was_given_back_is_lost
        a_lease_is_of_one_name_and_kind
        each_claim_has_a_higher_token
        a_fence_holds_until_the_commit;
    figures:
        reasons_are_counted_as_they_are_shown
        ends_are_counted_by_the_hour
        issuance_is_counted_by_the_day
        counts_of_writers_at_once_are_added_up
        the_oldest_due_work_of_each_kind_is_known
        late_renewals_are_those_that_wait_for_no_customer
        overdue_work_is_counted
        a_days_recheck_is_counted
        the_list_is_counted
        the_figures_are_those_of_a_recount;
    groups:
        each_of_many_at_once_has_its_own_answer
        of_two_of_one_name_one_is_committed
        those_that_are_dropped_hold_nobody_up;
    jobs:
        jobs_come_back_newest_first
        lines_have_pages_and_are_counted
        a_job_is_worked_on_by_one_copy
        a_job_whose_copy_is_gone_is_taken_over
        the_job_least_recently_served_is_next
        what_came_out_is_written_under_the_lease
        a_cancelled_job_takes_no_more_lines
        past_jobs_are_deleted_in_batches
        names_whose_attempt_is_not_over_are_known;
    labels:
        labels_belong_to_a_name_and_are_searched_for
        the_rank_of_the_databases_is_that_of_the_program;
    ledger:
        buckets_come_back
        a_bucket_that_was_read_waits_for_its_reader
        what_is_reserved_is_given_back_or_spent_once
        an_order_is_charged_only_where_there_is_room;
    list:
        the_list_has_every_order_and_filter
        the_orders_put_first_what_comes_first
        certificates_are_searched_for;
    listing:
        a_filtered_list_has_pages_too
        a_search_is_taken_as_it_stands
        only_listed_domains_expire
        a_watcher_misses_nothing_while_others_write
        the_changes_of_one_name_resume;
    midnights:
        what_was_asked_at_midnight_has_an_outcome
        reports_are_kept_for_a_while;
    notes:
        notes_are_added_and_deleted;
    lives:
        what_is_written_together_is_what_each_writes_alone;
    messages:
        messages_come_in_order_and_by_kind
        a_taken_message_is_leased
        a_message_can_be_delayed_buried_and_kept
        only_a_commit_publishes
        takers_at_once_take_distinct_messages
        a_message_comes_again_when_its_taker_is_gone
        a_former_taker_keeps_nothing
        an_answer_counts_once
        a_freed_message_cannot_be_answered
        an_empty_request_does_nothing;
    order_steps:
        a_step_without_room_leaves_only_its_place
        a_certificate_gets_its_orders_key_as_it_is_now
        an_order_that_ends_erases_its_key
        of_many_steps_at_once_each_has_its_own_answer;
    orders:
        one_live_order_per_name
        an_order_moves_only_from_the_state_it_was_read_in
        an_ended_order_keeps_no_key
        of_many_orders_at_once_one_is_taken
        an_end_is_an_end;
    pauses:
        a_pause_stays_as_it_is_until_it_is_lifted
        a_pause_that_was_not_committed_is_none
        lifting_a_pause_makes_due_what_waits_for_it
        work_that_missed_the_lifting_is_found
        a_claim_ends_the_wait_for_a_pause;
    recheck:
        a_domains_memory_comes_back
        a_recheck_takes_each_domain_once_a_day
        rechecks_at_once_take_distinct_domains
        missing_domains_are_counted_among_the_live;
    restore:
        the_guard_is_raised_once_and_released_once
        what_is_due_first_of_live_names_is_sampled
        a_comparison_is_due_at_once;
    retention:
        keys_of_deleted_names_are_destroyed
        an_abandoned_order_has_no_key_to_destroy
        rows_of_no_use_are_deleted;
    revocations:
        a_revocation_comes_back_and_ends_once
        a_certificate_is_found_by_its_hash
        a_withdrawn_certificate_says_so;
    sealed:
        every_sealed_key_is_found
        a_sealed_key_is_replaced_as_it_was_read;
    steps:
        a_step_is_written_whole
        a_step_that_fails_half_way_leaves_nothing
        a_step_leaves_what_a_worker_holds
        a_step_counts_only_under_its_lease
        a_changed_domain_is_decided_about_again;
    tokens:
        tokens_are_found_by_hash_and_revoked;
    transitions:
        a_status_is_published_only_if_it_changed
        a_delete_and_a_new_life_are_published
        a_transition_of_a_changed_row_is_a_conflict
        nothing_is_seen_before_the_commit;
    users:
        users_come_back_and_are_changed
        sessions_last_until_they_are_ended
        people_of_a_provider_have_sessions_without_a_user
        a_mac_is_replaced_as_it_was_read
        users_that_are_locked_stay_as_they_are
        a_persons_sessions_are_found_in_pages
        an_id_token_is_used_once;
    values:
        every_reason_comes_back
        every_activity_and_source_comes_back
        every_kind_of_history_comes_back
        every_kind_and_cause_comes_back
        every_role_comes_back
        every_event_comes_back;
    webhooks:
        a_step_stores_its_notices
        a_mark_is_noticed_once
        a_mark_that_was_cleared_is_free
        what_ends_soon_is_found_once
        endpoints_come_back
        an_endpoint_that_refuses_everything_is_switched_off
        a_digest_collects_for_a_while
        a_delivery_is_claimed_by_one
        deliveries_of_a_domain_keep_their_order
        an_endpoint_that_fails_is_waited_for
        what_is_refused_waits_alone
        failures_at_once_count_once
        an_endpoint_is_deleted_while_attempts_are_stored
        claims_of_deliveries_are_distinct
        an_unreported_midnight_is_found_once;
    work:
        work_is_claimed_once_and_when_due
        concurrent_claims_are_distinct
        a_lease_that_ended_is_taken_over
        rescheduling_revokes_a_lease
        a_raised_revision_revokes_a_lease
        a_cancelled_row_never_repeats_a_token
        a_lease_is_renewed_released_and_finished
        due_work_is_hinted_once_in_a_while
        all_leases_can_be_freed
        a_batch_claims_what_is_free;
}

/// File and name of every case in this folder.
fn cases_on_disk() -> BTreeSet<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let file = path.file_stem().unwrap().to_str().unwrap();
        for function in source.split("\npub async fn ").skip(1) {
            let (case, rest) = function.split_once('(').unwrap();
            if rest.split(')').next().unwrap().contains(": Case") {
                found.insert((file.to_owned(), case.to_owned()));
            }
        }
    }
    found
}

/// A case that is not listed would never run. (One that is listed twice does not compile.)
#[test]
fn every_case_is_listed() {
    let listed = LISTED.iter().map(|(file, case)| ((*file).to_owned(), (*case).to_owned()));
    let listed: BTreeSet<_> = listed.collect();
    assert_eq!(&listed ^ &cases_on_disk(), BTreeSet::new(), "listed or in a file, not both");
}

/// Asks this program for its tests.
#[test]
fn every_case_runs_on_both_databases() {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let cases: BTreeSet<String> = cases_on_disk().into_iter().map(|(_, case)| case).collect();
    for database in ["sqlite::", "postgres::"] {
        let tests = output.lines().filter_map(|line| line.strip_prefix(database)?.strip_suffix(": test"));
        let tests: BTreeSet<String> = tests.map(str::to_owned).collect();
        assert_eq!(&tests ^ &cases, BTreeSet::new(), "{database} runs it or a file has it, not both");
    }
}
