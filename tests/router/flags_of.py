"""Flags for tests of assignments, layers and moves."""

from __future__ import annotations

from typing import Any

from router.bucketing import PPM
from router.flag import Arm, Flag, UnitSource
from router.lanes import Lane, RunningExperiment, Slice

UNITS = [f"unit-{i}".encode() for i in range(4_000)]


def running(
    name: str = "better", epoch: int = 1, *, share: int = 250_000, coverage: int = PPM, treatment: str = "v2", **more: Any
) -> RunningExperiment:  # fmt: skip
    """A treatment's lane at the left edge, and the control's beside it."""
    lanes = (Lane(treatment, "treatment", 0, share), Lane("v1", "control", share, PPM - share))
    return RunningExperiment(f"{name}.{epoch}", name, epoch, f"web:{epoch}", lanes, coverage, **more)


def flag(*experiments: RunningExperiment, route: str = "web", **more: Any) -> Flag:
    """A route with arms v1 (default), v2 and v3, whose attributes are country and plan."""
    arms = tuple(Arm(arm, f"http://{arm}") for arm in ("v1", "v2", "v3"))
    fields: dict[str, Any] = {
        "unit": UnitSource("person", (("header", "x"),)),
        "default": "v1",
        "revision": 1,
        "epoch": 9,
        "attributes": (("country", "header", "x-country"), ("plan", "query", "plan")),
    }
    made = Flag(**{"route": route, "arms": arms, **fields, **more, "experiments": experiments})
    made.check()
    return made


def part(*ranges: tuple[int, int], layer: str = "search") -> Slice:
    """What an experiment owns of a layer."""
    return Slice(layer, f"layer:{layer}:1", ranges)
