"""What a dead writer left: rows that the log does not know of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a writer took for one run and never got acknowledged.

    Attributes:
        doubt: rows and reported losses of an entry that was on its way under ``seq + 1``: it may have arrived.
        rest: all others.
        lost: rows among both that nobody has counted as dropped yet.
    """

    run: str
    epoch: int
    revision: int
    seq: int
    in_doubt: bool
    doubt: tuple[int, int]
    rest: tuple[int, int]
    lost: tuple[int, int]
