"""Schedules as revisions: written once at each edge, by who leads, and by nobody on the way of a request."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import redis

from router.controller.loop import Controller
from router.controller.schedules import due
from router.flag import Flag, Schedule
from router.settings import Settings
from router.store.flags import Change, FlagStore
from router.store.keys import Keys
from tests.controller import runs
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


def moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


class Scheduled:
    """A store with one scheduled run, a gateway that says the treatment is ready, and a controller with a hand clock."""

    def __init__(self, client: redis.Redis, prefix: str, folder: Path, experiment: str) -> None:
        self.now = runs.START
        self.store = FlagStore(client, Keys(prefix))
        run, flag = runs.started(experiment)
        self.store.commit(Change({"action": "start", "route": "digits"}, flag, run))
        settings = Settings.load({}, None, {"prefix": prefix, "data_dir": str(folder), "look_ms": "1"})
        self._controller = Controller(client, settings, lambda: self.now)

    def at(self, now: int) -> tuple[str, int, int]:
        """State, coverage and revision after a look at this moment."""
        self.now = now
        beat = {"role": "gateway", "writer": "g", "time": now, "ready": {"digits/v2": True}}
        self.store.heartbeat("g", beat)
        assert self._controller.tick()
        run, flag = self.store.run("digits-v2.1"), self.store.flag("digits")
        assert run is not None and flag is not None
        running = flag.experiment("digits-v2.1")
        return run["state"], running.coverage if running else 0, flag.revision


@pytest.fixture
def scheduled_run(client: redis.Redis, prefix: str, tmp_path: Path) -> Scheduled:
    edges = {"start": moment(runs.START + 60_000), "end": moment(runs.START + 120_000)}
    return Scheduled(client, prefix, tmp_path, f"{runs.EXPERIMENT}schedule: {json.dumps(edges)}\n")


def test_an_experiment_begins_and_ends_by_its_schedule_one_revision_each(scheduled_run: Scheduled) -> None:
    one, start = scheduled_run, runs.START + 60_000
    assert one.at(runs.START) == one.at(start - 1) == ("held", 0, 1)
    waiting = one.store.run("digits-v2.1")
    assert waiting is not None and waiting["waits"] == ["its schedule has not begun"]
    assert one.at(start) == one.at(start + 59_999) == ("running", 200_000, 2)
    assert one.at(start + 60_000) == one.at(start + 90_000) == ("ended", 0, 3)
    flag = one.store.flag("digits")
    assert flag is not None and (flag.default, flag.experiments) == ("v1", ())
    reasons = [entry["reason"] for entry in one.store.audit(run="digits-v2.1")]
    assert reasons == [
        "digits-v2 (v2) ENDED at 5 %: its schedule has ended; control stays",
        "digits-v2 (v2) goes to 5 % of traffic: arm ready",
    ]


def test_a_schedule_that_passed_while_nobody_led_ends_the_run_without_ever_starting_it(
    scheduled_run: Scheduled,
) -> None:
    assert scheduled_run.at(runs.START) == ("held", 0, 1)
    assert scheduled_run.at(runs.START + 10**9) == ("ended", 0, 2)
