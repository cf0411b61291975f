"""The timetable of a ramp: when each step begins at the earliest, and how many units have come by then.

It takes a steady stream of new units, and steps that go on as soon as their time and units are met. What the evidence
may say against a step is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.bucketing import PPM

Floats = NDArray[np.float64]
HOUR_MS = 3_600_000.0


class Stop(NamedTuple):
    """One step of a ramp.

    Attributes:
        traffic: the treatment's share of all traffic, ppm.
        begins: hours after the start.
        met: hours after the start when its time and its units are met.
        units: treatment units that have come by then.
    """

    traffic: int
    begins: float
    met: float
    units: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """When units come and when their windows have closed, in hours after the start.

    ``window`` is the longest one of all metrics, with its grace: before it nobody can promote.
    """

    stops: tuple[Stop, ...]
    window: float
    per_hour: float

    @classmethod
    def of(cls, spec: Mapping[str, Any], units_per_hour: float) -> Timetable:
        """From the spec of an experiment and the new units that its route sees in an hour."""
        window = max(metric["window_ms"] + metric["grace_ms"] for metric in spec["metrics"]) / HOUR_MS
        stops: list[Stop] = []
        begins = came = 0.0
        for step in spec["ramp"]:
            rate = units_per_hour * step["traffic"] / PPM
            enough = begins + (step["units"] - came) / rate
            if step["units"] <= came:
                enough = float(np.interp(step["units"], *_arrivals(stops)[::-1]))
            met = max(begins + step["time_ms"] / HOUR_MS, enough + window if step["units"] else begins)
            came += rate * (met - begins)
            stops.append(Stop(step["traffic"], begins, met, came))
            begins = met
        return cls(tuple(stops), window, units_per_hour)

    def units(self, hours: Floats) -> Floats:
        """Treatment units that have come by then; the last step lasts for ever."""
        times, came = _arrivals(self.stops[:-1])
        rate = self.per_hour * self.stops[-1].traffic / PPM
        beyond = np.maximum(0.0, hours - times[-1]) * rate
        return np.where(hours < 0, 0.0, np.interp(hours, times, came) + beyond)

    def closed(self, hours: Floats) -> Floats:
        """Treatment units whose windows have closed by then."""
        return self.units(hours - self.window)

    @property
    def promotes(self) -> float:
        """Hours after which a promotion may come at the earliest."""
        return self.stops[-1].met


def _arrivals(stops: Sequence[Stop]) -> tuple[list[float], list[float]]:
    """Hours at the ends of steps, and treatment units that have come by then."""
    return [0.0, *(stop.met for stop in stops)], [0.0, *(stop.units for stop in stops)]
