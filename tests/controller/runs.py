"""A run and its events for tests of the controller."""

from __future__ import annotations

from typing import Any

from router.document import load
from router.event_rows import ERROR, EXPOSURE, OUTCOME, OutcomeRows, RequestRows, pack_where
from router.events import Entry
from router.files import parse_documents
from router.flag import Flag
from router.route import flag_of
from router.run import new_run, running_experiment

START = 1_700_000_000_000
ROUTE = """
route: digits
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "http://127.0.0.1:9001"}, v2: {upstream: "http://127.0.0.1:9002"}}
default: v1
"""
EXPERIMENT = """
experiment: digits-v2
route: digits
kind: canary
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 10 pp, window: 5 s, grace: 1 s}
guardrails: [{metric: errors, margin: 1 pp, window: 5 s, grace: 1 s}]
ramp: [{traffic: 5%, time: 5 s, units: 10}, {traffic: 25%, time: 10 s, units: 50}]
deadline: 1 h
"""


def started(experiment: str = EXPERIMENT, step: int = -1) -> tuple[dict[str, Any], Flag]:
    """A run and the flag that holds it."""
    files = parse_documents(load(ROUTE + "---" + experiment))
    spec = next(iter(files.experiments.values()))[0].spec()
    run = new_run(spec, 1, START)
    flag = (
        flag_of(files.routes["digits"][0])
        .with_experiment(running_experiment(spec, run["run"], 1))
        .with_revision(1)
    )
    if step >= 0:
        coverage = spec["ramp"][step]["coverage"]
        run |= {"state": "running", "step": step, "coverage": [[START, 1, coverage]], "reason": ""}
        flag = flag.with_coverage(run["run"], coverage)
    return run, flag


def entry(seq: int, until: int, *, writer: str = "w1", requests: Any = (), outcomes: Any = ()) -> Entry:
    """An entry of one writer.

    Args:
        seq: its number.
        until: everything before is sent.
        writer: who writes.
        requests: rows of (unit, ms, arm, failed).
        outcomes: rows of (unit, value, ms, key).
    """
    rows = RequestRows()
    for unit, time, arm, failed in requests:
        facts = EXPOSURE | OUTCOME | (ERROR if failed else 0)
        rows.append(unit, time - START, pack_where(unit % 1000, arm, facts), 5000)
    reported = OutcomeRows()
    for unit, value, time, key in outcomes:
        reported.append(unit, 0, value * 1_000_000, time, -1, key, -1)
    names = ("corrected",) if outcomes else ()
    return Entry(writer, seq, 1, 1, until, base=START, requests=rows, outcomes=reported, names=names)
