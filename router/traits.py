"""Traits: what an experiment reads of a request beside its unit, and keeps with the exposure.

All of them stand in the head, so that no request waits for its body.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from router.errors import Problem

HEAD_PLACES = ("header", "cookie", "query")
OTHER = "other"  # units whose segment is none of the declared ones
MOST_SEGMENTS = 255  # a segment has 8 bits in an event


class Traits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the traits stand.

    Attributes:
        covariate: place of a number known before the exposure.
        segments: place of the unit's segment.
        values: the declared segments, in the order of their numbers 1, 2, 3 …; 0 is any other.
    """

    covariate: tuple[str, str] | None = None
    segments: tuple[str, str] | None = None
    values: tuple[str, ...] = ()


def misplaced(traits: Traits, at: str) -> Iterator[Problem]:
    """What no gateway can read."""
    for place in (traits.covariate, traits.segments):
        if place is not None and place[0] not in HEAD_PLACES:
            yield Problem(at, f"one of {', '.join(HEAD_PLACES)}", repr(place[0]))
    if len(traits.values) > MOST_SEGMENTS:
        yield Problem(f"{at}.values", f"at most {MOST_SEGMENTS}", str(len(traits.values)))
