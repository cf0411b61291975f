"""When an arm's server is not asked again: the budget of repetitions, and the breaker that opens after failures.

Both look only at failures to answer at all, never at what was answered: a breaker that opened on errors of a model
would change the very rate that is being measured.
"""

from __future__ import annotations

FAILURES = 5  # in a row, until it opens
OPEN_S = (1.0, 30.0)  # the first pause and the longest; each further one is twice as long
SHARE = 0.2  # of requests that may be repeated
SAVED_MOST = 10.0  # repetitions, when there were none for long


class Breaker:
    """Closed, open, or open but for one request that tries.

    Attributes:
        failures: in a row; while there are none nothing needs to be asked.
    """

    __slots__ = ("_opened", "_until", "failures")

    def __init__(self) -> None:
        self.failures = 0
        self._opened = 0
        self._until = 0.0

    def allows(self, now: float) -> bool:
        """Whether a request may be sent at a time in s; after a pause only one may, until it is known how it ends."""
        if not self._until:
            return True
        if now < self._until:
            return False
        self._until = now + OPEN_S[0]
        return True

    def rests(self, now: float) -> bool:
        """Whether nothing may be sent yet; asking changes nothing."""
        return now < self._until

    def failed(self, now: float) -> None:
        """There was no answer."""
        self.failures += 1
        if self.failures >= FAILURES:
            self._until = now + min(OPEN_S[1], OPEN_S[0] * 2 ** min(self._opened, 8))
            self._opened += 1

    def answered(self) -> None:
        """There was an answer, whatever it said."""
        self.failures = self._opened = 0
        self._until = 0.0


class Budget:
    """Repetitions as a share of requests, so that they cannot double the load of a server that is down."""

    __slots__ = ("_saved", "requests")

    def __init__(self) -> None:
        self.requests = 0  # since the last question
        self._saved = SAVED_MOST

    def take(self) -> bool:
        """Whether one may be repeated."""
        self._saved = min(SAVED_MOST, self._saved + SHARE * self.requests)
        self.requests = 0
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
