"""The fold of all kinds together, with covariate, segments, rolls and a frozen limit: the laws of the fold hold for each."""

from __future__ import annotations

import random
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.attribution import plans_of
from router.controller.fold import Fold
from router.controller.look import health_of, look
from router.event_rows import EXPOSURE, NO_COVARIATE, OUTCOME, OutcomeRows, RequestRows, pack_where
from router.events import FIXED_POINT as F
from router.events import Entry
from router.metric import KINDS
from router.moments import Moments, constants_of
from router.store.ledger import Ledger
from stats.histogram import bucket
from tests.controller.memory_ledger import MemoryLedger
from tests.controller.runs import START, started

SILENCE, GAP = 10_000, 60_000
END = START + 60_000
EXPERIMENT = """
experiment: digits-v2
route: digits
kind: canary
control: v1
treatment: v2
covariate: header:x-visits
segments: {from: header:x-country, values: [de, fr]}
goal: {metric: mean, kind: mean, better: lower, mde: 1, window: 5 s, grace: 1 s}
guardrails:
  - {metric: winsorised_mean, kind: winsorised_mean, cap: 3, better: lower, margin: 1, window: 5 s, grace: 1 s}
  - {metric: rate, kind: rate, better: lower, margin: 50 %, window: 5 s, grace: 1 s}
  - {metric: rating, kind: rating, better: higher, margin: 0.5, window: 5 s, grace: 1 s}
  - {metric: time_to_event, kind: time_to_event, better: higher, margin: 50 %, window: 5 s, grace: 1 s}
  - {metric: exceedance, kind: exceedance, quantile: 50 %, better: lower, margin: 5 pp, window: 5 s, grace: 1 s}
  - {metric: proportion, kind: proportion, sampled: "true", better: lower, margin: 5 pp, window: 5 s, grace: 1 s}
  - {metric: edit_rate, kind: edit_rate, better: lower, margin: 5 pp, window: 4 s, grace: 1 s}
  - {metric: ratio, kind: ratio, better: lower, margin: 1, window: 3 s, grace: 1 s}
  - {metric: rare_proportion, kind: rare_proportion, better: lower, margin: 5 pp, window: 5 s, grace: 1 s}
ramp: [{traffic: 25%, time: 10 s, units: 50}]
"""
NAMES = tuple(KINDS)
ROLL = [START + 8_000, "v2", "by ana: nightly"]
FROZEN = {"exceedance": {"since": START + 4_000, "limit": 2 * F}}


class Request(NamedTuple):
    unit: int
    time: int
    covariate: int | None = None
    segment: int = 0
    arm: int = 0


class Outcome(NamedTuple):
    unit: int
    metric: str
    value: float
    time: int
    key: int
    probability: int = 0


def entry(seq: int, until: int, rows: list[Request | Outcome]) -> Entry:
    requests, outcomes = RequestRows(), OutcomeRows()
    for row in rows:
        if isinstance(row, Request):
            where = pack_where(row.unit % 1000, row.arm, EXPOSURE | OUTCOME)
            requests.append(row.unit, row.time - START, where, 5000)
            covariate = NO_COVARIATE if row.covariate is None else row.covariate * F
            requests.describe(len(requests) - 1, covariate, row.segment)
        else:
            metric, value = NAMES.index(row.metric), round(row.value * F)
            outcomes.append(row.unit, metric, value, row.time, -1, row.key, -1)
            if row.probability:
                outcomes.sampled(row.probability)
    return Entry(
        "w",
        seq,
        1,
        1,
        until,
        base=START,
        requests=requests,
        outcomes=outcomes,
        names=NAMES if outcomes else (),
    )


def folded(
    *parts: list[Request | Outcome], late: bool = False, **state: Any
) -> tuple[dict[str, int], Fold, dict[str, Any]]:
    """The moments after all parts and the end of all windows; ``late``: what the run is told comes after the parts."""
    run, _ = started(EXPERIMENT, step=0)
    told = run | {"rolls": [ROLL], "constants": FROZEN} | state
    ledger = MemoryLedger()
    fold = Fold(cast(Ledger, ledger), run if late else told, 1)
    for seq, rows in enumerate(parts, start=1):
        ledger.append(entry(seq, START, rows), START + 1000 + seq)
    drain(fold)
    fold.learn(told)
    ledger.append(entry(len(parts) + 1, END, []), START + 2000)
    drain(fold)
    return {name: value for name, value in ledger.moments.items() if value}, fold, told


def drain(fold: Fold) -> None:
    while fold.advance(START + 2000, SILENCE, GAP):
        pass


def fitting(row: Outcome) -> Outcome:
    """The same with a value that its kind takes."""
    if row.metric in ("proportion", "rare_proportion", "time_to_event"):
        return row._replace(value=row.value % 2, probability=250_000 if row.metric == "proportion" else 0)
    return row._replace(value=row.value / 5) if row.metric == "edit_rate" else row


REQUESTS = st.tuples(
    st.integers(1, 6),
    st.integers(START, START + 20_000),
    st.none() | st.integers(-3, 3),
    st.integers(0, 3),
).map(lambda row: Request(*row))
OUTCOMES = st.tuples(
    st.integers(1, 6),
    st.sampled_from(NAMES),
    st.integers(1, 5),
    st.integers(START, START + 25_000),
    st.integers(1, 10),
).map(lambda row: fitting(Outcome(*row)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(REQUESTS, max_size=15), st.lists(OUTCOMES, max_size=25), st.integers(0, 999), st.integers(1, 7)
)
def test_any_order_and_any_batching_give_the_same_bits(
    requests: list[Request], outcomes: list[Outcome], seed: int, cut: int
) -> None:
    once = list({(row.unit, row.metric, row.key): row for row in outcomes}.values())
    whole, _, _ = folded([*requests, *once])
    rows: list[Request | Outcome] = [*requests, *once]
    random.Random(seed).shuffle(rows)
    shuffled, _, _ = folded(*(rows[i : i + cut] for i in range(0, len(rows), cut)))
    assert shuffled == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUESTS, max_size=15), st.lists(OUTCOMES, max_size=25))
def test_what_a_run_is_told_late_leaves_the_same_sums_as_what_it_knew_from_the_start(
    requests: list[Request], outcomes: list[Outcome]
) -> None:
    once = list({(row.unit, row.metric, row.key): row for row in outcomes}.values())
    known, _, _ = folded([*requests, *once])
    late, _, _ = folded([*requests, *once], late=True)
    assert late == known


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUESTS, max_size=15), st.lists(OUTCOMES, max_size=25))
def test_strata_part_the_units_and_lose_none(requests: list[Request], outcomes: list[Outcome]) -> None:
    once = list({(row.unit, row.metric, row.key): row for row in outcomes}.values())
    parted, _, _ = folded([*requests, *once])
    flat, _, _ = folded([*(row._replace(segment=0) for row in requests), *once], rolls=[])
    totals: dict[str, int] = {}
    for name, value in parted.items():
        rest = name.partition("|")[2]
        totals[rest] = totals.get(rest, 0) + value
    assert totals == {name.partition("|")[2]: value for name, value in flat.items()}


def test_a_stratum_is_epoch_roll_and_segment_of_the_entry() -> None:
    before, after = START + 7_999, START + 8_000
    moments, _, told = folded(
        [
            Request(1, before, segment=1),
            Request(1, after, segment=2),
            Request(2, after, segment=2),
            Request(3, after, segment=0),
            Request(4, after, segment=3),
        ]
    )
    counts = {name.partition("|")[0]: value for name, value in moments.items() if name.endswith("||u|n")}
    assert counts == {"1/de": 1, "1.1/fr": 1, "1.1/other": 2}
    assert Moments(moments, told).strata == ["1.1/fr", "1.1/other", "1/de"]


@pytest.mark.parametrize(
    ("metric", "reports", "sums"),
    [
        ("winsorised_mean", [5, 4], {"n": 1, "sy": 3 * F, "syy": 9 * F * F, "m": 1, "mx": 2 * F}),
        ("mean", [5, 4], {"n": 1, "sy": 4_500_000, "mxy": 9 * F * F, "mxx": 4 * F * F}),
        ("rate", [2, 1], {"n": 1, "sx": 2, "sy": 3 * F, "sxy": 6 * F}),
        ("rating", [2, 5], {"n": 1, "c5": 1}),
        ("time_to_event", [0, 1], {"n": 1, "x": 1, "a8": 1}),
        ("exceedance", [1, 3], {"n": 1, "x": 1}),
        ("edit_rate", [0.25, 0.5], {"n": 1, "sx": 2, "sy": 750_000}),
    ],
)
def test_a_unit_enters_the_sums_of_its_kind_with_what_it_reported(
    metric: str, reports: list[float], sums: dict[str, int]
) -> None:
    at = START + 4_000
    rows = [Outcome(7, metric, value, at + 1000 * i, i) for i, value in enumerate(reports, start=1)]
    moments, _, _ = folded([Request(7, at, covariate=2), Request(7, at + 900), *rows])
    begin = f"1/other|0|{metric}|c|"
    found = {name.removeprefix(begin): value for name, value in moments.items() if name.startswith(begin)}
    assert {name: found.get(name) for name in sums} == sums


def test_a_sampled_label_stands_for_one_over_its_probability() -> None:
    label = Outcome(7, "proportion", 1, START + 100, 1, probability=250_000)
    moments, _, _ = folded([Request(7, START), label])
    assert moments["1/other|0|proportion|c|sx"] == 4 * F
    assert moments["1/other|0|proportion|c|sy"] == 4 * F * F


@pytest.mark.parametrize(
    ("metric", "value", "probability"),
    [
        ("rating", 6, 0),
        ("rating", 1.5, 0),
        ("rate", -1, 0),
        ("edit_rate", 1.01, 0),
        ("time_to_event", 2, 0),
        ("proportion", 1, 0),
    ],
)
def test_what_a_kind_cannot_read_is_counted_and_without_effect(
    metric: str, value: float, probability: int
) -> None:
    moments, fold, _ = folded([Request(7, START), Outcome(7, metric, value, START + 1, 1, probability)])
    assert fold.state.counts["malformed"] == 1
    assert moments == folded([Request(7, START)])[0]


# ---- limits frozen in the run ---------------------------------------------------------------------------------------


def test_units_that_entered_before_the_limit_was_frozen_are_not_held_against_it() -> None:
    rows: list[Request | Outcome] = []
    for unit, at in ((1, START + 3_999), (2, START + 4_000)):
        rows += [Request(unit, at), Outcome(unit, "exceedance", 3, at + 1, unit)]
    moments, _, _ = folded(rows)
    assert moments["1/other|0|exceedance|c|n"] == moments["1/other|0|exceedance|r|n"] == 1
    assert moments[f"1/other|0|exceedance|q|{bucket(3 * F)}"] == 2


def test_a_look_freezes_the_limit_and_says_until_then_what_it_waits_for() -> None:
    run, flag = started(EXPERIMENT, step=0)
    ledger = MemoryLedger()
    fold = Fold(cast(Ledger, ledger), run, 1)
    missing = []
    for seq, units in enumerate((10, 30), start=1):
        rows: list[Request | Outcome] = []
        for unit in range(1, units + 1):
            at = START + seq * 20_000
            rows += [
                Request(100 * seq + unit, at),
                Outcome(100 * seq + unit, "exceedance", unit, at + 1, unit),
            ]
        ledger.append(entry(seq, START + seq * 20_000 + 10_000, rows), START + seq)
        drain(fold)
        _, change = look(run, flag, fold, health_of(fold, END, 10**6, 10**6), END + seq, ready=True)
        assert change.run is not None
        run = dict(change.run)
        missing.append(run["evidence"]["metrics"]["exceedance"]["missing"])
        fold.learn(run)
    assert missing[0] == "its limit: 20 values of the baseline (now 10)"
    assert missing[1] == "its limit: it is frozen with this look"
    assert run["constants"]["exceedance"]["since"] == END + 2
    assert [plan.limit for plan in plans_of(run["spec"]["metrics"], run["constants"]) if plan.freezes] != [
        None
    ]


def test_the_limit_is_frozen_once_from_closed_values_of_control_alone() -> None:
    rows: list[Request | Outcome] = []
    for unit in range(1, 41):
        arm = unit % 2
        at = START + unit
        rows += [Request(unit, at, arm=arm), Outcome(unit, "exceedance", unit + 100 * arm, at + 1, unit)]
    moments, _, told = folded(rows, constants={})
    constants = constants_of(told, moments, END)
    frozen = constants["exceedance"]
    assert frozen["since"] == END
    assert 20 * F <= frozen["limit"] <= 20 * F * 65 // 64
    assert constants_of(told | {"constants": constants}, {}, END + 1) == constants
    assert constants_of(told, {name: v for name, v in moments.items() if "|0|" not in name}, END) == {}
