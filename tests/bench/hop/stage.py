"""What stands while rows are measured: gateways, the others, model servers; each is started when a row asks for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import uvloop

from router.flag import Arm, Flag
from router.local.processes import ProcessGroup
from router.serving import Serving, Shadow
from tests.bench.hop.loads import Load, Sample, measured
from tests.bench.hop.own_model import OwnModel
from tests.bench.hop.proxies import PROXIES, Site, model
from tests.bench.hop.targets import MEASURED, OTHERS, Target
from tests.gateway.flags import experiment, flag
from tests.gateway.running import World, eventually

Found = TypeVar("Found")


def route(name: str, path: str, port: int, **fields: Any) -> Flag:
    """A route with everything on: a running experiment with every unit enrolled, slow requests counted."""
    arms = tuple(Arm(arm, f"http://127.0.0.1:{port}") for arm in ("v1", "v2", "copied"))
    run = msgspec.structs.replace(experiment(slow_ms=300), run=f"{name}.1", experiment=name, salt=f"{name}:1")
    return flag(name, path, arms=arms, experiments=(run,), **fields)


class Stage:
    """The place of a whole bench; what it started ends with it."""

    def __init__(self, folder: Path, package: str = "") -> None:
        self.folder = folder
        self.package = package  # a compiled copy, which gateways use; empty for plain Python
        self.ending = ExitStack()
        self.worlds: dict[str, World] = {}
        self._targets: dict[str, Target] = {}
        os.sched_setaffinity(0, {OTHERS})  # and whatever is started from here
        group = self.ending.enter_context(ProcessGroup(folder / "logs"))
        self.model = model(Site(group, folder))
        self._runner = self.ending.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        self.own = self.run(OwnModel().start())
        self.site = Site(group, folder, self.model.port, self.own.port)

    def run(self, job: Coroutine[Any, Any, Found]) -> Found:
        """In the loop of the load."""
        return self._runner.run(job)

    def measured(self, target: Target, load: Load) -> Sample:
        return self.run(measured(target, load))

    def target(self, name: str) -> Target:
        """The gateway, the same in plain Python, or another, running and pinned.

        Raises:
            MissingError: it is not installed here.
        """
        if name not in self._targets:
            ours = name in ("gateway", "plain")
            made = self.gateway(name, self.routes()) if ours else PROXIES[name](self.site)
            made.pin(MEASURED)
            self._targets[name] = made
        return self._targets[name]

    def routes(self) -> list[Flag]:
        """Small answers, those of the load's own model server, and small ones that are copied to a third arm."""
        shadow = Serving(shadow=Shadow("copied", 1_000_000, ("POST",)))
        return [
            route("web", "/v2", self.model.port),
            route("own", "/own", self.own.port),
            route("copied", "/copied", self.model.port, serving=shadow),
        ]

    def gateway(self, name: str, flags: Iterable[Flag]) -> Target:
        """A gateway of one worker with its own Redis, which follows these flags."""
        folder = self.folder / name
        folder.mkdir()
        world = self.worlds[name] = self.ending.enter_context(World(folder, gateway_workers=1, flush_ms=100))
        for one in flags:
            world.put(one)
        os.environ["PYTHONPATH"] = "" if name == "plain" else self.package
        world.start()
        eventually(lambda: world.get("/v2/x")[0] == 200)
        made = Target(name, world.port, world.master)
        made.pin(MEASURED)
        return made

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.close()
