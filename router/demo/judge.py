"""Second judges, computed live on the same traffic: what the usual rules would have declared.

``ThresholdRule`` is the health check most canary tools ship: success of at least 99 %, p99 of at most 500 ms, three
checks in a row. ``RepeatedTTest`` is the test people repeat at each refresh of a dashboard; on an A/A test each of its
findings is false. Neither decides anything: they stand beside the verdict so that the difference can be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SUCCESS_AT_LEAST = 0.99
P99_AT_MOST_MS = 500.0
CHECKS_IN_A_ROW = 3
CHECK_EVERY_S = 5.0
T_CRITICAL = 1.96  # two-sided 5 % at hundreds of degrees of freedom
T_LEAST_UNITS = 30


@dataclass(slots=True)
class ThresholdRule:
    """Status codes and latency of the treatment, checked every five seconds.

    Attributes:
        passed: checks passed in a row so far.
        promoted_at: seconds since the first request at which it would have promoted; None before that.
    """

    next_check: float = CHECK_EVERY_S
    passed: int = 0
    promoted_at: float | None = None
    _good: int = 0
    _all: int = 0
    _latencies: list[float] = field(default_factory=list)

    def saw(self, good: bool, latency_ms: float) -> None:
        """One answer of the treatment."""
        self._all += 1
        self._good += good
        self._latencies.append(latency_ms)

    def check(self, elapsed_s: float) -> None:
        """Judge the last interval when its time has come; an interval without traffic is no check."""
        if elapsed_s < self.next_check or self.promoted_at is not None:
            return
        self.next_check += CHECK_EVERY_S
        if not self._all:
            return
        p99 = sorted(self._latencies)[math.ceil(0.99 * len(self._latencies)) - 1]
        healthy = self._good >= SUCCESS_AT_LEAST * self._all and p99 <= P99_AT_MOST_MS
        self.passed = self.passed + 1 if healthy else 0
        self._good = self._all = 0
        self._latencies.clear()
        if self.passed >= CHECKS_IN_A_ROW:
            self.promoted_at = elapsed_s


@dataclass(slots=True)
class RepeatedTTest:
    """A t-test of two shares, looked at after each refresh; a winner is counted and the test begins anew."""

    winners: int = 0
    _n: dict[str, int] = field(default_factory=dict)
    _x: dict[str, int] = field(default_factory=dict)

    def saw(self, arm: str, value: int) -> None:
        """One report: 1 corrected, 0 right."""
        self._n[arm] = self._n.get(arm, 0) + 1
        self._x[arm] = self._x.get(arm, 0) + value

    def look(self) -> None:
        """Test at the present data, as if it were the planned end."""
        if len(self._n) != 2 or min(self._n.values()) < T_LEAST_UNITS:
            return
        (n0, x0), (n1, x1) = ((self._n[arm], self._x[arm]) for arm in self._n)
        p0, p1 = x0 / n0, x1 / n1
        variance = p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1
        if variance > 0 and abs(p1 - p0) > T_CRITICAL * math.sqrt(variance):
            self.winners += 1
            self._n.clear()
            self._x.clear()
