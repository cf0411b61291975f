"""What an experiment reads of a request beside its unit: a covariate and a segment, each from one place of the head.

Read for enrolled requests of runs that declare them, and for no others. A covariate that is no number counts as
missing, a segment that is not declared as any other.
"""

from __future__ import annotations

from router.event_rows import NO_COVARIATE, OTHER_SEGMENT
from router.events import to_fixed
from router.gateway.head import Head
from router.gateway.identify import READERS, Reader
from router.traits import Traits

LONGEST_NUMBER = 32


class TraitReader:
    """The places of one running experiment, compiled."""

    __slots__ = ("_covariate", "_numbers", "_segment")

    def __init__(self, traits: Traits) -> None:
        self._covariate = _reader(traits.covariate)
        self._segment = _reader(traits.segments)
        self._numbers = {value.encode(): number for number, value in enumerate(traits.values, start=1)}

    def read(self, head: Head) -> tuple[int, int]:
        """The covariate in fixed point and the number of the segment."""
        covariate, segment = NO_COVARIATE, OTHER_SEGMENT
        if self._covariate is not None:
            covariate = _fixed(self._covariate(head, 0))
        if self._segment is not None:
            segment = self._numbers.get((self._segment(head, 0) or b"").strip(), OTHER_SEGMENT)
        return covariate, segment


def _reader(place: tuple[str, str] | None) -> Reader | None:
    return None if place is None else READERS[place[0]](place[1].encode())


def _fixed(text: bytes | None) -> int:
    if not text or len(text) > LONGEST_NUMBER:
        return NO_COVARIATE
    try:
        return to_fixed(float(text))
    except ValueError:
        return NO_COVARIATE
