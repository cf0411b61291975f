"""The archive: folded entries on disk before they are trimmed from Redis, so that a verdict can be replayed.

One file per (run, partition), one length-prefixed msgpack frame per entry, in the order of the log. What the file's
end says is archived is what may be trimmed; a torn last frame is cut off and written again from the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from router.store.ledger import START, Ledger

LENGTH_OCTETS = 4
READ_ENTRIES = 200

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(tuple[bytes, dict[bytes, bytes]])

Frame = tuple[bytes, Mapping[bytes, bytes]]


def order(entry_id: bytes) -> tuple[int, int]:
    """The position of an entry in its log."""
    time, _, number = entry_id.partition(b"-")
    return int(time), int(number)


def frames(path: Path) -> Iterator[tuple[int, Frame]]:
    """The complete frames of a file, each with the offset behind it."""
    if not path.exists():
        return
    data, at = path.read_bytes(), 0
    while at + LENGTH_OCTETS <= len(data):
        end = at + LENGTH_OCTETS + int.from_bytes(data[at : at + LENGTH_OCTETS], "little")
        if end > len(data):
            return
        yield end, _decoder.decode(data[at + LENGTH_OCTETS : end])
        at = end


class Archive:
    """The archive of one (run, partition)."""

    def __init__(self, folder: Path, run: str, partition: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{run}-{partition}.log"
        self.last, self.end = START, 0
        for behind, (entry_id, _) in frames(self.path):
            self.last, self.end = entry_id, behind

    def advance(self, ledger: Ledger, cursor: bytes) -> int:
        """Archive the next entries that are folded, then trim them; returns how many.

        Raises:
            OSError: the disk took nothing, and nothing was trimmed.
        """
        if order(self.last) >= order(cursor):
            return 0
        rows = [row for row in ledger.read(self.last, READ_ENTRIES) if order(row[0]) <= order(cursor)]
        if not rows:
            return 0
        with self.path.open("ab") as file:
            file.truncate(self.end)  # what a crash or a full disk left half written
            for entry_id, fields in rows:
                frame = _encode((entry_id, dict(fields)))
                file.write(len(frame).to_bytes(LENGTH_OCTETS, "little") + frame)
            file.flush()
            os.fsync(file.fileno())
            self.end = file.tell()
        self.last = rows[-1][0]
        ledger.trim(self.last)
        return len(rows)
