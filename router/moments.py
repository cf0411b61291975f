"""The moments of a run: whole-number sums by stratum, arm, metric and reading, as the fold keeps them.

A name is ``stratum|arm|metric|reading|sum``. Readings: ``r`` running, ``c`` closed windows, ``q`` closed values by bucket;
of a metric ``m`` units whose window has closed, ``p`` those of them that reported; of the run ``u`` units exposed, ``x``
those that left, ``c`` those whose windows have all closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.reading import Reading, Stratum
from stats import frozen, histogram


class Moments:
    """The moments of a run, by stratum, arm and metric."""

    def __init__(self, values: Mapping[str, int], run: Mapping[str, Any]) -> None:
        self._values = values
        lanes = run["spec"]["lanes"]
        total = sum(lane["share"] for lane in lanes)
        self.share = next(lane["share"] for lane in lanes if lane["role"] == "treatment") / total
        self.strata = sorted({name.partition("|")[0] for name in values}) or [str(run["epoch"])]

    def value(self, stratum: str, arm: int, metric: str, reading: str, name: str = "n") -> int:
        """One sum; 0 where nothing was ever folded, since the fold writes no zeros."""
        return self._values.get(f"{stratum}|{arm}|{metric}|{reading}|{name}", 0)

    def count(self, arm: int, reading: str, metric: str = "") -> int:
        """Units of an arm over all strata."""
        return sum(self.value(stratum, arm, metric, reading) for stratum in self.strata)

    def filled(self, metric: str, key: str) -> list[str]:
        """The strata where both arms have units with a value."""
        return [s for s in self.strata if all(self.value(s, arm, metric, key) for arm in (0, 1))]

    def sums(self, metric: str, reading: Reading, key: str) -> list[Stratum]:
        """Both arms' sums in each stratum where both have units."""
        strata = []
        for stratum in self.filled(metric, key):
            control, treatment = (
                tuple(self.value(stratum, arm, metric, key, name) for name in reading.names) for arm in (0, 1)
            )
            strata.append(Stratum(control, treatment, self.share))
        return strata

    def level_sums(self, metric: str, reading: Reading, key: str, arm: int) -> tuple[int, ...]:
        """One arm's sums over all strata, for display."""
        rows = [[self.value(s, arm, metric, key, name) for name in reading.names] for s in self.strata]
        return tuple(map(sum, zip(*rows, strict=True)))

    def histogram(self, metric: str, arm: int) -> dict[int, int]:
        """Closed values of an arm by bucket of ``stats.histogram``, over all strata."""
        found: dict[int, int] = {}
        for stratum in self.strata:
            begin = f"{stratum}|{arm}|{metric}|q|"
            own = {int(name[len(begin) :]): n for name, n in self._values.items() if name.startswith(begin)}
            found = histogram.merge(found, own)
        return found

    def reports(self, metric: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Of each stratum and arm: units whose window of the metric has closed, and those of them that reported."""
        rows = []
        for stratum in self.strata:
            pairs = []
            for arm in (0, 1):
                closed = self.value(stratum, arm, metric, "m") or self.value(stratum, arm, "", "c")
                pairs.append((closed, min(closed, self.value(stratum, arm, metric, "p"))))
            rows.append((pairs[0], pairs[1]))
        return rows

    def contradictions(self, names: Sequence[str]) -> list[str]:
        """Fewer units exposed than were analysed: some count is missing, and nothing built on it can be believed."""
        problems = []
        for label, arm in (("control", 0), ("treatment", 1)):
            exposed = self.count(arm, "u") + self.count(arm, "x")
            analysed = max(self.count(arm, key, name) for name in ("", *names) for key in ("c", "r"))
            if analysed > exposed:
                problems.append(
                    f"counts contradict each other: {exposed} {label} units exposed, {analysed} analysed"
                )
        return problems


def frozen_limit(metric: Mapping[str, Any], moments: Moments) -> frozen.Frozen:
    """The quantile of control's closed values, once there are enough of them for it to be more than luck."""
    return frozen.quantile(moments.histogram(metric["name"], 0), metric["quantile"])


def constants_of(run: Mapping[str, Any], values: Mapping[str, int], now: int) -> dict[str, dict[str, int]]:
    """The run's frozen constants, with those that can be frozen now; what is frozen never moves.

    Args:
        run: the run state; its ``constants`` by metric say the limit in fixed point and since when it counts, ms.
        values: all moments of the run.
        now: the time of the look, ms: only units that enter from here on are held against the limit.
    """
    constants = dict(run.get("constants", {}))
    waiting = [m for m in run["spec"]["metrics"] if m.get("quantile") and m["name"] not in constants]
    for metric in waiting:
        limit = frozen_limit(metric, Moments(values, run)).value
        if limit is not None:
            constants[metric["name"]] = {"since": now, "limit": limit}
    return constants
