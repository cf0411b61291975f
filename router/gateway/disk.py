"""The last good flags on disk, so that a gateway can start while Redis is away.

One line a flag, as it stands in the store, behind its checksum; a changed flag is one more line, and a later line
replaces an earlier one. So a change costs what one flag costs, a torn last line costs that change alone, and what was
damaged is recognised. When changes outweigh flags the file is written anew, whole or not at all. Of all workers on one
folder one writes, by a lock that its death gives back.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from router.errors import SpecError
from router.flag import Flag
from router.store.watch import Stored, Token

NAME = "snapshot.lines"
LOCK = "snapshot.lock"
ROOM = 1 << 20  # octets of changes that any file may gather before it is written anew


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """A line that is no flag: whose flags these are, or a route that is gone."""

    store_id: str | None = None
    gone: str | None = None


@dataclass(slots=True)
class Kept:
    """What was kept: whose flags, each flag with its token, and what was wrong with what could not be read."""

    store_id: str = ""
    flags: dict[str, tuple[Flag, Token]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Journal:
    """The file of one folder, for the one worker that has its lock."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir
        self._lock: int | None = None
        self._store_id: str | None = None
        self._whole = 0
        self._size = 0

    def keep(
        self,
        store_id: str,
        changed: Mapping[str, bytes],
        gone: Iterable[str],
        everything: Callable[[], Iterable[bytes]],
    ) -> None:
        """Keep these changes, or everything when nothing can be added to; nothing when another worker does it.

        Raises:
            OSError: the folder cannot be written.
        """
        if not self._mine():
            return
        added = b"".join([*map(_line, changed.values()), *(_line(_said(gone=name)) for name in gone)])
        if store_id != self._store_id or self._size + len(added) > 2 * self._whole + ROOM:
            self._anew(store_id, everything())
            return
        with (self._folder / NAME).open("ab") as file:
            file.write(added)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(added)

    def close(self) -> None:
        """Leave the folder to another worker."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _mine(self) -> bool:
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _anew(self, store_id: str, texts: Iterable[bytes]) -> None:
        """Replace the file; a crash leaves the old one."""
        scratch = self._folder / f".{NAME}.{os.getpid()}"
        with scratch.open("wb") as file:
            file.write(_line(_said(store_id=store_id)))
            file.writelines(map(_line, texts))
            file.flush()
            os.fsync(file.fileno())
            self._whole = self._size = file.tell()
        os.replace(scratch, self._folder / NAME)
        self._store_id = store_id


def load(data_dir: Path) -> Kept | None:
    """What is kept; None when nothing ever was. Damage is told, never raised."""
    kept, path = Kept(), data_dir / NAME
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                _read(kept, line.rstrip(b"\n"), f"{path}:{number}")
    except FileNotFoundError:
        return None
    except OSError as problem:
        kept.problems.append(f"{path}: {problem}")
    return kept


def _read(kept: Kept, line: bytes, where: str) -> None:
    text = line[9:]
    if line[:9] != _mark(text):
        kept.problems.append(f"{where}: damaged, the line before it for that flag counts")
        return
    try:
        _take(kept, text)
    except (SpecError, msgspec.DecodeError) as problem:
        kept.problems.append(f"{where}: {problem}")


def _take(kept: Kept, text: bytes) -> None:
    if text.startswith((b'{"store_id":', b'{"gone":')):
        said = msgspec.json.decode(text, type=_Said)
        kept.store_id = kept.store_id if said.store_id is None else said.store_id
        kept.flags.pop(said.gone or "", None)
        return
    flag = Flag.parse(text)
    kept.flags[flag.route] = flag, Stored(flag, text).token


def _said(**what: str) -> bytes:
    return msgspec.json.encode(what)


def _line(text: bytes) -> bytes:
    if b"\n" in text or b"\r" in text:  # written by hand
        text = msgspec.json.encode(msgspec.json.decode(text))
    return _mark(text) + text + b"\n"


def _mark(text: bytes) -> bytes:
    return b"%08x " % zlib.crc32(text)
