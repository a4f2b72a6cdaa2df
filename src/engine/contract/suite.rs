//! The list of all behaviours, and the macro that makes tests of them.

/// One `#[tokio::test]` per behaviour of the contract, in modules by subject.
/// `$harness` is an expression that makes a new harness, evaluated anew in
/// every test. With `; ignore = "why"` they run only when they are asked for.
macro_rules! contract_suite {
    ($harness:expr $(; ignore = $why:literal)?) => {
        $crate::engine::contract::contract_suite! { @tests $harness, [$($why)?];
            topics {
                a_created_topic_is_known_when_creation_answers
                a_taken_name_is_refused_whatever_the_settings
                of_concurrent_creations_of_one_name_one_succeeds
                an_unknown_topic_is_told_at_once
                topics_are_listed_in_the_order_of_their_names
                each_partition_begins_empty
                a_partition_beyond_the_last_is_unknown
                altering_changes_what_may_change_and_keeps_the_rest
                handles_from_before_an_alteration_still_serve
                a_deleted_topic_is_unknown_to_every_call
                deletion_ends_every_watch_of_the_topic
                deleting_one_topic_leaves_the_others
                the_same_name_again_is_another_topic
                many_topics_of_many_partitions_are_kept_apart
                topics_come_back_after_a_restart_as_they_were
                a_closed_engine_refuses_every_call
                what_was_answered_before_closing_is_there_after
            }
            appending {
                records_come_back_in_the_order_they_were_appended
                offsets_are_consecutive_within_an_append_and_grow
                several_partitions_are_answered_in_the_order_asked
                with_one_bad_partition_nothing_is_appended
                every_kind_of_value_survives
                empty_and_absent_keys_and_values_differ
                headers_survive_in_order_with_repeats
                times_are_the_publishers_or_else_of_appending
                times_of_appending_survive_a_restart
                times_of_appending_never_go_back
                records_around_16_kib_survive
                a_record_of_1_mib_survives
                a_record_of_16_mib_survives
                large_and_small_records_mix_in_one_append
                ten_thousand_records_fit_one_append
                concurrent_appenders_each_keep_their_order
                records_and_offsets_go_on_after_a_restart
            }
            visibility {
                what_was_answered_can_be_read
                a_publish_may_ask_for_more_than_its_topic
                a_publish_may_ask_for_less_and_is_seen_a_little_later
                the_tail_stands_only_where_an_append_ends
                a_follower_sees_every_record_once_in_order
                a_watch_begins_at_the_tail_and_moves_with_it
                watches_work_after_a_restart
            }
            reading {
                a_read_at_the_tail_is_empty
                a_read_beyond_the_tail_is_out_of_range
                a_read_before_the_start_is_out_of_range
                a_read_begins_at_any_record_of_a_batch
                the_smallest_budget_still_gets_through_the_log
                what_is_recent_is_what_a_read_answers
                beyond_the_first_batch_the_budget_is_kept
                a_generous_budget_is_used
                paging_neither_repeats_nor_skips
                readers_at_once_see_the_same_records
                reading_goes_on_the_same_after_a_restart
                bytes_kept_grow_and_shrink_with_the_records
            }
            time {
                a_time_is_found_exactly_between_before_and_after_all
                in_an_empty_partition_any_time_is_the_tail
                times_out_of_order_give_the_first_that_is_late_enough
                records_without_a_time_are_found_by_their_appending
                a_time_before_the_start_is_the_start
                a_record_that_was_trimmed_is_not_found
                any_time_is_found_in_a_large_partition
            }
            retention {
                trimming_moves_the_start_into_a_batch
                trimming_to_the_tail_empties_and_offsets_go_on
                trimming_back_or_again_changes_nothing
                trimming_beyond_the_tail_is_refused
                trimming_concerns_one_partition_of_one_topic
                a_trim_survives_a_restart
                a_reader_that_was_overtaken_is_told_by_what
                records_that_are_too_old_go_and_young_ones_stay
                each_partition_keeps_its_bytes_and_little_more
                without_bounds_everything_is_kept
                a_bound_that_is_set_later_counts_for_what_is_there
                what_retention_dropped_stays_dropped_after_a_restart
            }
            epochs {
                every_partition_has_epochs_from_its_first_offset
                an_append_says_the_epoch_it_was_written_in
                a_position_goes_on_without_loss_after_a_clean_restart
                a_position_that_never_was_is_of_no_use
            }
            idempotency {
                a_repeat_answers_what_the_first_did
                other_keys_and_no_key_append_again
                the_same_key_with_another_body_conflicts
                concurrent_repeats_append_once
                of_concurrent_bodies_under_one_key_one_is_appended
                a_key_is_remembered_for_its_time_and_no_longer
                a_repeat_does_not_lengthen_the_time
                a_key_expires_though_its_append_is_not_synced_yet
                keys_are_of_their_topic
                keys_go_with_their_topic
                a_refused_append_does_not_take_the_key
                keys_survive_a_restart
                a_key_expires_across_a_restart
                keys_outlive_the_trimming_of_their_records
                when_no_more_keys_fit_new_ones_are_refused
            }
            table {
                an_entry_is_seen_when_the_put_answers
                a_namespace_is_listed_in_the_order_of_its_keys
                an_entry_that_expired_is_not_seen
                changes_are_made_together_in_their_order
                the_largest_keys_and_values_fit
                concurrent_changes_are_all_made
                the_table_survives_a_restart
                a_put_that_does_not_fit_changes_nothing
            }
        }
    };
    (@tests $harness:expr, $why:tt; $($subject:ident { $($behaviour:ident)+ })+) => {
        $(mod $subject {
            use super::*;
            $($crate::engine::contract::contract_suite! { @test $why
                async fn $behaviour() {
                    let mut log = $crate::engine::contract::Log::start($harness).await;
                    $crate::engine::contract::$subject::$behaviour(&mut log).await;
                    $crate::engine::Engine::close(&*log).await;
                }
            })+
        })+
    };
    (@test [] $test:item) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $test
    };
    (@test [$why:literal] $test:item) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = $why]
        $test
    };
}

pub(crate) use contract_suite;
