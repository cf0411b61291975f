"""Layers: ranges are given once, rest, and are found again from the runs alone; overlaps are counted."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.bucketing import PPM
from router.flag import UnitSource
from router.layers import Owned, allocate, free, overlaps, owners
from tests.router.flags_of import flag, part, running

DAY = 86_400_000


def run(
    name: str, ranges: list[list[int]], state: str = "running", ended: int | None = None
) -> dict[str, Any]:
    return {
        "run": name,
        "state": state,
        "ended": ended,
        "layer": {"layer": "search", "salt": "s", "ranges": ranges},
    }


def runs(*states: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {state["run"]: state for state in states}


def test_live_runs_own_ended_ones_rest_and_rested_ones_are_free_again() -> None:
    live = run("a.1", [[0, 100], [500, 700]])
    ended = run("b.2", [[100, 500]], "rolled_back", ended=10 * DAY)
    elsewhere = {"run": "c.3", "state": "running", "ended": None, "layer": None}
    found = owners(runs(live, ended, elsewhere), "search", 7 * DAY, 16 * DAY)
    assert [(one.start, one.end, one.run, one.until) for one in found] == [
        (0, 100, "a.1", None),
        (100, 500, "b.2", 17 * DAY),
        (500, 700, "a.1", None),
    ]
    assert free(found) == [(700, PPM)]
    assert free(owners(runs(live, ended), "search", 7 * DAY, 17 * DAY)) == [(100, 500), (700, PPM)]
    assert owners(runs(live), "other", 0, 0) == []


@given(st.lists(st.integers(1, 400_000), max_size=8), st.data())
def test_what_is_given_never_overlaps_and_is_as_wide_as_asked(shares: list[int], data: st.DataObject) -> None:
    taken: list[Owned] = []
    for number, share in enumerate(shares):
        given_ = allocate(taken, share)
        left = sum(end - start for start, end in free(taken))
        assert (given_ is None) is (share > left)
        if given_ is None:
            continue
        assert sum(end - start for start, end in given_) == share
        taken = sorted(
            [*taken, *(Owned(a, b, str(number), None) for a, b in given_)], key=lambda one: one.start
        )
        assert all(one.end <= other.start for one, other in itertools.pairwise(taken))
        if data.draw(st.booleans()):  # some experiment ends and leaves a hole
            gone = data.draw(st.sampled_from(sorted({one.run for one in taken})))
            taken = [one for one in taken if one.run != gone]


def test_overlap_is_none_in_a_layer_the_product_elsewhere_and_unknown_between_kinds() -> None:
    one = flag(
        running("a", 1, coverage=400_000, layer=part((0, 500_000))),
        running("b", 2, layer=part((500_000, PPM))),
    )
    other = flag(running("c", 3, coverage=PPM), route="web2")
    accounts = flag(running("d", 4), route="web3", unit=UnitSource("account", ()))
    rows = {tuple(row["experiments"]): (row["how"], row["ppm"]) for row in overlaps([one, other, accounts])}
    assert rows["a", "b"] == ("disjoint", 0)
    assert rows["a", "c"] == ("independent", 200_000)
    assert rows["b", "c"] == ("independent", 500_000)
    assert rows["a", "d"] == ("different units", None)
    assert len(rows) == 6
