"""Counters in shared memory: they outlive a killed worker, and tell what it had not delivered."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from router.errors import StoreUnavailable
from router.events import Entry
from router.gateway import losses
from router.gateway.counters import ROWS, RUNS, SLOTS, Counters, Row
from router.gateway.metrics import text
from router.gateway.recorder import Recorder, clock
from router.telemetry import rows_of
from tests.gateway.flags import NOW, MemoryLog

EXPOSED = 1 << 26


def begun(counters: Counters, writer: str = "w") -> tuple[int, Row]:
    number = counters.reserve()
    row = counters.row(number)
    row.begin(os.getpid(), writer)
    return number, row


def test_tallies_of_all_rows_are_summed_by_name_and_labels() -> None:
    counters = Counters(None)
    for count in (2, 3):
        _, row = begun(counters)
        row.tally("pointsman_requests", route="a", arm="v1", status="2xx").n += count
        row.tally("pointsman_requests", route="a", arm="v2", status="2xx").n += 1
        row.publish()
    assert counters.totals() == {
        "pointsman_requests\troute=a\tarm=v1\tstatus=2xx": 5,
        "pointsman_requests\troute=a\tarm=v2\tstatus=2xx": 2,
    }


def test_what_an_ended_worker_counted_stays_and_its_row_serves_the_next() -> None:
    counters = Counters(None)
    number, row = begun(counters)
    row.tally("pointsman_requests", route="a").n = 5
    row.publish()
    counters.absorb(number)
    again, row = begun(counters)
    assert again == number
    row.tally("pointsman_requests", route="a").n = 1
    row.publish()
    assert counters.totals() == {"pointsman_requests\troute=a": 6}


def test_more_names_than_slots_share_the_last_one() -> None:
    counters = Counters(None)
    _, row = begun(counters)
    for number in range(SLOTS + 10):
        row.tally("pointsman_requests", route=str(number)).n = 1
    row.tally("pointsman_requests", route="x" * 400).n = 1
    row.publish()
    totals = counters.totals()
    assert sum(totals.values()) == SLOTS + 11
    assert totals["pointsman_other"] == 12


def test_more_workers_than_rows_are_refused() -> None:
    counters = Counters(None)
    for _ in range(ROWS - 1):
        counters.reserve()
    with pytest.raises(OSError, match="workers"):
        counters.reserve()


def test_a_run_beyond_the_table_is_still_counted_by_its_worker() -> None:
    counters = Counters(None)
    _, row = begun(counters)
    counts = [row.run(f"e.{number}") for number in range(RUNS + 1)]
    for count in counts:
        count.taken(False)
    assert counts[-1].unsettled().rest == (1, 0)
    assert len(counters.unsettled(1)) == RUNS
    row.release(counts[0])
    row.run("late").taken(True)
    assert {run.run for run in counters.unsettled(1)} >= {"late"}
    assert counters.totals()["pointsman_rows_taken\trun=e.0"] == 1


def killed_worker(path: Path, *, sending: bool) -> None:
    """In a child: take rows, deliver some, leave some, and be killed, maybe with an entry on its way."""
    counters = Counters(path)
    _, row = begun(counters, "dead")
    recorder = Recorder(MemoryLog(), row, "dead", flush_rows=100, buffer_rows=100)
    buffer = recorder.buffer("e.1", 1)
    for unit in range(4):
        recorder.exposed(buffer, 3, unit, NOW, EXPOSED, unit == 3)
    asyncio.run(recorder.flush(NOW))
    for unit in range(3):
        recorder.exposed(buffer, 3, unit, NOW, EXPOSED, unit == 0)
    if sending:
        recorder._next(buffer, NOW)
        recorder.exposed(buffer, 3, 9, NOW, EXPOSED, True)
    row.publish()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("sending", [False, True])
@pytest.mark.parametrize("arrived", [False, True])
def test_the_rows_of_a_killed_worker_are_reported_once_in_its_own_numbers(
    tmp_path: Path, sending: bool, arrived: bool
) -> None:
    path = tmp_path / "counters-1"
    counters = Counters(path)
    assert counters.reserve() == 1
    child = os.fork()
    if not child:
        killed_worker(path, sending=sending)
    os.waitpid(child, 0)
    assert losses.book(tmp_path, counters, 1) == (4 if sending else 3)
    totals = counters.totals()
    assert totals["pointsman_rows_taken\trun=e.1"] == (8 if sending else 7)
    assert totals["pointsman_rows_flushed\trun=e.1"] == 4
    assert totals["pointsman_rows_dropped\trun=e.1\tarm=control"] == 2
    assert totals["pointsman_rows_dropped\trun=e.1\tarm=treatment"] == (2 if sending else 1)
    log = MemoryLog()
    if sending and arrived:
        log.entries.append(("e.1", Entry("dead", 2, 1, 3, NOW)))  # the entry that was on its way
    (booked,) = losses.waiting(tmp_path)
    asyncio.run(losses.report(booked, log, clock()))
    assert losses.waiting(tmp_path) == []
    entries = log.folded()
    dropped = [sum(entry.dropped[arm] for entry in entries) for arm in (0, 1)]
    if sending and arrived:
        assert dropped == [0, 1]
    else:
        assert dropped == ([2, 2] if sending else [2, 1])
    assert {entry.writer for entry in entries} == {"dead"}
    assert sorted(entry.seq for entry in entries)[0] == 2


def test_a_loss_is_reported_again_until_redis_answers_and_twice_does_no_harm(tmp_path: Path) -> None:
    counters = Counters(None)
    number, row = begun(counters, "dead")
    row.run("e.1").taken(True)
    losses.book(tmp_path, counters, number)
    (booked,) = losses.waiting(tmp_path)
    log = MemoryLog()
    log.lossy = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(losses.report(booked, log, clock()))
    log.lossy = False
    asyncio.run(losses.report(booked, log, clock()))
    asyncio.run(losses.report(booked, log, clock()))
    assert [entry.dropped for entry in log.folded()] == [(0, 1)]


def test_a_worker_that_delivered_all_leaves_no_loss(tmp_path: Path) -> None:
    counters = Counters(None)
    number, _ = begun(counters)
    assert losses.book(tmp_path, counters, number) == 0
    assert losses.waiting(tmp_path) == []


def test_a_folder_that_cannot_be_written_still_frees_the_row_and_counts(tmp_path: Path) -> None:
    counters = Counters(None)
    number, row = begun(counters, "dead")
    row.run("e.1").taken(False)
    (tmp_path / losses.FOLDER).write_text("in the way")
    with pytest.raises(OSError, match="lost"):
        losses.book(tmp_path, counters, number)
    assert counters.totals()["pointsman_rows_dropped\trun=e.1\tarm=control"] == 1
    assert counters.reserve() == number


def test_the_text_of_metrics_has_each_family_and_cumulative_buckets() -> None:
    counters = Counters(None)
    _, row = begun(counters)
    row.tally("pointsman_requests", route="a", arm="v1", status="2xx").n = 3
    for edge, count in (("0.005", 2), ("+Inf", 1), ("0.1", 4)):
        row.tally("pointsman_request_seconds_bucket", route="a", arm="v1", le=edge).n = count
    row.tally("pointsman_request_seconds_sum", route="a", arm="v1").n = 2_500_000
    row.publish()
    shown = text(counters.totals(), {"pointsman_store_up": 1}).decode()
    assert 'pointsman_requests_total{arm="v1",route="a",status="2xx"} 3.0' in shown
    assert 'pointsman_request_seconds_bucket{arm="v1",le="0.1",route="a"} 6.0' in shown
    assert 'pointsman_request_seconds_bucket{arm="v1",le="+Inf",route="a"} 7.0' in shown
    assert 'pointsman_request_seconds_sum{arm="v1",route="a"} 2.5' in shown
    assert "pointsman_store_up 1.0" in shown
    for metric in rows_of("gateway"):
        assert f"# TYPE {metric.name}" in shown
