"""Booking: values of units into whole-number sums, by stratum, arm, metric and reading.

A stratum is the epoch, with the number of the last declared roll before the unit's entry and the unit's segment where
there are any: ``3``, ``3.1``, ``3/de``, ``3.1/other``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.attribution import Closed, Plan
from router.record import Record
from router.traits import OTHER
from stats.histogram import bucket


class Booking:
    """The moments of a run, and those of them that the present batch has changed."""

    def __init__(self, moments: dict[str, int], run: Mapping[str, Any]) -> None:
        self.moments = moments
        self.changed: dict[str, int] = {}
        self._epoch = str(run["epoch"])
        declared = run["spec"].get("segments")
        self._segments = [OTHER, *declared["values"]] if declared else []
        self._rolls: list[int] = []
        self._counts: dict[tuple[str, int, str, str], str] = {}
        self._names: dict[tuple[str, int, int, str], tuple[str, ...]] = {}

    def learn(self, run: Mapping[str, Any]) -> None:
        """Rolls declared so far."""
        self._rolls = [roll[0] for roll in run.get("rolls", ())]

    @property
    def stratified(self) -> bool:
        """Whether units of one epoch lie in different strata."""
        return bool(self._rolls or self._segments)

    def rolls_before(self, time: int) -> int:
        """How many rolls were declared up to a time, ms."""
        return sum(roll <= time for roll in self._rolls)

    def stratum_of(self, record: Record) -> str:
        """The stratum of a unit's entry; empty for the epoch's own."""
        rolls = self.rolls_before(record.entry)
        if not rolls and not self._segments:
            return ""
        name = f"{self._epoch}.{rolls}" if rolls else self._epoch
        if not self._segments:
            return name
        known = record.segment < len(self._segments)
        return f"{name}/{self._segments[record.segment] if known else OTHER}"

    def value(self, stratum: str, arm: int, plan: Plan, key: str, value: Closed | None, sign: int) -> None:
        """A unit's value enters (``sign`` 1) or leaves (-1) the sums of a reading; None has no part in them."""
        if value is None:
            return
        reading = plan.running if key == "r" else plan.closed
        names = self._names.get((stratum, arm, plan.index, key))
        if names is None:
            begin = f"{stratum or self._epoch}|{arm}|{plan.name}|{key}|"
            names = tuple(begin + name for name in reading.names)
            self._names[stratum, arm, plan.index, key] = names
        for name, part in zip(names, reading.part(*value), strict=True):
            self._put(name, sign * part)

    def bucket(self, stratum: str, arm: int, plan: Plan, value: int) -> None:
        """A closed value enters its bucket of the histogram; what is below 0 enters the first."""
        self._put(f"{stratum or self._epoch}|{arm}|{plan.name}|q|{bucket(max(0, value))}", 1)

    def count(self, stratum: str, arm: int, metric: str, key: str, by: int) -> None:
        """Units of an arm, or of a metric in it."""
        place = (stratum, arm, metric, key)
        name = self._counts.get(place)
        if name is None:
            name = self._counts[place] = f"{stratum or self._epoch}|{arm}|{metric}|{key}|n"
        self._put(name, by)

    def _put(self, name: str, by: int) -> None:
        if by:
            self.moments[name] = self.changed[name] = self.moments.get(name, 0) + by
