"""The record of a unit: what is known of it and what is undecided.

It is written by the fold, and ``attribution`` reads the unit's values from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.event_rows import CERTAIN, ERROR, OTHER_SEGMENT, REFUSED, SLOW

NEVER = -1
OPEN, CLOSED, DROPPED = 0, 1, 2
# The built-in facts of a request, and the bit that carries them.
FACTS = {"errors": ERROR, "slow": SLOW, "refused": REFUSED}


class Report(msgspec.Struct, array_like=True):
    """One undecided outcome: metric index, fixed-point value, its time, the time asked about, its key.

    ``probability`` is in millionths, that with which a sampled label was asked for; 0 where none was.
    """

    metric: int
    value: int
    time: int
    asked: int
    key: int
    probability: int = CERTAIN

    def comes_before(self, other: Report) -> bool:
        """Which of two reports under one key counts: the same one in any order; a repetition is never earlier."""
        own, others = (
            (report.time, report.asked, report.value, report.probability) for report in (self, other)
        )
        return own <= others


class Record(msgspec.Struct, array_like=True):
    """All that is kept of one unit.

    Attributes:
        arm: index of its arm; -1 before its first exposure is seen.
        entry: time of its first exposure, ms; -1 before.
        state: open, closed or dropped.
        done: end of its first finished request; -1 while none has.
        facts: end of its first request with each built-in fact, in the order of FACTS; -1 for none.
        closed: bit i is set when metric i is closed.
        latencies: (end, microseconds) of finished requests; kept only where a metric reads them.
        reports: undecided outcomes.
        waits_until: an outcome without exposure is kept until the watermark has passed this.
        stratum: in which its values are booked now; empty for the epoch's own.
        known: bit i is set when its value of metric i is held against a limit that was known.
        covariate: sent with its first exposure, fixed point; None without one.
        segment: number of its segment, sent with its first exposure; 0 for any other.
        requests: times of its exposures, ms; None where no metric counts over requests.
    """

    arm: int = -1
    bucket: int = 0
    entry: int = NEVER
    state: int = OPEN
    done: int = NEVER
    facts: list[int] = msgspec.field(default_factory=lambda: [NEVER] * len(FACTS))
    closed: int = 0
    latencies: list[tuple[int, int]] = msgspec.field(default_factory=list)
    reports: list[Report] = msgspec.field(default_factory=list)
    waits_until: int = NEVER
    stratum: str = ""
    known: int = 0
    covariate: int | None = None
    segment: int = OTHER_SEGMENT
    requests: list[int] | None = None


def left_lane(
    record: Record, history: Sequence[Sequence[int]], start: int, share: int, until: int, ppm: int
) -> bool:
    """Whether the lane drew back from the unit's bucket between its entry and ``until``.

    Args:
        record: the unit.
        history: (time, revision, coverage) of the epoch, in order.
        start: left edge of its lane.
        share: width of its lane.
        until: end of its longest window, ms.
        ppm: what coverage is counted in.
    """
    offset = record.bucket - start
    return any(
        record.entry < time < until and share * coverage // ppm <= offset for time, _, coverage in history
    )
