"""A Brownian path looked at now and then: the chance that it leaves a region, look by look.

The score B - null*A of every test of this package, against the information A, is such a path when the sample is large:
independent normal increments with mean effect*dA and variance dA. The density of the paths still inside is carried from
look to look on Gauss-Legendre nodes.

Source: Armitage, McPherson, Rowe (1969), Repeated significance tests on accumulating data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stats.arguments import between, wrong

Floats = NDArray[np.float64]

REACH = 8.5  # standard deviations; the mass beyond is 1e-17
PANEL = 4.0  # width of a panel of nodes, in standard deviations of the step
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
ROOT_TWO_PI = math.sqrt(2 * math.pi)


class Path:
    """The density of a Brownian path that has stayed inside its region at every look so far."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift = drift
        self.time = 0.0
        self._nodes: Floats = np.zeros(1)
        self._mass: Floats = np.ones(1)

    def _standardised(self, time: float, score: float) -> tuple[Floats, float]:
        spread = math.sqrt(time - self.time)
        return (score - self._nodes - self.drift * (time - self.time)) / spread, spread

    def above(self, time: float, score: float) -> float:
        """The chance to be inside at every look so far, and above ``score`` at ``time``."""
        return float(self._mass @ ndtr(-self._standardised(time, score)[0]))

    def below(self, time: float, score: float) -> float:
        """The chance to be inside at every look so far, and below ``score`` at ``time``."""
        return float(self._mass @ ndtr(self._standardised(time, score)[0]))

    def go_on(self, time: float, low: float, high: float) -> None:
        """Look at ``time``, and keep the paths between two scores."""
        spread = math.sqrt(time - self.time)
        centre, reach = self.drift * time, REACH * math.sqrt(time)
        low, high = max(low, centre - reach), min(high, centre + reach)
        panels = max(1, math.ceil((high - low) / (PANEL * spread)))
        edges = np.linspace(low, max(low, high), panels + 1)
        half = (edges[1] - edges[0]) / 2
        nodes = (edges[:-1, None] + half * (1 + NODES)).ravel()
        steps = (nodes - self._nodes[:, None] - self.drift * (time - self.time)) / spread
        density = self._mass @ np.exp(-0.5 * steps * steps)
        self._mass = density * np.tile(WEIGHTS, panels) * (half / (spread * ROOT_TWO_PI))
        self._nodes, self.time = nodes, time


class Crossing(NamedTuple):
    """First exits by look.

    Attributes:
        upper: chance to leave upwards first at each look, one per look.
        lower: the same downwards.
    """

    upper: Floats
    lower: Floats


def crossing(times: Sequence[float], upper: Any, lower: Any = None, drift: float = 0.0) -> Crossing:
    """The chance to leave a region upwards or downwards, first at each of several looks.

    Args:
        times: information at each look, rising, above 0, in 1/effect^2 or as fractions of a horizon.
        upper: score of the upper edge at each look; infinite where a look cannot end upwards.
        lower: the same of the lower edge; none when it is None.
        drift: mean of the score per information: the effect, or effect*sqrt(planned information) for fractions.

    Returns:
        The two chances by look, accurate to about 1e-10.

    Raises:
        ValueError: times do not rise, or the edges are not one per look.
    """
    looks = np.asarray(times, float)
    highs = np.asarray(upper, float)
    lows = np.full(len(looks), -math.inf) if lower is None else np.asarray(lower, float)
    check_times(looks)
    if highs.shape != looks.shape or lows.shape != looks.shape:
        raise wrong("upper and lower", f"one edge for each of {len(looks)} looks", (highs.shape, lows.shape))
    path, up, down = Path(drift), np.zeros(len(looks)), np.zeros(len(looks))
    for i, (time, low, high) in enumerate(zip(looks.tolist(), lows.tolist(), highs.tolist(), strict=True)):
        up[i] = path.above(time, high) if high < math.inf else 0.0
        down[i] = path.below(time, min(low, high)) if low > -math.inf else 0.0
        path.go_on(time, low, high)
    return Crossing(up, down)


def check_times(times: Floats) -> None:
    """Information that rises from above 0.

    Raises:
        ValueError: it does not.
    """
    between("times", times, 0.0, math.inf)
    if times.ndim != 1 or len(times) == 0 or bool(np.any(np.diff(times) <= 0)):
        raise wrong(
            "times", "at least one look, each with more information than the one before", times.tolist()
        )


def expected_time(times: Sequence[float], exits: Crossing) -> float:
    """Mean information at the exit, where a path that never leaves ends at the last look."""
    leaves = exits.upper + exits.lower
    return float(np.dot(times, leaves) + times[-1] * (1 - leaves.sum()))
