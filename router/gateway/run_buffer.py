"""The rows of one run on their way: blocks of one revision each, which travel whole, in order, one at a time."""

from __future__ import annotations

from collections import deque

from router.event_rows import OutcomeRows, RequestRows
from router.events import Entry, Sighting
from router.gateway.run_count import RunCount

# Times of rows count from a day before their block was begun: an outcome's row carries its request's time.
BASE_BACK_MS = 86_400_000
SIGHTINGS_MOST = 8  # names in one entry; two of one arm are too many already


class Block:
    """Rows of one (run, revision) that will travel in one entry; ``sent`` once they may have left."""

    __slots__ = ("base", "names", "outcomes", "requests", "revision", "rows", "sent")

    def __init__(self, revision: int, now: int) -> None:
        self.revision = revision
        self.base = now - BASE_BACK_MS
        self.requests = RequestRows()
        self.outcomes = OutcomeRows()
        self.names: dict[str, int] = {}
        self.rows = [0, 0]  # of control, of treatments
        self.sent = False

    def __len__(self) -> int:
        return self.rows[0] + self.rows[1]


class RunBuffer:
    """The rows of one run that wait for Redis."""

    __slots__ = ("blocks", "count", "dropped", "epoch", "in_flight", "last_sent", "live", "open", "revision", "run",
                 "seen", "seq", "travelling", "until")  # fmt: skip

    def __init__(self, run: str, epoch: int, count: RunCount | None) -> None:
        self.run = run
        self.epoch = epoch
        self.revision = 0
        self.count = count
        self.open: Block | None = None
        self.blocks: deque[Block] = deque()
        self.travelling: tuple[Entry, int] | None = None  # an entry in doubt, and its rows
        self.dropped = [0, 0]
        self.seen: dict[tuple[str, str], tuple[int, int]] = {}  # (arm, model): first and last time
        self.seq = 0
        self.until = 0
        self.last_sent = 0
        self.in_flight = 0
        self.live = True

    def named(self, arm: str, name: str, time: int) -> None:
        """An arm's answer to a request of this time said which model it comes from."""
        first, last = self.seen.get((arm, name), (time, time))
        if (arm, name) in self.seen or len(self.seen) < SIGHTINGS_MOST:
            self.seen[arm, name] = (min(first, time), max(last, time))

    def sightings(self) -> tuple[Sighting, ...]:
        """What was said since the last entry; from here on it travels."""
        seen, self.seen = self.seen, {}
        return tuple(Sighting(arm, name, *times) for (arm, name), times in seen.items())
