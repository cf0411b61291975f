"""How many rows of one run a worker took, and what became of them; in shared memory, so that it outlives the worker.

At any time taken = flushed + dropped + pending, by arm. What is pending when the worker dies is lost, and is told to
the event log in the worker's own numbers (see ``losses``).

Pairs are (control, treatments). Never here: a number that only the worker knows.
"""

from __future__ import annotations

from typing import Final

from router.gateway.unsettled import Unsettled

WORD: Final = 8
NAME_OCTETS = 96
NAME_WORDS = NAME_OCTETS // WORD
# A record: the run's name, then these words.
EPOCH, REVISION, SEQ, IN_DOUBT, TAKEN, FLUSHED, DROPPED, TOLD, DOUBT, DOUBT_DROPPED = (
    NAME_WORDS + at for at in (0, 1, 2, 3, 4, 6, 8, 10, 12, 14)
)
RECORD_WORDS = NAME_WORDS + 16


class RunCount:
    """One record; written by its worker, read by all."""

    __slots__ = ("_words", "run")

    def __init__(self, words: memoryview[int], run: str = "") -> None:
        self._words = words
        self.run = run or words[:NAME_WORDS].tobytes().rstrip(b"\0").decode(errors="replace")
        if run:
            words[:NAME_WORDS] = memoryview(run.encode()[:NAME_OCTETS].ljust(NAME_OCTETS, b"\0")).cast("Q")

    def taken(self, treatment: bool) -> None:
        """A row is there to be written."""
        self._words[TAKEN + treatment] += 1

    def dropped(self, treatment: bool) -> None:
        """It did not fit into the buffer."""
        self._words[DROPPED + treatment] += 1

    def sending(
        self, epoch: int, revision: int, seq: int, rows: tuple[int, int], dropped: tuple[int, int]
    ) -> None:
        """An entry is on its way under the number after ``seq``: these rows, and a report of that many dropped."""
        words = self._words
        words[EPOCH], words[REVISION], words[SEQ] = epoch, revision, seq
        for arm in (0, 1):
            words[DOUBT + arm], words[DOUBT_DROPPED + arm] = rows[arm], dropped[arm]
        words[IN_DOUBT] = 1

    def settled(self, seq: int) -> None:
        """The entry under this number was acknowledged."""
        words = self._words
        words[IN_DOUBT] = 0
        words[SEQ] = seq
        for arm in (0, 1):
            words[FLUSHED + arm] += words[DOUBT + arm]
            words[TOLD + arm] += words[DOUBT_DROPPED + arm]

    def flushed_rows(self) -> tuple[int, int]:
        """Rows that Redis acknowledged."""
        return self._words[FLUSHED], self._words[FLUSHED + 1]

    def taken_rows(self) -> tuple[int, int]:
        """Rows that were there to be written."""
        return self._words[TAKEN], self._words[TAKEN + 1]

    def dropped_rows(self) -> tuple[int, int]:
        """Rows that did not fit."""
        return self._words[DROPPED], self._words[DROPPED + 1]

    def unsettled(self) -> Unsettled:
        """What the log does not know of, when this worker does no more."""
        words = self._words
        in_doubt = bool(words[IN_DOUBT])
        doubt, rest, lost = [0, 0], [0, 0], [0, 0]
        for arm in (0, 1):
            doubt[arm] = words[DOUBT + arm] + words[DOUBT_DROPPED + arm] if in_doubt else 0
            known = words[FLUSHED + arm] + words[TOLD + arm]
            rest[arm] = max(0, words[TAKEN + arm] - known - doubt[arm])
            lost[arm] = max(0, words[TAKEN + arm] - words[FLUSHED + arm] - words[DROPPED + arm])
        numbers = (words[EPOCH], words[REVISION], words[SEQ])
        pairs = [(pair[0], pair[1]) for pair in (doubt, rest, lost)]
        return Unsettled(self.run, *numbers, in_doubt, *pairs)


def private_count(run: str) -> RunCount:
    """A record that dies with the process, for when the table has no room."""
    return RunCount(memoryview(bytearray(RECORD_WORDS * WORD)).cast("Q"), run)
