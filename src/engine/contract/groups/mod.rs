//! The suite that proves a coordinator, on any engine: it waits for what is to
//! come rather than for a time, since a cluster takes seconds for what the
//! gateway itself does at once.

pub mod commits;
mod fixture;
pub mod handover;
pub mod membership;

pub use fixture::{GroupHarness, Site};

/// One `#[tokio::test]` per promise, as `contract_suite` has it.
macro_rules! group_suite {
    ($harness:expr $(; ignore = $why:literal)?) => {
        $crate::engine::contract::group_suite! { @tests $harness, [$($why)?];
            membership {
                the_first_member_gets_every_partition
                a_member_without_an_id_is_given_one
                more_members_than_partitions_leave_some_idle_until_others_leave
                one_that_leaves_is_replaced_at_once
                one_that_dies_is_replaced_and_told_so_in_every_call
                the_same_id_is_the_same_member
                an_older_connection_is_told_that_it_was_replaced
                another_principals_id_is_taken
                members_with_different_topics_get_theirs
                an_unknown_topic_is_refused
                what_is_unknown_is_told
                groups_are_listed_in_the_order_of_their_names
                members_survive_a_restart_of_the_gateway
                generations_grow_whatever_happens
            }
            handover {
                a_second_member_takes_its_share_once_it_is_released
                what_is_being_revoked_may_still_be_committed
                a_release_that_never_comes_ends_with_the_grace
                a_hand_over_survives_its_source_leaving
                a_hand_over_survives_its_target_leaving
                a_join_does_not_fence_those_who_keep
                the_next_owner_finds_what_was_committed
            }
            commits {
                a_commit_is_found_when_it_is_answered
                commits_are_made_together_or_not_at_all
                a_commit_does_not_go_back
                what_is_not_held_is_fenced
                outsiders_commit_only_while_nobody_is_in_the_group
                a_reset_moves_back_while_nobody_is_in_the_group
                a_deleted_group_leaves_no_commits
                commits_of_a_topic_that_was_made_again_are_not_found
                commits_survive_a_restart
                commits_at_once_are_all_made
            }
        }
    };
    (@tests $harness:expr, $why:tt; $($subject:ident { $($behaviour:ident)+ })+) => {
        $(mod $subject {
            use super::*;
            $($crate::engine::contract::contract_suite! { @test $why
                async fn $behaviour() {
                    let mut site =
                        $crate::engine::contract::groups::Site::start($harness).await;
                    $crate::engine::contract::groups::$subject::$behaviour(&mut site).await;
                    site.close().await;
                }
            })+
        })+
    };
}

pub(crate) use group_suite;
