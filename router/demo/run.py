"""The demo from start to end: set the stage, let the people in, watch, tell, and say whether it ended as it should.

What is shown about a decision is read from the API, as any user would; what the people saw comes from the people.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from router.cli.client import Api
from router.demo.screen import Screen, clock, plan_lines, row_of, shortened_lines
from router.demo.stage import Stage
from router.demo.story import AFTERWARDS, RATE, Cast, Scenario, experiment_text, route_text
from router.errors import PointsmanError

FINAL = frozenset({"promoted", "rolled_back", "ended", "superseded"})
LOOK_EVERY_S = 0.5


class Demo:
    """One run of one scenario."""

    def __init__(self, stage: Stage, scenario: Scenario, seed: int, screen: Screen, begun: float) -> None:
        self.begun = begun
        self.stage = stage
        self.scenario = scenario
        self.seed = seed
        self.screen = screen
        self.api = Api(stage.api_url, stage.token)
        self.told: set[str] = set()
        self.trouble = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, Any] = {"elapsed": 0.0, "apps": {}}
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._open: Cast | None = None
        self._reached: dict[str, float] = {}

    def open(self) -> None:
        """Apply the files and let the people in."""
        for cast in self.scenario.cast:
            self._apply(route_text(cast, self.stage.model_ports), experiment_text(cast), cast.experiment)
        if self.scenario.traffic:
            people = self.stage.start_people(self._people_document())
            threading.Thread(target=self._listen, args=(people,), daemon=True).start()

    def play(self, *, headless: bool, until: Callable[[], bool] = lambda: False) -> bool:
        """Watch until the story has ended (headless) or for ever; True when it ended as it should."""
        begun = time.monotonic()
        deadline = begun + self.scenario.lasts_s
        killed = self.scenario.kill_redis_at_s
        finished = False
        while not until():
            time.sleep(LOOK_EVERY_S)
            self._hear()
            if killed is not None and time.monotonic() - begun >= killed:
                self.stage.kill_redis()
                self.screen.say(f"{clock(killed)}  Redis is killed (kill -9) and stays dead")
                killed = None
            self._look()
            self.stage.mend(self.screen.say, restart_redis=self.scenario.kill_redis_at_s is None)
            if not finished and (self._all_decided() or time.monotonic() >= deadline):
                finished = True
                good = self._conclude()
                if headless:
                    return good
                self._afterwards()
        return finished or not headless

    def _people_document(self) -> dict[str, Any]:
        apps = [
            {
                "name": cast.app,
                "path": cast.path,
                "treatment": cast.treatment,
                "experiment": cast.experiment,
                "rate": RATE,
                "mute": cast.treatment if self.scenario.mute_treatment else "",
            }
            for cast in self.scenario.cast
        ]
        return {
            "folder": str(self.stage.folder),
            "gateway": self.stage.gateway_url,
            "api": self.stage.api_url,
            "seed": self.seed,
            "apps": apps,
        }

    def _apply(self, route: str, experiment: str, name: str) -> None:
        files = [{"name": "route.yaml", "text": route}, {"name": f"{name}.yaml", "text": experiment}]
        for file in files:
            (self.stage.folder / f"{name}-{file['name']}").write_text(file["text"])
        self.api.post("/v1/apply", {"files": files, "actor": "demo", "reason": "the demo's story"})

    def _listen(self, people: subprocess.Popen[str]) -> None:
        assert people.stdout is not None
        for line in people.stdout:
            self._lines.put(line)

    def _hear(self) -> None:
        while not self._lines.empty():
            self.seen = json.loads(self._lines.get())
            took = time.monotonic() - self.begun - self.seen["elapsed"]
            self._once("first traffic", f"first traffic {took:.1f} s after the start\n")
        for cast in self.scenario.cast:
            promoted_at = self.seen["apps"].get(cast.app, {}).get("threshold_rule")
            if promoted_at is not None and cast.ends != "promoted" and cast.kind == "canary":
                self._tell_rule(cast, promoted_at)

    def _tell_rule(self, cast: Cast, promoted_at: float) -> None:
        arm = self.seen["apps"][cast.app]["arms"].get(cast.treatment, {})
        wrong = f"; {arm['misread'] / arm['scans']:.0%} of its answers are wrong" if arm.get("scans") else ""
        self._once(
            f"rule {cast.experiment}",
            f"{clock(promoted_at)}  threshold rule: would have PROMOTED {cast.treatment} at {clock(promoted_at)}{wrong}",
        )

    def _look(self) -> None:
        cast = (*self.scenario.cast, self._open) if self._open else self.scenario.cast
        for one in cast:
            try:
                answer = self.api.get(f"/v1/experiments/{one.experiment}")
            except PointsmanError as problem:
                self.trouble = str(problem)
                continue
            run = answer["run"]
            self.runs[one.experiment] = run
            decision = run.get("decision") or {}
            if decision.get("sentence"):
                self._once(
                    f"{one.experiment} {decision['sentence']}", f"{self._now()}  {decision['sentence']}"
                )
            if run["state"] in FINAL:
                self._reached.setdefault(one.experiment, self.seen["elapsed"])
        rows = [
            row_of(one, self.runs.get(one.experiment), self.seen["apps"].get(one.app, {})) for one in cast
        ]
        self.screen.show(self.seen["elapsed"], rows)

    def _now(self) -> str:
        return clock(self.seen["elapsed"])

    def _once(self, key: str, text: str) -> None:
        if key not in self.told:
            self.told.add(key)
            self.screen.say(text)

    def _all_decided(self) -> bool:
        wanted = [cast for cast in self.scenario.cast if cast.ends in FINAL]
        return bool(wanted) and all(self._state(cast) in FINAL for cast in wanted)

    def _state(self, cast: Cast) -> str:
        return str(self.runs.get(cast.experiment, {}).get("state", "unknown"))

    def failed(self) -> int:
        """Requests of the people that got no good answer."""
        return sum(arm["failed"] for app in self.seen["apps"].values() for arm in app["arms"].values())

    def _conclude(self) -> bool:
        """Tell how it ended, and whether that is how it should end."""
        good = True
        self.screen.say()
        for cast in self.scenario.cast:
            state = self._state(cast)
            at, as_it_should = self._ended(cast, state)
            good = good and as_it_should
            run = self.runs.get(cast.experiment, {})
            reason = "" if cast.ends in FINAL else f" - {self._reason(run)}"
            mark = "as it should" if as_it_should else f"NOT as it should (expected {cast.ends})"
            self.screen.say(f"{cast.experiment}: {state}{at}, {mark}{reason}")
        failed = self.failed()
        if self.scenario.traffic:
            self.screen.say(f"failed requests: {failed}")
            good = good and failed == 0
        if self.scenario.name == "aa":
            winners = sum(app["t_test_winners"] for app in self.seen["apps"].values())
            ours = sum(self._state(cast) == "promoted" for cast in self.scenario.cast)
            self.screen.say(
                f"a t-test repeated at each look has declared {winners} false winners; Pointsman: {ours}"
            )
        return good

    def _ended(self, cast: Cast, state: str) -> tuple[str, bool]:
        """When a run ended, in words; and whether that, and the time it took, is how it should be."""
        if cast.ends not in FINAL:
            return "", state not in ("promoted", "unknown")
        reached = self._reached.get(cast.experiment)
        if reached is None:
            return "", False
        limit = self.scenario.within_s.get(cast.experiment, self.scenario.lasts_s)
        late = f" (later than {clock(limit)})" if reached > limit else ""
        return f" at {clock(reached)}{late}", state == cast.ends and not late

    def _reason(self, run: Mapping[str, Any]) -> str:
        if self.scenario.kill_redis_at_s is not None:
            return f"{self.trouble or 'Redis answers'}; the last good snapshot routes, nothing is decided"
        if run.get("state") in FINAL:
            return str((run.get("decision") or {}).get("sentence"))
        evidence = run.get("evidence") or {}
        problems = list(evidence.get("health", {}).get("problems", ())) + list(evidence.get("missing", ()))
        reason = str(run.get("reason") or "")
        return "; ".join(dict.fromkeys(part for part in (reason, *problems) if part)) or "not decided"

    def _afterwards(self) -> None:
        """After the story: an A/A test that stays open, and three things to try."""
        if self.scenario.name == "story":
            self._open = AFTERWARDS
            control = "v2" if self._state(self.scenario.cast[0]) == "promoted" else "v1"
            try:
                self._apply_afterwards(control)
            except PointsmanError as problem:
                self.screen.say(f"the A/A test could not be started: {problem}")
        if self.scenario.kill_redis_at_s is not None:
            return  # without Redis there is nothing to try
        kill = (
            f"kill -9 {self.stage.redis_pid}   (that is Redis) and watch 'failed requests: {self.failed()}'"
        )
        if not self.stage.redis_pid:
            kill = "stop your Redis for a moment and watch 'failed' in the table"
        api = "" if self.stage.leads else f" --api {self.stage.api_url}"
        self.screen.say()
        self.screen.say("three things to try:")
        self.screen.say(
            f"  open {self.stage.api_url}/try - you are a unit: judge an answer, see it in the verdict"
        )
        self.screen.say(f"  {kill}")
        self.screen.say(f"  {_program()} explain --unit you{api}")
        self.screen.say()

    def _apply_afterwards(self, control: str) -> None:
        files = [{"name": "digits-aa.yaml", "text": experiment_text(AFTERWARDS, control=control)}]
        self.api.post("/v1/apply", {"files": files, "actor": "demo", "reason": "something to try"})


def _program() -> str:
    return "./run" if os.environ.get("POINTSMAN_RUN") else "pointsman"


def announce(screen: Screen, scenario: Scenario, stage: Stage) -> None:
    """The plan before anything starts."""
    models = ", ".join(f"{name} {port}" for name, port in stage.model_ports.items())
    addresses = {"gateway": stage.gateway_url, "api": stage.api_url, "models": models}
    for line in [
        *plan_lines(scenario, addresses, str(stage.folder)),
        "",
        *shortened_lines(),
        "",
        *stage.notes,
    ]:
        screen.say(line)
