"""One run on a route, ready for requests: what answers say of it, what of a request is slow, what else is kept of it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from router.flag import Flag
from router.gateway.sticky import Units
from router.gateway.traits import TraitReader
from router.lanes import RunningExperiment


class Running:
    """One run on a route.

    Attributes:
        headers: by arm, the answer's header fields up to the decision id; empty when none are shown.
        signing: by arm index, what makes decision ids; filled as they are wanted.
        measures: what gateways measure of each answer, or read in it, and write down; most runs have none.
        slow_us: beyond it a request is slow; None where the run does not ask.
        traits: reads what is kept with an exposure; None where the run declares nothing.
        sticky: the units that it remembers; None where it is not sticky.
    """

    __slots__ = ("epoch", "headers", "measures", "run", "signing", "slow_us", "sticky", "traits")

    def __init__(self, flag: Flag, experiment: RunningExperiment, sticky: Units | None = None) -> None:
        self.sticky = sticky
        self.run = experiment.run.encode()
        self.epoch = experiment.epoch
        self.signing: dict[int, Callable[[int, int, int], bytes]] = {}
        self.slow_us = None if experiment.slow_ms is None else experiment.slow_ms * 1000
        outcomes = flag.serving.outcomes if flag.serving is not None else ()
        self.measures = frozenset(experiment.measures) | {metric for metric, _ in outcomes}
        declared = experiment.traits
        self.traits = None if declared is UNSET else TraitReader(declared)
        self.headers = {arm.name: _headers(flag, experiment, arm.name) for arm in flag.arms}


def _headers(flag: Flag, experiment: RunningExperiment, arm: str) -> bytes:
    if flag.expose == "none":
        return b""
    shown = "Pointsman-Decision: "
    if flag.expose == "all":
        name = experiment.experiment
        shown = f"Pointsman-Experiment: {name}\r\nPointsman-Arm: {arm}\r\nPointsman-Revision: {flag.revision}\r\n{shown}"
    return shown.encode()
