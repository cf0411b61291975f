"""What a gateway in front of models must stand and must pass on, each with the tests that hold it to that.

Of a fault they say: a defined status for the client, a defined outcome for the arm, nothing left open, and the next
request works. Of what passes: it arrives as it was said. The tests named must exist; they say themselves what they hold.
"""

from __future__ import annotations

import pytest

from tests.test_known_defects import names_in

FAULTS: dict[str, tuple[str, ...]] = {
    # Model servers that do not answer.
    "refuses connections, or its name does not resolve": (
        "test_bad_upstreams.py test_nobody_listens",
        "test_bad_upstreams.py test_a_name_that_does_not_resolve",
        "test_failing_arms.py test_control_answers_for_a_treatment_that_fails_and_it_counts_against_the_treatment",
        "test_failing_arms.py test_without_a_fallback_the_client_hears_of_the_failure",
        "test_failing_arms.py test_a_body_that_was_sent_to_nobody_goes_whole_to_control",
        "test_pool.py test_a_server_that_takes_no_connection_costs_no_request",
        "test_dialing.py test_a_server_that_does_not_connect_is_given_up_in_time_and_the_next_request_is_served",
    ),
    "its name means another server than before": (
        "test_resolving.py test_a_name_that_means_another_server_is_followed_and_what_is_under_way_ends",
        "test_resolving.py test_a_name_without_an_address_is_no_connection",
    ),
    "hangs before or inside its head": (
        "test_bad_upstreams.py test_silence_before_the_head",
        "test_bad_upstreams.py test_a_head_without_end",
        "test_answer_reader.py test_a_client_that_waits_no_longer_is_told_in_time",
    ),
    # Model servers that answer badly.
    "an octet at a time, or silent in the middle": (
        "test_bad_upstreams.py test_one_octet_at_a_time_is_slow_but_good",
        "test_bad_upstreams.py test_silence_inside_the_body",
        "test_bad_upstreams.py test_the_total_time_bounds_a_server_that_never_ends",
        "test_streaming.py test_each_event_of_a_stream_arrives_before_the_next_is_made",
    ),
    "cut or reset in the middle of its answer": (
        "test_bad_upstreams.py test_an_answer_that_is_cut_never_looks_whole",
        "test_bad_upstreams.py test_a_close_at_every_octet_is_truncated",
        "test_streaming.py test_how_a_stream_ended_is_told_apart",
    ),
    "another length than it announced": (
        "test_bad_upstreams.py test_a_close_at_every_octet_is_truncated",
        "test_kept_connections.py test_octets_behind_an_answer_are_nobodys_answer",
    ),
    "no HTTP/1.1, or two readings of one message": (
        "test_bad_upstreams.py test_a_head_that_breaks_the_grammar_is_a_bad_answer",
        "test_bad_upstreams.py test_a_body_that_breaks_the_grammar_is_cut",
        "test_http11.py test_an_upstream_that_switches_protocols_unasked_is_a_bad_answer",
        "test_mutations.py test_whatever_a_model_server_says_the_client_hears_http_and_the_next_request_is_served",
    ),
    "heads, chunks, trailers or informational answers without an end": (
        "test_endless.py test_a_server_that_never_ends_is_cut_off_and_the_next_request_is_served",
        "test_bad_upstreams.py test_a_head_that_breaks_the_grammar_is_a_bad_answer",
    ),
    "an answer that nobody asked for": (
        "test_kept_connections.py test_an_answer_that_nobody_asked_for_closes_the_pooled_connection",
        "test_kept_connections.py test_octets_behind_an_answer_are_nobodys_answer",
    ),
    "a stream that never ends": (
        "test_streaming.py test_a_stream_lives_as_long_as_it_says_something",
        "test_bad_upstreams.py test_a_thousand_streams_whose_clients_die_leave_nothing_open",
        "test_bad_upstreams.py test_the_total_time_bounds_a_server_that_never_ends",
    ),
    "closes a kept connection as it is asked": (
        "test_kept_connections.py test_a_server_that_closes_after_each_answer_without_saying_so_costs_no_request",
        "test_kept_connections.py test_a_pooled_connection_that_dies_under_a_request_is_replaced_once",
        "test_kept_connections.py test_a_fresh_connection_that_dies_under_a_post_is_not_tried_again",
        "test_kept_connections.py test_a_body_too_long_to_keep_is_not_sent_twice_and_the_next_request_is_served",
        "test_failing_arms.py test_a_post_is_sent_again_only_where_the_route_says_so",
    ),
    # Arms.
    "every request of the treatment fails": (
        "test_failing_arms.py test_the_breaker_of_one_arm_leaves_the_other_alone",
        "test_failing_arms.py test_errors_that_a_model_answers_do_not_open_the_breaker",
        "../test_story.py test_a_failing_canary_is_rolled_back_by_its_errors",
    ),
    "every server of an arm is down": (
        "test_failing_arms.py test_a_server_that_is_down_is_dialled_within_the_budget_and_then_left_alone",
        "test_failing_arms.py test_while_an_arm_is_left_alone_control_answers_without_a_dial",
        "test_failing_arms.py test_control_that_fails_has_nobody_behind_it",
        "test_pool.py test_a_probe_that_fails_leaves_a_server_out_and_when_all_do_all_are_asked",
    ),
    # Clients.
    "a client that leaves": (
        "test_leaving.py test_a_client_that_leaves_cancels_its_upstream_and_is_no_error_of_the_arm",
        "test_leaving.py test_of_many_who_leave_at_any_moment_none_keeps_a_place_in_the_arm",
        "test_streaming.py test_a_client_that_leaves_cancels_its_upstream",
        "test_streaming.py test_a_client_that_leaves_before_the_answer_cancels_its_upstream_too",
        "test_dialing.py test_a_client_that_leaves_while_its_server_is_dialled_leaves_nothing",
    ),
    "a client that stops, is too slow, or never ends what it says": (
        "test_limits.py test_a_head_must_arrive_in_time_however_busy_its_client_is",
        "test_limits.py test_a_body_must_arrive_in_the_total_time_and_is_no_fault_of_the_arm",
        "test_bad_upstreams.py test_a_client_that_stops_in_the_middle_of_its_body_is_no_fault_of_the_arm",
        "test_endless.py test_a_client_that_never_ends_is_refused_and_the_next_one_is_served",
        "test_http_cases.py test_each_raw_request_meets_the_reaction_it_must",
        "test_mutations.py test_whatever_a_client_says_a_model_server_gets_whole_requests_and_the_next_client_is_served",
    ),
    "a client that does not read": (
        "test_stalling.py test_a_stalled_reader_stalls_its_upstream_and_no_memory_grows",
        "test_stalling.py test_a_client_that_takes_nothing_for_the_idle_time_is_cut_off",
        "test_stalling.py test_pipelined_requests_are_read_no_faster_than_their_answers_are_taken",
    ),
    # Processes.
    "a worker is killed": (
        "test_process.py test_a_killed_worker_fails_only_its_open_requests_and_its_rows_are_reported",
        "test_counters.py test_the_rows_of_a_killed_worker_are_reported_once_in_its_own_numbers",
    ),
    "a stop, a reload, a rolling restart": (
        "test_rolling.py test_no_request_fails_while_workers_are_replaced_again_and_again",
        "test_rolling.py test_an_open_stream_comes_to_its_end_while_its_worker_is_on_its_way_out",
        "test_draining.py test_an_answer_that_did_not_say_so_leaves_its_connection_open_for_one_more",
        "test_process.py test_a_stop_or_a_reload_under_load_fails_no_request",
        "test_process.py test_an_open_answer_is_finished_before_a_worker_ends",
    ),
    "no file descriptors are left": (
        "test_overload.py test_without_file_descriptors_left_open_requests_finish_and_it_recovers",
        "test_overload.py test_a_connection_beyond_the_limit_hears_so_and_is_closed",
    ),
    "no memory is left": (
        "test_overload.py test_large_bodies_all_at_once_need_no_memory",
        "test_overload.py test_requests_beyond_the_limit_are_refused_before_they_are_assigned",
    ),
    "all clients come at once": (
        "test_overload.py test_a_herd_is_served_or_refused_and_never_left_waiting",
        "test_pool.py test_requests_beyond_the_limit_wait_in_order_and_no_more_than_may",
        "test_pool.py test_who_waits_too_long_or_leaves_keeps_no_place",
        "test_pool.py test_an_arm_without_room_says_so_and_is_not_taken_for_down",
        "test_failing_arms.py test_control_answers_for_an_arm_that_has_no_room",
        "test_failing_arms.py test_an_overloaded_gateway_exposes_nobody",
    ),
}
PASSED_ON: dict[str, tuple[str, ...]] = {
    "method, path, query, body, its type and its coding": (
        "test_passing_on.py test_a_request_arrives_as_it_was_sent",
        "test_http_cases.py test_each_raw_request_meets_the_reaction_it_must",
    ),
    "a model or a path that is set by an arm, and the name that the client reads": (
        "test_setting_arms.py test_values_fields_and_path_are_set_and_the_body_is_framed_anew",
        "test_setting_arms.py test_binary_tensors_stay_behind_the_changed_header",
        "test_restoring.py test_the_answer_names_the_model_that_was_asked_for_and_nothing_else_changes",
        "test_restoring.py test_a_model_in_the_path_is_put_back_too",
    ),
    "ids of requests and trace context": (
        "test_passing_on.py test_a_request_arrives_as_it_was_sent",
        "test_passing_on.py test_an_answer_arrives_as_it_was_given_whatever_its_status",
        "test_access_log.py test_trace_context_is_passed_on_as_it_came",
        "test_access_log.py test_a_trace_goes_on_through_the_gateways_span",
    ),
    "status, errors, and what tells a client to wait": (
        "test_passing_on.py test_an_answer_arrives_as_it_was_given_whatever_its_status",
        "test_protocols.py test_an_error_of_ours_looks_as_the_clients_library_expects",
    ),
    "nothing that is meant for one hop": (
        "test_passing_on.py test_an_answer_arrives_as_it_was_given_whatever_its_status",
        "test_shape.py test_a_connection_field_takes_the_fields_it_names_though_the_shape_is_the_same",
        "test_shape.py test_a_request_with_a_connection_field_loses_what_it_names_and_keeps_its_host",
    ),
    "credentials, replaced where an arm says so, and never logged": (
        "test_passing_on.py test_a_request_arrives_as_it_was_sent",
        "test_setting_arms.py test_secrets_are_read_by_the_gateway_alone",
        "test_access_log.py test_a_line_says_who_was_served_by_what_and_no_secret",
    ),
    "streams, event by event, with their comments and their end": (
        "test_passing_on.py test_a_stream_keeps_its_octets_comments_and_coding",
        "test_streaming.py test_each_event_of_a_stream_arrives_before_the_next_is_made",
        "test_restoring.py test_in_a_stream_every_event_is_renamed_and_none_is_held_back",
        "test_failing_arms.py test_an_answer_that_has_begun_is_never_repeated",
    ),
    "idle and total time apart": (
        "test_streaming.py test_a_stream_lives_as_long_as_it_says_something",
        "test_bad_upstreams.py test_the_total_time_bounds_a_server_that_never_ends",
    ),
    "what is left of a deadline": (
        "test_answer_reader.py test_what_is_left_of_a_deadline_is_passed_on",
        "test_answer_reader.py test_a_client_that_waits_no_longer_is_told_in_time",
    ),
    "our own fields beside theirs, and only those that a route shows": (
        "test_routing.py test_the_answer_shows_what_the_route_exposes",
        "test_passing_on.py test_an_answer_arrives_as_it_was_given_whatever_its_status",
        "test_http11.py test_our_own_fields_never_reach_a_model_server_in_any_spelling",
        "test_failing_arms.py test_control_answers_for_a_treatment_that_fails_and_it_counts_against_the_treatment",
    ),
    "no cookie but one that was asked for": (
        "test_routing.py test_an_absent_unit_may_be_minted_and_stays_the_same",
        "test_minting.py test_a_cookie_is_secure_where_its_client_asked_over_tls",
        "test_process.py test_routes_alone_pass_through_and_an_experiment_added_under_load_fails_no_request",
    ),
    "the health of the model servers, apart from the gateway's": (
        "test_routing.py test_the_own_pages_are_only_at_their_paths",
        "test_passing_on.py test_the_health_of_a_model_server_is_its_own",
    ),
    "the last good flags, while Redis is away": (
        "test_process.py test_redis_killed_while_serving_fails_no_request_and_loses_nothing_unsaid",
        "test_process.py test_redis_away_at_start_routes_by_the_flags_on_disk",
    ),
}
PROMISES = {"a fault: " + name: tests for name, tests in FAULTS.items()} | {
    "passed on: " + name: tests for name, tests in PASSED_ON.items()
}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_its_tests(promise: str) -> None:
    for named in PROMISES[promise]:
        file, name = named.split()
        assert name in names_in(f"gateway/{file}"), f"{promise}: {file} has no {name}"
