"""Defects that flag and assignment systems have shipped, each with the tests that keep it out of this one.

A row is what users of other systems ran into. The tests it names must exist; they say themselves what they hold. Each row
was tried when it was written: with the defect planted in the product at least one of its tests failed.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DEFECTS: dict[str, tuple[str, ...]] = {
    # Hash and bias.
    "one hash for inclusion and arm: an arm gets everything or nothing": (
        "router/test_assignment.py test_inclusion_is_independent_of_the_arm",
        "router/test_bucketing.py test_a_hundred_pairs_of_salts_are_independent",
    ),
    "the same users are first in every experiment, for want of a salt": (
        "router/test_bucketing.py test_one_salt_says_nothing_about_another",
        "router/test_moves.py test_every_run_of_every_route_deals_by_a_salt_of_its_own",
    ),
    "a layer dealt by another, weaker hash than its experiments": (
        "router/test_moves.py test_members_of_a_layer_are_disjoint_and_starting_or_ending_one_moves_no_other",
        "router/test_bucketing.py test_a_hundred_pairs_of_salts_are_independent",
    ),
    "split and rollout of the same share disagree": (
        "router/test_assignment.py test_the_ratio_of_open_lanes_is_the_ratio_of_shares_at_every_coverage",
        "router/test_differential.py test_growthbook_lays_lanes_and_coverage_alike",
    ),
    "an upgrade of the hash moves everyone": (
        "router/test_bucketing.py test_golden_buckets_never_change",
        "router/test_bucketing.py test_the_algorithm_has_the_name_that_flags_carry",
    ),
    "implementations that hash other octets of the same text": (
        "router/test_bucketing.py test_the_library_equals_the_published_algorithm",
        "router/test_bucketing.py test_golden_buckets_never_change",
        "router/test_differential.py test_flagd_deals_every_unit_to_the_same_arm",
        "router/test_differential.py test_duckdb_deals_every_unit_to_the_same_bucket",
    ),
    # Shares below a percent.
    "no share below 1 %, or one that is rounded": (
        "router/test_rules.py test_a_share_of_all_values_is_dealt_by_its_own_hash_to_four_decimals",
        "router/test_moves.py test_the_planned_moves_are_exact_in_parts_per_million",
    ),
    # Ramps.
    "who had it at 1 % loses it at 5 %": (
        "router/test_assignment.py test_raising_coverage_only_adds_units_and_lowering_it_takes_the_last_joined",
        "router/test_moves.py test_raising_coverage_or_inclusion_only_adds_and_lowering_lets_the_last_go_first",
    ),
    "raising one group takes units from another": (
        "router/test_moves.py test_raising_coverage_of_three_arms_moves_nobody_from_arm_to_arm",
        "router/test_moves.py test_the_planned_moves_are_the_measured_ones",
    ),
    "publishing, renaming or reordering moves units": (
        "router/test_moves.py test_publishing_renaming_and_reordering_move_nobody",
        "router/test_moves.py test_a_rules_share_follows_its_name_and_not_its_place",
    ),
    "a sticky canary drifts to all traffic": (
        "router/test_assignment.py test_a_unit_keeps_its_bucket_whatever_else_changes",
        "router/test_sticky.py test_a_sticky_canary_does_not_drift_to_all_traffic",
        "controller/test_population.py test_a_returning_population_is_not_mistaken_for_an_effect",
    ),
    "nobody can be kept in when the share goes down": (
        "router/test_sticky.py test_who_was_enrolled_keeps_the_arm_at_any_coverage_and_whatever_the_attributes",
    ),
    "a sticky arm that outlives its rollback": (
        "gateway/test_sticky.py test_memory_does_not_outlive_kill_switch_rollback_and_epoch",
    ),
    "weights without the same arm for the same unit": (
        "router/test_assignment.py test_units_fall_into_arms_as_their_lanes_are_wide",
        "gateway/test_routing.py test_enrolled_units_go_to_their_arm_and_the_answer_names_it",
    ),
    # Serving models.
    "no way to ask for one version beside the weights": (
        "gateway/test_asked.py test_a_signed_word_forces_an_arm_and_nothing_is_written_down",
    ),
    "a client that picks its own arm": (
        "gateway/test_asked.py test_a_word_that_is_not_ours_or_too_late_is_counted_and_ignored",
    ),
    "the unit stands in one place only": (
        "gateway/test_identify.py test_the_first_place_that_holds_a_unit_wins",
    ),
    # Identity.
    "an absent unit falls into the first arm, or all share a bucket": (
        "router/test_assignment.py test_disabled_comes_before_the_absent_unit_and_that_before_lanes",
        "gateway/test_routing.py test_without_a_unit_nobody_falls_into_a_lane",
    ),
    "a unit that is seen in two arms stays in the analysis": (
        "controller/test_fold.py test_a_unit_seen_in_two_arms_is_dropped_in_both_alike",
    ),
    # Exposures.
    "evaluating a flag counts as being exposed to it": (
        "api/test_ofrep.py test_asking_is_no_exposure",
        "api/test_exposures.py test_enrolled_units_are_written_with_their_bucket_and_arm_and_nobody_else",
    ),
    "exposures deduplicated across epochs": (
        "gateway/test_routing.py test_a_unit_is_exposed_again_in_each_epoch",
    ),
    "exposures that are lost because they were taken for sent": (
        "gateway/test_recorder.py test_a_failed_flush_keeps_its_number_and_its_content",
        "gateway/test_recorder.py test_whatever_happens_taken_is_folded_dropped_or_pending",
        "gateway/test_process.py test_a_killed_worker_fails_only_its_open_requests_and_its_rows_are_reported",
    ),
    # Sample ratio.
    "no check of the ratio, or one that another ramp step breaks": (
        "router/test_health.py test_units_in_other_proportions_than_asked_are_a_mismatch",
        "router/test_assignment.py test_the_ratio_of_open_lanes_is_the_ratio_of_shares_at_every_coverage",
    ),
    "lost events look like an effect": (
        "router/test_health.py test_each_problem_is_a_sentence",
        "router/test_health.py test_a_small_loss_alike_in_both_arms_is_only_shown",
    ),
    # Exclusion.
    "starting one experiment moves another of its layer": (
        "router/test_plan_population.py test_a_second_experiment_on_the_route_gets_other_ranges_and_the_first_keeps_its_own",
        "router/test_layer_ranges.py test_what_is_given_never_overlaps_and_is_as_wide_as_asked",
    ),
    "a layer in use is dealt anew": (
        "router/test_plan_population.py test_what_a_live_run_stands_on_is_fixed",
    ),
    "ranges are given again while their units still remember": (
        "router/test_plan_population.py test_ranges_of_an_ended_run_rest_before_they_are_given_again",
    ),
    "a layer of two kinds of unit": (
        "router/test_plan_population.py test_what_is_refused_says_where_what_was_expected_and_what_is_near",
    ),
    # Remote evaluation.
    "a bulk answer is spoilt by one flag": (
        "api/test_ofrep.py test_all_flags_come_sorted_and_one_without_its_unit_does_not_spoil_the_others",
        "api/test_ofrep.py test_a_flag_that_cannot_be_read_spoils_no_other",
    ),
    "a tag that stays when the context changes": (
        "api/test_ofrep.py test_the_tag_covers_the_whole_context",
        "api/test_ofrep_node.py test_both_clients_take_every_answer_and_the_web_client_polls_by_tag",
    ),
    "a flag that is off looks like one that does not exist": (
        "api/test_ofrep.py test_a_flag_that_is_off_answers_with_its_default_value",
        "api/test_ofrep_client.py test_a_client_gets_the_default_value_of_a_flag_that_is_off",
    ),
    "answers that clients in the field cannot read": (
        "api/test_ofrep_client.py test_a_client_reads_every_refusal",
        "api/test_ofrep_description.py test_every_answer_to_good_and_bad_requests_is_one_that_is_described",
    ),
    # Propagation.
    "workers that run other configurations for long": (
        "gateway/test_process.py test_a_flag_change_is_routed_by_every_worker_within_a_second",
        "gateway/test_chaos.py test_a_lost_message_is_repaired_by_the_next_poll_in_every_worker",
    ),
    "a store that is down stops updates for good, or takes the flags with it": (
        "store/test_watch.py test_the_watch_outlives_a_dead_redis",
        "gateway/test_chaos.py test_a_flushed_store_leaves_everything_and_its_new_flags_are_taken",
        "gateway/test_chaos.py test_dead_at_boot_with_a_damaged_copy_routes_what_is_whole",
    ),
    "an older state overwrites a newer one": (
        "store/test_flags.py test_the_later_of_two_writers_gets_both_revisions_and_the_difference",
        "store/test_watch.py test_a_restored_store_never_takes_a_worker_back_and_is_followed_once_it_is_written_anew",
    ),
    "nothing can be switched off while the store is down": (
        "gateway/test_chaos.py test_kill_while_redis_is_dead",
    ),
    # Rules.
    "an unknown operator quietly fits nothing": (
        "router/test_rules.py test_a_bad_operator_or_operand_is_an_error_with_its_place",
        "router/test_flag.py test_a_contradiction_is_refused_with_its_place",
        "router/test_plan_population.py test_what_is_refused_says_where_what_was_expected_and_what_is_near",
    ),
    "prerequisites that lead back": (
        "router/test_plan_population.py test_prerequisites_over_three_files_that_lead_back_are_refused",
        "gateway/test_asked.py test_a_ring_of_prerequisites_that_slipped_through_serves_the_default_arm",
    ),
    "a regular expression that takes the process with it": (
        "router/test_rules.py test_a_regular_expression_that_explodes_elsewhere_is_linear_here",
    ),
}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_known_defect_has_its_tests(defect: str) -> None:
    for named in DEFECTS[defect]:
        file, name = named.split()
        assert name in names_in(file), f"{defect}: {file} has no {name}"
