"""The archive: what is folded, in order, once, on disk before it leaves Redis."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
import redis

from router.controller.archive import READ_ENTRIES, Archive, frames
from router.events import Entry, decode
from router.local.redis_server import RedisServer
from router.store.events import EventLog
from router.store.keys import Keys
from router.store.ledger import START, Ledger
from tests.controller.leading import Yard

RUN = "e.1"
ENTRIES = 500


@pytest.fixture
def ledger(client: redis.Redis, prefix: str) -> Ledger:
    log = EventLog(client, Keys(prefix))
    for seq in range(1, ENTRIES + 1):
        log.append(RUN, Entry("w", seq, 1, 1, seq))
    return Ledger(client, Keys(prefix), RUN)


def archived(folder: Path, run: str = RUN) -> list[int]:
    return [decode(dict(fields)).seq for _, (_, fields) in frames(folder / f"{run}-0.log")]


def everything(archive: Archive, ledger: Ledger, cursor: bytes) -> int:
    return sum(iter(lambda: archive.advance(ledger, cursor), 0))


def test_only_what_is_folded_is_archived_and_trimmed(ledger: Ledger, tmp_path: Path) -> None:
    cursor = ledger.read(START, 350)[-1][0]
    archive = Archive(tmp_path, RUN)
    assert everything(archive, ledger, cursor) == 350
    assert archived(tmp_path) == list(range(1, 351))
    assert ENTRIES - 350 <= ledger.length() < ENTRIES
    rest = ledger.read(cursor, ENTRIES)
    assert [decode(fields).seq for _, fields in rest] == list(range(351, ENTRIES + 1))
    assert archive.advance(ledger, cursor) == 0


def test_nothing_folded_archives_nothing(ledger: Ledger, tmp_path: Path) -> None:
    assert Archive(tmp_path, RUN).advance(ledger, START) == 0
    assert archived(tmp_path) == []
    assert ledger.length() == ENTRIES


@pytest.mark.parametrize("octets", [1, 3, 40])
def test_a_torn_frame_is_cut_off_and_written_again(ledger: Ledger, tmp_path: Path, octets: int) -> None:
    """As after a crash between the write and the trim."""
    first, end = (ledger.read(START, count)[-1][0] for count in (100, 300))
    Archive(tmp_path, RUN).advance(ledger, first)
    path = tmp_path / f"{RUN}-0.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:-octets])
    heir = Archive(tmp_path, RUN)
    assert len(archived(tmp_path)) == 99
    everything(heir, ledger, end)
    assert archived(tmp_path) == list(range(1, 301))


def test_entries_stay_in_redis_while_the_disk_takes_nothing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    cursor = ledger.read(START, 300)[-1][0]
    archive = Archive(tmp_path, RUN)
    with monkeypatch.context() as broken, contextlib.suppress(OSError):
        broken.setattr(os, "fsync", full)
        archive.advance(ledger, cursor)
    assert ledger.length() == ENTRIES
    everything(archive, ledger, cursor)
    assert archived(tmp_path) == list(range(1, 301))


def test_every_run_is_archived_and_trimmed_however_many_entries_came(
    redis_server: RedisServer, client: redis.Redis, prefix: str, tmp_path: Path
) -> None:
    yard = Yard.of(client, redis_server.url, prefix, tmp_path)
    yard.start("a", "b")
    runs, sent = ("a-v2.1", "b-v2.1"), 3 * READ_ENTRIES
    for run in runs:
        for _ in range(sent):
            yard.send(run)
    controller = yard.controller()
    assert controller.tick()
    for run in runs:
        assert archived(tmp_path / "archive", run) == list(range(1, sent + 1))
        assert yard.ledger(run).length() < READ_ENTRIES


def test_what_the_last_look_of_an_ended_run_has_read_is_archived(
    redis_server: RedisServer, client: redis.Redis, prefix: str, tmp_path: Path
) -> None:
    yard = Yard.of(client, redis_server.url, prefix, tmp_path)
    yard.start("a")
    controller = yard.controller()
    controller.tick()
    for _ in range(5):
        yard.send("a-v2.1")
    controller.tick()
    assert archived(tmp_path / "archive", "a-v2.1") == []
    yard.store_run("a-v2.1", state="ended")
    controller.tick()
    assert archived(tmp_path / "archive", "a-v2.1") == [1, 2, 3, 4, 5]
