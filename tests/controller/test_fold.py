"""The fold: any order, any batching and any repetition give the same sums, and a crash gives no others."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from router.controller.fold import Fold
from router.errors import Fenced
from router.events import Entry
from router.store.events import EventLog
from router.store.keys import Keys
from router.store.ledger import Batch, Ledger
from tests.controller.memory_ledger import MemoryLedger
from tests.controller.runs import START, entry, started

SILENCE, GAP = 10_000, 60_000
END = START + 60_000


def folded(entries: list[Entry], at: list[int] | None = None) -> tuple[dict[str, int], Fold]:
    run, _ = started(step=1)
    ledger = MemoryLedger()
    for i, one in enumerate(entries):
        ledger.append(one, at[i] if at else START + 1000 + i)
    fold = Fold(cast(Ledger, ledger), run, 1)
    drain(fold)
    return {name: value for name, value in ledger.moments.items() if value}, fold


def drain(fold: Fold, now: int = START + 2000) -> None:
    while fold.advance(now, SILENCE, GAP):
        pass


REQUESTS = st.lists(
    st.tuples(
        st.integers(1, 6), st.integers(START, START + 20_000), st.sampled_from((0, 0, 0, 1)), st.booleans()
    ),
    max_size=20,
)
OUTCOMES = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 1), st.integers(START, START + 25_000), st.integers(1, 12)),
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(requests=REQUESTS, outcomes=OUTCOMES, seed=st.integers(0, 1000), cut=st.integers(1, 7))
def test_any_order_and_any_batching_give_the_same_bits(
    requests: Any, outcomes: Any, seed: int, cut: int
) -> None:
    last = entry(0, END)
    whole, _ = folded(numbered([entry(0, START, requests=requests, outcomes=outcomes), last]))
    rows: list[tuple[str, Any]] = [("requests", row) for row in requests] + [
        ("outcomes", row) for row in outcomes
    ]
    random.Random(seed).shuffle(rows)
    parts = [
        entry(
            0,
            START,
            requests=[row for kind, row in rows[i : i + cut] if kind == "requests"],
            outcomes=[row for kind, row in rows[i : i + cut] if kind == "outcomes"],
        )
        for i in range(0, len(rows), cut)
    ]
    shuffled, _ = folded(numbered([*parts, last]))
    assert shuffled == whole


def numbered(entries: list[Entry]) -> list[Entry]:
    for number, one in enumerate(entries, start=1):
        one.seq = number
    return entries


def test_a_unit_counts_once_whatever_it_reports() -> None:
    reports = [(7, 1, START + 100, 1), (7, 0, START + 200, 2), (7, 1, START + 300, 3)]
    moments, _ = folded(
        numbered([entry(0, START, requests=[(7, START, 1, False)] * 3, outcomes=reports), entry(0, END)])
    )
    assert moments["1|1||u|n"] == 1
    assert moments["1|1|corrected|c|n"] == 1
    assert moments["1|1|corrected|c|x"] == 1
    assert moments["1|1|corrected|p|n"] == 1


def test_a_repeated_outcome_and_a_repeated_entry_count_once() -> None:
    first = entry(
        1, START, requests=[(7, START, 1, False)], outcomes=[(7, 1, START + 100, 1), (7, 1, START + 100, 1)]
    )
    moments, fold = folded([first, first, entry(2, END)])
    assert moments["1|1|corrected|r|sx"] == 1
    assert fold.state.counts["repeated_entries"] == 1
    assert fold.state.counts["duplicate"] == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_values_under_one_key_the_earlier_counts_whichever_came_first(order: tuple[int, int]) -> None:
    reports = [(7, 1, START + 100, 1), (7, 0, START + 200, 1)]
    parts = [entry(0, START, outcomes=[reports[i]]) for i in order]
    moments, fold = folded(
        numbered([entry(0, START, requests=[(7, START, 1, False)]), *parts, entry(0, END)])
    )
    assert (moments["1|1|corrected|c|n"], moments["1|1|corrected|c|x"]) == (1, 1)
    assert (moments["1|1|corrected|r|sx"], moments["1|1|corrected|r|sy"]) == (1, 1_000_000)
    assert fold.state.counts["duplicate"] == 1


def test_an_outcome_after_the_watermark_is_late_and_without_effect() -> None:
    begun = entry(1, START, requests=[(7, START, 1, False)])
    late = entry(3, END, outcomes=[(7, 1, START + 100, 1)])
    without, _ = folded([begun, entry(2, END)])
    run, _ = started(step=1)
    ledger = MemoryLedger()
    for i, one in enumerate([begun, entry(2, END)]):
        ledger.append(one, START + i)
    fold = Fold(cast(Ledger, ledger), run, 1)
    drain(fold)
    ledger.append(late, START + 5)
    drain(fold)
    assert {k: v for k, v in ledger.moments.items() if v} == without
    assert fold.state.counts["late"] == 1


def test_an_outcome_of_an_unknown_unit_is_an_orphan() -> None:
    moments, fold = folded(numbered([entry(0, START, outcomes=[(9, 1, START, 1)]), entry(0, END)]))
    assert moments == {}
    assert fold.state.counts["orphan"] == 1


@pytest.mark.parametrize("arms", [(0, 1), (1, 0)])
def test_a_unit_seen_in_two_arms_is_dropped_in_both_alike(arms: tuple[int, int]) -> None:
    requests = [(7, START + i, arm, False) for i, arm in enumerate(arms)]
    moments, _ = folded(numbered([entry(0, START, requests=requests), entry(0, END)]))
    assert moments == {"1|0||x|n": 1, "1|1||x|n": 1}


def test_poison_goes_to_the_dead_letters_and_the_rest_folds() -> None:
    run, _ = started(step=1)
    ledger = MemoryLedger()
    ledger.entries.append((b"1-1", {b"h": b"\xc1 nonsense"}))
    ledger.append(entry(1, END, requests=[(7, START, 1, False)]), START)
    fold = Fold(cast(Ledger, ledger), run, 1)
    drain(fold)
    assert ledger.dead == [b"1-1"]
    assert ledger.moments["1|1||u|n"] == 1


def test_rows_of_an_arm_that_the_run_does_not_have_go_to_the_dead_letters() -> None:
    run, _ = started(step=1)
    ledger = MemoryLedger()
    ledger.append(entry(1, START + 10, requests=[(8, START, 0, False), (9, START, 2, False)]), START)
    ledger.append(entry(1, END, requests=[(7, START, 1, False)], writer="w2"), START)
    fold = Fold(cast(Ledger, ledger), run, 1)
    drain(fold)
    assert ledger.dead == [b"%d-0" % START]
    assert fold.state.counts["dead_letter"] == 1
    assert (ledger.moments.get("1|0||u|n"), ledger.moments["1|1||u|n"]) == (None, 1)


class Crash(Exception):
    """The process dies here."""


class CrashingLedger(Ledger):
    """Dies before, or right after, the n-th call to the store."""

    left = 10**9
    after = False

    def _call(self, name: str, *arguments: Any) -> Any:
        CrashingLedger.left -= 1
        if CrashingLedger.left == 0 and not CrashingLedger.after:
            raise Crash
        result = getattr(super(), name)(*arguments)
        if CrashingLedger.left == 0:
            raise Crash
        return result

    def stamp(self, token: int) -> None:
        self._call("stamp", token)

    def load(self) -> Any:
        return self._call("load")

    def read(self, cursor: bytes, count: int) -> Any:
        return self._call("read", cursor, count)

    def units(self, digests: Any) -> Any:
        return self._call("units", digests)

    def due(self, until: int, limit: int) -> Any:
        return self._call("due", until, limit)

    def commit(self, token: int, expected: bytes, cursor: bytes, state: bytes, batch: Batch) -> None:
        self._call("commit", token, expected, cursor, state, batch)


def some_entries() -> list[Entry]:
    rng = random.Random(5)
    entries = []
    for i in range(40):
        at = START + i * 500
        requests = [(rng.randrange(1, 30), at + rng.randrange(400), 0, rng.random() < 0.1) for _ in range(5)]
        outcomes = [
            (rng.randrange(1, 30), rng.randrange(2), at + rng.randrange(400), rng.getrandbits(60))
            for _ in range(3)
        ]
        entries.append(entry(0, at - 200, requests=requests, outcomes=outcomes))
    return numbered([*entries, entry(0, END)])


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_crash_at_any_call_to_the_store_changes_no_sum(
    client: redis.Redis, prefix: str, after: bool
) -> None:
    run, _ = started(step=1)
    reference: dict[str, int] = {}
    crash_at = 0
    while True:
        keys = Keys(f"{prefix}{after}{crash_at}:")
        log = EventLog(client, keys)
        for one in some_entries():
            log.append(run["run"], one)
        CrashingLedger.left, CrashingLedger.after = crash_at or 10**9, after
        crashed = False
        while True:
            try:
                drain(Fold(CrashingLedger(client, keys, run["run"]), run, 1), END)
                break
            except Crash:
                crashed = True
        found = Ledger(client, keys, run["run"]).load().moments
        if not crash_at:
            reference = found
            assert reference["1|0||c|n"] > 10
        assert found == reference
        if crash_at and not crashed:
            assert crash_at > 10
            return
        crash_at += 1


def test_an_older_leader_can_no_longer_commit(client: redis.Redis, prefix: str) -> None:
    run, _ = started(step=1)
    keys = Keys(prefix)
    old = Fold(Ledger(client, keys, run["run"]), run, 1)
    Fold(Ledger(client, keys, run["run"]), run, 2)
    EventLog(client, keys).append(run["run"], entry(1, END, requests=[(7, START, 1, False)]))
    with pytest.raises(Fenced):
        drain(old)
    assert Ledger(client, keys, run["run"]).load().moments == {}
