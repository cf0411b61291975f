"""A model server answers as another build than was declared: the run that serves it becomes invalid, whoever is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from router.controller.loop import Controller, now_ms
from router.document import load
from router.files import parse_documents
from router.plan import Planner
from router.roll import roll
from router.store.flags import Change
from tests.gateway.running import ModelServer, World, eventually

RUN = "web-v2.1"
ROUTE = """
route: web
match: {path: /v2}
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "V1"}, v2: {upstream: "V2", declares: "2"}}
default: v1
"""
ASKING = """
route: web
match: {path: /v2}
protocol: oip-v2
ask_versions: yes
unit: {kind: person, from: [header:x-person]}
arms: {v1: {upstream: "V1/v2/models/m"}, v2: {upstream: "V2/v2/models/m", endpoints: ["V2", "V3"], declares: "2"}}
default: v1
"""
EXPERIMENT = """
experiment: web-v2
route: web
kind: ab
control: v1
treatment: v2
goal: {metric: corrected, kind: proportion, better: lower, mde: 10 pp}
guardrails: [{metric: errors, margin: 1 pp}]
ramp: [{traffic: 50%, time: 1 h, units: 1000000}]
deadline: 2 h
"""


class Watched:
    """A gateway on a route whose experiment a controller leads, look by look."""

    def __init__(self, world: World, route: str = ROUTE) -> None:
        self.world = world
        self.controller = Controller(world.client, world.settings)
        for number, model in enumerate(world.models, 1):
            route = route.replace(f"V{number}", model.url)
        live = world.store.live()
        files = parse_documents(load(route + "---" + EXPERIMENT))
        for one in Planner(live.flags, live.runs, live.latest, live.files, now_ms()).plan(files).changes:
            world.store.commit(Change({"actor": "ana"}, one.flag, one.run, {one.file_key: one.file_text}))

    @property
    def run(self) -> dict[str, Any]:
        run = self.world.store.run(RUN)
        assert run is not None
        return run

    def problems(self) -> list[str] | None:
        """What the next look says of builds; None before any unit was exposed to the treatment."""
        before = (self.run["look"] or {}).get("number", 0)
        eventually(lambda: self.controller.tick() and (self.run["look"] or {}).get("number", 0) > before)
        run = self.run
        found = [words for words in run["evidence"]["health"]["problems"] if "answers as" in words]
        assert run["verdict"] == "invalid" or not found
        return found if run["evidence"]["units"]["v2"]["exposed"] else None

    def eventually_says(self, words: list[str]) -> None:
        eventually(lambda: self.problems() == words)


def test_an_answer_of_another_build_makes_the_run_invalid_until_a_roll_declares_it(tmp_path: Path) -> None:
    with World(tmp_path, look_ms=100) as world:
        one, two = world.models
        one.version, two.version = "1", "2"
        watched = Watched(world)
        world.start()
        eventually(lambda: watched.controller.tick() and watched.run["step"] == 0)
        load = world.load(clients=2, pause_s=0.005)
        watched.eventually_says([])
        two.version = "3"
        drifted = ["v2 is declared '2' and answers as '3'"]
        watched.eventually_says(drifted)
        two.version = "2"  # it was put back, and those who saw it are gone
        for worker in world.workers():
            os.kill(worker, signal.SIGKILL)
        watched.controller.lease.release()
        watched.controller = Controller(world.client, world.settings)
        load.more(100)
        for _ in range(3):
            assert watched.problems() == drifted
        two.version = "3"
        load.more(20)
        rolled, _ = roll(watched.run, "v2", now_ms(), "ana", "retrained", "3")
        world.store.commit(Change({"actor": "ana"}, run=rolled))
        watched.eventually_says([])
        load.stop()
        assert watched.problems() == []


def test_servers_that_say_nothing_in_their_answers_are_asked_which_build_they_are(tmp_path: Path) -> None:
    with World(tmp_path, look_ms=100, versions_ms=50) as world:
        one, two = world.models
        three = ModelServer(world.loop, "v2")
        world.models.append(three)
        one.versions, two.versions, three.versions = None, ["2"], ["2"]  # control does not know its versions
        watched = Watched(world, ASKING)
        world.start()
        eventually(lambda: watched.controller.tick() and watched.run["step"] == 0)
        load = world.load(clients=2, pause_s=0.005)
        watched.eventually_says([])
        two.versions = three.versions = None
        eventually(lambda: asked(world, "failed") > 8)
        assert watched.problems() == []
        two.versions, three.versions = ["2"], ["3"]  # half of the pool was pushed
        drifted = ["v2 is declared '2' and answers as '3'"]
        watched.eventually_says(drifted)
        two.versions = ["3"]
        all_said(world)  # from here on nobody says "2" any more
        rolled, _ = roll(watched.run, "v2", now_ms(), "ana", "retrained", "3")
        world.store.commit(Change({"actor": "ana"}, run=rolled))
        all_said(world)
        watched.eventually_says([])
        assert watched.problems() == []
        load.stop()


def asked(world: World, result: str) -> float:
    """How often the treatment's servers were asked for their versions, and this came of it."""
    name = f'pointsman_version_questions_total{{arm="v2",result="{result}",route="web"}}'
    return world.metrics().get(name, 0.0)


def all_said(world: World) -> None:
    """Wait until each worker has asked each of the treatment's servers anew."""
    so_far = asked(world, "said")
    eventually(lambda: asked(world, "said") > so_far + 8)
