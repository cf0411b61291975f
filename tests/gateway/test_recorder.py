"""Events on their way: one row or two, numbers without gaps, nothing lost unsaid, nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import StoreUnavailable
from router.event_rows import ERROR, EXPOSURE, FACTS_SHIFT, OUTCOME, pack_where
from router.events import Entry
from router.gateway.recorder import TOGETHER
from tests.gateway.flags import NOW, Bench, MemoryLog, experiment, flag


def bench(flush_rows: int = 1000, buffer_rows: int = 100_000) -> Bench:
    return Bench(flag(experiments=(experiment(),)), flush_rows=flush_rows, buffer_rows=buffer_rows)


def flush(made: Bench) -> bool:
    try:
        asyncio.run(made.recorder.flush(made.now))
    except StoreUnavailable:
        return False
    return True


def expose(made: Bench, unit: int, treatment: bool = False):  # type: ignore[no-untyped-def] # a place, or None
    buffer = made.recorder.buffer("e.1", 1)
    where = pack_where(5, int(treatment), EXPOSURE)
    return buffer, made.recorder.exposed(buffer, 1, unit, made.now, where, treatment)


def test_begun_and_ended_in_one_flush_is_one_row() -> None:
    made = bench()
    buffer, place = expose(made, 7)
    made.recorder.ended(buffer, place, ERROR, 1234, made.now + 1, False)
    assert flush(made)
    (entry,) = made.log.folded()
    assert list(entry.requests.unit) == [7]
    assert entry.requests.where[0] >> FACTS_SHIFT == EXPOSURE | OUTCOME | ERROR
    assert list(entry.requests.latency) == [1234]
    assert entry.base + entry.requests.time[0] == NOW


def test_ended_after_the_flush_is_a_second_row_with_the_requests_time() -> None:
    made = bench()
    buffer, place = expose(made, 7, treatment=True)
    flush(made)
    made.now += 90_000
    made.recorder.ended(buffer, place, 0, 90_000_000, made.now, True)
    flush(made)
    first, second = made.log.folded()
    assert first.requests.where[0] == pack_where(5, 1, EXPOSURE)
    assert second.requests.where[0] == pack_where(5, 1, OUTCOME)
    assert second.base + second.requests.time[0] == NOW
    assert second.requests.latency[0] == 90_000_000
    assert (first.seq, second.seq) == (1, 2)


def test_a_latency_beyond_the_column_is_the_largest_it_holds() -> None:
    made = bench()
    buffer, place = expose(made, 7)
    made.recorder.ended(buffer, place, 0, 1 << 40, made.now, False)
    flush(made)
    assert made.log.folded()[0].requests.latency[0] == (1 << 32) - 1


def test_a_live_writer_says_so_each_second_and_not_more() -> None:
    made = bench()
    for step in range(31):
        made.now = NOW + step * 100
        flush(made)
    assert [entry.seq for entry in made.log.folded()] == [1, 2, 3, 4]
    untils = [entry.until for entry in made.log.folded()]
    assert untils == sorted(untils)
    assert untils[-1] >= made.now - 1000
    made.show(flag(revision=2))
    made.now += 60_000
    flush(made)
    assert len(made.log.folded()) == 4


def test_a_change_of_some_runs_leaves_the_others_as_they_are() -> None:
    made = bench()
    made.recorder.running([("a.1", 1, 1), ("b.1", 1, 1)], ["e.1"])
    made.recorder.running([("a.1", 1, 2)])
    flush(made)
    assert [(run, entry.revision) for run, entry in made.log.entries] == [("a.1", 2), ("b.1", 1)]
    made.recorder.running([], ["b.1"])
    made.now += 60_000
    flush(made)
    assert [run for run, _ in made.log.entries] == ["a.1", "b.1", "a.1"]


def test_a_failed_flush_keeps_its_number_and_its_content() -> None:
    made = bench()
    expose(made, 1)
    made.log.down = True
    assert not flush(made)
    expose(made, 2)
    assert not flush(made)
    made.log.down = False
    assert flush(made)
    assert [(entry.seq, list(entry.requests.unit)) for entry in made.log.folded()] == [(1, [1]), (2, [2])]


def test_an_entry_that_arrived_without_an_answer_is_sent_again_unchanged() -> None:
    made = bench()
    buffer, place = expose(made, 1)
    made.log.lossy = True
    assert not flush(made)
    made.recorder.ended(buffer, place, 0, 5, made.now, False)
    made.log.lossy = False
    assert flush(made)
    sent = [(entry.seq, list(entry.requests.where)) for _, entry in made.log.entries]
    assert sent == [(1, [pack_where(5, 0, EXPOSURE)])] * 2 + [(2, [pack_where(5, 0, OUTCOME)])]


def test_until_never_passes_rows_that_still_wait() -> None:
    made = bench(flush_rows=2)
    flush(made)
    made.log.down = True
    flush(made)
    for number in range(5):
        made.now += 1000
        expose(made, number)
        flush(made)
    made.log.down = False
    flush(made)
    entries = made.log.folded()
    for at, entry in enumerate(entries):
        later = [one.base + time for one in entries[at + 1 :] for time in one.requests.time]
        assert all(time >= entry.until for time in later)


def test_rows_beyond_the_buffer_are_dropped_counted_by_arm_and_reported() -> None:
    made = bench(flush_rows=3, buffer_rows=5)
    made.log.down = True
    places = [expose(made, number, treatment=number % 2 == 1)[1] for number in range(9)]
    assert [place is None for place in places] == [False] * 5 + [True] * 4
    flush(made)
    made.log.down = False
    flush(made)
    entries = made.log.folded()
    assert [list(entry.requests.unit) for entry in entries] == [[0, 1, 2], [3, 4]]
    assert [sum(entry.dropped[arm] for entry in entries) for arm in (0, 1)] == [2, 2]
    totals = made.totals()
    assert totals["pointsman_rows_taken\trun=e.1"] == 9
    assert totals["pointsman_rows_flushed\trun=e.1"] == 5
    assert totals["pointsman_rows_dropped\trun=e.1\tarm=control"] == 2
    assert totals["pointsman_rows_dropped\trun=e.1\tarm=treatment"] == 2
    assert made.recorder.pending == 0
    assert expose(made, 10)[1] is not None


def test_rows_of_another_revision_travel_in_an_entry_of_their_own() -> None:
    made = bench()
    expose(made, 1)
    buffer = made.recorder.buffer("e.1", 1)
    made.recorder.exposed(buffer, 2, 2, made.now, pack_where(5, 0, EXPOSURE), False)
    flush(made)
    assert [(entry.revision, list(entry.requests.unit)) for entry in made.log.folded()] == [
        (1, [1]),
        (2, [2]),
    ]


def test_what_comes_while_entries_travel_leaves_with_the_next_flush() -> None:
    made = bench()

    async def append_each(entries: Sequence[tuple[str, Entry]]) -> list[StoreUnavailable | None]:
        for _, entry in entries:
            if entry.seq < 5:
                expose(made, 100 + entry.seq)
        return await MemoryLog.append_each(made.log, entries)

    made.log.append_each = append_each  # type: ignore[method-assign] # requests go on while Redis is being written to
    expose(made, 7)
    assert flush(made)
    assert [list(entry.requests.unit) for entry in made.log.folded()] == [[7]]
    assert flush(made)
    assert [list(entry.requests.unit) for entry in made.log.folded()] == [[7], [101]]


def test_one_flush_sends_what_is_in_doubt_and_all_that_waits() -> None:
    made = bench(flush_rows=2)
    made.log.down = True
    expose(made, 1)
    assert not flush(made)
    for unit in range(2, 7):
        expose(made, unit)
    made.log.down = False
    assert flush(made)
    assert [list(entry.requests.unit) for entry in made.log.folded()] == [[1], [2, 3], [4, 5], [6]]
    assert made.recorder.pending == 0


def test_the_entries_of_many_runs_travel_together() -> None:
    runs = [msgspec.structs.replace(experiment(), run=f"e.{number}") for number in range(100)]
    made = Bench(*(flag(one.run, f"/{one.run}", experiments=(one,)) for one in runs))
    trips: list[int] = []

    async def append_each(entries: Sequence[tuple[str, Entry]]) -> list[StoreUnavailable | None]:
        trips.append(len(entries))
        return await MemoryLog.append_each(made.log, entries)

    made.log.append_each = append_each  # type: ignore[method-assign] # counted on its way
    assert flush(made)
    assert trips == [TOGETHER] * 3 + [4]
    assert {run for run, _ in made.log.entries} == {one.run for one in runs}


def test_a_full_block_wakes_the_flush() -> None:
    made = bench(flush_rows=2)
    woken: list[int] = []
    made.recorder.wake = lambda: woken.append(1)
    expose(made, 1)
    assert not woken
    expose(made, 2)
    assert woken


def test_a_run_that_left_and_came_back_goes_on_in_its_numbers() -> None:
    made = bench()
    expose(made, 1)
    flush(made)
    made.show(flag(revision=2))
    flush(made)
    made.show(flag(revision=3, experiments=(experiment(),)))
    expose(made, 2)
    flush(made)
    entries = made.log.folded()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert made.totals()["pointsman_rows_taken\trun=e.1"] == 2
    assert made.totals()["pointsman_rows_flushed\trun=e.1"] == 2


STEPS = st.lists(
    st.sampled_from(["expose", "expose", "treat", "end", "flush", "down", "lossy", "up", "later"]),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(1, 8))
def test_whatever_happens_taken_is_folded_dropped_or_pending(
    steps: list[str], flush_rows: int, room: int
) -> None:
    made = bench(flush_rows, room)
    open_places = []
    taken: Counter[int] = Counter()
    for step in steps:
        if step in ("expose", "treat"):
            treatment = step == "treat"
            buffer, place = expose(made, sum(taken.values()), treatment)
            taken[treatment] += 1
            if place is not None:
                open_places.append((buffer, place, treatment))
        elif step == "end" and open_places:
            buffer, place, treatment = open_places.pop(0)
            taken[treatment] += place[0].sent
            made.recorder.ended(buffer, place, 0, 1, made.now, treatment)
        elif step == "flush":
            flush(made)
        elif step in ("down", "lossy"):
            setattr(made.log, step, True)
        elif step == "up":
            made.log.down = made.log.lossy = False
        made.now += 7 if step != "later" else 1500
    unsettled = made.counters.unsettled(1)
    if made.log.lossy is made.log.down is False:
        entries = made.log.folded()
        folded = sum(len(entry.requests) for entry in entries)
        dropped = sum(sum(entry.dropped) for entry in entries)
        left = sum(sum(run.doubt) + sum(run.rest) for run in unsettled)
        doubtful_but_there = made.log.entries and any(
            run.in_doubt and any(entry.seq == run.seq + 1 for entry in entries) for run in unsettled
        )
        if not doubtful_but_there:
            assert folded + dropped + left == sum(taken.values())
    made.log.down = made.log.lossy = False
    assert flush(made)
    made.now += 1500
    assert flush(made)
    entries = made.log.folded()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert sum(len(entry.requests) + sum(entry.dropped) for entry in entries) == sum(taken.values())
    assert made.counters.unsettled(1) == []


@pytest.mark.parametrize("lossy", [True, False])
def test_an_entry_in_doubt_is_never_folded_twice(lossy: bool) -> None:
    made = bench()
    expose(made, 1)
    setattr(made.log, "lossy" if lossy else "down", True)
    flush(made)
    flush(made)
    made.log.lossy = made.log.down = False
    flush(made)
    assert sum(len(entry.requests) for entry in made.log.folded()) == 1
