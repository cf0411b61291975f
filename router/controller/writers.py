"""Writers and the watermark: up to when everything has arrived, and what never did.

Each writer numbers its entries from 1 per (run, partition). A repeated number is a repeated entry and is skipped; a
gap is awaited for a while and then counted as lost. The watermark is the least ``until`` of the live writers.
"""

from __future__ import annotations

import msgspec


class Writer(msgspec.Struct, array_like=True):
    """One writer as the fold knows it."""

    next_seq: int = 1
    until: int = 0
    seen: int = 0  # arrival of its latest entry, ms
    missing: dict[int, int] = msgspec.field(default_factory=dict)  # number -> when it was missed, ms
    held: int = 0  # `until` before the first missing number


class Writers(msgspec.Struct):
    """All writers of one (run, partition)."""

    writers: dict[str, Writer] = msgspec.field(default_factory=dict)
    watermark: int = 0
    lost_entries: int = 0

    def arrived(self, name: str, seq: int, until: int, at: int) -> bool:
        """Note an entry; False when it is a repetition."""
        writer = self.writers.setdefault(name, Writer())
        writer.seen = max(writer.seen, at)
        if seq in writer.missing:
            del writer.missing[seq]
        elif seq < writer.next_seq:
            return False
        else:
            if seq > writer.next_seq and not writer.missing:
                writer.held = writer.until
            for number in range(writer.next_seq, seq):
                writer.missing[number] = at
            writer.next_seq = seq + 1
        writer.until = max(writer.until, until)
        return True

    def advance(self, now: int, silence_ms: int, gap_wait_ms: int) -> int:
        """Give up on old gaps and silent writers, and raise the watermark; returns it."""
        live: list[int] = []
        for name, writer in list(self.writers.items()):
            overdue = [number for number, at in writer.missing.items() if now - at >= gap_wait_ms]
            for number in overdue:
                del writer.missing[number]
            self.lost_entries += len(overdue)
            if now - writer.seen >= silence_ms:
                self.lost_entries += len(writer.missing)
                # Its last number is kept a while, so that a repetition is still known as one.
                writer.missing.clear()
                if now - writer.seen >= 100 * silence_ms:
                    del self.writers[name]
                continue
            live.append(writer.held if writer.missing else writer.until)
        if live:
            self.watermark = max(self.watermark, min(live))
        return self.watermark
