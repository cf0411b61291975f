"""Writers and the watermark: up to when everything has arrived, and what never did.

Each writer numbers its entries from 1 per (run, partition). A repeated number is a repeated entry and is skipped; a
gap is awaited for a while and then counted as lost. The watermark is the least ``until`` of the live writers.

A writer's next number is kept as long as the run lives, however long the writer was silent: it goes on where it stopped.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Gap(NamedTuple):
    """Numbers from ``first`` to before ``behind`` that were missed at a time, ms."""

    first: int
    behind: int
    at: int


class Writer(msgspec.Struct, array_like=True):
    """One writer as the fold knows it."""

    next_seq: int = 1
    until: int = 0
    seen: int = 0  # arrival of its latest entry, ms
    gaps: list[Gap] = msgspec.field(default_factory=list)  # in order of their numbers
    held: int = 0  # `until` before the first gap

    def fills(self, seq: int) -> bool:
        """Whether a number was missing; it no longer is."""
        for i, gap in enumerate(self.gaps):
            if gap.first <= seq < gap.behind:
                parts = (Gap(gap.first, seq, gap.at), Gap(seq + 1, gap.behind, gap.at))
                self.gaps[i : i + 1] = [part for part in parts if part.first < part.behind]
                return True
        return False

    def give_up(self, before: int) -> int:
        """Forget the gaps missed before a time; returns how many numbers are lost with them."""
        lost = sum(gap.behind - gap.first for gap in self.gaps if gap.at <= before)
        self.gaps = [gap for gap in self.gaps if gap.at > before]
        return lost


class Writers(msgspec.Struct):
    """All writers of one (run, partition)."""

    writers: dict[str, Writer] = msgspec.field(default_factory=dict)
    watermark: int = 0
    arrived_entries: int = 0
    lost_entries: int = 0

    def arrived(self, name: str, seq: int, until: int, at: int) -> bool:
        """Note an entry; False when it is a repetition."""
        writer = self.writers.setdefault(name, Writer())
        writer.seen = max(writer.seen, at)
        if seq >= writer.next_seq:
            if seq > writer.next_seq:
                if not writer.gaps:
                    writer.held = writer.until
                writer.gaps.append(Gap(writer.next_seq, seq, at))
            writer.next_seq = seq + 1
        elif not writer.fills(seq):
            return False
        writer.until = max(writer.until, until)
        self.arrived_entries += 1
        return True

    def advance(self, now: int, silence_ms: int, gap_wait_ms: int) -> int:
        """Give up on old gaps and silent writers, and raise the watermark; returns it."""
        live: list[int] = []
        for writer in self.writers.values():
            silent = now - writer.seen >= silence_ms
            self.lost_entries += writer.give_up(now if silent else now - gap_wait_ms)
            if not silent:
                live.append(writer.held if writer.gaps else writer.until)
        if live:
            self.watermark = max(self.watermark, min(live))
        return self.watermark
