"""Schedules as revisions: written once at each edge, by who leads, and by nobody on the way of a request."""

from __future__ import annotations

from pathlib import Path

import msgspec
import redis

from router.controller.loop import Controller
from router.controller.schedules import due
from router.flag import Flag, Schedule
from router.settings import Settings
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from tests.router.flags_of import flag

START, END = 1_800_000_000_000, 1_800_000_060_000


def scheduled(*, inside: bool = False) -> Flag:
    return flag(schedule=Schedule(START, END, inside))


def test_a_flag_is_due_when_the_clock_is_on_the_other_side_of_an_edge() -> None:
    for now, inside, wanted in (
        (START - 1, False, None),
        (START, False, True),
        (START, True, None),
        (END - 1, False, True),
        (END, True, False),
        (END + 10**9, True, False),
    ):
        found = [
            change.flag.schedule for change in due([scheduled(inside=inside), flag()], now) if change.flag
        ]
        assert [one.inside for one in found if one] == ([] if wanted is None else [wanted])


def test_one_edge_is_one_revision_with_an_entry_in_the_log(
    client: redis.Redis, prefix: str, tmp_path: Path
) -> None:
    store = FlagStore(client, Keys(prefix))
    store.commit(Change({"action": "create", "route": "web"}, scheduled()))
    clock = [START - 1]
    settings = Settings.load({}, None, {"prefix": prefix, "data_dir": str(tmp_path)})
    controller = Controller(client, settings, lambda: clock[0])
    seen = []
    for now in (START - 1, START, START + 100, END - 1, END, END + 100):
        clock[0] = now
        assert controller.tick()
        one = store.flag("web")
        assert one is not None and one.schedule is not None
        seen.append((one.revision, one.schedule.inside))
    assert seen == [(1, False), (2, True), (2, True), (2, True), (3, False), (3, False)]
    entries = store.audit(route="web")
    assert [entry["reason"] for entry in entries[:2]] == ["outside its schedule", "inside its schedule"]
    assert msgspec.json.encode(entries[0]["new"]["schedule"]["inside"]) == b"false"
