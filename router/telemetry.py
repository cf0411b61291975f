"""The names of all metrics of the processes: one table; what is exposed under another name does not exist.

Processes count, this names. The controller keeps its numbers in the runs, and the API exposes them. A counter's name stands here without ``_total``, which the text form adds. Labels have
few values each: route, arm, reason, never a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["counter", "gauge", "histogram"]
Plane = Literal["gateway", "api", "controller"]


@dataclass(frozen=True, slots=True)
class Row:
    """One metric: who counts it, its name and type, what it counts, by which labels; bounds of a histogram."""

    plane: Plane
    name: str
    type: Type
    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


FAST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
SLOW_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

TABLE: tuple[Row, ...] = (
    Row(
        "gateway",
        "pointsman_requests",
        "counter",
        "Requests answered, by status class.",
        ("route", "arm", "status"),
    ),
    Row("gateway", "pointsman_assignments", "counter", "Assignments, by why.", ("route", "reason")),
    Row(
        "gateway",
        "pointsman_refused_tokens",
        "counter",
        "Tokens that hold a unit and are not believed, by why: malformed, algorithm, no_keys, unknown_key, signature, claims, audience, issuer, time.",
        ("route", "reason"),
    ),
    Row(
        "gateway",
        "pointsman_forced_requests",
        "counter",
        "Requests that asked for an arm: taken, or refused because nobody who may had signed it.",
        ("result",),
    ),
    Row(
        "gateway",
        "pointsman_refused_requests",
        "counter",
        "Requests the gateway answered itself, by why.",
        ("code",),
    ),
    Row(
        "gateway",
        "pointsman_upstream_failures",
        "counter",
        "Requests without a good answer from their arm: connect_failed, timeout, truncated, bad_answer, stream_error, "
        "circuit_open, no_room, not_set.",
        ("route", "arm", "outcome"),
    ),
    Row(
        "gateway",
        "pointsman_client_aborts",
        "counter",
        "Requests whose client went away first.",
        ("route", "arm"),
    ),
    Row(
        "gateway",
        "pointsman_slow_requests",
        "counter",
        "Requests over the experiment's declared time.",
        ("route", "arm"),
    ),
    Row(
        "gateway",
        "pointsman_request_seconds",
        "histogram",
        "Time from the request's head to the answer's end.",
        ("route", "arm"),
        SLOW_S,
    ),
    Row(
        "gateway",
        "pointsman_first_byte_seconds",
        "histogram",
        "Time from the request's head to the answer's head.",
        ("route", "arm"),
        SLOW_S,
    ),
    Row(
        "gateway",
        "pointsman_fallbacks",
        "counter",
        "Requests of an arm that the default arm answered instead.",
        ("route", "arm"),
    ),
    Row(
        "gateway",
        "pointsman_shadows",
        "counter",
        "Copies of requests to an arm, by how they ended: ok, 5xx, connect_failed, timeout, truncated, bad_answer, "
        "dropped.",
        ("route", "arm", "outcome"),
    ),
    Row(
        "gateway",
        "pointsman_shadow_comparisons",
        "counter",
        "Answers to copies beside those to the clients: equal, differs, unreadable.",
        ("route", "arm", "result"),
    ),
    Row(
        "gateway",
        "pointsman_shadow_seconds",
        "histogram",
        "Time from a copy's sending to its answer's end.",
        ("route", "arm"),
        SLOW_S,
    ),
    Row(
        "gateway",
        "pointsman_tokens",
        "counter",
        "Tokens that answers say they read (in) and wrote (out).",
        ("route", "arm", "direction"),
    ),
    Row(
        "gateway",
        "pointsman_http",
        "counter",
        "Events on connections: requests, dials, reused, retries, shed, surplus_octets.",
        ("event",),
    ),
    Row(
        "gateway",
        "pointsman_reported_outcomes",
        "counter",
        "Outcomes in answer headers of model servers: taken, malformed, not_analysed.",
        ("result",),
    ),
    Row(
        "gateway",
        "pointsman_sticky",
        "counter",
        "Sticky runs: units that Redis took, exposures and units for which there was no room (full), exchanges that "
        "failed.",
        ("event",),
    ),
    Row(
        "gateway",
        "pointsman_entries",
        "counter",
        "Entries of events sent to Redis: written, failed.",
        ("result",),
    ),
    Row("gateway", "pointsman_rows_taken", "counter", "Event rows recorded.", ("run",)),
    Row("gateway", "pointsman_rows_flushed", "counter", "Event rows that Redis took.", ("run",)),
    Row(
        "gateway",
        "pointsman_rows_dropped",
        "counter",
        "Event rows lost before Redis took them.",
        ("run", "arm"),
    ),
    Row("gateway", "pointsman_rows_pending", "gauge", "Event rows waiting in the worker that answers."),
    Row("gateway", "pointsman_flag_revision", "gauge", "Revision of the flag that routes now.", ("route",)),
    Row("gateway", "pointsman_flag_problems", "counter", "Flags that could not be read.", ("route",)),
    Row(
        "gateway",
        "pointsman_arm_ready",
        "gauge",
        "1 while the arm's ready probe is answered.",
        ("route", "arm"),
    ),
    Row(
        "gateway",
        "pointsman_version_questions",
        "counter",
        "Questions to an arm's servers for the version of their model, by what came: said, silent (a good answer without "
        "one), failed.",
        ("route", "arm", "result"),
    ),
    Row("gateway", "pointsman_store_up", "gauge", "1 while Redis answers."),
    Row("gateway", "pointsman_store_wiped", "gauge", "1 while the store lacks flags that route here."),
    Row(
        "gateway",
        "pointsman_loop_stalls",
        "counter",
        "Times that a worker's loop stood still for over 100 ms.",
    ),
    Row("gateway", "pointsman_loop_stalled_ms", "counter", "For how long it did."),
    Row(
        "gateway",
        "pointsman_access_lines_dropped",
        "counter",
        "Lines of the access log that were not written.",
    ),
    Row("gateway", "pointsman_overridden", "gauge", "1 while a file on this host overrides flags."),
    Row("gateway", "pointsman_other", "counter", "Counts for which the shared table had no room."),
    Row(
        "api",
        "pointsman_outcomes",
        "counter",
        "Outcomes received: accepted, not_analysed, or the reason of refusal.",
        ("result",),
    ),
    Row(
        "api",
        "pointsman_outcome_store_seconds",
        "histogram",
        "Time from taking outcomes to having them stored.",
        (),
        FAST_S,
    ),
    Row(
        "api",
        "pointsman_api_answers",
        "counter",
        "Answers of API and dashboard, by status class.",
        ("status",),
    ),
    Row("api", "pointsman_acts", "counter", "Changes made by people through this process.", ("action",)),
    Row("controller", "pointsman_leader", "gauge", "1 while a controller holds the lease."),
    Row("controller", "pointsman_folded_rows", "counter", "Request rows folded into moments.", ("run",)),
    Row(
        "controller",
        "pointsman_rows_without_effect",
        "counter",
        "What was folded without effect: duplicate, late, orphan, unknown_metric, repeated_entries.",
        ("run", "reason"),
    ),
    Row("controller", "pointsman_dead_entries", "counter", "Entries that could not be read.", ("run",)),
    Row("controller", "pointsman_lost_entries", "counter", "Entries missing from a sequence.", ("run",)),
    Row(
        "controller",
        "pointsman_fold_lag_seconds",
        "gauge",
        "Age of the oldest event not folded yet, at the last look.",
        ("run",),
    ),
    Row("controller", "pointsman_looks", "counter", "Looks at the evidence.", ("run",)),
    Row(
        "controller", "pointsman_coverage_ratio", "gauge", "The fraction to which lanes are filled.", ("run",)
    ),
)
ROWS = {row.name: row for row in TABLE}


def rows_of(plane: Plane) -> tuple[Row, ...]:
    """The rows of what one process counts."""
    return tuple(row for row in TABLE if row.plane == plane)
