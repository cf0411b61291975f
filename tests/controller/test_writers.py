"""Writers: gaps, silence, repetitions and the watermark, for as long as a run lives."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from router.controller.fold import Fold
from router.controller.look import health_of
from router.controller.writers import Writers
from router.health import check
from router.store.ledger import Ledger
from tests.controller.memory_ledger import MemoryLedger
from tests.controller.runs import START, entry, started

SILENCE, GAP = 10_000, 60_000
OUTAGE = 200 * SILENCE


def test_a_gap_holds_the_watermark_until_it_is_filled_or_given_up() -> None:
    for filled in (False, True):
        writers = Writers()
        writers.arrived("w", 1, START + 100, START)
        writers.arrived("w", 3, START + 5000, START + 1)
        assert writers.advance(START + 100, GAP * 2, GAP) == START + 100
        if filled:
            assert writers.arrived("w", 2, START + 200, START + 200)
        late = START + GAP + 10
        assert writers.advance(late if not filled else START + 300, GAP * 2, GAP) == START + 5000
        assert writers.lost_entries == (0 if filled else 1)


def test_a_silent_writer_no_longer_holds_the_watermark_and_its_gaps_are_lost() -> None:
    writers = Writers()
    writers.arrived("quiet", 1, START + 10, START)
    writers.arrived("quiet", 4, START + 20, START)
    writers.arrived("busy", 1, START + 9_000, START + 9_000)
    assert writers.advance(START + 9_500, SILENCE, GAP) == START + 10
    assert writers.advance(START + SILENCE, SILENCE, GAP) == START + 9_000
    assert writers.lost_entries == 2


def test_a_writer_is_known_again_however_long_it_was_silent() -> None:
    writers = Writers()
    for seq in range(1, 2001):
        writers.arrived("w", seq, START + seq, START + seq)
    writers.advance(START + OUTAGE, SILENCE, GAP)
    assert not writers.arrived("w", 2000, START + 2000, START + OUTAGE)
    assert writers.arrived("w", 2001, START + OUTAGE, START + OUTAGE)
    assert writers.advance(START + OUTAGE + 1, SILENCE, GAP) == START + OUTAGE
    assert writers.lost_entries == 0


@given(st.lists(st.integers(1, 40), max_size=80))
def test_each_number_is_new_once_and_what_never_came_is_lost(seqs: list[int]) -> None:
    writers, seen = Writers(), set[int]()
    for seq in seqs:
        assert writers.arrived("w", seq, START, START) is (seq not in seen)
        seen.add(seq)
    writers.advance(START + SILENCE, SILENCE, GAP)
    assert writers.arrived_entries == len(seen)
    assert writers.lost_entries == max(seen, default=0) - len(seen)
    assert all(not writers.arrived("w", seq, START, START) for seq in range(1, max(seen, default=0) + 1))


def folding(entries: list[Any], at: list[int]) -> tuple[Fold, MemoryLedger]:
    run, _ = started(step=1)
    ledger = MemoryLedger()
    for one, time in zip(entries, at, strict=True):
        ledger.append(one, time)
    fold = Fold(cast(Ledger, ledger), run, 1)
    while fold.advance(at[-1] + 1, SILENCE, GAP):
        pass
    return fold, ledger


def problems(fold: Fold, now: int) -> tuple[str, ...]:
    health = health_of(fold, now, 30_000, SILENCE)
    return check(health, [(100, 30)], 0.25, 0.0, ("v1", "v2")).problems


def test_an_outage_of_half_an_hour_leaves_the_run_valid_and_folds_nothing_twice() -> None:
    times = [START + 900 * i for i in range(1, 200)]
    rows = [entry(i, at, requests=[(i, at - 100, i % 4 == 0, False)]) for i, at in enumerate(times, start=1)]
    fold, ledger = folding(rows, times)
    back = times[-1] + OUTAGE
    fold = Fold(cast(Ledger, ledger), started(step=1)[0], 2)
    fold.advance(back, SILENCE, GAP)  # the controller is there before the gateway
    assert problems(fold, back) == (f"events are folded late: lag {OUTAGE / 1000:.0f} s",)
    ledger.append(rows[-1], back)
    ledger.append(entry(200, back, requests=[(200, back - 100, 0, False)]), back + 1)
    while fold.advance(back + 2, SILENCE, GAP):
        pass
    assert fold.state.counts["repeated_entries"] == 1
    assert (fold.state.counts["sent|0"], fold.state.counts["sent|1"]) == (151, 49)
    assert problems(fold, back + 2) == ()


def test_a_lost_entry_counts_as_long_as_those_that_arrived() -> None:
    rows = [entry(seq, START + seq, requests=[(seq, START, 0, False)] * 10) for seq in (1, 2, 4)]
    fold, _ = folding(rows, [START + 1, START + 2, START + 3])
    fold.state.writers.advance(START + GAP + 10, GAP * 2, GAP)
    assert health_of(fold, START + 10, 30_000, SILENCE).lost == (10, 0)


def test_a_number_far_ahead_costs_neither_time_nor_memory() -> None:
    fold, ledger = folding([entry(1, START + 10), entry(2**50, START + 10)], [START, START + 1])
    assert fold.state.writers.writers["w1"].next_seq == 2**50 + 1
    assert len(ledger.state) < 300
