"""The rows of a writer that died: booked by the master, reported by the next live worker.

The report goes on in the dead writer's own numbers: the entry that was on its way is sent again as a loss under the
same number, so if it had arrived after all the fold ignores the report, and if not the rows are dropped, not missing.
Reporting twice is therefore harmless, and no worker has to be elected.

Never here: a guess about what arrived.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from router.events import Entry
from router.gateway.counters import Counters
from router.gateway.unsettled import Unsettled

if TYPE_CHECKING:
    from router.gateway.recorder import Log

FOLDER = "lost"


class _Booked(msgspec.Struct):
    writer: str
    runs: list[Unsettled]


def book(data_dir: Path, counters: Counters, number: int) -> int:
    """Write down what the ended writer of a row left unsettled, and free the row; how many rows were lost.

    Raises:
        OSError: it could not be written down; the row is freed all the same and the loss is counted.
    """
    runs, writer = counters.unsettled(number), counters.writer(number)
    lost = sum(sum(run.lost) for run in runs)
    try:
        if runs and writer:
            folder = data_dir / FOLDER
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = folder / f".{writer}.new"
            scratch.write_bytes(msgspec.json.encode(_Booked(writer, runs)))
            os.replace(scratch, folder / f"{writer}.json")
    finally:
        counters.absorb(number)
    return lost


def waiting(data_dir: Path) -> list[Path]:
    """The losses that nobody has reported yet."""
    return sorted((data_dir / FOLDER).glob("*.json"))


async def report(path: Path, log: Log, now: int) -> None:
    """Report one dead writer's losses to the event log and forget them.

    Raises:
        StoreUnavailable: Redis gave no good answer; the report is made again later.
    """
    try:
        booked = msgspec.json.decode(path.read_bytes(), type=_Booked)
    except FileNotFoundError:
        return  # another worker was quicker
    entries: list[tuple[str, Entry]] = []
    for run in booked.runs:
        seq = run.seq
        lost = [run.doubt] if run.in_doubt else []
        if any(run.rest):
            lost.append(run.rest)
        for pair in lost:
            seq += 1
            entry = Entry(booked.writer, seq, run.epoch, run.revision, now, dropped=pair)
            entries.append((run.run, entry))
    for refused in await log.append_each(entries):
        if refused is not None:
            raise refused
    path.unlink(missing_ok=True)
