//! What a store promises, told once and checked on SQLite and on PostgreSQL.

mod database;
mod durability;
mod facts;
mod history;
mod letters;
mod opening;
mod outside;
mod recovery;
mod searching;
mod words;

/// Makes a test of each fact, per database.
macro_rules! on_both {
    ($($module:ident: $($fact:ident),+;)+) => {
        mod sqlite {
            use crate::database::Database;
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                crate::$module::$fact(Database::sqlite()).await;
            })+)+
        }
        mod postgres {
            use crate::database::Database;
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                crate::$module::$fact(Database::postgres().await).await;
            })+)+
        }
    };
}

on_both! {
    facts:
        a_batch_is_committed_whole_or_not_at_all,
        a_gap_in_the_journal_is_refused,
        a_repeated_journal_place_is_refused,
        a_mark_beyond_the_journal_is_refused,
        after_a_failure_nothing_more_is_written,
        an_empty_batch_is_nothing,
        a_key_is_used_once,
        keys_used_before_an_instant_are_forgotten,
        a_forgotten_key_can_be_used_again_in_the_same_batch,
        a_key_with_a_window_of_its_own_lives_for_that_window,
        a_key_whose_window_is_over_is_used_again_before_it_is_forgotten,
        any_text_a_person_can_write_is_stored_as_it_is,
        a_task_row_that_exists_gets_what_changed,
        the_journal_is_read_in_order_and_in_pieces,
        reads_go_on_while_batches_are_committed,
        a_probe_says_whether_writing_works;
    history:
        a_history_of_a_thousand_rows_comes_oldest_first,
        several_histories_are_read_together_in_the_order_asked_for,
        histories_that_are_too_long_to_be_read_together_come_in_pieces,
        one_damaged_history_among_several_is_damage,
        a_history_is_found_without_knowing_its_end,
        a_fan_out_of_ten_thousand_items_is_stored,
        an_unknown_task_has_no_history,
        a_changed_byte_is_damage,
        a_missing_row_is_damage,
        another_tasks_row_is_damage,
        a_damaged_task_row_is_damage;
    recovery:
        what_was_committed_is_recovered,
        an_empty_database_recovers_nothing,
        the_journals_tail_corrects_the_projection,
        tasks_that_wait_are_recovered_after_the_others,
        a_task_that_continues_after_its_end_is_projected_again,
        rows_before_the_mark_are_not_read,
        a_damaged_tail_is_not_recovered_from,
        a_task_that_nothing_accepted_is_damage,
        a_stored_contract_is_left_as_it_is,
        a_workflow_applied_again_keeps_what_tasks_are_pinned_to;
    outside:
        kept_events_come_back_in_the_order_in_which_they_came,
        a_kept_event_goes_in_the_commit_that_takes_it,
        ten_thousand_events_are_kept_and_let_go_at_once,
        a_kept_event_may_hold_any_text_and_the_largest_payload,
        a_damaged_kept_event_is_damage,
        a_paused_workflow_stays_paused_until_it_is_resumed;
    letters:
        a_letter_is_opened_in_the_commit_that_fails_its_task,
        a_letter_is_settled_once_and_in_the_commit_of_what_follows,
        letters_settled_long_ago_are_forgotten_and_open_ones_never,
        failures_without_a_letter_are_counted,
        every_page_and_group_of_letters_is_what_a_naive_filter_finds,
        pages_of_letters_follow_each_other_without_gap_or_repeat;
    searching:
        every_search_finds_what_a_naive_filter_finds,
        pages_follow_each_other_without_gap_or_repeat,
        a_page_is_never_larger_than_the_limit;
    durability:
        everything_acknowledged_outlives_a_killed_process,
        a_coordinator_whose_epoch_has_passed_is_fenced,
        a_coordinator_whose_epoch_has_passed_writes_no_key,
        a_fenced_coordinator_writes_nothing_at_all;
    opening:
        a_second_coordinator_is_refused_and_told_who_is_there,
        a_closed_store_lets_the_next_one_in,
        a_dropped_store_lets_the_next_one_in,
        a_database_of_a_newer_version_is_refused,
        a_migration_that_was_changed_is_refused,
        a_closed_store_refuses_to_commit,
        a_database_of_the_first_version_is_brought_up_to_date,
        the_secret_of_callbacks_is_drawn_once_per_database;
}
